//! Tests of API keys: form, checksum, and what is refused.

use std::collections::BTreeSet;
use std::time::UNIX_EPOCH;

use super::*;
use crate::testing::{NOW, keys, row};

fn verify(rows: Vec<ApiKeyRow>, text: &str, from: &str, now_s: u64) -> Result<Authenticated, &'static str> {
    let now = UNIX_EPOCH + Duration::from_secs(now_s);
    let hierarchy = Arc::new(ScopeHierarchy::default());
    let result = keys(rows).verify(text, from.parse().unwrap(), now, &hierarchy, &mut StepLog::off());
    result.map_err(|error| error.reason)
}

#[test]
fn a_new_key_has_the_form_that_scanners_know_and_is_found_by_its_id() {
    for _ in 0..100 {
        let new = generate().unwrap();
        let text: &str = &new.text;
        assert_eq!((text.len(), id(text)), (62, Some(new.id.as_str())));
        let bytes = text.as_bytes();
        assert_eq!((&bytes[..4], bytes[12]), (&b"tgk_"[..], b'_'));
        assert!(bytes[4..12].iter().all(|byte| BASE32.contains(byte)));
        assert!(bytes[56..].iter().all(u8::is_ascii_alphanumeric));
        assert_eq!(new.hash, Digest::of(text.as_bytes()));
        assert!(crate::bearer::classify(text).is_ok());
    }
    assert_ne!(*generate().unwrap().text, *generate().unwrap().text);
}

#[test]
fn the_checksum_is_crc_32_in_base62_with_zeros() {
    // The check value of CRC-32 (ISO 3309) is cbf43926 over "123456789": 3,421,780,262.
    assert_eq!(checksum(b"123456789"), "3jZRME");
    assert_eq!(checksum(b""), "000000");
}

#[test]
fn a_key_with_one_other_character_is_refused_before_it_is_hashed() {
    let new = generate().unwrap();
    for at in 0..new.text.len() {
        for other in ["A", "a", "2", "_", "-", "=", ""] {
            let mut changed = new.text.to_string();
            changed.replace_range(at..=at, other);
            if changed != *new.text {
                assert_eq!(id(&changed), None, "{at} {other}");
            }
        }
    }
    for text in ["", "tgk_", "tgk_a2345678", "tgk_ä", &format!("{}x", *new.text), &new.text.to_uppercase()] {
        assert_eq!(id(text), None, "{text}");
    }
}

#[test]
fn a_key_is_a_program_with_groups_of_its_own() {
    let new = generate().unwrap();
    let holder = verify(vec![row(&new)], &new.text, "192.0.2.1", NOW).unwrap();
    let identity = holder.principal.identity().unwrap();
    assert_eq!(holder.principal.to_string(), "service:apikey/ci");
    assert_eq!(identity.client.as_deref(), Some(new.id.as_str()));
    assert!(identity.groups.iter().eq(["apikey/build"]) && identity.scopes.iter().eq(["tools:read"]));
    assert_eq!(holder.expires_at, row(&new).not_after);
    let limited = ApiKeyRow { tools: Some(BTreeSet::from(["greet".to_owned()])), ..row(&new) };
    let holder = verify(vec![limited], &new.text, "192.0.2.1", NOW).unwrap();
    assert_eq!(holder.principal.identity().unwrap().tools, Some(BTreeSet::from(["greet".to_owned()])));
}

#[test]
fn an_unknown_wrong_revoked_or_old_key_is_refused() {
    let (new, other) = (generate().unwrap(), generate().unwrap());
    let with = |change: fn(&mut ApiKeyRow)| {
        let mut row = row(&new);
        change(&mut row);
        verify(vec![row], &new.text, "192.0.2.1", NOW).map(drop)
    };
    assert_eq!(with(|_| {}), Ok(()));
    assert_eq!(with(|row| row.revoked = Some(UNIX_EPOCH)), Err("key-revoked"));
    let tomorrow = |row: &mut ApiKeyRow| row.revoked = Some(UNIX_EPOCH + Duration::from_secs(NOW + 86_400));
    assert_eq!(with(tomorrow), Err("key-revoked"), "whatever its time");
    assert_eq!(with(|row| row.not_after = UNIX_EPOCH + Duration::from_secs(NOW)), Err("key-expired"));
    assert_eq!(with(|row| row.not_after = UNIX_EPOCH + Duration::from_secs(NOW + 1)), Ok(()));
    assert_eq!(with(|row| row.hash = Digest::of(b"another")), Err("key-unknown"));
    assert_eq!(verify(vec![row(&new)], &other.text, "192.0.2.1", NOW).map(drop), Err("key-unknown"));
    // The secret of another key under this id.
    let mut forged = format!("tgk_{}{}", new.id, other.text.get(12..56).unwrap());
    forged.push_str(&checksum(forged.as_bytes()));
    assert_eq!(id(&forged), Some(new.id.as_str()));
    assert_eq!(verify(vec![row(&new), row(&other)], &forged, "192.0.2.1", NOW).map(drop), Err("key-unknown"));
}

#[test]
fn a_key_comes_from_its_networks_only() {
    let new = generate().unwrap();
    let limited = ApiKeyRow {
        from: vec!["192.0.2.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
        ..row(&new)
    };
    for (from, wanted) in [
        ("192.0.2.1", Ok(())),
        ("::ffff:192.0.2.1", Ok(())),
        ("2001:db8::1", Ok(())),
        ("192.0.3.1", Err("key-source")),
        ("2001:db9::1", Err("key-source")),
    ] {
        assert_eq!(verify(vec![limited.clone()], &new.text, from, NOW).map(drop), wanted, "{from}");
    }
}

#[test]
fn rows_that_say_what_cannot_be_are_refused_by_their_id() {
    let new = generate().unwrap();
    let now = UNIX_EPOCH + Duration::from_secs(NOW);
    let check = |rows| {
        ApiKeys::new(rows, now, Duration::from_secs(30 * 86_400)).map(drop).map_err(|error| error.to_string())
    };
    let with = |change: fn(&mut ApiKeyRow)| {
        let mut row = row(&new);
        change(&mut row);
        check(vec![row])
    };
    assert_eq!(with(|_| {}), Ok(()));
    assert!(check(vec![row(&new), row(&new)]).unwrap_err().contains(&new.id), "an id twice");
    assert!(with(|row| row.not_after += Duration::from_secs(1)).unwrap_err().contains("key_days_max"));
    let no_good_any_more = |row: &mut ApiKeyRow| {
        row.not_after += Duration::from_secs(1);
        row.revoked = Some(UNIX_EPOCH);
    };
    assert_eq!(with(no_good_any_more), Ok(()));
    for change in [
        (|row: &mut ApiKeyRow| row.id = "short".to_owned()) as fn(&mut ApiKeyRow),
        |row| row.id = "A2345678".to_owned(),
        |row| row.name = String::new(),
        |row| row.name = "a\u{202e}".to_owned(),
        |row| row.created_by = String::new(),
        |row| row.groups = BTreeSet::from(["a\0".to_owned()]),
        |row| row.groups = (0..513).map(|number| number.to_string()).collect(),
        |row| row.scopes = BTreeSet::from(["a b".to_owned()]),
        |row| row.from = vec!["0.0.0.0/0".parse().unwrap(); 65],
    ] {
        assert!(with(change).is_err());
    }
}
