//! `cargo xtask soak [NAME]...`: checks that take too long for every commit, run before a release. They use CI's tests
//! with larger counts, and the program as shipped.

use std::path::Path;

use crate::demo;
use crate::guests;
use crate::packages::Packages;
use crate::shell::{self, Build, Outcome};
use crate::steps::Steps;

struct Soak {
    name: &'static str,
    what: What,
}

enum What {
    /// Builds the program as shipped and runs the demo.
    Demo,
    /// Code that acts without a proof, which must not compile.
    Proofs,
    /// A test with a number of cases. Its output is the summary.
    Test(&'static str, u32),
    /// A test of one crate, by its package, with a number of cases.
    Unit(&'static str, &'static str, u32),
    /// A test that uses an external program, named by a variable.
    Beside(&'static str, u32, &'static Program),
}

/// A Debian program, and the variable with its path for tests.
struct Program {
    variable: &'static str,
    file: &'static str,
    packages: Packages,
}

const CHROMIUM: Program = Program {
    variable: "TOOLGATE_CHROMIUM",
    file: "/usr/bin/chromium",
    packages: Packages::Debian { names: &["chromium"], files: &["/usr/bin/chromium"] },
};

const SOAKS: [Soak; 12] = [
    Soak { name: "optimised-demo", what: What::Demo },
    Soak { name: "proofs", what: What::Proofs },
    Soak {
        name: "mutations",
        what: What::Test("nothing_that_is_changed_by_chance_loads_but_what_was_approved", 100_000),
    },
    Soak {
        name: "law",
        what: What::Test("what_goes_in_comes_back_and_is_what_the_output_schema_says", 1_000_000),
    },
    Soak {
        name: "ends",
        what: What::Test("wherever_a_call_ends_its_place_memory_and_descriptors_come_back", 100_000),
    },
    Soak {
        name: "reloads",
        what: What::Test("no_call_fails_for_a_reload_and_each_is_answered_by_one_whole_version", 10_000),
    },
    Soak {
        name: "revocations",
        what: What::Test("a_revocation_ends_calls_in_flight_and_refuses_new_ones_within_five_seconds", 100),
    },
    Soak {
        name: "clock",
        what: What::Test("plugins_in_go_and_python_answer_every_call_under_the_default_clock", 600),
    },
    Soak { name: "writers", what: What::Test("sixteen_writers_of_every_kind_lose_and_undo_nothing", 1_000) },
    Soak {
        name: "changed-inputs",
        what: What::Test("what_fuzzing_kept_and_chance_changes_of_it_neither_panic_nor_go_on", 6_000),
    },
    Soak {
        name: "tokens",
        what: What::Unit(
            "toolgate-auth",
            "what_is_accepted_here_another_reader_accepts_too_and_good_tokens_are_accepted",
            1_000_000,
        ),
    },
    Soak {
        name: "browser",
        what: What::Beside(
            "a_page_of_a_named_origin_calls_from_a_real_browser_and_one_of_another_origin_does_not",
            3,
            &CHROMIUM,
        ),
    },
];

/// Runs the named checks, or all.
pub(crate) fn run(names: &[&str]) -> Outcome {
    let wanted = chosen(names)?;
    let mut steps = Steps::new(&[]);
    let done = soak(&wanted, &mut steps);
    eprintln!("\n{steps}");
    done.map(|()| format!("all soaked in {} s", steps.elapsed().as_secs()))
}

fn chosen(names: &[&str]) -> Outcome<Vec<&'static Soak>> {
    if let Some(unknown) = names.iter().find(|name| SOAKS.iter().all(|soak| soak.name != **name)) {
        let known: Vec<&str> = SOAKS.iter().map(|soak| soak.name).collect();
        return Err(format!("there is no soak `{unknown}`; there are: {}", known.join(", ")));
    }
    Ok(SOAKS.iter().filter(|soak| names.is_empty() || names.contains(&soak.name)).collect())
}

fn soak(wanted: &[&Soak], steps: &mut Steps) -> Outcome<()> {
    let mut program = None;
    if wanted.iter().any(|soak| !matches!(soak.what, What::Demo | What::Proofs | What::Unit(..))) {
        program = steps.run("build", || {
            let program = shell::build_toolgate(Build::Tests)?;
            guests::build(guests::toolchain()?, &program)?;
            Ok(program)
        })?;
    }
    for soak in wanted {
        steps.run(soak.name, || match (&soak.what, &program) {
            (What::Demo, _) => demo::run(demo::Until::OneCall, Build::Release).map(drop),
            (What::Proofs, _) => proofs(),
            (What::Unit(package, name, cases), _) => unit(package, name, *cases),
            (What::Test(name, cases), Some(program)) => test(name, *cases, program, None),
            (What::Beside(name, cases, other), Some(program)) => match other.packages.install(soak.name)? {
                Some(_) => test(name, *cases, program, Some(other)),
                None => Err(format!("{} is not here", other.file)),
            },
            (What::Test(..) | What::Beside(..), None) => {
                Err("nothing can be tested that is not built".to_owned())
            }
        })?;
    }
    Ok(())
}

fn proofs() -> Outcome<()> {
    let mut proofs = shell::cargo();
    shell::run(proofs.args(["test", "--locked", "--package", "toolgate-proofs", "--features", "acting"]))
}

fn unit(package: &str, name: &str, cases: u32) -> Outcome<()> {
    let mut test = shell::cargo();
    test.args(["test", "--locked", "--release", "--package", package, "--lib", "--", "--nocapture", name]);
    shell::run(test.env("TOOLGATE_CASES", cases.to_string()))
}

fn test(name: &str, cases: u32, program: &Path, other: Option<&Program>) -> Outcome<()> {
    let mut test = shell::cargo();
    test.args(["test", "--locked", "--workspace", "--test", "it", "--", "--nocapture", name]);
    test.env("TOOLGATE_BIN", program).env("TOOLGATE_GUESTS", guests::folder()?);
    test.envs(other.map(|other| (other.variable, other.file)));
    shell::run(test.env("TOOLGATE_CASES", cases.to_string()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_soak_has_a_name_of_its_own_and_a_test_that_is_there_and_counts() {
        let sources = [crate::tidy::texts("tests/it"), crate::tidy::texts("host")].concat();
        for soak in &SOAKS {
            let (What::Test(name, _) | What::Beside(name, ..) | What::Unit(_, name, _)) = soak.what else {
                continue;
            };
            let found = sources.iter().any(|source| {
                source.contains(&format!("fn {name}()")) && source.contains("\"TOOLGATE_CASES\"")
            });
            assert!(found, "{}: there is no `{name}`", soak.name);
        }
        let names: BTreeSet<&str> = SOAKS.iter().map(|soak| soak.name).collect();
        assert_eq!(names.len(), SOAKS.len());
    }

    #[test]
    fn a_soak_that_is_not_there_is_an_error_that_names_those_that_are() {
        let error = chosen(&["ends", "nothing"]).map(drop).unwrap_err();
        assert!(error.contains("`nothing`") && error.contains("ends"), "{error}");
        assert_eq!(chosen(&["ends"]).unwrap().len(), 1);
        assert_eq!(chosen(&[]).unwrap().len(), SOAKS.len());
    }
}
