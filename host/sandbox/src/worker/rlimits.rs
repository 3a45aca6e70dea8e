//! What a process of ours gives up before it looks at its input. It does so itself, first thing in its `main`, since
//! between `fork` and `exec` little is safe to do. Nothing here is ever given back.

use rustix::process::{Resource, Rlimit, getrlimit, setpriority_process, setrlimit};
use toolgate_policy::limits::load::{COMPILER_FILES_MAX, WORKER_FILES_MAX};

/// What a process may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessLimits {
    /// Processor time, in seconds.
    pub(crate) cpu_s: u64,
    /// Memory, in bytes.
    pub(crate) memory_bytes_max: u64,
}

/// How much less urgent a process of ours is than what serves, as guests are (`nice`; 0 to 19).
const NICE: i32 = 10;

impl ProcessLimits {
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
        lower(self.memory_bytes_max, COMPILER_FILES_MAX)?;
        set(Resource::Fsize, 0, 0)?;
        // A second more before it is ended without a word: the signal at the first says which limit it was.
        set(Resource::Cpu, self.cpu_s, self.cpu_s.saturating_add(1))
    }
}

/// Closes what a process that is kept was handed, and holds it to what it may take. How long it computes is bounded call by
/// call. To be called first thing, while it has one thread and has opened nothing.
///
/// # Errors
/// When the system does not do so; then it must not go on.
pub(crate) fn enter(memory_bytes_max: u64) -> std::io::Result<()> {
    close_inherited_fds()?;
    lower(memory_bytes_max, WORKER_FILES_MAX)
}

/// It has all that it needs: no descriptor, no byte of a file, and no process or thread more.
///
/// # Errors
/// When the system does not do so; then it must not go on.
pub(crate) fn seal() -> std::io::Result<()> {
    set(Resource::Nofile, 0, 0)?;
    // Not before: images of memories are files to the system, if only in memory.
    set(Resource::Fsize, 0, 0)?;
    set(Resource::Nproc, 0, 0)
}

fn lower(memory_bytes_max: u64, files_max: u64) -> std::io::Result<()> {
    drop_privileges()?;
    // Not the address space, of which the allocator reserves much for each thread that it never uses.
    set(Resource::Data, memory_bytes_max, memory_bytes_max)?;
    set(Resource::Nofile, files_max, files_max)?;
    no_core_dump()?;
    // Where it is not allowed it is merely as urgent.
    setpriority_process(None, NICE).ok();
    Ok(())
}

/// Closes what it was handed beside its three. What Rust opens is not handed on, but whoever started the server, or a library
/// of C in it, may have left something open for good.
#[cfg(target_os = "linux")]
fn close_inherited_fds() -> std::io::Result<()> {
    const STANDARD: i32 = 3;
    let mut open = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        open.extend(entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    for fd in open.into_iter().filter(|fd| *fd >= STANDARD) {
        match nix::unistd::close(fd) {
            // The listing itself had one, which is closed already.
            Ok(()) | Err(nix::errno::Errno::EBADF) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn close_inherited_fds() -> std::io::Result<()> {
    Err(std::io::Error::other("this system is not Linux"))
}

/// No memory of this process is written to a file or given to another program when it crashes: it holds keys, secrets and what
/// callers say. One byte and not none: Linux asks a program that takes core dumps (`core_pattern` with `|`) whatever the limit
/// is, except where it is one (core(5), and `do_coredump` of the kernel).
///
/// # Errors
/// When the system does not set the limit.
pub(crate) fn no_core_dump() -> std::io::Result<()> {
    set(Resource::Core, 1, 1)
}

/// Sets a limit for good; one that is lower already stays.
fn set(resource: Resource, current: u64, maximum: u64) -> std::io::Result<()> {
    let already = getrlimit(resource).maximum.unwrap_or(u64::MAX);
    let limit = Rlimit { current: Some(current.min(already)), maximum: Some(maximum.min(already)) };
    Ok(setrlimit(resource, limit)?)
}

/// It ends with the thread that started it, gains no rights by starting anything, and is the first to go when the machine
/// runs out of memory.
#[cfg(target_os = "linux")]
fn drop_privileges() -> std::io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    rustix::thread::set_no_new_privs(true)?;
    drop_capabilities()?;
    // Where it is not allowed the machine chooses by itself.
    drop(std::fs::write("/proc/self/oom_score_adj", "1000"));
    Ok(())
}

/// Drops every capability, for good: a server under root has all of them, and its children have no use for any.
#[cfg(target_os = "linux")]
fn drop_capabilities() -> std::io::Result<()> {
    use rustix::io::Errno;
    use rustix::thread::{CapabilitySet, CapabilitySets};

    // One after the other, since the system may know more of them than there are names here; it refuses a number beyond its last.
    for capability in (0..u64::BITS).map(|bit| CapabilitySet::from_bits_retain(1 << bit)) {
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // The last one was dropped; or this process may not lower the bound, and then has nothing to lose below it.
            Err(Errno::INVAL | Errno::PERM) => break,
            Err(error) => return Err(error.into()),
        }
    }
    // What is permitted bounds what is effective, and both together what is ambient.
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    Ok(rustix::thread::set_capabilities(None, sets)?)
}

#[cfg(not(target_os = "linux"))]
fn drop_privileges() -> std::io::Result<()> {
    Ok(())
}
