//! Cached compiled code is used when it is authentic and never otherwise.

use std::os::unix::fs::PermissionsExt as _;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use serde_json::json;
use toolgate_policy::Digest;
use toolgate_signature::mac::{MacKey, TAG_BYTES};
use toolgate_tests::{World, guest, plugin};

fn seven(world: &World) -> toolgate_tests::Ended {
    world.call("seven_seven", &json!({}))
}

#[test]
fn what_was_compiled_is_kept_and_used_again() {
    let world = World::with_own_cache().env("TOOLGATE_LOG", "info").plugin("seven", &guest::seven());
    let first = seven(&world);
    assert!(first.stderr.contains("compiled"), "{}", first.stderr);
    let second = seven(&world);
    assert_eq!((second.code, second.stdout.trim()), (0, "7"));
    assert!(!second.stderr.contains("compiled"), "{}", second.stderr);
    let mode = |path: &str| std::fs::metadata(world.path(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("state"), mode("state/cache"), mode("state/keys")), (0o700, 0o700, 0o700));
    assert_eq!(mode("state/keys/cache.key"), 0o600);
}

#[test]
fn a_cached_file_with_any_byte_changed_is_not_used() {
    let world = World::with_own_cache().env("TOOLGATE_LOG", "info").plugin("seven", &guest::seven());
    seven(&world);
    let path = world.path(&format!("state/cache/{}", world.cached()[0]));
    let genuine = std::fs::read(&path).unwrap();
    let places = [0, 31, 32, genuine.len() / 2, genuine.len() - 1];
    for at in places {
        let mut bytes = genuine.clone();
        bytes[at] ^= 0x80;
        std::fs::write(&path, bytes).unwrap();
        let ended = seven(&world);
        assert_eq!((ended.code, ended.stdout.trim()), (0, "7"), "byte {at}");
        assert!(
            ended.stderr.contains("ALARM: ") && ended.stderr.contains("it is damaged or forged"),
            "byte {at}: {}",
            ended.stderr
        );
        assert_eq!(std::fs::read(&path).unwrap().len(), genuine.len(), "byte {at}: it is made anew");
    }
    assert_eq!(alarms(&world), vec!["it is damaged or forged"; places.len()], "each is in the record");
}

/// Problems with cached files, according to the audit record.
fn alarms(world: &World) -> Vec<String> {
    let alarms = world.records().into_iter().filter(|record| record["event"] == "alarm");
    let told = alarms.map(|record| {
        assert!(record["file"].as_str().unwrap().ends_with(".cwasm"), "{record}");
        record["what"].as_str().unwrap().to_owned()
    });
    told.collect()
}

#[test]
fn what_is_no_cached_file_at_all_is_not_used() {
    let world = World::with_own_cache().env("TOOLGATE_LOG", "info").plugin("seven", &guest::seven());
    seven(&world);
    let path = world.path(&format!("state/cache/{}", world.cached()[0]));
    let instead: [(&str, &dyn Fn()); 4] = [
        ("nothing in it", &|| std::fs::write(&path, b"").unwrap()),
        ("less than a tag", &|| std::fs::write(&path, [7; 31]).unwrap()),
        // A sparse file of nearly the maximum size.
        ("endless", &|| std::fs::File::create(&path).unwrap().set_len(1 << 42).unwrap()),
        ("a pipe", &|| {
            std::fs::remove_file(&path).unwrap();
            assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        }),
    ];
    for (what, put) in instead {
        put();
        let ended = seven(&world);
        assert_eq!((ended.code, ended.stdout.trim()), (0, "7"), "{what}: {}", ended.stderr);
        assert!(ended.stderr.contains("ALARM"), "{what}: {}", ended.stderr);
        assert!(std::fs::metadata(&path).unwrap().is_file(), "{what}: it is made anew");
    }
    assert_eq!(alarms(&world).len(), 4);
}

#[test]
fn a_cached_file_for_another_engine_is_not_used() {
    // Authentic except for the engine: the same component, compiled for the asynchronous one.
    let world = World::with_own_cache().plugin("seven", &guest::seven()).with("engine = \"async\"");
    seven(&world);
    let other = std::fs::read(world.path(&format!("state/cache/{}", world.cached()[0]))).unwrap();
    let world = World::with_own_cache().env("TOOLGATE_LOG", "info").plugin("seven", &guest::seven());
    seven(&world);
    let name = &world.cached()[0];
    let fingerprint = name.strip_suffix(".cwasm").unwrap().rsplit('-').next().unwrap();
    let keys = Dir::open_ambient_dir(world.path("state/keys"), ambient_authority()).unwrap();
    let code = &other[TAG_BYTES..];
    let digest = Digest::of(&guest::seven());
    let tag = MacKey::load_or_make(&keys, "cache.key").unwrap().tag(&[
        digest.as_bytes(),
        fingerprint.as_bytes(),
        code,
    ]);
    world.put(&format!("state/cache/{name}"), &[&tag, code].concat(), 0o600);
    let ended = seven(&world);
    assert_eq!((ended.code, ended.stdout.trim()), (0, "7"), "{}", ended.stderr);
    assert_eq!(alarms(&world), ["it is genuine and not for this engine"]);
}

#[test]
fn a_cached_file_under_anothers_name_is_not_used() {
    let world = World::with_own_cache()
        .env("TOOLGATE_LOG", "info")
        .plugin("seven", &guest::seven())
        .plugin("hello", &plugin("hello"));
    // A call would load only one of them.
    assert_eq!(world.run(&["tools"]).code, 0);
    let names = world.cached();
    assert_eq!(names.len(), 2);
    let [one, two] =
        [&names[0], &names[1]].map(|name| std::fs::read(world.path(&format!("state/cache/{name}"))).unwrap());
    world.put(&format!("state/cache/{}", names[0]), &two, 0o600);
    world.put(&format!("state/cache/{}", names[1]), &one, 0o600);
    let ended = world.run(&["tools"]);
    assert!(ended.code == 0 && ended.stdout.contains("seven_seven"), "{}", ended.said());
    assert_eq!(ended.stderr.matches("ALARM").count(), 2, "{}", ended.stderr);
    assert_eq!(alarms(&world).len(), 2);
}

#[test]
fn a_cached_file_under_anothers_key_is_not_used() {
    let world = World::with_own_cache().env("TOOLGATE_LOG", "info").plugin("seven", &guest::seven());
    seven(&world);
    world.put("state/keys/cache.key", &[7; 32], 0o600);
    let ended = seven(&world);
    assert_eq!((ended.code, ended.stdout.trim()), (0, "7"));
    assert!(ended.stderr.contains("ALARM"), "{}", ended.stderr);
}

#[test]
fn a_state_directory_that_others_could_write_to_is_refused() {
    let world = World::with_own_cache().plugin("seven", &guest::seven()).folder("state");
    std::fs::set_permissions(world.path("state"), std::fs::Permissions::from_mode(0o777)).unwrap();
    let ended = seven(&world);
    assert!(ended.code == 2 || ended.code == 4, "{}", ended.said());
    assert!(ended.stderr.contains("chmod"), "{}", ended.stderr);
}
