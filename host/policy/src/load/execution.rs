//! The engine that runs a plugin's code, and the walls around it. Part of what is cleared.

/// The half of the component model that a plugin's engine has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum EngineKind {
    /// The half that ordinary components need.
    #[default]
    Sync,
    /// Its asynchronous half as well: built-ins, exports, streams, futures.
    Async,
}

impl EngineKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Sync, Self::Async];

    /// Its word in the configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Async => "async",
        }
    }
}

/// The walls behind which a plugin runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Isolation {
    /// WebAssembly's, on a thread of this process.
    #[default]
    Thread,
    /// That, and those of the system around a process of its own. Linux only.
    Process,
}

impl Isolation {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Thread, Self::Process];

    /// Its word in the configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Thread => "thread",
            Self::Process => "process",
        }
    }
}
