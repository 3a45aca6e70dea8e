//! The record of what happened: one line of JSON for each call, load, refusal and reload, in the state directory. Text
//! for callers and the developers' log are made elsewhere; here only facts, escaped and bounded.

mod places;
pub mod record;
pub mod review;
pub mod sink;

use std::sync::Arc;

use cap_std::fs::Dir;
use serde_json::{Map, Value, json};
use toolgate_base::json::Json;
use toolgate_base::outcome::{Fault, FaultKind, Outcome};
use toolgate_policy::redact::printable;
use toolgate_signature::mac::MacKey;

use record::{Closed, Record, RecordOpening};
use sink::Sink;

/// Writes records. One for the process.
pub struct Recorder {
    sink: Arc<Sink>,
    key: MacKey,
}

/// Something that happened outside a call.
#[derive(Debug, Clone)]
pub enum Event<'a> {
    /// A plugin serves.
    Loaded {
        /// Which.
        plugin: &'a str,
        /// Its bytes.
        digest: String,
        /// Which version it says it is.
        version: Option<&'a str>,
        /// Who signed: `role: signer, signer`.
        signers: Vec<String>,
        /// Who approved it, where that is asked.
        approved_by: Option<&'a str>,
        /// How many tools it has.
        tools: usize,
    },
    /// A plugin does not serve, or a version of it does not.
    Refused {
        /// Which.
        plugin: &'a str,
        /// Whether it only waits for somebody to approve it.
        held: bool,
        /// Its bytes, when they could be read.
        digest: Option<String>,
        /// Every reason.
        reasons: Vec<String>,
    },
    /// A plugin serves no more.
    Retired {
        /// Which.
        plugin: &'a str,
        /// Its bytes.
        digest: String,
    },
    /// A plugin was revoked while it served. Its calls were ended.
    Revoked {
        /// Which.
        plugin: &'a str,
        /// Its bytes.
        digest: String,
    },
    /// A plugin serves only because it was approved before something ran out.
    Overdue {
        /// Which.
        plugin: &'a str,
        /// What ran out, and what to do.
        what: String,
    },
    /// Compiled code that was kept is not what was kept. It was not used.
    Alarm {
        /// The file.
        file: &'a str,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The configuration was read again.
    Reloaded {
        /// Plugins that serve now.
        plugins: usize,
        /// What was wrong, if it was not taken.
        problems: Vec<String>,
    },
    /// A plugin that failed too often is on hold, or works again.
    Held {
        /// Which.
        plugin: &'a str,
        /// For whom: a `connection` (or session) of a caller, the caller's `address`, or `everybody`.
        scope: &'static str,
        /// Whose calls failed, unless it is on hold for everybody.
        caller: Option<&'a str>,
        /// For how long; nothing when it works again.
        seconds: Option<u64>,
    },
    /// The memory of trust policies has its present form from now on. What this version said before could not be compared.
    SeenUpgraded {
        /// The version of the policy in force.
        version: u64,
    },
    /// The lock says of a plugin what it said earlier: an older approval is in force again.
    LockWentBack {
        /// Which.
        plugin: &'a str,
        /// Version and digest that served, and the time of their approval.
        from: [String; 3],
        /// The same of what serves now.
        to: [String; 3],
    },
    /// The lock says in this release's words what was approved in those of the former one.
    SurfaceRemapped {
        /// Which.
        plugin: &'a str,
        /// Digests of what a model reads of it, as it was approved.
        from: Vec<String>,
        /// The same as they are now.
        to: Vec<String>,
        /// Whose approval it is.
        approved_by: &'a str,
    },
    /// The process began or ended.
    Process {
        /// `started` or `stopped`.
        what: &'static str,
    },
}

impl Recorder {
    /// Opens the record in `folder`, and its key in `keys`.
    ///
    /// # Errors
    /// Whatever the file system says: without a record nothing is served.
    pub fn open(folder: Dir, keys: &Dir) -> std::io::Result<Self> {
        Ok(Self { sink: Arc::new(Sink::open(folder)?), key: MacKey::load_or_make(keys, "audit.key")? })
    }

