//! Sources of plugins: URLs, registries, bundles, folders. None of them can make anything else a plugin.

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

/// A world with a signed plugin `hello` that is not configured; its files are served to others.
fn vendor() -> World {
    let world = World::new();
    world.install("hello", &guest::seven());
    world
}

/// A world without plugins that trusts the other's `vendor`. It serves only if all plugins load.
fn customer(vendor: &World) -> World {
    trusting(vendor).server("on_refused = \"stop\"")
}

/// The same, serving the plugins that load.
fn trusting(vendor: &World) -> World {
    let world = World::new();
    let key = std::fs::read(vendor.path("keys/vendor.pub")).unwrap();
    world.put("keys/vendor.pub", &key, 0o644);
    world
}

/// Digest of `hello`.
fn digest() -> String {
    Digest::of(&guest::seven()).to_string()
}
