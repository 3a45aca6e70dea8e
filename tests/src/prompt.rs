//! A command that asks a question on a terminal, which `script` provides; the test answers.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crate::World;
use crate::process::wait_until;

/// A command waiting for an answer.
pub struct Prompt {
    child: Child,
    input: ChildStdin,
    shown: Arc<Mutex<String>>,
    reader: JoinHandle<()>,
}

impl Prompt {
    /// Starts a command in a world with its current configuration, and waits until it asks.
    pub fn start(world: &World, args: &[&str]) -> Self {
        let toolgate = world.command();
        let program = toolgate.get_program().to_string_lossy().into_owned();
        let words = [program.as_str()].into_iter().chain(args.iter().copied());
        let line: Vec<String> = words.map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
        let mut command = Command::new("script");
        command
            .current_dir(world.path(""))
            .envs(toolgate.get_envs().filter_map(|(name, value)| Some((name, value?))));
        // Quiet, with the command's exit code, without a log file.
        command.args(["-q", "-e", "-c", &line.join(" "), "/dev/null"]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let shown = Arc::<Mutex<String>>::default();
        let (mut output, copy) = (child.stdout.take().unwrap(), Arc::clone(&shown));
        let reader = std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(read @ 1..) = output.read(&mut chunk) {
                copy.lock().unwrap().push_str(&String::from_utf8_lossy(&chunk[..read]));
            }
        });
        let input = child.stdin.take().unwrap();
        let prompt = Self { child, input, shown, reader };
        wait_until("it asks", || prompt.shown().contains("[y/N]"));
        prompt
    }

    /// Output so far.
    pub fn shown(&self) -> String {
        self.shown.lock().unwrap().clone()
    }

    /// Answers; returns the exit code and the complete output.
    pub fn answer(mut self, answer: &str) -> (i32, String) {
        self.input.write_all(format!("{answer}\n").as_bytes()).unwrap();
        wait_until("it ends", || self.child.try_wait().unwrap().is_some());
        let status = self.child.wait().unwrap();
        self.reader.join().unwrap();
        let shown = self.shown.lock().unwrap().clone();
        (status.code().unwrap_or(-1), shown)
    }
}
