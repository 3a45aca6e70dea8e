//! Rights that a child process drops before it reads its input. It does so itself, first in `main`, since little is
//! safe between `fork` and `exec`. Nothing is ever restored.

use rustix::process::{Resource, Rlimit, getrlimit, setpriority_process, setrlimit};
use toolgate_policy::limits::load::{COMPILER_FILES_MAX, WORKER_FILES_MAX};

/// Resource limits of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessLimits {
    /// CPU time in seconds.
    pub(crate) cpu_s: u64,
    /// Memory in bytes.
    pub(crate) memory_bytes_max: u64,
}

/// Priority of child processes, the same as of guests (`nice`, 0 to 19).
const NICE: i32 = 10;

impl ProcessLimits {
    /// Converts to arguments of the process.
    pub(crate) fn to_args(self) -> [String; 2] {
        [self.cpu_s.to_string(), self.memory_bytes_max.to_string()]
    }

    /// Parses its arguments.
    pub(crate) fn from_args(args: [&str; 2]) -> Option<Self> {
        let [cpu_s, memory_bytes_max] = args;
        Some(Self { cpu_s: cpu_s.parse().ok()?, memory_bytes_max: memory_bytes_max.parse().ok()? })
    }

    /// Applies the limits to the calling process, for good. Must be called while it has one thread.
    ///
    /// # Errors
    /// The system refused one; the process must not continue.
    pub(crate) fn enter(self) -> std::io::Result<()> {
        lower(self.memory_bytes_max, COMPILER_FILES_MAX)?;
        set(Resource::Fsize, 0, 0)?;
        // The hard limit is one second later: SIGXCPU at the soft one identifies the limit, SIGKILL would not.
        set(Resource::Cpu, self.cpu_s, self.cpu_s.saturating_add(1))
    }
}

/// Closes inherited descriptors of a long-running process and limits it; CPU time is bounded per call. Must be called
/// first, while it has one thread and has opened nothing.
///
/// # Errors
/// The system refused one; the process must not continue.
pub(crate) fn enter(memory_bytes_max: u64) -> std::io::Result<()> {
    close_inherited_fds()?;
    lower(memory_bytes_max, WORKER_FILES_MAX)
}

/// Sets RLIMIT_NOFILE, RLIMIT_FSIZE and RLIMIT_NPROC to 0 once initialisation is done.
///
/// # Errors
/// The system refused one; the process must not continue.
pub(crate) fn seal() -> std::io::Result<()> {
    set(Resource::Nofile, 0, 0)?;
    // Not before: memory images are memfds, which count as files.
    set(Resource::Fsize, 0, 0)?;
    set(Resource::Nproc, 0, 0)
}

fn lower(memory_bytes_max: u64, files_max: u64) -> std::io::Result<()> {
    drop_privileges()?;
    // Not the address space: the allocator reserves much of it per thread and never uses it.
    set(Resource::Data, memory_bytes_max, memory_bytes_max)?;
    set(Resource::Nofile, files_max, files_max)?;
    no_core_dump()?;
    // If not permitted, it keeps its priority.
    setpriority_process(None, NICE).ok();
    Ok(())
}

/// Closes all descriptors beyond stdin, stdout and stderr. Rust marks its own as close-on-exec, but the server's
/// parent, or a C library in the server, may have leaked one.
#[cfg(target_os = "linux")]
fn close_inherited_fds() -> std::io::Result<()> {
    const STANDARD: i32 = 3;
    let mut open = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        open.extend(entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    for fd in open.into_iter().filter(|fd| *fd >= STANDARD) {
        match nix::unistd::close(fd) {
            // The descriptor of the listing itself is closed already.
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

/// Keeps this process's memory, with keys, secrets and callers' data, out of core dumps. The limit is 1 and not 0: if
/// core dumps are piped to a program (`core_pattern` with `|`), Linux ignores every limit but 1 (core(5), and the
/// kernel's `do_coredump`).
///
/// # Errors
/// The system refused the limit.
pub(crate) fn no_core_dump() -> std::io::Result<()> {
    set(Resource::Core, 1, 1)
}

/// Sets a limit for good; a lower one stays.
fn set(resource: Resource, current: u64, maximum: u64) -> std::io::Result<()> {
    let already = getrlimit(resource).maximum.unwrap_or(u64::MAX);
    let limit = Rlimit { current: Some(current.min(already)), maximum: Some(maximum.min(already)) };
    Ok(setrlimit(resource, limit)?)
}

/// Kills it when its parent thread ends, denies new privileges by `exec`, and makes it the OOM killer's first choice.
#[cfg(target_os = "linux")]
fn drop_privileges() -> std::io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    rustix::thread::set_no_new_privs(true)?;
    drop_capabilities()?;
    // If not permitted, the OOM killer uses its own score.
    drop(std::fs::write("/proc/self/oom_score_adj", "1000"));
    Ok(())
}

/// Drops all capabilities for good: a server under root has all of them, and its children need none.
#[cfg(target_os = "linux")]
fn drop_capabilities() -> std::io::Result<()> {
    use rustix::io::Errno;
    use rustix::thread::{CapabilitySet, CapabilitySets};

    // One by one, since the kernel may know more than are named here; it refuses a number beyond its last.
    for capability in (0..u64::BITS).map(|bit| CapabilitySet::from_bits_retain(1 << bit)) {
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // Past the last one; or not permitted to lower the bounding set, and then there is nothing to drop.
            Err(Errno::INVAL | Errno::PERM) => break,
            Err(error) => return Err(error.into()),
        }
    }
    // The permitted set bounds the effective one, and together with the inheritable set the ambient one.
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    Ok(rustix::thread::set_capabilities(None, sets)?)
}

#[cfg(not(target_os = "linux"))]
fn drop_privileges() -> std::io::Result<()> {
    Ok(())
}
