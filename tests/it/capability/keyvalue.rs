//! `keyvalue`: a store per plugin that outlives calls and processes and never exceeds its quota.

use serde_json::{Value, json};
use toolgate_tests::{Transport, World, apart, test_guest};

use super::{answer, assert_misconfigured, error, nothing, value};

fn storing() -> World {
    World::new().plugin("store", &test_guest("storing"))
}

fn granted(grant: &str) -> World {
    storing().grant(&format!("keyvalue = {{ {grant} }}"))
}

/// Arguments with `bucket`, a key and further members.
fn at(key: &str, more: Value) -> Value {
    let mut args = json!({ "bucket": "b", "key": key });
    if let (Value::Object(args), Value::Object(more)) = (&mut args, more) {
        args.extend(more);
    }
    args
}

#[test]
fn granted_what_one_call_sets_another_process_finds() {
    let world = granted("bytes_max = 10000");
    assert_eq!(value(&world, "store_get", &at("k", nothing())), Value::Null);
    // Base64 of "value".
    answer(&world, "store_set", &at("k", json!({ "value": "dmFsdWU=" })));
    assert_eq!(value(&world, "store_get", &at("k", nothing())), "dmFsdWU=");
    assert_eq!(value(&world, "store_exists", &at("k", nothing())), true);
    answer(&world, "store_delete", &at("k", nothing()));
    assert_eq!(value(&world, "store_exists", &at("k", nothing())), false);
    answer(&world, "store_delete", &at("k", nothing()));
}

#[test]
fn buckets_are_apart_and_keys_are_listed_a_page_at_a_time() {
    let world = granted("bytes_max = 1000000");
    answer(&world, "store_fill-at-once", &json!({ "bucket": "many", "entries": 2500, "bytes": 3 }));
    assert_eq!(value(&world, "store_count", &json!({ "bucket": "many" })), json!([1000, 1000, 500]));
    assert_eq!(value(&world, "store_count", &json!({ "bucket": "none" })), json!([0]));
    answer(&world, "store_set", &at("Ключ ✓", json!({ "value": "" })));
    answer(&world, "store_set", &at("", json!({ "value": "AA==" })));
    assert_eq!(value(&world, "store_names", &json!({ "bucket": "b" })), json!(["Ключ ✓", ""]));
    answer(&world, "store_empty", &json!({ "bucket": "many" }));
    assert_eq!(value(&world, "store_count", &json!({ "bucket": "many" })), json!([0]));
    assert_eq!(value(&world, "store_names", &json!({ "bucket": "b" })).as_array().unwrap().len(), 2);
}

#[test]
fn increments_at_once_are_all_counted_and_what_is_no_number_is_left_alone() {
    let world = granted("bytes_max = 10000");
    let server = world.serve(Transport::Http);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10 {
                    assert!(!server.call("store_add", at("n", json!({ "by": 3 }))).is_error());
                }
            });
        }
    });
    // A second process opens the same store.
    assert_eq!(value(&world, "store_add", &at("n", json!({ "by": 0 }))), 120);
    let more = error(&world, "store_add", &at("n", json!({ "by": "18446744073709551615" })));
    assert!(more.contains("not a number"), "{more}");
    answer(&world, "store_set", &at("text", json!({ "value": "KzE=" })));
    assert!(error(&world, "store_add", &at("text", json!({ "by": 1 }))).contains("not a number"));
    assert_eq!(value(&world, "store_get", &at("text", nothing())), "KzE=");
}

#[test]
fn denied_it_does_not_load() {
    let check = storing().run(&["check"]);
    assert_eq!(check.code, 3);
    assert!(check.stderr.contains("it needs `keyvalue`"), "{}", check.stderr);
}

#[test]
fn denied_by_an_empty_grant_no_bucket_opens_and_no_file_is_made() {
    let world = storing().grant("keyvalue = {}");
    let told = error(&world, "store_open", &json!({ "name": "default" }));
    assert!(told.contains("AccessDenied"), "{told}");
    assert!(!world.path("state/keyvalue").exists());
}

#[test]
fn narrowed_to_so_many_bytes_the_last_that_fits_is_taken_and_the_next_refused() {
    // "b", a key of one letter and a value: 99, 100, 101 bytes.
    for (bytes, fits) in [(97, true), (98, true), (99, false)] {
        let world = granted("bytes_max = 100");
        let set = world.ask("store_fill", &json!({ "bucket": "b", "entries": 1, "bytes": bytes - 4 }));
        assert_eq!(!set.is_error(), fits, "{bytes}: {set:?}");
        assert!(fits || set.text().contains("bytes_max of the grant is 100"), "{set:?}");
    }
}

#[test]
fn narrowed_to_so_many_entries_old_ones_may_be_set_again() {
    for (entries, fits) in [(2, true), (3, true), (4, false)] {
        let world = granted("entries_max = 3");
        let fill = json!({ "bucket": "b", "entries": entries, "bytes": 1 });
        for tool in ["store_fill", "store_fill-at-once"] {
            let set = world.ask(tool, &fill);
            assert_eq!(!set.is_error(), fits, "{entries}: {set:?}");
            assert!(fits || set.text().contains("entries_max of the grant is 3"), "{set:?}");
        }
        assert_eq!(answer(&world, "store_set", &at("key-0", json!({ "value": "AA==" }))), "set");
    }
}

#[test]
fn what_is_set_at_once_is_set_whole_or_not_at_all() {
    let world = granted("bytes_max = 100");
    error(&world, "store_fill-at-once", &json!({ "bucket": "b", "entries": 20, "bytes": 10 }));
    assert_eq!(value(&world, "store_count", &json!({ "bucket": "b" })), json!([0]));
}

