//! Tests of issuers as they are configured.

use super::*;
use crate::testing::issuer;

fn check(change: impl FnOnce(&mut IssuerText)) -> Result<(), String> {
    let mut text = issuer();
    change(&mut text);
    IssuerSpec::new(text).map(drop).map_err(|error| error.to_string())
}

#[test]
fn an_issuer_without_audience_or_algorithm_is_refused() {
    assert_eq!(check(|_| {}), Ok(()));
    assert!(check(|issuer| issuer.audiences.clear()).unwrap_err().contains("audiences"));
    assert!(check(|issuer| issuer.audiences = vec![String::new()]).is_err());
    assert!(check(|issuer| issuer.audiences = vec!["a".to_owned(); 17]).is_err());
    assert!(check(|issuer| issuer.algorithms.clear()).unwrap_err().contains("algorithms"));
    assert!(check(|issuer| issuer.audience_from = AudienceFrom::Client).unwrap_err().contains("cognito"));
    let cognito = |issuer: &mut IssuerText| {
        issuer.audience_from = AudienceFrom::Client;
        issuer.profile = Profile::Cognito;
    };
    assert_eq!(check(cognito), Ok(()));
}

#[test]
fn an_issuer_is_reached_by_https_or_on_this_machine_where_that_is_said() {
    let with = |url: &str, private: bool| {
        let url = url.to_owned();
        check(move |issuer| {
            issuer.issuer = url;
            issuer.private = private;
        })
    };
    assert_eq!(with("https://id.example", false), Ok(()));
    assert!(with("http://127.0.0.1:9000", false).unwrap_err().contains("private"));
    for url in ["http://127.0.0.1:9000", "http://localhost:9000/x", "http://[::1]:9000"] {
        assert_eq!(with(url, true), Ok(()), "{url}");
    }
    for url in [
        "http://id.example",
        "http://10.0.0.1",
        "http://127.0.0.1.evil.example",
        "https://id.example/?tenant=1",
        "https://id.example/#x",
        "https://user:secret@id.example",
        "file:///etc",
        "id.example",
        "",
    ] {
        let error = with(url, true).unwrap_err();
        assert!(!error.contains("secret"), "{error}");
    }
    let keys = |url: &str| {
        let url = KeySource::Url(url.parse().unwrap());
        check(move |issuer| issuer.keys = url)
    };
    assert_eq!(keys("https://id.example/keys"), Ok(()));
    assert!(keys("http://id.example/keys").is_err() && keys("http://127.0.0.1/keys").is_err());
    let by_file = |issuer: &mut IssuerText| {
        issuer.issuer = "http://127.0.0.1:9000".to_owned();
        issuer.keys = KeySource::File("/k".into());
    };
    assert_eq!(check(by_file), Ok(()), "nothing is fetched from it");
}

#[test]
fn ids_numbers_groups_and_tenants_are_checked() {
    for id in ["apikey", "local", "", "Corp", "a/b", "-a", "a b", &"a".repeat(33)] {
        let id = id.to_owned();
        assert!(check(move |issuer| issuer.id = id).is_err());
    }
    for change in [
        (|issuer: &mut IssuerText| issuer.timeout = Duration::ZERO) as fn(&mut IssuerText),
        |issuer| issuer.timeout = Duration::from_millis(30_001),
        |issuer| issuer.clock_skew_s = 121,
        |issuer| issuer.outage_s = 86_401,
        |issuer| issuer.groups = Some(String::new()),
        |issuer| issuer.groups = Some("a..b".to_owned()),
        |issuer| issuer.scopes = vec!["offline_access".to_owned()],
        |issuer| issuer.scopes = vec!["a b".to_owned()],
        |issuer| issuer.tenant = TenantRule::Claim { claim: "tid".to_owned(), tenants: BTreeMap::new() },
        |issuer| {
            let tenants = [("x".to_owned(), Tenant::default())].into();
            issuer.tenant = TenantRule::Claim { claim: String::new(), tenants };
        },
    ] {
        assert!(check(change).is_err());
    }
    assert_eq!(check(|issuer| issuer.clock_skew_s = 0), Ok(()));
    assert_eq!(check(|issuer| issuer.clock_skew_s = 120), Ok(()));
}

#[test]
fn keys_are_shared_only_by_an_issuer_that_is_asked_in_the_same_way() {
    let spec = |change: fn(&mut IssuerText)| {
        let mut text = issuer();
        change(&mut text);
        IssuerSpec::new(text).unwrap()
    };
    let one = spec(|_| {});
    assert!(one.has_keys_of(&spec(|issuer| issuer.audiences = vec!["b".to_owned()])));
    for change in [
        (|issuer: &mut IssuerText| issuer.issuer = "https://b.example".to_owned()) as fn(&mut IssuerText),
        |issuer| issuer.keys = KeySource::File("/k".into()),
        |issuer| issuer.private = true,
        |issuer| issuer.ca = Some("/ca".into()),
        |issuer| issuer.timeout = Duration::from_secs(1),
        |issuer| issuer.outage_s = 1,
    ] {
        assert!(!one.has_keys_of(&spec(change)));
    }
}
