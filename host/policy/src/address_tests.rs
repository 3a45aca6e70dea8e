//! Tables for hosts and addresses: parsing, pattern matching, and the addresses each reach allows.

use super::*;

fn verdict(address: &str, reach: Reach) -> Result<(), BlockedAddressError> {
    may_connect(address.parse().unwrap(), reach, &[])
}

#[test]
fn ordinary_addresses_are_reachable() {
    for address in ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
    {
        assert_eq!(verdict(address, Reach::Global), Ok(()), "{address}");
    }
}

#[test]
fn private_addresses_need_the_word_private_in_any_wrapping() {
    for address in [
        "127.0.0.1",
        "127.9.9.9",
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "::1",
        "fc00::1",
        "fd12:3456::1",
        "::ffff:10.0.0.1",
        "::ffff:127.0.0.1",
        "64:ff9b::a00:1",
        "2002:0a00:0001::",
        "::7f00:1",
        "2001:0:4136:e378:8000:63bf:f5ff:fffe",
    ] {
        assert!(matches!(verdict(address, Reach::Global), Err(BlockedAddressError::Private(_))), "{address}");
        assert_eq!(verdict(address, Reach::Private), Ok(()), "{address}");
    }
}

#[test]
fn metadata_link_local_and_reserved_addresses_are_out_of_reach_for_every_grant() {
    for address in [
        "169.254.169.254",
        "169.254.170.2",
        "168.63.129.16",
        "100.100.100.200",
        "192.0.0.192",
        "0.0.0.0",
        "0.1.2.3",
        "224.0.0.1",
        "255.255.255.255",
        "198.18.0.1",
        "192.0.2.1",
        "fe80::1",
        "fd00:ec2::254",
        "ff02::1",
        "::",
        "2001:db8::1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::",
        "64:ff9b:1::a9fe:a9fe",
        "::ffff:0:169.254.169.254",
        "4000::1",
        "5f00::1",
    ] {
        for reach in [Reach::Global, Reach::Private] {
            assert!(matches!(verdict(address, reach), Err(BlockedAddressError::Never(..))), "{address}");
        }
    }
}

#[test]
fn every_notation_of_an_address_is_that_address() {
    let loopback = Host::Address("127.0.0.1".parse().unwrap());
    for text in
        ["127.0.0.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "127.0.0.1.", "127.0.1"]
    {
        assert_eq!(Host::parse(text), Ok(loopback.clone()), "{text}");
    }
    assert_eq!(Host::parse("[::1]"), Ok(Host::Address("::1".parse().unwrap())));
}

#[test]
fn names_have_one_normal_form() {
    for text in ["EXAMPLE.com", "example.com.", "ｅｘａｍｐｌｅ．ｃｏｍ", "ex%61mple.com"] {
        assert_eq!(Host::parse(text), Ok(Host::Name("example.com".to_owned())), "{text}");
    }
    assert_eq!(Host::parse("bücher.example"), Ok(Host::Name("xn--bcher-kva.example".to_owned())));
}

#[test]
fn what_is_no_host_is_refused() {
    for text in [
        "",
        ".",
        "a..b",
        "a b",
        "a/b",
        "user@host",
        "host:80",
        "-a.com",
        "a-.com",
        "a\0b",
        "[::1",
        "1.2.3.4.5",
        "256.256.256.256",
        "exa<mple",
        "a\r\nb",
        &"a".repeat(64),
        &"a.".repeat(130),
    ] {
        assert!(Host::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn a_suffix_never_means_the_apex_nor_a_lookalike() {
    let below = HostPattern::parse("*.Example.com").unwrap();
    let host = |text: &str| Host::parse(text).unwrap();
    assert!(below.matches(&host("a.example.com")) && below.matches(&host("a.b.example.com")));
    for other in ["example.com", "evilexample.com", "example.com.evil.org", "1.2.3.4"] {
        assert!(!below.matches(&host(other)), "{other}");
    }
    for refused in ["*", "*.", "*.com", "a.*.com", "*.1.2.3.4", "**.example.com", "*example.com"] {
        assert!(HostPattern::parse(refused).is_err(), "{refused}");
    }
}

#[test]
fn the_tables_hold_networks_only() {
    assert!(!in_v4(Ipv4Addr::new(8, 8, 8, 8), "10.0.0.0/8"));
    for reach in [Reach::Global, Reach::Private] {
        assert_eq!(may_connect(IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8)), reach, &[]), Ok(()));
        assert_eq!(may_connect("2606:4700::1".parse().unwrap(), reach, &[]), Ok(()));
    }
}

#[test]
fn an_address_of_this_machine_needs_private_whatever_network_it_is_in() {
    let own: Vec<IpAddr> = ["8.8.4.4", "2606:4700::7"].map(|own| own.parse().unwrap()).to_vec();
    for address in ["8.8.4.4", "::ffff:8.8.4.4", "64:ff9b::808:404", "2002:808:404::", "2606:4700::7"] {
        let address: IpAddr = address.parse().unwrap();
        assert_eq!(may_connect(address, Reach::Global, &own), Err(BlockedAddressError::Own(address)));
        assert_eq!(may_connect(address, Reach::Private, &own), Ok(()));
    }
    for other in ["8.8.8.8", "2606:4700::8"] {
        assert_eq!(may_connect(other.parse().unwrap(), Reach::Global, &own), Ok(()));
    }
    // An address that no grant reaches stays unreachable when it is one of the machine's own.
    let link_local: IpAddr = "fe80::1".parse().unwrap();
    let verdict = may_connect(link_local, Reach::Private, &[link_local]);
    assert!(matches!(verdict, Err(BlockedAddressError::Never(..))), "{verdict:?}");
}
