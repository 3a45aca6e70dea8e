//! `cargo xtask soak [NAME]...`: what takes too long for every commit. The same test code as CI's with larger counts, and the
//! program as it ships. By hand, before a release.

use crate::demo;
use crate::shell::{Build, Outcome};
use crate::steps::Steps;

/// Something to soak.
struct Soak {
    name: &'static str,
    run: fn() -> Outcome<()>,
}

const SOAKS: [Soak; 1] =
    [Soak { name: "optimised-demo", run: || demo::run(demo::Until::OneCall, Build::Release).map(drop) }];

/// Runs those named, or all.
pub(crate) fn run(names: &[&str]) -> Outcome {
    if let Some(unknown) = names.iter().find(|name| SOAKS.iter().all(|soak| soak.name != **name)) {
        let known: Vec<&str> = SOAKS.iter().map(|soak| soak.name).collect();
        return Err(format!("there is no soak `{unknown}`; there are: {}", known.join(", ")));
    }
    let mut steps = Steps::new(&[]);
    let mut wanted = SOAKS.iter().filter(|soak| names.is_empty() || names.contains(&soak.name));
    let done = wanted.try_for_each(|soak| steps.run(soak.name, soak.run).map(drop));
    eprintln!("\n{steps}");
    done.map(|()| format!("all soaked in {} s", steps.elapsed().as_secs()))
}
