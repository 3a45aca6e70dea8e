//! Nothing is sent and nothing is stored without a pass.
use toolgate_net::egress::Egress;

async fn sent(egress: &Egress, request: http::Request<String>) {
    let _ = egress.send((), todo!(), todo!(), todo!(), todo!(), &|| {}).await;
}

fn main() {}