    /// Opens the record of a call.
    ///
    /// # Errors
    /// A closed fault while the record cannot be written: what cannot be recorded is not done.
    pub fn call(&self, opening: RecordOpening<'_>) -> Result<Record, Box<Closed<Outcome>>> {
        if let Err(error) = self.sink.check() {
            let fault = Fault::new(
                FaultKind::Audit,
                "the host cannot keep its record of calls and runs none without",
            );
            return Err(Box::new(Closed::unrecorded(fault.logged(&error.to_string()))));
        }
        Ok(Record::open(Arc::clone(&self.sink), opening))
    }

    /// What stands in the record of a call for its arguments: equal ones have equal digests, however they were written.
    ///
    /// # Errors
    /// When they have no canonical form.
    pub fn digest(&self, arguments: &Json) -> std::io::Result<String> {
        let tag = self.key.tag_written(|to| arguments.write_canonical(to))?;
        Ok(format!("hmac-sha256:{}", toolgate_policy::digest::hex(&tag)))
    }

    /// Whether a record could be written now.
    pub fn is_ready(&self) -> bool {
        self.sink.check().is_ok()
    }

    /// Records an event. A failure shows at the next call, which is refused.
    pub fn event(&self, event: &Event<'_>) {
        let (name, fields) = match event {
            Event::Loaded { plugin, digest, version, signers, approved_by, tools } => (
                "load",
                json!({
                    "plugin": plugin,
                    "digest": digest,
                    "version": version.map(|version| printable(version, 100)),
                    "signers": signers,
                    "approved_by": approved_by.map(|by| printable(by, 200)),
                    "tools": tools,
                }),
            ),
            Event::Refused { plugin, held, digest, reasons } => {
                let name = if *held { "quarantine" } else { "refuse" };
                (name, json!({ "plugin": plugin, "digest": digest, "reasons": shown(reasons) }))
            }
            Event::Revoked { plugin, digest } => ("revoke", json!({ "plugin": plugin, "digest": digest })),
            Event::Overdue { plugin, what } => ("alarm", json!({ "plugin": plugin, "what": what })),
            Event::Retired { plugin, digest } => ("retire", json!({ "plugin": plugin, "digest": digest })),
            Event::Alarm { file, what } => ("alarm", json!({ "file": file, "what": what })),
            Event::Reloaded { plugins, problems } => {
                ("reload", json!({ "plugins": plugins, "problems": shown(problems) }))
            }
            Event::Held { plugin, scope, caller, seconds } => {
                let name = if seconds.is_some() { "hold" } else { "release" };
                let caller = caller.map(|caller| printable(caller, 200));
                (name, json!({ "plugin": plugin, "scope": scope, "caller": caller, "seconds": seconds }))
            }
            Event::SeenUpgraded { version } => ("trust-seen-upgraded", json!({ "version": version })),
            Event::LockWentBack { plugin, from, to } => {
                let side = |[version, digest, approved]: &[String; 3]| json!({ "version": version, "digest": digest, "approved": approved });
                ("lock-went-back", json!({ "plugin": plugin, "from": side(from), "to": side(to) }))
            }
            Event::SurfaceRemapped { plugin, from, to, approved_by } => (
                "surface-remapped",
                json!({ "plugin": plugin, "from": from, "to": to, "approved_by": printable(approved_by, 200) }),
            ),
            Event::Process { what } => (*what, json!({ "pid": std::process::id() })),
        };
        let mut line = Map::new();
        line.insert("time".to_owned(), Value::from(now()));
        line.insert("event".to_owned(), Value::from(name));
        if let Value::Object(fields) = fields {
            line.extend(fields);
        }
        if let Err(error) = self.sink.write(&Value::Object(line)) {
            tracing::error!(%error, "the record of calls cannot be written");
        }
    }
}

fn shown(lines: &[String]) -> Vec<String> {
    const LINES_MAX: usize = 64;
    const CHARS_MAX: usize = 1_000;
    lines.iter().take(LINES_MAX).map(|line| printable(line, CHARS_MAX)).collect()
}

/// The time as records have it: RFC 3339, UTC, milliseconds.
fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}
