//! Runs the fuzz targets on the stored inputs and random changes of them. Fuzzing itself is `cargo xtask fuzz`.

use toolgate_tests::chance::Chance;
use toolgate_tests::{fuzz, root};

/// Number of changes tried with each stored input.
fn rounds() -> usize {
    std::env::var("TOOLGATE_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(60)
}

/// Changes, removes, repeats or appends a few bytes.
fn changed(input: &[u8], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=chance.below(4) {
        let at = chance.below(bytes.len().max(1));
        match chance.below(5) {
            0 if at < bytes.len() => bytes[at] ^= 1 << chance.below(8),
            1 if at < bytes.len() => bytes[at] = chance.below(256) as u8,
            2 => bytes.truncate(at),
            3 => bytes.extend_from_within(at.min(bytes.len())..),
            _ => bytes.push(chance.below(256) as u8),
        }
        bytes.truncate(1 << 16);
    }
    bytes
}

#[test]
fn what_fuzzing_kept_and_chance_changes_of_it_neither_panic_nor_go_on() {
    let mut chance = Chance::new(7);
    for (target, run) in fuzz::TARGETS {
        let folder = root().join("tests/fuzz").join(target);
        let mut inputs: Vec<_> =
            std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        inputs.sort();
        assert!(inputs.len() >= 4, "{target} has no corpus");
        for path in &inputs {
            let input = std::fs::read(path).unwrap();
            run(&input);
            for _ in 0..rounds() {
                run(&changed(&input, &mut chance));
            }
        }
        eprintln!("{target}: {} kept, {} changed", inputs.len(), inputs.len() * rounds());
    }
}

#[test]
fn each_kept_signature_is_genuine_so_that_changes_of_it_go_all_the_way() {
    for name in ["bundle", "keyless", "ssh", "minisign"] {
        let kept = std::fs::read(root().join("tests/fuzz/signature").join(name)).unwrap();
        assert!(fuzz::trust::is_genuine(&kept), "{name}");
    }
}
