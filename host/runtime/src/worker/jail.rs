//! What a process of ours gives up before it looks at its input. It does so itself, first thing in its `main`, since
//! between `fork` and `exec` little is safe to do. Nothing here is ever given back.

use rustix::process::{Resource, Rlimit, getrlimit, setpriority_process, setrlimit};
use toolgate_policy::limits::load::COMPILER_FILES_MAX;

/// What a process may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Processor time, in seconds.
    pub(crate) cpu_s: u64,
    /// Memory, in bytes.
    pub(crate) memory_bytes_max: u64,
}

/// How much less urgent a process of ours is than what serves, as guests are (`nice`; 0 to 19).
const NICE: i32 = 5;

impl Bounds {
    /// As arguments of the process.
    pub(crate) fn to_args(self) -> [String; 2] {
        [self.cpu_s.to_string(), self.memory_bytes_max.to_string()]
    }

    /// From its arguments.
    pub(crate) fn from_args(args: [&str; 2]) -> Option<Self> {
        let [cpu_s, memory_bytes_max] = args;
        Some(Self { cpu_s: cpu_s.parse().ok()?, memory_bytes_max: memory_bytes_max.parse().ok()? })
    }

    /// Holds the calling process to them, for good. To be called while it has one thread.
    ///
    /// # Errors
    /// When the system does not do so; then it must not go on.
    pub(crate) fn enter(self) -> std::io::Result<()> {
        of_this_system()?;
        // A second more before it is ended without a word: the signal at the first says which limit it was.
        hold(Resource::Cpu, self.cpu_s, self.cpu_s.saturating_add(1))?;
        // Not the address space, of which the allocator reserves much for each thread that it never uses.
        hold(Resource::Data, self.memory_bytes_max, self.memory_bytes_max)?;
        hold(Resource::Nofile, COMPILER_FILES_MAX, COMPILER_FILES_MAX)?;
        hold(Resource::Fsize, 0, 0)?;
        hold(Resource::Core, 0, 0)?;
        // Where it is not allowed it is merely as urgent.
        setpriority_process(None, NICE).ok();
        Ok(())
    }
}

/// Sets a limit for good; one that is lower already stays.
fn hold(resource: Resource, current: u64, maximum: u64) -> std::io::Result<()> {
    let already = getrlimit(resource).maximum.unwrap_or(u64::MAX);
    let limit = Rlimit { current: Some(current.min(already)), maximum: Some(maximum.min(already)) };
    Ok(setrlimit(resource, limit)?)
}

/// It ends with the thread that started it, gains no rights by starting anything, and is the first to go when the machine
/// runs out of memory.
#[cfg(target_os = "linux")]
fn of_this_system() -> std::io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    rustix::thread::set_no_new_privs(true)?;
    // Where it is not allowed the machine chooses by itself.
    drop(std::fs::write("/proc/self/oom_score_adj", "1000"));
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn of_this_system() -> std::io::Result<()> {
    Ok(())
}
