//! Why nothing came of a call, and whose fault it is.

use std::fmt;

use toolgate_policy::limits::call::CallLimit;
use toolgate_policy::redact::printable;

/// Whose fault it is that nothing came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// Whoever called.
    Caller,
    /// The plugin.
    Plugin,
    /// Whoever configured this.
    Operator,
    /// Toolgate or its machine.
    Host,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// The arguments do not fit.
    Arguments,
    /// A limit was met.
    Limit(CallLimit),
    /// The memory for all calls together was used up.
    Budget,
    /// The guest trapped: a panic, an unreachable instruction, a bad memory access.
    Trap,
    /// The guest ended the program.
    Exit,
    /// The guest used what its grant says it may not.
    Grant,
    /// The guest gave back what its own type does not allow.
    Lift,
    /// The process in which the guest ran came to an end.
    Worker,
    /// The caller went away or cancelled.
    Cancelled,
    /// The plugin was revoked.
    Revoked,
    /// The host is stopping.
    Stopping,
    /// The record of calls cannot be written.
    Audit,
    /// Something else in the host.
    Internal,
}

/// Why nothing came of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    kind: FaultKind,
    told: String,
    logged: String,
    /// Whether what the log has beyond what is told was written by the plugin.
    logs_last_words: bool,
}

impl Fault {
    /// A fault that may be told as it is logged.
    pub fn new(kind: FaultKind, text: impl Into<String>) -> Self {
        let told = text.into();
        Self { kind, logged: told.clone(), told, logs_last_words: false }
    }

    /// The same fault, with more in the log than the caller sees. What comes from a guest is escaped and bounded here.
    #[must_use]
    pub fn logged(mut self, detail: &str) -> Self {
        self.logged = format!("{}: {}", self.told, printable(detail, LOGGED_CHARS_MAX));
        self
    }

    /// The same fault, with what the plugin wrote last in the log.
    #[must_use]
    pub fn logging_last_words(self, words: &str) -> Self {
        if words.is_empty() { self } else { Self { logs_last_words: true, ..self.logged(words) } }
    }

    /// The same fault, with what the plugin wrote last in what the caller sees. The log has it already.
    #[must_use]
    pub fn telling(mut self, words: &str) -> Self {
        self.told = format!("{}; it wrote last: {words}", self.told);
        self
    }

    /// A limit that was met, by name.
    pub fn limit(limit: CallLimit, value: u64) -> Self {
        let name = limit.name();
        let told = match limit {
            CallLimit::Fuel => format!("the tool used more than its limit of computation ({name} = {value})"),
            CallLimit::Deadline => {
                format!("the tool did not answer within its time limit ({name} = {value})")
            }
            CallLimit::Memory => format!("the tool wanted more memory than its limit ({name} = {value})"),
            CallLimit::Output => format!("the tool's answer is larger than its limit ({name} = {value})"),
            CallLimit::Concurrency | CallLimit::Queue => {
                format!(
                    "too many calls of this tool's plugin are waiting ({name} = {value}); try again later"
                )
            }
            CallLimit::Log
            | CallLimit::Handles
            | CallLimit::HttpRequests
            | CallLimit::HttpBytes
            | CallLimit::Faults
            | CallLimit::Sockets
            | CallLimit::SocketBytes
            | CallLimit::Stacks => format!("the tool went over its limit {name} = {value}"),
        };
        Self::new(FaultKind::Limit(limit), told)
    }

    /// All calls together hold what they may.
    pub fn no_memory() -> Self {
        let told = "the host has no memory left for this call; try again later";
        Self::new(FaultKind::Budget, told).logged("memory_bytes_max of [server.limits] is used up")
    }

    /// Something wrong in the host; the caller learns only that.
    pub fn internal(detail: impl fmt::Display) -> Self {
        Self::new(FaultKind::Internal, "the host failed; its log says why").logged(&detail.to_string())
    }

    /// What happened.
    pub fn kind(&self) -> FaultKind {
        self.kind
    }

    /// Whose fault it is.
    pub fn blame(&self) -> Blame {
        match self.kind {
            FaultKind::Arguments | FaultKind::Cancelled => Blame::Caller,
            FaultKind::Limit(CallLimit::Queue | CallLimit::Concurrency | CallLimit::Faults)
            | FaultKind::Budget
            | FaultKind::Revoked => Blame::Operator,
            FaultKind::Limit(_)
            | FaultKind::Trap
            | FaultKind::Exit
            | FaultKind::Lift
            | FaultKind::Grant
            | FaultKind::Worker => Blame::Plugin,
            FaultKind::Stopping | FaultKind::Audit | FaultKind::Internal => Blame::Host,
        }
    }

    /// What the caller may see.
    pub fn told(&self) -> &str {
        &self.told
    }

    /// What the log keeps.
    pub fn log_text(&self) -> &str {
        &self.logged
    }

    /// Whether the log has what the plugin wrote last.
    pub fn logs_last_words(&self) -> bool {
        self.logs_last_words
    }

    /// What the operator sees who made the call: as much as the log keeps, but a plugin's last words only as `crash_details`
    /// has it.
    pub fn operator_text(&self) -> &str {
        if self.logs_last_words { &self.told } else { &self.logged }
    }
}

/// Characters of guest text that a log line keeps.
const LOGGED_CHARS_MAX: usize = 500;

impl FaultKind {
    /// One word for it, as records have it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Arguments => "arguments",
            Self::Limit(_) => "limit",
            Self::Budget => "budget",
            Self::Trap => "trap",
            Self::Exit => "exit",
            Self::Grant => "grant",
            Self::Lift => "lift",
            Self::Worker => "worker",
            Self::Cancelled => "cancelled",
            Self::Revoked => "revoked",
            Self::Stopping => "stopping",
            Self::Audit => "audit",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for Blame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Caller => "caller",
            Self::Plugin => "plugin",
            Self::Operator => "operator",
            Self::Host => "host",
        })
    }
}
