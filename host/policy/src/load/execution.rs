//! The engine that runs a plugin's code, and the isolation around it. Part of what is cleared.

/// Component model features of a plugin's engine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum EngineKind {
    /// Synchronous features, which ordinary components need.
    #[default]
    Sync,
    /// Asynchronous features as well: built-ins, exports, streams, futures.
    Async,
}

impl EngineKind {
    /// All variants.
    pub const ALL: [Self; 2] = [Self::Sync, Self::Async];

    /// Name in the configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Async => "async",
        }
    }
}

/// Isolation of a plugin's calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Isolation {
    /// WebAssembly's sandbox, on a thread of this process.
    #[default]
    Thread,
    /// In addition a separate process, restricted by the operating system. Linux only.
    Process,
}

impl Isolation {
    /// All variants.
    pub const ALL: [Self; 2] = [Self::Thread, Self::Process];

    /// Name in the configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Thread => "thread",
            Self::Process => "process",
        }
    }
}
