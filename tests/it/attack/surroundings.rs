//! Information about the host that a guest can obtain.

use serde_json::json;
use toolgate_tests::{Transport, World, test_guest};

#[test]
fn a_guest_sees_no_variable_argument_or_folder_of_the_host() {
    for transport in Transport::ALL {
        let world =
            World::new().env("AWS_SECRET_ACCESS_KEY", "do not tell").plugin("probe", &test_guest("probing"));
        let server = world.serve(transport);
        let seen = server.call("probe_run", json!({}));
        assert_eq!(
            seen.structured(),
            &json!({ "variables": [], "arguments": [], "folders": [] }),
            "no current folder either"
        );
    }
}

#[test]
fn a_guest_sees_the_granted_folders_by_the_names_it_was_given() {
    let world = World::new()
        .plugin("probe", &test_guest("probing"))
        .folder("docs")
        .grant(r#"files = [{ host = "docs", guest = "/data" }]"#);
    let seen = world.call("probe_run", &json!({})).json();
    assert_eq!(seen["folders"], json!(["/data"]), "not where they lie on the host");
}

#[test]
fn an_error_of_the_host_tells_a_guest_no_path_of_it() {
    let world = World::new()
        .plugin("fs", &test_guest("filing"))
        .folder("docs")
        .grant(r#"files = [{ host = "docs", guest = "/data" }]"#);
    let told = world.call("fs_look", &json!({ "path": "/data/missing" })).said();
    assert!(!told.contains(world.path("docs").to_str().unwrap()), "{told}");
}
