//! Source of a request: the peer of its connection, or the client that a trusted proxy names.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, StatusCode};
use ipnet::IpNet;

/// `X-Forwarded-For`, to which each proxy appends the peer that it saw.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Whether an address is a trusted proxy's.
pub(super) fn is_trusted(address: IpAddr, proxies: &[IpNet]) -> bool {
    let address = address.to_canonical();
    proxies.iter().any(|network| network.contains(&address))
}

/// Address that a request comes from: the peer of its connection; behind a trusted proxy the last hop of
/// `X-Forwarded-For` that is not a trusted proxy. What stands before that hop was written by the client, and is not
/// read. A trusted proxy's own request, which names no other hop, comes from the proxy, or from the first of them.
///
/// # Errors
/// Status and text of the refusal: a hop in question is not an address. To take the proxy's own address instead would
/// give a stranger the rights of the network within.
pub(super) fn source_of(
    peer: IpAddr,
    headers: &HeaderMap,
    proxies: &[IpNet],
) -> Result<IpAddr, (StatusCode, &'static str)> {
    let mut source = peer.to_canonical();
    if !is_trusted(source, proxies) {
        return Ok(source);
    }
    let values: Vec<_> = headers.get_all(FORWARDED_FOR).iter().collect();
    for value in values.into_iter().rev() {
        let value = value.to_str().map_err(|_| MALFORMED)?;
        for hop in value.rsplit(',') {
            source = read_hop(hop.trim()).ok_or(MALFORMED)?;
            if !is_trusted(source, proxies) {
                return Ok(source);
            }
        }
    }
    Ok(source)
}

const MALFORMED: (StatusCode, &str) =
    (StatusCode::BAD_REQUEST, "X-Forwarded-For names a hop that is not an IP address; correct the proxy\n");

/// An address, with a port or in brackets as some proxies write it.
fn read_hop(hop: &str) -> Option<IpAddr> {
    let bare = || hop.strip_prefix('[')?.strip_suffix(']')?.parse::<IpAddr>().ok().filter(IpAddr::is_ipv6);
    let address = hop.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|at| at.ip())).or_else(bare);
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(peer: &str, hops: &[&str]) -> Result<String, StatusCode> {
        let proxies = ["10.0.0.0/8", "::1/128", "2001:db8:1::/48"].map(|text| text.parse().unwrap());
        let mut headers = HeaderMap::new();
        for hop in hops {
            headers.append(FORWARDED_FOR, http::HeaderValue::from_bytes(hop.as_bytes()).unwrap());
        }
        headers.insert("forwarded", "for=203.0.113.99".parse().unwrap());
        let source = source_of(peer.parse().unwrap(), &headers, &proxies);
        source.map(|source| source.to_string()).map_err(|(status, _)| status)
    }

    #[test]
    fn behind_a_trusted_proxy_the_last_hop_that_is_not_one_is_the_source() {
        for (peer, hops, is) in [
            // No proxy is trusted by its own word.
            ("192.0.2.1", &["203.0.113.7"][..], "192.0.2.1"),
            ("127.0.0.1", &["203.0.113.7"], "127.0.0.1"),
            ("192.0.2.1", &["nonsense"], "192.0.2.1"),
            ("10.1.1.1", &["203.0.113.7"], "203.0.113.7"),
            ("::ffff:10.1.1.1", &["203.0.113.7"], "203.0.113.7"),
            ("::1", &["203.0.113.7, 10.2.2.2"], "203.0.113.7"),
            ("10.1.1.1", &["2001:db8:2::7, 2001:db8:1::1,10.2.2.2"], "2001:db8:2::7"),
            // What a client wrote itself stands before what the proxies wrote.
            ("10.1.1.1", &["10.0.0.1, 203.0.113.7"], "203.0.113.7"),
            ("10.1.1.1", &["nonsense, 203.0.113.7"], "203.0.113.7"),
            ("10.1.1.1", &["\u{e9}", "198.51.100.1", "203.0.113.7"], "203.0.113.7"),
            ("10.1.1.1", &["203.0.113.7:4711"], "203.0.113.7"),
            ("10.1.1.1", &["[2001:db8:2::7]:4711"], "2001:db8:2::7"),
            ("10.1.1.1", &["[2001:db8:2::7]"], "2001:db8:2::7"),
            ("10.1.1.1", &["::ffff:203.0.113.7"], "203.0.113.7"),
            // A probe by the proxy itself.
            ("10.1.1.1", &[], "10.1.1.1"),
            ("10.1.1.1", &["10.3.3.3, 10.2.2.2"], "10.3.3.3"),
        ] {
            assert_eq!(source(peer, hops), Ok(is.to_owned()), "{peer} {hops:?}");
        }
    }

    #[test]
    fn a_hop_that_a_trusted_proxy_wrote_and_is_not_an_address_is_refused() {
        for hops in [
            &["unknown"][..],
            &["203.0.113.7, "],
            &[""],
            &["203.0.113.7, unknown, 10.2.2.2"],
            &["203.0.113.7", "\u{e9}"],
            &["203.0.113.7:x"],
            &["[203.0.113.7]"],
            &["203.0.113.0/24"],
        ] {
            assert_eq!(source("10.1.1.1", hops), Err(StatusCode::BAD_REQUEST), "{hops:?}");
        }
    }
}
