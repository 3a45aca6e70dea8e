//! Faults of a call, and who is to blame for them.

use std::fmt;

use toolgate_policy::limits::call::CallLimit;
use toolgate_policy::redact::printable;

/// Party responsible for a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The caller.
    Caller,
    /// The plugin.
    Plugin,
    /// The operator of this server.
    Operator,
    /// Toolgate or its machine.
    Host,
}

/// Kind of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// The arguments do not match the tool's parameters.
    Arguments,
    /// A limit was reached.
    Limit(CallLimit),
    /// The memory for all calls together is used up.
    Budget,
    /// The guest trapped: a panic, an unreachable instruction, a bad memory access.
    Trap,
    /// The guest called `exit`.
    Exit,
    /// The guest went beyond its grant.
    Grant,
    /// The guest returned a value that its type does not allow.
    Lift,
    /// The worker process that ran the guest ended.
    Worker,
    /// The caller disconnected or cancelled.
    Cancelled,
    /// The plugin was revoked.
    Revoked,
    /// The host is stopping.
    Stopping,
    /// The audit log cannot be written.
    Audit,
    /// Another failure of the host.
    Internal,
}

/// Failure of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    kind: FaultKind,
    caller_text: String,
    logged: String,
    /// Whether the log text exceeds the caller's by text that the plugin wrote.
    logs_last_words: bool,
}

impl Fault {
    /// A fault with the same text for the caller and the log.
    pub fn new(kind: FaultKind, text: impl Into<String>) -> Self {
        let caller_text = text.into();
        Self { kind, logged: caller_text.clone(), caller_text, logs_last_words: false }
    }

    /// Adds detail for the log only. Guest text is escaped and bounded here.
    #[must_use]
    pub fn logged(mut self, detail: &str) -> Self {
        self.logged = format!("{}: {}", self.caller_text, printable(detail, LOGGED_CHARS_MAX));
        self
    }

    /// Adds the plugin's last output to the log text.
    #[must_use]
    pub fn logging_last_words(self, words: &str) -> Self {
        if words.is_empty() { self } else { Self { logs_last_words: true, ..self.logged(words) } }
    }

    /// Adds the plugin's last output to the caller's text. The log has it already.
    #[must_use]
    pub fn telling(mut self, words: &str) -> Self {
        self.caller_text = format!("{}; it wrote last: {words}", self.caller_text);
        self
    }

    /// A fault for a limit that was reached, by name.
    pub fn limit(limit: CallLimit, value: u64) -> Self {
        let name = limit.name();
        let caller_text = match limit {
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
        Self::new(FaultKind::Limit(limit), caller_text)
    }

    /// A fault for the exhausted memory budget of all calls.
    pub fn no_memory() -> Self {
        let caller_text = "the host has no memory left for this call; try again later";
        Self::new(FaultKind::Budget, caller_text).logged("memory_bytes_max of [server.limits] is used up")
    }

    /// An internal fault; the caller learns no detail.
    pub fn internal(detail: impl fmt::Display) -> Self {
        Self::new(FaultKind::Internal, "the host failed; its log says why").logged(&detail.to_string())
    }

    /// Kind of the fault.
    pub fn kind(&self) -> FaultKind {
        self.kind
    }

    /// Responsible party.
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

    /// Text for the caller.
    pub fn caller_text(&self) -> &str {
        &self.caller_text
    }

    /// Text for the log.
    pub fn log_text(&self) -> &str {
        &self.logged
    }

    /// Whether the log text contains the plugin's last output.
    pub fn logs_last_words(&self) -> bool {
        self.logs_last_words
    }

    /// Text for the operator who made the call: the log's, without the plugin's last output, which only `crash_details`
    /// shows.
    pub fn operator_text(&self) -> &str {
        if self.logs_last_words { &self.caller_text } else { &self.logged }
    }
}

/// Characters of detail that a log line keeps.
const LOGGED_CHARS_MAX: usize = 500;

impl FaultKind {
    /// Name of the kind in records.
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
