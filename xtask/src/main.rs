//! The repository's own commands: `cargo xtask demo`, `test` and others. Each exits with 0 only if everything passed,
//! and prints a summary last. Nothing here ships.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "these commands talk to people")]

mod bench;
mod conformance;
mod demo;
mod dependencies;
mod fuzz;
mod guests;
mod languages;
mod packages;
mod peers;
mod shell;
mod soak;
mod steps;
mod test;
mod tidy;

use std::process::ExitCode;

use shell::Build;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  demo [--once] [--release]
                  install what is missing, build host and example plugins, sign and configure them, serve MCP on
                  127.0.0.1, make one call and show it; runs until Ctrl-C (--once: ends after the call; --release: with
                  the program as it ships, which takes about twice as long to build)
  test [--quick] [--without STEP]...
                  install what is missing, run every test; the command CI runs. --quick: before a commit, with what is
                  installed and without the tests that take long. Steps are those of the table at the end
  soak [NAME]...  what is too long for every commit: the same tests with large counts, the program as it ships. NAME:
                  optimised-demo, mutations, law, ends, reloads, revocations, clock, writers, changed-inputs, browser (without
                  NAME: all)
  conformance     install what is missing, and run MCP's official conformance suite, in every revision
  guests          build the example plugins and the test guests
  languages       install what is missing, build the test guest that is the same in every language
  tidy            check the project rules: sizes, file headers, names, layers, restricted dependencies
  bench           measure, and print the table of docs/BENCHMARKS.md
  fuzz [MINUTES]  fuzz each target for so long (default 15)
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args.as_slice() {
        ["demo", options @ ..] => match demo_of(options) {
            Some((until, build)) => demo::run(until, build),
            None => return misused(),
        },
        ["test", options @ ..] => match test_of(options) {
            Some((quick, without)) => test::run(quick, &without),
            None => return misused(),
        },
        ["soak", names @ ..] => soak::run(names),
        ["conformance"] => conformance::run(),
        ["guests"] => guests::run(),
        ["languages"] => shell::build_toolgate(Build::Tests)
            .and_then(|program| languages::run(shell::folder_of(&program)?)),
        ["tidy"] => tidy::run(),
        ["bench"] => bench::run(),
        ["fuzz"] => fuzz::run(15),
        ["fuzz", minutes] => match minutes.parse() {
            Ok(minutes) => fuzz::run(minutes),
            Err(_) => Err(format!("`{minutes}` is not a number of minutes")),
        },
        ["--help" | "-h" | "help"] => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => return misused(),
    };
    match result {
        Ok(figure) => {
            println!("{figure}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}

fn misused() -> ExitCode {
    eprint!("{USAGE}");
    ExitCode::from(2)
}

fn demo_of(options: &[&str]) -> Option<(demo::Until, Build)> {
    let (mut until, mut build) = (demo::Until::CtrlC, Build::Program);
    for option in options {
        match *option {
            "--once" => until = demo::Until::OneCall,
            "--release" => build = Build::Release,
            _ => return None,
        }
    }
    Some((until, build))
}

fn test_of<'a>(options: &[&'a str]) -> Option<(bool, Vec<&'a str>)> {
    let (mut quick, mut without) = (false, Vec::new());
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match *option {
            "--quick" => quick = true,
            "--without" => without.push(*options.next()?),
            _ => return None,
        }
    }
    Some((quick, without))
}
