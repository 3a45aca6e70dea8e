//! Egress sends no request without a `Pass`.
#![allow(unused, unreachable_code)]

use toolgate_net::egress::Egress;

async fn sent(egress: &Egress, request: http::Request<String>) {
    let _ = egress.send((), todo!(), todo!(), todo!(), todo!(), &|| {}).await;
}

fn main() {}
