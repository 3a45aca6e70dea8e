//! Facts about a server's processes from the operating system.

use std::fs::DirEntry;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Once, mpsc};
use std::time::{Duration, Instant};

use crate::client::PATIENCE;

/// Waits until a condition holds; on timeout fails with its name.
pub fn wait_until(what: &str, holds: impl FnMut() -> bool) {
    assert!(comes_to_hold(holds), "never: {what}");
}

/// Polls until a condition holds; false on timeout.
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

/// In CI, ends this process of tests if it runs far longer than all tests take: then it shows which test hangs.
pub(crate) fn end_in_time() {
    if std::env::var_os("CI").is_none() {
        return;
    }
    const LIMIT: Duration = Duration::from_secs(2_700);
    static BEGUN: Once = Once::new();
    BEGUN.call_once(|| {
        std::thread::spawn(|| {
            std::thread::sleep(LIMIT);
            eprintln!("the tests did not end within {LIMIT:?}; those without a result hang");
            std::process::exit(101);
        });
    });
}

/// Runs a program without input. Kills it if it does not end.
pub fn output_of(command: &mut Command) -> Output {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    ended(command.spawn().unwrap())
}

/// Waits for a process and returns its output. Kills it if it does not end.
pub fn ended(child: Child) -> Output {
    let pid = child.id();
    let (ended, ends) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        if ends.recv_timeout(2 * PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            signal("KILL", pid);
        }
    });
    let output = child.wait_with_output().unwrap();
    drop(ended);
    output
}

/// Resident memory of a process in KiB.
pub fn resident_kib(pid: u32) -> u64 {
    field(&of_process(pid, "status"), "VmRSS:").expect("the process lives")
}

/// Number of connections from local processes to a local port that are established, or closed only by the other end.
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

/// A file of a process under `/proc`; empty if there is no such process.
pub fn of_process(pid: u32, file: &str) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default()
}

/// Number in the field of a `/proc` file.
pub fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
}

/// Running children of a server with this first argument.
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

/// Fields of `/proc/PID/stat` after the name: state, parent, group, …; niceness is number 16.
pub fn stat(pid: u32) -> Vec<String> {
    let stat = of_process(pid, "stat");
    stat.rsplit(')').next().unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

/// Sends a process a signal by name.
pub fn signal(name: &str, pid: u32) {
    let sent = Command::new("kill").args(["-s", name, &pid.to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Number of descriptors with which a process has a file open.
pub fn open_in(pid: u32, file: &Path) -> usize {
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let leads_there = |entry: &DirEntry| std::fs::read_link(entry.path()).is_ok_and(|to| to == file);
    descriptors.filter_map(Result::ok).filter(leads_there).count()
}

/// CPU time of a process's threads of this name, in clock ticks.
pub fn ticks(pid: u32, name: &str) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().filter_map(Result::ok);
    let stats = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
    stats
        .filter_map(|stat| {
            let (head, rest) = stat.rsplit_once(')')?;
            let fields: Vec<&str> = rest.split_whitespace().collect();
            let time = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
            (head.split_once('(')?.1 == name).then_some(time)
        })
        .sum()
}

/// Asserts that a process has no capabilities, by its status. The bounding set is checked for root only: others cannot
/// lower it, and without new privileges cannot use it.
pub fn assert_no_capabilities(status: &str) {
    let is_root = status.lines().any(|line| line.starts_with("Uid:\t0\t"));
    for name in
        ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:", "CapBnd:"].into_iter().take(if is_root { 5 } else { 4 })
    {
        let set = status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        assert_eq!(set, Some("0000000000000000"), "{name} {status}");
    }
}
