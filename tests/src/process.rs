//! What the system says about processes that a server has started.

use std::fs::DirEntry;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::client::PATIENCE;

/// Waits until something holds, or fails by its name.
pub fn wait_until(what: &str, holds: impl FnMut() -> bool) {
    assert!(comes_to_hold(holds), "never: {what}");
}

/// Looks again and again whether something holds; false when it does not in all the time that a test waits for anything.
pub(crate) fn comes_to_hold(mut holds: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        if Instant::now() >= until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// The memory that a process holds now, in KiB.
pub fn resident_kib(pid: u32) -> u64 {
    field(&of_process(pid, "status"), "VmRSS:").expect("the process lives")
}

/// How many connections lead from a process on this machine to a port here: those that both ends have open, and those that
/// only the other end has closed.
pub fn connections_to(port: u16) -> usize {
    const ESTABLISHED: &str = "01";
    const CLOSE_WAIT: &str = "08";
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let leads_there = |line: &&str| {
        let mut words = line.split_whitespace().skip(2);
        let (remote, state) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        remote.ends_with(&format!(":{port:04X}")) && [ESTABLISHED, CLOSE_WAIT].contains(&state)
    };
    table.lines().filter(leads_there).count()
}

/// A file that the system has about a process; nothing if there is no such process.
pub fn of_process(pid: u32, file: &str) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default()
}

/// The number after the name of a field in what the system says about a process.
pub fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
}

/// The processes that a server has started with this word, and that run.
pub fn children(server: u32, word: &str) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let is_its = |pid: &u32| {
        field(&of_process(*pid, "status"), "PPid:") == Some(server.into())
            && of_process(*pid, "cmdline").split('\0').nth(1) == Some(word)
    };
    processes.filter(is_its).collect()
}

/// What the system says about a process after its name: state, parent, group, …; its niceness is number 16.
pub fn stat(pid: u32) -> Vec<String> {
    let stat = of_process(pid, "stat");
    stat.rsplit(')').next().unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

/// Sends a process a signal by name.
pub fn signal(name: &str, pid: u32) {
    let sent = std::process::Command::new("kill").args(["-s", name, &pid.to_string()]).status().unwrap();
    assert!(sent.success());
}

/// How often a process has a file open.
pub fn open_in(pid: u32, file: &Path) -> usize {
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let leads_there = |entry: &DirEntry| std::fs::read_link(entry.path()).is_ok_and(|to| to == file);
    descriptors.filter_map(Result::ok).filter(leads_there).count()
}
