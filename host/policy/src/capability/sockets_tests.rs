//! Tables for the `sockets` grant: the addresses it covers, and the calls in which a resolved name counts.

use super::*;

fn rule(host: &str, port: i64) -> RuleText {
    RuleText { host: host.to_owned(), port, ..RuleText::default() }
}

fn private(host: &str, port: i64) -> RuleText {
    RuleText { private: true, ..rule(host, port) }
}

fn grant(rules: impl IntoIterator<Item = RuleText>) -> Grant {
    Grant::new(rules.into_iter().collect()).unwrap()
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// The result of a lookup of `name` that resolves to these addresses.
fn found(grant: &Grant, name: &str, addresses: &[&str]) -> Found {
    let mut found = Found::default();
    let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
    found.keep(&grant.allow_lookup(name).unwrap(), &addresses);
    found
}

fn allows(grant: &Grant, found: &Found, protocol: Protocol, to: &str) -> bool {
    grant.allow(found, protocol, address(to), &[]).is_ok()
}

#[test]
fn a_rule_covers_its_address_port_and_protocol_and_nothing_else() {
    let udp = RuleText { protocol: Some("udp".to_owned()), ..rule("1.1.1.1", 53) };
    let grant = grant([rule("8.8.8.8", 443), udp, rule("[2606:4700::1111]", 443)]);
    let none = Found::default();
    for granted in ["8.8.8.8:443", "[2606:4700::1111]:443"] {
        assert!(allows(&grant, &none, Protocol::Tcp, granted), "{granted}");
        assert!(!allows(&grant, &none, Protocol::Udp, granted), "{granted}");
    }
    assert!(allows(&grant, &none, Protocol::Udp, "1.1.1.1:53"));
    for refused in ["1.1.1.1:53", "8.8.8.8:53", "8.8.8.8:444", "8.8.4.4:443", "[::ffff:8.8.8.8]:443"] {
        assert!(!allows(&grant, &none, Protocol::Tcp, refused), "{refused}");
    }
    assert!(grant.opens(Protocol::Tcp) && grant.opens(Protocol::Udp));
    assert!(
        !Grant::default().opens(Protocol::Tcp)
            && !allows(&Grant::default(), &none, Protocol::Tcp, "8.8.8.8:443")
    );
}

#[test]
fn an_address_counts_for_a_name_only_where_it_was_found_under_it() {
    let grant = grant([rule("db.example.com", 5432), rule("mail.example.com", 25)]);
    assert!(!allows(&grant, &Found::default(), Protocol::Tcp, "8.8.8.8:5432"), "nobody looked it up");
    let found = found(&grant, "DB.Example.com.", &["8.8.8.8"]);
    assert!(allows(&grant, &found, Protocol::Tcp, "8.8.8.8:5432"));
    assert!(!allows(&grant, &found, Protocol::Tcp, "8.8.8.8:25"), "that is the other host's port");
    assert!(!allows(&grant, &found, Protocol::Tcp, "8.8.4.4:5432"));
}

#[test]
fn a_name_that_leads_to_another_address_later_leads_to_none_that_is_out_of_bounds() {
    let grant = grant([rule("db.example.com", 5432)]);
    let mut found = found(&grant, "db.example.com", &["8.8.8.8"]);
    let later: Vec<IpAddr> =
        ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fd00:ec2::254"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
    found.keep(&grant.allow_lookup("db.example.com").unwrap(), &later);
    for ip in later {
        assert!(grant.allow(&found, Protocol::Tcp, SocketAddr::new(ip, 5432), &[]).is_err(), "{ip}");
    }
    assert!(allows(&grant, &found, Protocol::Tcp, "8.8.8.8:5432"));
}

#[test]
fn private_counts_for_the_rule_that_says_it() {
    let grant = grant([private("box.example.com", 80), rule("box.example.com", 81)]);
    assert_eq!(grant.allow_lookup("box.example.com").unwrap().reach(), Reach::Private);
    let found = found(&grant, "box.example.com", &["10.0.0.1", "169.254.169.254"]);
    assert!(allows(&grant, &found, Protocol::Tcp, "10.0.0.1:80"));
    assert!(!allows(&grant, &found, Protocol::Tcp, "10.0.0.1:81"));
    assert!(!allows(&grant, &found, Protocol::Tcp, "169.254.169.254:80"), "no grant reaches that");
}

#[test]
fn only_granted_names_are_looked_up() {
    let grant = grant([rule("db.example.com", 5432), private("127.0.0.1", 80), private("[::1]", 80)]);
    for granted in
        ["db.example.com", "DB.EXAMPLE.COM", "db.example.com.", "127.0.0.1", "2130706433", "::1", "[::1]"]
    {
        assert!(grant.allow_lookup(granted).is_ok(), "{granted}");
    }
    for refused in
        ["example.com", "x.db.example.com", "localhost", "8.8.8.8", "", "*", "db.example.com:5432", "a b"]
    {
        assert!(grant.allow_lookup(refused).is_err(), "{refused}");
    }
}

#[test]
fn binding_is_for_clients() {
    for fine in ["0.0.0.0:0", "[::]:0"] {
        assert_eq!(may_bind(address(fine)), Ok(()), "{fine}");
    }
    for refused in ["0.0.0.0:80", "127.0.0.1:0", "127.0.0.1:80", "[::]:80", "[::1]:0", "192.168.0.1:0"] {
        assert!(may_bind(address(refused)).is_err(), "{refused}");
    }
}

#[test]
fn what_cannot_be_granted_is_named() {
    for (text, words) in [
        (rule("*.example.com", 80), "`*` is not for sockets"),
        (rule("", 80), "is not a host"),
        (rule("a b", 80), "is not a host"),
        (rule("8.8.8.8", 0), "1 to 65535"),
        (rule("8.8.8.8", 65_536), "1 to 65535"),
        (rule("127.0.0.1", 80), "private = true"),
        (rule("[::ffff:10.0.0.1]", 80), "private = true"),
        (private("169.254.169.254", 80), "no grant reaches it"),
        (private("metadata.google.internal", 80), "no grant reaches it"),
        (RuleText { protocol: Some("sctp".to_owned()), ..rule("8.8.8.8", 80) }, "not a protocol"),
    ] {
        let problems = Grant::new(vec![rule("8.8.8.8", 80), text.clone()]).unwrap_err();
        assert!(problems.iter().any(|p| p.to_string().contains(words)), "{text:?}: {problems:?}");
    }
    assert_eq!(Grant::new(Vec::new()), Ok(Grant::default()));
}

#[test]
fn where_one_listens_sockets_are_opened_and_nothing_is_given() {
    let grant = Grant::default().listening();
    assert!(grant.opens(Protocol::Tcp) && grant.opens(Protocol::Udp));
    assert!(!allows(&grant, &Found::default(), Protocol::Tcp, "8.8.8.8:443"));
    assert!(grant.allow_lookup("db.example.com").is_err());
    assert_eq!((grant.effects(), grant.written()), (Effects::default(), "[]".to_owned()));
}
