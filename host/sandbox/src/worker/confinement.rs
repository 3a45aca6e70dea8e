//! Confinement of processes that run guests. Landlock denies files, network and other processes; seccomp denies system
//! calls that could reach further. Where the system lacks either there is an error, never a weaker confinement.

/// Reason that a process cannot be confined.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IsolationError {
    /// Landlock is missing or disabled.
    #[error("this system does not enforce Landlock (Linux 5.13 and later, `landlock` among its `lsm=`): {0}")]
    Landlock(String),
    /// Seccomp filters are missing.
    #[error("this system does not take a seccomp filter: {0}")]
    Seccomp(String),
    /// Not Linux.
    #[cfg(not(target_os = "linux"))]
    #[error("this system is not Linux")]
    Elsewhere,
}

#[cfg(target_os = "linux")]
pub(crate) use linux::{filter_calls, restrict};

#[cfg(not(target_os = "linux"))]
pub(crate) fn restrict() -> Result<(), IsolationError> {
    Err(IsolationError::Elsewhere)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn filter_calls() -> Result<(), IsolationError> {
    Err(IsolationError::Elsewhere)
}

#[cfg(target_os = "linux")]
mod linux {
    //! Confinement on Linux.

    use std::collections::BTreeMap;

    use landlock::{
        ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, RestrictionStatus, Ruleset,
        RulesetAttr as _, RulesetError, RulesetStatus, Scope,
    };
    use seccompiler::{
        BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
        SeccompFilter, SeccompRule, TargetArch, apply_filter_all_threads,
    };

    use super::IsolationError;

    /// Denies all file system paths, all ports, and signals to processes outside, for the calling thread and those that
    /// it starts from now on.
    pub(crate) fn restrict() -> Result<(), IsolationError> {
        let status = landlock().map_err(|error| IsolationError::Landlock(error.to_string()))?;
        match status.ruleset {
            RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
            RulesetStatus::NotEnforced => Err(IsolationError::Landlock("nothing is enforced".to_owned())),
        }
    }

    /// Requires all access rights of the first Landlock version; later ones are restricted where supported.
    fn landlock() -> Result<RestrictionStatus, RulesetError> {
        Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(ABI::V1))?
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(ABI::V6))?
            .handle_access(AccessNet::from_all(ABI::V6))?
            .scope(Scope::from_all(ABI::V6))?
            .create()?
            .restrict_self()
    }

    /// System calls of a process that computes, waits, and uses pipes that it has.
    const ALLOWED: [i64; 27] = [
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_close,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_brk,
        libc::SYS_futex,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_sched_yield,
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_tgkill,
        libc::SYS_clock_gettime,
        libc::SYS_clock_nanosleep,
        libc::SYS_nanosleep,
        libc::SYS_getrandom,
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_restart_syscall,
        libc::SYS_rseq,
        libc::SYS_set_robust_list,
        libc::SYS_membarrier,
    ];

    /// Allowed unless they make memory executable: all code is mapped before the filter is installed.
    const WITHOUT_NEW_CODE: [i64; 2] = [libc::SYS_mmap, libc::SYS_mprotect];

    /// Never used by our code, so that an attempt kills the process.
    const DEADLY: [i64; 27] = [
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_pidfd_open,
        libc::SYS_pidfd_getfd,
        libc::SYS_socket,
        libc::SYS_socketpair,
        libc::SYS_connect,
        libc::SYS_bind,
        libc::SYS_listen,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
        libc::SYS_setns,
        libc::SYS_unshare,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_io_uring_setup,
        libc::SYS_userfaultfd,
        libc::SYS_keyctl,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_kexec_load,
        libc::SYS_open_by_handle_at,
    ];

    /// Installs the filters on all threads, for good. Calls that are not allowed fail; those that only an intruder
    /// would make kill the process. No thread or process can be started from now on.
    pub(crate) fn filter_calls() -> Result<(), IsolationError> {
        let failed = |error: &dyn std::error::Error| IsolationError::Seccomp(error.to_string());
        let not_made = |error: BackendError| failed(&error);
        // The killing filter first: the other denies the calls to install it. The stricter result of both applies.
        let deadly = DEADLY.into_iter().map(|call| (call, Vec::new())).collect();
        for (rules, otherwise, then) in [
            (deadly, SeccompAction::Allow, SeccompAction::KillProcess),
            (
                allowed().map_err(not_made)?,
                SeccompAction::Errno(libc::EPERM.unsigned_abs()),
                SeccompAction::Allow,
            ),
        ] {
            let machine = TargetArch::try_from(std::env::consts::ARCH).map_err(not_made)?;
            let filter = SeccompFilter::new(rules, otherwise, then, machine).map_err(not_made)?;
            let program = BpfProgram::try_from(filter).map_err(not_made)?;
            apply_filter_all_threads(&program).map_err(|error| failed(&error))?;
        }
        Ok(())
    }

    fn allowed() -> Result<BTreeMap<i64, Vec<SeccompRule>>, BackendError> {
        const PROTECTION: u8 = 2;
        let code = libc::PROT_EXEC.unsigned_abs().into();
        let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
            ALLOWED.into_iter().map(|call| (call, Vec::new())).collect();
        for call in WITHOUT_NEW_CODE {
            let no_code =
                SeccompCondition::new(PROTECTION, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(code), 0)?;
            rules.insert(call, vec![SeccompRule::new(vec![no_code])?]);
        }
        Ok(rules)
    }
}

#[cfg(all(test, target_os = "linux"))]
#[expect(clippy::disallowed_methods, reason = "what must be refused is tried")]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::Command;

    /// Name, and whether it was refused.
    type Attempt = (&'static str, fn() -> bool);

    /// Attempts in the confined process.
    const ATTEMPTS: [Attempt; 6] = [
        ("open", || std::fs::File::open("/etc/passwd").is_err()),
        ("list", || std::fs::read_dir("/").is_err()),
        ("write", || std::fs::write("/tmp/toolgate-wall", b"x").is_err()),
        ("thread", || std::thread::Builder::new().spawn(|| ()).is_err()),
        ("connect", || std::net::TcpStream::connect("127.0.0.1:1").is_err()),
        ("listen", || std::net::TcpListener::bind("127.0.0.1:0").is_err()),
    ];
    const TOLD: &str = "TOOLGATE_WALL_ATTEMPT";

    #[test]
    fn behind_the_walls_files_threads_and_connections_are_refused_or_the_end() {
        if let Ok(name) = std::env::var(TOLD) {
            let (_, refused) = ATTEMPTS.into_iter().find(|(known, _)| *known == name).unwrap();
            super::restrict().unwrap();
            super::filter_calls().unwrap();
            assert!(refused());
            return;
        }
        for (name, _) in ATTEMPTS {
            let this = "worker::confinement::tests::behind_the_walls_files_threads_and_connections_are_refused_or_the_end";
            let ended = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", this, "--nocapture"])
                .env(TOLD, name)
                .output()
                .unwrap();
            let deadly = matches!(name, "connect" | "listen");
            assert_eq!(ended.status.signal(), deadly.then_some(libc::SIGSYS), "{name}: {ended:?}");
            assert!(deadly || ended.status.success(), "{name}: {ended:?}");
        }
    }
}
