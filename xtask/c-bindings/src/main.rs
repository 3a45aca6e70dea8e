//! Writes the C bindings of a WIT world into the current folder, like `wit-bindgen c`, without installing it.

use std::path::Path;

use anyhow::Context as _;
use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::Resolve;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let (wit, world) = args.next().zip(args.next()).context("usage: toolgate-c-bindings WIT WORLD")?;
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(&wit)?;
    let world = resolve.select_world(&[package], Some(&world))?;
    let mut files = Files::default();
    wit_bindgen_c::Opts::default().build().generate(&mut resolve, world, &mut files)?;
    for (name, bytes) in files.iter() {
        std::fs::write(Path::new(name), bytes).with_context(|| format!("write {name}"))?;
    }
    Ok(())
}
