//! Certificates and keys that are refused, and what is said of them.

use std::os::unix::fs::PermissionsExt as _;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::*;

/// 2026-07-01T00:00:00Z
const NOW_S: i64 = 1_782_864_000;

fn put(folder: &Path, name: &str, text: &str, mode: u32) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    path
}

fn parameters(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.not_before = rcgen::date_time_ymd(2026, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(2026, 12, 31);
    parameters
}

/// A chain of three: the server's, an intermediate and the root; and the server's key.
fn chain() -> (Vec<String>, String) {
    let authority = |name: &str| {
        let mut parameters = parameters(name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (parameters, KeyPair::generate().unwrap())
    };
    let ((root, root_key), (middle, middle_key)) = (authority("root"), authority("middle"));
    let root_pem = root.self_signed(&root_key).unwrap().pem();
    let root = Issuer::new(root, root_key);
    let middle_pem = middle.signed_by(&middle_key, &root).unwrap().pem();
    let middle = Issuer::new(middle, middle_key);
    let key = KeyPair::generate().unwrap();
    let leaf = parameters("server").signed_by(&key, &middle).unwrap().pem();
    (vec![leaf, middle_pem, root_pem], key.serialize_pem())
}

fn refused(cert: &Path, key: &Path, now_s: i64) -> String {
    load(cert, key, now_s).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn a_chain_with_its_key_is_taken_until_the_first_of_it_expires() {
    let folder = tempfile::tempdir().unwrap();
    let (pems, key) = chain();
    let cert = put(folder.path(), "chain.pem", &pems.concat(), 0o644);
    let key = put(folder.path(), "key.pem", &key, 0o600);
    let loaded = load(&cert, &key, NOW_S).unwrap();
    assert_eq!((loaded.certified.cert.len(), loaded.expires_s), (3, 1_798_675_200));
    for (now_s, why) in
        [(1_798_675_200, "expired at 2026-12-31T00:00:00Z; renew it"), (1_767_225_599, "is valid from")]
    {
        let refused = refused(&cert, &key, now_s);
        assert!(refused.starts_with("cert: ") && refused.contains(why), "{refused}");
    }
}

#[test]
fn files_that_do_not_belong_together_or_to_clients_are_refused_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str, mode| put(folder.path(), name, text, mode);
    let (pems, key_pem) = chain();
    let [leaf, middle, root] = pems.as_slice() else { panic!("three") };
    let cert = put("chain.pem", &pems.concat(), 0o644);
    let key = put("key.pem", &key_pem, 0o600);
    let other = put("other.pem", &KeyPair::generate().unwrap().serialize_pem(), 0o600);
    let missing = folder.path().join("missing.pem");
    let empty = put("empty.pem", "nothing\n", 0o600);
    let broken = put("broken.pem", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", 0o644);
    let no_der = put("no-der.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 0o644);
    let reversed = put("reversed.pem", &[root.as_str(), middle, leaf].concat(), 0o644);
    let mixed = put("mixed.pem", &[leaf.as_str(), root, middle].concat(), 0o644);
    let long = put("long.pem", &leaf.repeat(11), 0o644);
    let open = put("open.pem", &key_pem, 0o644);
    let loose = put("loose.pem", &pems.concat(), 0o666);
    for (cert, key, why) in [
        (&missing, &key, "cert: "),
        (&missing, &key, "it cannot be opened"),
        (&cert, &missing, "key: "),
        (&empty, &key, "it has no certificate; write the chain in PEM"),
        (&broken, &key, "it is not PEM"),
        (&no_der, &key, "a certificate in it cannot be read"),
        (&cert, &empty, "it has no private key that can be read"),
        (&cert, &cert, "others can read it"),
        (&cert, &open, "others can read it; run `chmod o-rwx` on it"),
        (&loose, &key, "others can write to it"),
        (&cert, &other, "it is not the key of the certificate in"),
        (
            &reversed,
            &key,
            "the certificate of this key is not the first in it; put the server's certificate first",
        ),
        (&mixed, &key, "its certificates are not in order; put the server's certificate first"),
        (&long, &key, "it has more than 10 certificates"),
    ] {
        let refused = refused(cert, key, NOW_S);
        assert!(refused.contains(why), "{refused}\n{why}");
    }
}

#[test]
fn a_weak_certificate_is_refused() {
    let good = || {
        let folder = tempfile::tempdir().unwrap();
        let (pems, _) = chain();
        drop(folder);
        read_chain(&pems.concat()).unwrap().1
    };
    assert_eq!(check(&good(), NOW_S), Ok(()));
    let mut weak = good();
    weak[1].weakness = Some("it has an RSA key of 1024 bits".to_owned());
    let why = "certificate 2 is too weak: it has an RSA key of 1024 bits; have one issued with a new key";
    assert_eq!(check(&weak, NOW_S), Err(why.to_owned()));
}

#[test]
fn a_trusted_network_is_one_and_not_everybody() {
    for text in ["10.0.0.0/8", "::1/128", "192.0.2.7", "2001:db8::/32"] {
        assert!(read_network(text).is_ok(), "{text}");
    }
    for text in ["0.0.0.0/0", "::/0", "10.0.0.1/8", "10.0.0.0/33", "proxy.example.com", ""] {
        assert!(read_network(text).is_err(), "{text}");
    }
}

#[test]
fn a_certificate_is_warned_of_two_weeks_before_it_expires() {
    let folder = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    let mut of_test = parameters("server");
    of_test.not_after = rcgen::date_time_ymd(4000, 1, 1);
    let cert = put(folder.path(), "chain.pem", &of_test.self_signed(&key).unwrap().pem(), 0o644);
    let key = put(folder.path(), "key.pem", &key.serialize_pem(), 0o600);
    let mut loaded = load(&cert, &key, NOW_S).unwrap();
    assert_eq!(loaded.warning(), None);
    let now_s = jiff::Timestamp::now().as_second();
    for (left_s, warns) in [(TLS_EXPIRY_WARNING_S + 60, false), (TLS_EXPIRY_WARNING_S - 60, true)] {
        loaded.expires_s = now_s + left_s;
        assert_eq!(loaded.warning().is_some_and(|text| text.contains("renew it")), warns);
    }
}
