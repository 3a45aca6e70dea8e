//! Where plugins come from: URLs, registries, bundles, folders; and that nobody there can make a plugin of anything else.

mod announced;
mod attached;
mod awaited;
mod bundle;
mod credentials;
mod crowded;
mod folder;
mod formats;
mod https;
mod lies;
mod passwords;
mod pinned;
mod referrers;
mod registry;
mod replaced;

use toolgate_policy::Digest;
use toolgate_tests::{World, guest};

/// A world with one plugin `hello`, signed and not configured: its files are what is served to others.
fn vendor() -> World {
    let world = World::new();
    world.install("hello", &guest::seven());
    world
}

/// A world that trusts `vendor` as the other does and has nothing of its own. It serves all or nothing, once all is there.
fn customer(vendor: &World) -> World {
    trusting(vendor).server("on_refused = \"stop\"")
}

/// The same, serving what there is.
fn trusting(vendor: &World) -> World {
    let world = World::new();
    let key = std::fs::read(vendor.path("keys/vendor.pub")).unwrap();
    world.put("keys/vendor.pub", &key, 0o644);
    world
}

/// The digest of `hello`.
fn digest() -> String {
    Digest::of(&guest::seven()).to_string()
}
