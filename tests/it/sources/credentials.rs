//! Credentials for registries: who is told them, and who is not.

use toolgate_tests::registry::{Shelf, answer, docker_config};
use toolgate_tests::web::Web;

use super::lies::{assert_refused, from};
use super::vendor;

/// A server that hears and has nothing.
fn ear() -> Web {
    Web::answering(|_, to| answer(to, "200 OK", &[], b"{\"token\":\"x\"}"))
}

#[test]
fn credentials_go_to_the_host_they_are_kept_for_and_to_no_other() {
    let vendor = vendor();
    // Where a private network is open others are reached, and still told nothing.
    for lead in ["a blob", "a service"] {
        let ear = ear();
        let there = format!("http://{}/there", ear.address);
        let shelf = Shelf::of(&vendor, "hello");
        let blob = format!("blobs/{}", shelf.component);
        let web = shelf.serve_with(Box::new(move |path, request, to| {
            let challenge = match lead {
                "a blob" => "Basic realm=\"here\"".to_owned(),
                _ => format!("Bearer realm=\"{there}\",service=\"here\""),
            };
            if !request.to_ascii_lowercase().contains("\r\nauthorization: ") {
                answer(to, "401 Who", &[("WWW-Authenticate", &challenge)], b"");
                return true;
            }
            if path == blob && lead == "a blob" {
                answer(to, "307 There", &[("Location", &there)], b"");
                return true;
            }
            false
        }));
        let world = from(&vendor, &web).with("source_private = true");
        let docker = docker_config(&world, &[&web.address.to_string()]);
        let check = world.env("DOCKER_CONFIG", docker.to_str().unwrap()).run(&["check"]);
        let heard = ear.heard();
        assert!(!heard.is_empty(), "{lead}: {}", check.said());
        for request in heard {
            assert!(!request.to_ascii_lowercase().contains("authorization"), "{lead}: {request}");
            assert!(!request.contains("bWU6c2VjcmV0"), "{lead}: {request}");
        }
        let told = web.heard().iter().any(|request| request.contains("Basic bWU6c2VjcmV0"));
        assert_eq!(told, lead == "a blob", "{lead}");
    }
}

#[test]
fn a_token_is_asked_of_the_registrys_own_service_with_the_credentials_kept_for_it() {
    let vendor = vendor();
    let shelf = Shelf::of(&vendor, "hello");
    let web = shelf.serve_with(Box::new(|path, request, to| {
        if path.starts_with("/token?") {
            let known = request.contains("authorization: Basic bWU6c2VjcmV0")
                && path.contains("scope=repository%3Ahello%3Apull&service=a%20b");
            match known {
                true => answer(to, "200 OK", &[], b"{\"token\":\"ticket\"}"),
                false => answer(to, "403 No", &[], b""),
            }
            return true;
        }
        if request.contains("authorization: Bearer ticket") {
            return false;
        }
        let host = request.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
        let challenge = format!("Bearer realm=\"http://{}/token\",service=\"a b\"", host.trim());
        answer(to, "401 Who", &[("WWW-Authenticate", &challenge)], b"");
        true
    }));
    let world = from(&vendor, &web);
    let docker = docker_config(&world, &[&web.address.to_string()]);
    let world = world.env("DOCKER_CONFIG", docker.to_str().unwrap());
    let check = world.run(&["check"]);
    assert_eq!(check.code, 0, "{}", check.said());
    world.put("docker/config.json", b"{}", 0o644);
    let check = world.run(&["check"]);
    assert_eq!(check.code, 4, "{}", check.said());
    assert!(check.stderr.contains("others can read it"), "{}", check.stderr);
}

#[test]
fn a_service_for_tokens_in_the_clear_is_not_asked() {
    let vendor = vendor();
    let shelf = Shelf::of(&vendor, "hello");
    let web = shelf.serve_with(Box::new(|_, _, to| {
        let challenge = "Bearer realm=\"http://auth.example.com/token\"";
        answer(to, "401 Who", &[("WWW-Authenticate", challenge)], b"");
        true
    }));
    assert_refused("a service in the clear", &from(&vendor, &web), 3, "plain http goes to this machine only");
}
