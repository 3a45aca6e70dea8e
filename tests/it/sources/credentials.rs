//! Registry credentials: servers that receive them, and those that must not.

use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use toolgate_tests::registry::{Shelf, answer, docker_config};
use toolgate_tests::web::Web;
use toolgate_tests::{World, process};

use super::lies::{assert_refused, from};
use super::vendor;

/// A server that records requests and has no content.
fn ear() -> Web {
    Web::answering(|_, to| answer(to, "200 OK", &[], b"{\"token\":\"x\"}"))
}

#[test]
fn credentials_go_to_the_host_they_are_kept_for_and_to_no_other() {
    let vendor = vendor();
    // Other hosts are reached if private networks are allowed, but get no credentials.
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

/// Writes a docker configuration with a user for each host or path.
fn kept(world: &World, users: &[(String, &str)]) -> String {
    let auth = |user: &str| json!({ "auth": STANDARD.encode(format!("{user}:hunter2")) });
    let auths: serde_json::Map<_, _> =
        users.iter().map(|(place, user)| (place.clone(), auth(user))).collect();
    world.put("docker/config.json", json!({ "auths": auths }).to_string().as_bytes(), 0o600);
    world.path("docker").to_str().unwrap().to_owned()
}

/// `Authorization` headers received, with basic credentials decoded.
fn said(web: &Web) -> Vec<String> {
    let authorization = |request: &String| {
        let line = request.lines().find_map(|line| line.strip_prefix("authorization: ").map(str::to_owned));
        line.map(|line| match line.trim().strip_prefix("Basic ") {
            Some(basic) => String::from_utf8(STANDARD.decode(basic).unwrap()).unwrap(),
            None => line.trim().to_owned(),
        })
    };
    web.heard().iter().filter_map(authorization).collect()
}

/// A token service whose token says whether the request had credentials.
fn tokens() -> Web {
    Web::answering(|request, to| {
        let ticket = if request.contains("authorization: ") { "known" } else { "nobody" };
        answer(to, "200 OK", &[], json!({ "token": ticket }).to_string().as_bytes());
    })
}

/// The registry of a shelf, with these challenges. Serves its content for a token, or for a password if it asked for
/// one.
fn asking(shelf: Shelf, challenges: impl Fn(&str) -> Vec<String> + Send + Sync + 'static) -> Web {
    shelf.serve_with(Box::new(move |_, request, to: &mut dyn Write| {
        let host = request.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default().trim();
        let challenges = challenges(host);
        let takes_passwords = challenges.iter().any(|challenge| challenge.contains("Basic"));
        let is_known = request.contains("authorization: Bearer ")
            || (takes_passwords && request.contains("authorization: Basic "));
        if !is_known {
            let headers: Vec<_> =
                challenges.iter().map(|challenge| ("WWW-Authenticate", challenge.as_str())).collect();
            answer(to, "401 Who", &headers, b"");
        }
        !is_known
    }))
}

#[test]
fn credentials_of_a_service_do_not_go_to_it_for_a_registry_that_only_names_it() {
    let vendor = vendor();
    // The same host with another port, and the same port under other names.
    for name in ["127.0.0.1", "localhost", "sub.localhost"] {
        let service = tokens();
        let realm = format!("http://{name}:{}/token", service.address.port());
        let challenge =
            format!("Bearer realm=\"{realm}\",service=\"theirs\",scope=\"repository:theirs:pull,push\"");
        let web = asking(Shelf::of(&vendor, "hello"), move |_| vec![challenge.clone()]);
        let world = from(&vendor, &web).with("source_private = true");
        let ours = (web.address.to_string(), "ours");
        let docker = kept(
            &world,
            &[ours, (format!("{name}:{}", service.address.port()), "theirs"), (name.to_owned(), "host")],
        );
        let check = world.env("DOCKER_CONFIG", &docker).run(&["check"]);
        // An anonymous token is used, since this registry is public.
        assert_eq!(check.code, 0, "{name}: {}", check.said());
        let asked = service.heard();
        assert!(
            asked.iter().all(|request| request.contains("scope=repository%3Ahello%3Apull&")),
            "{asked:?}"
        );
        assert!(!asked.concat().contains("push"), "{asked:?}");
        assert_eq!(said(&service), [""; 0], "{name}");
        assert!(said(&web).iter().all(|said| said == "Bearer nobody"), "{name}: {:?}", said(&web));
    }
}

#[test]
fn a_service_that_the_operator_named_is_told_the_registrys_credentials_and_the_registry_its_token() {
    let vendor = vendor();
    let service = tokens();
    let realm = format!("http://{}/token", service.address);
    let challenge = format!("Bearer realm=\"{realm}\",service=\"ours\"");
    let web = asking(Shelf::of(&vendor, "hello"), move |_| vec![challenge.clone()]);
    let named = format!("source_realm = \"{realm}\"\nsource_service = \"ours\"");
    let world = from(&vendor, &web).with(&named);
    let users = [(web.address.to_string(), "ours"), (service.address.to_string(), "theirs")];
    let docker = kept(&world, &users);
    let world = world.env("DOCKER_CONFIG", &docker);
    let check = world.run(&["check"]);
    assert_eq!(check.code, 0, "{}", check.said());
    let reference = format!("oci://{}/hello:1", web.address);
    let flags = ["verify", &reference, "--plugin", "hello", "--realm", &realm, "--service", "ours"];
    let verified = world.run(&flags);
    assert_eq!(verified.code, 0, "{}", verified.said());
    assert_eq!(said(&service), ["ours:hunter2"; 2]);
    assert!(said(&web).iter().all(|said| said == "Bearer known"), "{:?}", said(&web));

    // A service that the operator did not name is not asked: its token could open more than this registry.
    let unnamed = from(&vendor, &web).with(&format!("source_realm = \"{realm}\""));
    let unnamed = unnamed.env("DOCKER_CONFIG", &docker);
    assert_refused(
        "an unnamed service",
        &unnamed,
        3,
        "the registry says that it is the service `ours` there",
    );
    assert_eq!(said(&service).len(), 2);
}

#[test]
fn a_service_for_tokens_that_leads_elsewhere_is_not_followed() {
    let vendor = vendor();
    let ear = ear();
    let there = format!("http://{}/there", ear.address);
    let web = Shelf::of(&vendor, "hello").serve_with(Box::new(move |path, request, to| {
        if path.starts_with("/token") {
            answer(to, "307 There", &[("Location", &there)], b"");
            return true;
        }
        let host = request.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default().trim();
        let challenge = format!("Bearer realm=\"http://{host}/token\"");
        answer(to, "401 Who", &[("WWW-Authenticate", &challenge)], b"");
        true
    }));
    let world = from(&vendor, &web).with("source_private = true");
    let docker = kept(&world, &[(web.address.to_string(), "ours")]);
    let world = world.env("DOCKER_CONFIG", &docker);
    assert_refused("a redirect", &world, 3, "what gives tokens has to answer itself");
    assert_eq!(ear.heard(), [""; 0]);
    assert_eq!(said(&web), ["ours:hunter2"], "the registry's own service was told");
}

#[test]
fn of_several_challenges_the_one_is_taken_by_which_nobody_else_is_told() {
    let vendor = vendor();
    let service = tokens();
    let realm = format!("http://{}/token", service.address);
    for both in [
        vec![format!("Bearer realm=\"{realm}\", Basic realm=\"here\"")],
        vec!["Basic realm=\"here\"".to_owned(), format!("Bearer realm=\"{realm}\"")],
    ] {
        let told = both.clone();
        let web = asking(Shelf::of(&vendor, "hello"), move |_| both.clone());
        let world = from(&vendor, &web).with("source_private = true");
        let users = [(web.address.to_string(), "ours"), (service.address.to_string(), "theirs")];
        let docker = kept(&world, &users);
        let check = world.env("DOCKER_CONFIG", &docker).run(&["check"]);
        assert_eq!(check.code, 0, "{told:?}: {}", check.said());
        assert!(said(&web).iter().all(|said| said == "ours:hunter2"), "{:?}", said(&web));
        assert_eq!(service.heard(), [""; 0], "{told:?}");
    }
}

#[test]
fn a_token_goes_to_no_host_that_a_registry_leads_to_and_not_home_again_from_there() {
    let vendor = vendor();
    let shelf = Shelf::of(&vendor, "hello");
    let (path, bytes) = (format!("blobs/{}", shelf.component), toolgate_tests::guest::seven());
    // A blob store on another host, and a redirect back.
    for back in [false, true] {
        let home = std::sync::Arc::new(std::sync::OnceLock::<String>::new());
        let (bytes, to_home) = (bytes.clone(), home.clone());
        let store = Web::answering(move |_, to| match to_home.get().filter(|_| back) {
            Some(home) => answer(to, "307 There", &[("Location", &format!("{home}/back"))], b""),
            None => answer(to, "200 OK", &[], &bytes),
        });
        let there = format!("http://{}/blob", store.address);
        let (blob, own) = (path.clone(), toolgate_tests::guest::seven());
        let web = shelf.clone().serve_with(Box::new(move |path, request, to| {
            let known = request.contains("authorization: Bearer ticket");
            if path.starts_with("/token") {
                answer(to, "200 OK", &[], b"{\"token\":\"ticket\"}");
            } else if path == "/back" {
                let status = if known { "500 It was told" } else { "200 OK" };
                answer(to, status, &[], &own);
            } else if !known {
                let host = request.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
                let challenge = format!("Bearer realm=\"http://{}/token\"", host.trim());
                answer(to, "401 Who", &[("WWW-Authenticate", &challenge)], b"");
            } else if path == blob {
                answer(to, "307 There", &[("Location", &there)], b"");
            } else {
                return false;
            }
            true
        }));
        home.set(format!("http://{}", web.address)).unwrap();
        let check = from(&vendor, &web).with("source_private = true").run(&["check"]);
        assert_eq!(check.code, 0, "{back}: {}", check.said());
        assert!(!store.heard().is_empty(), "{back}");
        assert_eq!(said(&store), [""; 0], "{back}");
    }
}

#[test]
fn a_push_tells_nobody_else_where_the_registry_has_its_uploads_elsewhere() {
    let vendor = vendor();
    let (ear, service) = (ear(), tokens());
    let there = format!("http://{}/upload", ear.address);
    let realm = format!("http://{}/token", service.address);
    for place in [there.clone(), there.replacen("http:", "https:", 1), there.replacen("http:", "", 1)] {
        let challenge = format!("Bearer realm=\"{realm}\"");
        let web = Shelf::default().serve_with(Box::new(move |_, request, to| {
            if !request.contains("authorization: Bearer ") {
                answer(to, "401 Who", &[("WWW-Authenticate", &challenge)], b"");
            } else if request.starts_with("POST ") {
                answer(to, "202 Accepted", &[("Location", &place)], b"");
            } else {
                return false;
            }
            true
        }));
        let docker = kept(&vendor, &[(web.address.to_string(), "ours")]);
        let reference = format!("oci://{}/hello:1", web.address);
        let mut command = vendor.command();
        command.env("DOCKER_CONFIG", &docker);
        command.args(["push", "plugins/hello.wasm", &reference, "--private", "--realm", &realm]);
        let pushed = process::output_of(&mut command);
        let told = String::from_utf8(pushed.stderr).unwrap();
        assert!(!pushed.status.success(), "{told}");
        assert!(told.contains("follow a redirect to") || told.contains("it is not a URL"), "{told}");
    }
    assert_eq!(ear.heard(), [""; 0]);
    let asked = service.heard();
    assert!(asked.iter().all(|one| one.contains("scope=repository%3Ahello%3Apull%2Cpush ")), "{asked:?}");
    assert_eq!(said(&service), ["ours:hunter2"; 3]);
}

#[test]
fn credentials_that_are_kept_for_a_part_of_a_registry_are_for_that_part_alone() {
    let vendor = vendor();
    let shelf = Shelf::of(&vendor, "hello");
    let basic = || |_: &str| vec!["Basic realm=\"here\"".to_owned()];
    for (place, user) in [("/hello", "path"), ("", "host"), ("/hell", ""), ("/hello/x", ""), ("/other", "")] {
        let web = asking(shelf.clone(), basic());
        let world = from(&vendor, &web);
        let docker = kept(&world, &[(format!("{}{place}", web.address), user)]);
        let check = world.env("DOCKER_CONFIG", &docker).run(&["check"]);
        assert_eq!(check.code, if user.is_empty() { 4 } else { 0 }, "{place}: {}", check.said());
        assert!(
            said(&web).iter().all(|said| *said == format!("{user}:hunter2")),
            "{place}: {:?}",
            said(&web)
        );
    }
    let web = asking(shelf, basic());
    let world = from(&vendor, &web);
    let place = |path: &str| format!("{}{path}", web.address);
    let docker =
        kept(&world, &[(place(""), "host"), (place("/hello"), "path"), (place("/hello/x"), "deeper")]);
    assert_eq!(world.env("DOCKER_CONFIG", &docker).run(&["check"]).code, 0);
    assert!(said(&web).iter().all(|said| said == "path:hunter2"), "the longest counts: {:?}", said(&web));
}

#[test]
fn a_file_of_credentials_that_others_can_read_or_that_is_anothers_is_refused() {
    let vendor = vendor();
    let web = asking(Shelf::of(&vendor, "hello"), |_| vec!["Basic realm=\"here\"".to_owned()]);
    let world = from(&vendor, &web);
    let docker = kept(&world, &[(web.address.to_string(), "ours")]);
    let text = std::fs::read(world.path("docker/config.json")).unwrap();
    let world = world.env("DOCKER_CONFIG", &docker);
    assert_eq!(world.run(&["check"]).code, 0);
    let refused = |words: &str| {
        let check = world.run(&["check"]);
        assert!(check.code == 4 && check.stderr.contains(words), "{}", check.said());
    };
    for mode in [0o640, 0o604, 0o620] {
        world.put("docker/config.json", &text, mode);
        refused("others can read it or write to it");
    }
    world.put("docker/config.json", &text, 0o600);
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(world.path("docker/config.json"), Some(65_534), None).unwrap();
        refused("it belongs to user 65534");
    }
}
