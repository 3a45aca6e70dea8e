//! Decisions of the `files` grant.

use super::*;

fn grant(mounts: &[(&str, &str, &str)]) -> Result<Grant, Vec<InvalidValueError>> {
    let text = |(host, guest, access): &(&str, &str, &str)| MountText {
        host: (*host).to_owned(),
        guest: (*guest).to_owned(),
        access: (*access).to_owned(),
        room: QuotaText::default(),
        open_max: None,
    };
    Grant::new(mounts.iter().map(text).collect())
}

#[test]
fn a_folder_granted_for_reading_cannot_be_changed() {
    let grant = grant(&[("/srv/docs", "/docs", "read"), ("/srv/out", "/out", "read-write")]).unwrap();
    assert!(grant.allow(0, Use::Read).is_ok());
    assert_eq!(grant.allow(0, Use::Write).unwrap_err(), FilesDeniedError::ReadOnly);
    assert_eq!(grant.allow(1, Use::Write).unwrap().mount(), 1);
    assert!(grant.allow(2, Use::Read).is_err(), "a folder that is not there");
}

#[test]
fn a_path_belongs_to_the_innermost_folder_that_holds_it_and_may_not_climb_out() {
    let grant = grant(&[("/a", "/docs", "read"), ("/b", "/docs/out", "read-write")]).unwrap();
    for (path, leads) in [
        ("/docs", Ok(0)),
        ("/docs/", Ok(0)),
        ("/docs/a/../b.txt", Ok(0)),
        ("/docs/out/x", Ok(1)),
        ("/docs/outer", Ok(0)),
        ("/docs/../etc/passwd", Err(FilesDeniedError::Outside)),
        ("/docs/out/../a.txt", Err(FilesDeniedError::Outside)),
        ("/docsx", Err(FilesDeniedError::NotGranted)),
        ("/", Err(FilesDeniedError::NotGranted)),
    ] {
        assert_eq!(grant.locate(path), leads, "{path}");
    }
}

#[test]
fn where_one_listens_nothing_is_given() {
    let grant = grant(&[("/a", "/docs", "read")]).unwrap().listening("/empty");
    assert_eq!((grant.locate("/docs/a"), grant.locate("/etc/passwd")), (Ok(0), Ok(1)));
    assert_eq!(grant.allow(1, Use::Read).unwrap_err(), FilesDeniedError::NotGranted);
    assert_eq!(grant.clone().listening("/empty"), grant);
    assert_eq!(Grant::default().listening("/empty").effects(), Effects::default());
}

#[test]
fn an_empty_grant_has_no_effects_and_allows_nothing() {
    assert_eq!(Grant::default().effects(), Effects::default());
    assert!(Grant::default().allow(0, Use::Read).is_err());
}

#[test]
fn everything_wrong_is_told_at_once_with_its_place() {
    let problems = grant(&[
        ("/", "/a", "read"),
        ("/proc/self", "docs", "read"),
        ("relative", "/b", "write"),
        ("/srv/x", "/a/../b", "read"),
        ("/srv/y", "/a", "read"),
    ])
    .unwrap_err();
    let places: Vec<&str> = problems.iter().map(|p| p.at.as_str()).collect();
    assert_eq!(
        places,
        ["[0].host", "[1].host", "[1].guest", "[2].host", "[2].access", "[3].guest", "[4].guest"]
    );
}

#[test]
fn guest_paths_have_one_normal_form() {
    let grant = grant(&[("/srv/a", "/docs/", "read"), ("/srv/b", "/", "read")]).unwrap();
    let guests: Vec<&str> = grant.mounts().iter().map(|m| m.guest.as_str()).collect();
    assert_eq!(guests, ["/docs", "/"]);
}

#[test]
fn a_pass_is_for_one_folder_and_one_use_and_for_looking_at_what_is_open() {
    let grant = grant(&[("/a", "/a", "read-write"), ("/b", "/b", "read")]).unwrap();
    let write = grant.allow(0, Use::Write).unwrap();
    assert!(write.covers(0, Some(Use::Write)) && write.covers(0, None));
    assert!(
        !write.covers(0, Some(Use::Read)) && !write.covers(1, Some(Use::Write)) && !write.covers(1, None)
    );
    let look = grant.allow_look(1).unwrap();
    assert!(look.covers(1, None) && !look.covers(1, Some(Use::Read)) && !look.covers(0, None));
    assert!(grant.allow_look(2).is_err(), "a folder that is not there");
}