#[test]
fn a_key_and_a_value_have_their_bounds() {
    let world = granted("bytes_max = 10000000");
    for (key, bytes, fits) in [
        (1023, 1, true),
        (1024, 1, true),
        (1025, 1, false),
        (1, (1 << 20) - 1, true),
        (1, 1 << 20, true),
        (1, (1 << 20) + 1, false),
    ] {
        let set = world.ask("store_set-long", &json!({ "key-bytes": key, "value-bytes": bytes }));
        assert_eq!(!set.is_error(), fits, "{key} {bytes}: {set:?}");
        assert!(fits || set.text().contains("the most bytes of a"), "{set:?}");
    }
    error(&world, "store_open", &json!({ "name": "n".repeat(1025) }));
}

#[test]
fn one_answer_never_holds_more_than_its_bound_whatever_is_asked_at_once() {
    let world = granted("bytes_max = 10000000");
    answer(&world, "store_fill", &json!({ "bucket": "b", "entries": 1, "bytes": 1_000_000 }));
    let twice = json!({ "bucket": "b", "key": "key-0", "times": 2 });
    assert_eq!(value(&world, "store_get-often", &twice), 2_000_000);
    let told = error(&world, "store_get-often", &json!({ "bucket": "b", "key": "key-0", "times": 1000 }));
    assert!(told.contains("2097152 bytes at the most"), "{told}");
}

#[test]
fn one_use_never_brings_more_than_its_bound_however_small_the_entries_are() {
    let world = granted("bytes_max = 100000000, entries_max = 1000000").limit("fuel = 100_000_000_000");
    // Eight mebibytes; each entry counts 64 bytes more.
    for (entries, bytes, fits) in [(8, (1 << 20) - 200, true), (9, 1 << 20, false), (200_000, 0, false)] {
        let fill = json!({ "bucket": "b", "entries": entries, "bytes": bytes });
        let set = world.ask("store_fill-at-once", &fill);
        assert_eq!(!set.is_error(), fits, "{entries}: {set:?}");
        assert!(fits || set.text().contains("8388608 bytes at the most"), "{set:?}");
    }
}

#[test]
fn one_plugin_does_not_see_the_store_of_another() {
    let world = granted("bytes_max = 1000")
        .plugin("other", &test_guest("storing"))
        .grant("keyvalue = { bytes_max = 1000 }");
    answer(&world, "store_set", &at("k", json!({ "value": "AA==" })));
    assert_eq!(value(&world, "other_get", &at("k", nothing())), Value::Null);
}

#[test]
fn a_store_that_another_plugin_left_behind_is_not_taken_over() {
    let world = granted("bytes_max = 1000");
    answer(&world, "store_set", &at("k", json!({ "value": "AA==" })));
    let path = world.write();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("name = \"store\"", "name = \"store\"\nid = \"somebody-else\""))
        .unwrap();
    let check = world.run_as_is(&["check"]);
    assert_ne!(check.code, 0);
    assert!(check.stderr.contains("kept by the plugin with the id `store`"), "{}", check.stderr);
}

#[test]
fn a_damaged_store_refuses_the_plugin_and_is_left_as_it_is() {
    let world = granted("bytes_max = 1000");
    answer(&world, "store_set", &at("k", json!({ "value": "AA==" })));
    let file = world.path("state/keyvalue/store.sqlite");
    // With an intact journal SQLite would restore the store.
    for journal in ["-wal", "-shm"] {
        drop(std::fs::remove_file(world.path(&format!("state/keyvalue/store.sqlite{journal}"))));
    }
    std::fs::write(
        &file,
        b"this is not a database, and it is longer than a header of one hundred bytes ................",
    )
    .unwrap();
    let check = world.run(&["check"]);
    assert_ne!(check.code, 0);
    assert!(check.stderr.contains("restore it from a backup"), "{}", check.stderr);
    assert!(std::fs::read(&file).unwrap().starts_with(b"this is no"));
}

#[test]
fn an_acknowledged_change_survives_the_process_being_killed() {
    let world = granted("bytes_max = 1000000");
    for n in 1..=3 {
        let server = world.serve(Transport::Http);
        let reply = server.call("store_add", at("n", json!({ "by": 1 })));
        assert_eq!(reply.structured(), &json!({ "result": n }));
        server.signal("KILL");
        server.wait();
    }
    assert_eq!(value(&world, "store_add", &at("n", json!({ "by": 0 }))), 3);
}

#[test]
fn a_loop_of_changes_ends_at_its_fuel() {
    let told = error(&granted("bytes_max = 1000").limit("fuel = 5_000_000"), "store_for-ever", &nothing());
    assert!(told.contains("fuel"), "{told}");
}

#[test]
fn a_grant_that_is_no_room_is_refused() {
    for wrong in ["bytes_max = 0", "bytes_max = -1", "entries_max = 0", "bytes = 1", "bytes_max = \"1 MB\""] {
        assert_misconfigured(&granted(wrong), "keyvalue");
    }
}

#[test]
fn in_a_worker_a_plugin_has_the_store_that_it_has_on_a_thread() {
    apart(&[
        granted_what_one_call_sets_another_process_finds,
        buckets_are_apart_and_keys_are_listed_a_page_at_a_time,
        increments_at_once_are_all_counted_and_what_is_no_number_is_left_alone,
        one_use_never_brings_more_than_its_bound_however_small_the_entries_are,
    ]);
}
