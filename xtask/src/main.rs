//! The repository's own commands: `cargo xtask demo`, `test` and the rest. Each ends 0 only when all of it held, and its
//! last line is the figure. Nothing here ships.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "these commands talk to people")]

mod bench;
mod demo;
mod fuzz;
mod guests;
mod languages;
mod packages;
mod peers;
mod shell;
mod test;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  demo [--once]   install what is missing, build host and example plugins, sign and configure them, serve MCP on
                  127.0.0.1, make one call and show it; runs until Ctrl-C (--once: ends after the call)
  test            install what is missing, run every test; the command CI runs
  guests          build the example plugins and the test guests
  languages       install what is missing, build the test guest that is the same in every language
  tidy            check the house rules: sizes, file headers, names, arrows, doors
  bench           measure, and print the table of docs/BENCHMARKS.md
  fuzz [MINUTES]  fuzz each target for so long (default 15)
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args.as_slice() {
        ["demo"] => demo::run(demo::Until::CtrlC),
        ["demo", "--once"] => demo::run(demo::Until::OneCall),
        ["test"] => test::run(),
        ["guests"] => guests::run(),
        ["languages"] => languages::run(),
        ["tidy"] => tidy::run(),
        ["bench"] => bench::run(),
        ["fuzz"] => fuzz::run(15),
        ["fuzz", minutes] => match minutes.parse() {
            Ok(minutes) => fuzz::run(minutes),
            Err(_) => Err(format!("`{minutes}` is no number of minutes")),
        },
        ["--help" | "-h" | "help"] => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
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
