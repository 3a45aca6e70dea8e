//! A second reader of tokens, `jsonwebtoken`, as an oracle: of many thousand changed tokens none that is accepted here may be
//! refused there. 20,000 changes, or `TOOLGATE_CASES`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA512};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};
use toolgate_signature::jws::JwsAlgorithm;

use crate::explain::StepLog;
use crate::issuer::{IssuerSpec, IssuerText};
use crate::jwks::KeySet;
use crate::jwt::{Candidate, read};
use crate::profile::Profile;
use crate::scope::ScopeHierarchy;
use crate::testing::{AUDIENCE, ISSUER, TestKey, base64url, jwks};

/// Numbers that are the same in each run (SplitMix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// Signs a text.
type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// A key, as both readers know it.
struct Signer {
    algorithm: Algorithm,
    sign: Sign,
    oracle: DecodingKey,
    jwk: Value,
    /// A good token.
    good: String,
    /// A token of another subject, which is for nobody.
    root: String,
}

fn signers() -> Vec<Signer> {
    let with_tokens = |signer: Signer| {
        let (header, claims) = good(&signer);
        let good = sign(&signer, &header.to_string(), &claims.to_string());
        let root = sign(&signer, &header.to_string(), &json!({ "sub": "root" }).to_string());
        Signer { good, root, ..signer }
    };
    let key = TestKey::new("ES256");
    let (x, y) = key.pair.public_point().unwrap();
    let es256 = Signer {
        algorithm: Algorithm::ES256,
        oracle: DecodingKey::from_ec_components(&base64url(x), &base64url(y)).unwrap(),
        jwk: key.jwk(),
        good: String::new(),
        root: String::new(),
        sign: Box::new(move |input| key.pair.sign(input).unwrap()),
    };
    let rsa = Arc::new(KeyPair::generate(KeySize::Rsa2048).unwrap());
    let parts: PublicKeyComponents<Vec<u8>> = rsa.public_key().into();
    let (n, e) = (base64url(&parts.n), base64url(&parts.e));
    let of_rsa =
        |algorithm: Algorithm, name: &str, encoding: &'static aws_lc_rs::signature::RsaSignatureEncoding| {
            let rsa = Arc::clone(&rsa);
            Signer {
                algorithm,
                oracle: DecodingKey::from_rsa_components(&n, &e).unwrap(),
                jwk: json!({ "kty": "RSA", "n": n, "e": e, "kid": name, "alg": name }),
                good: String::new(),
                root: String::new(),
                sign: Box::new(move |input| {
                    let mut signature = vec![0; rsa.public_modulus_len()];
                    rsa.sign(encoding, &SystemRandom::new(), input, &mut signature).unwrap();
                    signature
                }),
            }
        };
    let ed = Ed25519KeyPair::generate().unwrap();
    let point = base64url(ed.public_key().as_ref());
    let eddsa = Signer {
        algorithm: Algorithm::EdDSA,
        oracle: DecodingKey::from_ed_components(&point).unwrap(),
        jwk: json!({ "kty": "OKP", "crv": "Ed25519", "x": point, "kid": "EdDSA" }),
        good: String::new(),
        root: String::new(),
        sign: Box::new(move |input| ed.sign(input).as_ref().to_vec()),
    };
    let rs256 = of_rsa(Algorithm::RS256, "RS256", &RSA_PKCS1_SHA256);
    let ps512 = of_rsa(Algorithm::PS512, "PS512", &RSA_PSS_SHA512);
    [es256, rs256, ps512, eddsa].map(with_tokens).into()
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

/// Header and claims of a good token.
fn good(signer: &Signer) -> (Value, Value) {
    let header = json!({ "alg": signer.jwk["kid"], "typ": "at+jwt", "kid": signer.jwk["kid"] });
    let claims = json!({
        "iss": ISSUER, "aud": [AUDIENCE, "https://other.example"], "sub": "alice", "client_id": "editor", "exp": now_s() + 3_600,
        "nbf": now_s() - 60, "iat": now_s() - 60, "scope": "a b", "groups": ["staff"], "act": { "sub": "agent" },
    });
    (header, claims)
}

fn sign(signer: &Signer, header: &str, payload: &str) -> String {
    let input = format!("{}.{}", base64url(header), base64url(payload));
    format!("{input}.{}", base64url((signer.sign)(input.as_bytes())))
}

/// Whether the code of this crate accepts a token.
fn accepts(issuer: &IssuerSpec, keys: &KeySet, token: &str) -> bool {
    let log = &mut StepLog::off();
    let verify = || {
        let (token, claimed) = read(token, &mut StepLog::off())?;
        if claimed != issuer.text().issuer {
            return Ok(false);
        }
        let candidate = Candidate::check(token, issuer, &mut StepLog::off())?;
        Ok(candidate.has_key(keys))
    };
    let is_candidate: Result<bool, crate::AuthError> = verify();
    if !is_candidate.unwrap_or(false) {
        return false;
    }
    let (unverified, _) = read(token, log).unwrap();
    let candidate = Candidate::check(unverified, issuer, log).unwrap();
    candidate.verify(issuer, keys, &ScopeHierarchy::default(), now_s(), log).is_ok()
}

