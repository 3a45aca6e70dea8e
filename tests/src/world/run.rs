//! Running the program in a world, and the files that it leaves.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use serde_json::Value;

use super::World;
use crate::client::{Server, Transport};
use crate::process;

/// Result of a run of the program.
#[derive(Debug)]
pub struct Ended {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl World {
    /// A command for the program in this world.
    pub fn command(&self) -> Command {
        let mut command = match &self.before {
            None => Command::new(crate::toolgate()),
            Some(script) => {
                let mut shell = Command::new("sh");
                shell.arg("-c").arg(format!("{script}; exec \"$0\" \"$@\"")).arg(crate::toolgate());
                shell
            }
        };
        command.current_dir(self.folder.dir.path()).envs(self.env.iter().cloned());
        command
    }

    /// Runs the program.
    pub fn run(&self, args: &[&str]) -> Ended {
        self.write();
        self.run_as_is(args)
    }

    /// Runs the program without rewriting the configuration. Kills it if it does not end.
    pub fn run_as_is(&self, args: &[&str]) -> Ended {
        Self::ended(self.command(), args)
    }

    /// Like [`World::run_as_is`], as another user and its group. Requires root.
    pub fn run_as_user(&self, user: u32, args: &[&str]) -> Ended {
        let mut command = self.command();
        command.uid(user).gid(user);
        Self::ended(command, args)
    }

    fn ended(mut command: Command, args: &[&str]) -> Ended {
        let output = process::output_of(command.args(args));
        Ended {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Makes one call from the command line.
    pub fn call(&self, tool: &str, args: &Value) -> Ended {
        self.run(&["call", tool, "--args", &args.to_string()])
    }

    /// Starts a server with one transport.
    pub fn serve(&self, transport: Transport) -> Server {
        self.serve_with(transport, &[])
    }

    /// Starts a server with further arguments.
    pub fn serve_with(&self, transport: Transport, args: &[&str]) -> Server {
        self.write();
        Server::start(self.command(), transport, args, Arc::clone(&self.folder))
    }

    /// Complete audit records so far.
    pub fn records(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path("state/audit.jsonl")).unwrap_or_default();
        let (whole, _) = text.rsplit_once('\n').unwrap_or_default();
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Audit records of calls so far.
    pub fn call_records(&self) -> Vec<Value> {
        self.records().into_iter().filter(|record| record["event"] == "call").collect()
    }

    /// Names of cached compiled files.
    pub fn cached(&self) -> Vec<String> {
        names(&self.path("state/cache"))
    }
}

/// Sorted names in a folder; none if it does not exist.
pub fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

impl Ended {
    /// Combined output.
    pub fn said(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// Lines of standard error, without those about slow compilation.
    pub fn complaints(&self) -> Vec<&str> {
        self.stderr.lines().filter(|line| !line.contains(": compiling ")).collect()
    }

    /// Standard output as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}
