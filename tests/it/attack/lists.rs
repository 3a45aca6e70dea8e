//! Long tool lists: sent in pages, and encoded once however often they are requested.

use serde_json::{Value, json};
use toolgate_policy::limits::wire::{PAGE_BYTES_MAX, PAGE_TOOLS_MAX};
use toolgate_tests::process::{ticks, wait_until};
use toolgate_tests::{Server, Transport, World, test_guest};

const NAMES: [&str; 8] = ["amber", "bison", "cedar", "delta", "fjord", "grape", "hotel", "ivory"];

fn world(plugins: usize) -> World {
    let many = test_guest("many");
    NAMES.iter().take(plugins).fold(World::new(), |world, name| world.plugin(name, &many))
}

fn page(server: &Server, cursor: Option<&Value>) -> Value {
    let params = cursor.map_or_else(|| json!({}), |cursor| json!({ "cursor": cursor }));
    server.request("tools/list", params)
}

fn names(page: &Value) -> Vec<String> {
    let tools = page["result"]["tools"].as_array().unwrap_or_else(|| panic!("{page}"));
    tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

/// All pages of the tool list.
fn whole(server: &Server) -> Vec<Value> {
    let mut pages = vec![page(server, None)];
    while let Some(cursor) = pages.last().and_then(|page| page["result"].get("nextCursor")).cloned() {
        pages.push(page(server, Some(&cursor)));
    }
    pages
}

#[test]
fn a_list_of_thousands_of_tools_comes_in_pages_over_every_transport() {
    let world = world(8);
    for transport in Transport::ALL {
        let server = world.serve(transport);
        let pages = whole(&server);
        assert!(pages.len() >= 8, "{}", pages.len());
        for page in &pages {
            assert!(names(page).len() <= PAGE_TOOLS_MAX);
            assert!(page["result"]["tools"].to_string().len() <= PAGE_BYTES_MAX + PAGE_TOOLS_MAX);
        }
        let all: Vec<String> = pages.iter().flat_map(names).collect();
        assert_eq!(all.len(), 8_000, "{transport:?}");
        assert!(all.is_sorted() && all.first().unwrap() == "amber_tool0000");
        assert_eq!(server.call("ivory_tool0999", json!({})).text(), "tool0999");
        // A second listing is the same.
        let again: Vec<Value> = whole(&server).iter().map(|page| page["result"]["tools"].clone()).collect();
        assert_eq!(again, pages.iter().map(|page| page["result"]["tools"].clone()).collect::<Vec<_>>());
    }
}

#[test]
fn a_list_is_written_once_however_often_it_is_asked_for() {
    let server = world(8).serve(Transport::Http);
    whole(&server);
    let (written, protocol) = (ticks(server.pid(), "large"), ticks(server.pid(), "tokio-rt-worker"));
    for _ in 0..5 {
        whole(&server);
    }
    let again = ticks(server.pid(), "large") - written;
    assert!(again <= written / 2, "{again} more than {written}: it is not written again");
    let protocol = ticks(server.pid(), "tokio-rt-worker") - protocol;
    // Encoding it five more times would take five times as long.
    assert!(protocol <= written * 5 / 2, "{protocol} to {written}");
}

#[test]
fn a_cursor_stays_good_when_the_list_changes_and_one_that_is_made_up_is_refused() {
    for transport in Transport::ALL {
        let world = world(2);
        let server = world.serve(transport);
        let first = page(&server, None);
        let cursor = first["result"]["nextCursor"].clone();
        assert!(cursor.is_string());
        // The list that the first page belongs to is replaced before the next page is requested.
        world.put("toolgate.toml", &without(&world, "amber"), 0o644);
        server.signal("HUP");
        wait_until("it is gone", || names(&page(&server, None))[0].starts_with("bison"));
        let second = page(&server, Some(&cursor));
        assert!(names(&second).iter().all(|name| name.starts_with("bison")), "{:?}", names(&second));
        assert_eq!(names(&second)[0], "bison_tool0000");

        for made_up in [
            json!("x"),
            json!(""),
            json!("AAAAAAAAAAAAYWxwaGE"),
            json!(cursor.as_str().unwrap().replace('A', "B") + "A"),
        ] {
            let refused = page(&server, Some(&made_up));
            assert_eq!(refused["error"]["code"], -32602, "{made_up}: {refused}");
            assert!(refused.to_string().contains("list again without a cursor"), "{refused}");
        }
    }
}

/// The configuration without one plugin.
fn without(world: &World, name: &str) -> Vec<u8> {
    let text = std::fs::read_to_string(world.path("toolgate.toml")).unwrap();
    let parts: Vec<&str> =
        text.split("[[plugin]]").filter(|part| !part.contains(&format!("\"{name}\""))).collect();
    parts.join("[[plugin]]").into_bytes()
}