/// Whether the oracle accepts it: same algorithm, key, issuer, audience, times and a subject.
fn oracle_accepts(signer: &Signer, token: &str) -> bool {
    let mut validation = Validation::new(signer.algorithm);
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[AUDIENCE]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation.validate_nbf = true;
    validation.leeway = 31;
    jsonwebtoken::decode::<BTreeMap<String, Value>>(token, &signer.oracle, &validation).is_ok()
}

/// Changes a token of `signer`: its bytes, its parts, or what is signed.
fn changed(chance: &mut Chance, signers: &[Signer], signer: &Signer) -> String {
    let (header, claims) = good(signer);
    let token = signer.good.clone();
    match chance.below(6) {
        0 => {
            let mut bytes = token.into_bytes();
            let at = chance.below(bytes.len());
            bytes[at] = *chance.one_of(b"ABCXYZabcxyz0189-_.=+/");
            String::from_utf8(bytes).unwrap()
        }
        1 => {
            let mut bytes = token.into_bytes();
            match chance.below(3) {
                0 => drop(bytes.remove(chance.below(bytes.len()))),
                1 => bytes.insert(chance.below(bytes.len()), *chance.one_of(b"Aa0-_.=")),
                _ => bytes.truncate(chance.below(bytes.len())),
            }
            String::from_utf8(bytes).unwrap()
        }
        2 => {
            let other = &chance.one_of(signers).root;
            let parts: Vec<&str> = token.split('.').chain(other.split('.')).collect();
            let part = |chance: &mut Chance| *chance.one_of(&parts);
            [part(chance), part(chance), part(chance)].join(".")
        }
        3 => {
            let other = chance.one_of(signers);
            sign(other, &header.to_string(), &claims.to_string())
        }
        4 => sign(signer, &changed_json(chance, &header), &claims.to_string()),
        _ => sign(signer, &header.to_string(), &changed_json(chance, &claims)),
    }
}

/// An object with one member taken away, replaced, doubled, or with a byte changed.
fn changed_json(chance: &mut Chance, object: &Value) -> String {
    let mut object = object.clone();
    let names: Vec<String> = object.as_object().unwrap().keys().cloned().collect();
    let name = chance.one_of(&names).clone();
    let values = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1e300),
        json!(1.5),
        json!(now_s()),
        json!(now_s() + 99_999),
        json!(now_s() - 60),
        json!(now_s().to_string()),
        json!(""),
        json!("none"),
        json!("HS256"),
        json!("RS256"),
        json!("ES256"),
        json!(AUDIENCE),
        json!(ISSUER),
        json!([]),
        json!([AUDIENCE]),
        json!([1]),
        json!({}),
        json!({ "sub": "x" }),
        json!("a\0"),
        json!([[AUDIENCE]]),
        json!(format!("{ISSUER}/")),
    ];
    match chance.below(4) {
        0 => drop(object.as_object_mut().unwrap().remove(&name)),
        1 => object[&name] = chance.one_of(&values).clone(),
        2 => {
            let text = object.to_string();
            let open = text.strip_suffix('}').unwrap();
            return format!("{open},{}:{}}}", json!(name), chance.one_of(&values));
        }
        _ => {
            let mut bytes = object.to_string().into_bytes();
            let at = chance.below(bytes.len());
            bytes[at] = *chance.one_of(b"{}[]\",:019aeZ \\");
            return String::from_utf8(bytes).unwrap();
        }
    }
    object.to_string()
}

#[test]
#[expect(clippy::print_stdout, reason = "the figures of a long run")]
fn what_is_accepted_here_another_reader_accepts_too_and_good_tokens_are_accepted() {
    let cases = std::env::var("TOOLGATE_CASES").ok().map_or(20_000, |cases| cases.parse().unwrap());
    let signers = signers();
    let jwk_list: Vec<Value> = signers.iter().map(|signer| signer.jwk.clone()).collect();
    let keys = KeySet::parse(jwks(&jwk_list).as_bytes()).unwrap();
    let mut text = IssuerText::new("corp", ISSUER, vec![AUDIENCE.to_owned()]);
    text.algorithms = JwsAlgorithm::ALL.to_vec();
    let strict = IssuerSpec::new(text.clone()).unwrap();
    text.profile = Profile::Generic;
    let relaxed = IssuerSpec::new(text).unwrap();
    for signer in &signers {
        let (header, claims) = good(signer);
        let token = sign(signer, &header.to_string(), &claims.to_string());
        assert!(accepts(&strict, &keys, &token) && accepts(&relaxed, &keys, &token), "{header}");
        assert!(oracle_accepts(signer, &token), "{header}");
    }
    let mut chance = Chance(17);
    let (mut here, mut there) = (0, 0);
    for case in 0..cases {
        let signer = chance.one_of(&signers);
        let token = changed(&mut chance, &signers, signer);
        let is_accepted = accepts(&strict, &keys, &token) || accepts(&relaxed, &keys, &token);
        let by_oracle = signers.iter().any(|signer| oracle_accepts(signer, &token));
        assert!(!is_accepted || by_oracle, "case {case} is accepted here alone: {token}");
        here += u32::from(is_accepted);
        there += u32::from(by_oracle);
    }
    println!("{cases} changed tokens: accepted here {here}, by the oracle {there}");
    assert!(there >= here && here > 0, "some changes are harmless, or the test changes too much");
}
