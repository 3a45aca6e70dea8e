//! The audit log: one line of JSON for each call, load, refusal and reload, in the state directory. It has only facts,
//! escaped and bounded; messages for callers and the developers' log are made elsewhere.

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

/// Writes audit records. One per process.
pub struct Recorder {
    sink: Arc<Sink>,
    key: MacKey,
}

/// Something that happened outside a call.
#[derive(Debug, Clone)]
pub enum Event<'a> {
    /// A plugin began to serve.
    Loaded {
        /// Name of the plugin.
        plugin: &'a str,
        /// SHA-256 of its bytes.
        digest: String,
        /// Version that it declares.
        version: Option<&'a str>,
        /// Signers, each as `role: signer, signer`.
        signers: Vec<String>,
        /// Name of the approver, where approval is required.
        approved_by: Option<&'a str>,
        /// Number of its tools.
        tools: usize,
    },
    /// A plugin, or a version of it, was refused.
    Refused {
        /// Name of the plugin.
        plugin: &'a str,
        /// Whether it is quarantined, which an approval ends.
        held: bool,
        /// SHA-256 of its bytes, if they could be read.
        digest: Option<String>,
        /// Every reason.
        reasons: Vec<String>,
    },
    /// A plugin stopped serving.
    Retired {
        /// Name of the plugin.
        plugin: &'a str,
        /// SHA-256 of its bytes.
        digest: String,
    },
    /// A plugin was revoked while it served. Its calls were ended.
    Revoked {
        /// Name of the plugin.
        plugin: &'a str,
        /// SHA-256 of its bytes.
        digest: String,
    },
    /// A plugin serves only because it was approved before something expired.
    Overdue {
        /// Name of the plugin.
        plugin: &'a str,
        /// The expired item and the remedy.
        what: String,
    },
    /// A cached file of compiled code was changed. It was not used.
    Alarm {
        /// The file.
        file: &'a str,
        /// Description of the fault.
        what: &'static str,
    },
    /// The configuration was reloaded.
    Reloaded {
        /// Number of plugins that serve now.
        plugins: usize,
        /// Problems for which it was refused; empty if it was accepted.
        problems: Vec<String>,
    },
    /// A plugin that failed too often is on hold, or works again.
    Held {
        /// Name of the plugin.
        plugin: &'a str,
        /// Tenant whose callers it is on hold for.
        tenant: &'a str,
        /// Callers that it is on hold for: a `connection` (or session), an `address`, or `everybody` of the tenant.
        scope: &'static str,
        /// Caller whose calls failed; none if it is on hold for everybody.
        caller: Option<&'a str>,
        /// Duration of the hold; none when it works again.
        seconds: Option<u64>,
    },
    /// Rules about calls were taken, or refused.
    Rules {
        /// Digest of the rules in force.
        policy: String,
        /// Reasons for which others were refused; empty if they were taken.
        problems: Vec<String>,
    },
    /// A credential was refused; the first of its source in a minute.
    AuthFailed {
        /// The step that failed, a word.
        reason: &'a str,
        /// The configured issuer that was meant, if one was.
        issuer: Option<&'a str>,
        /// Address that it came from.
        source: &'a str,
    },
    /// Rollback protection got its present file format. Earlier contents of this version could not be compared.
    SeenUpgraded {
        /// Version of the policy in force.
        version: u64,
    },
    /// The lock went back to an earlier state: an older approval is in force again.
    LockWentBack {
        /// Name of the plugin.
        plugin: &'a str,
        /// Version, digest and time of approval of what served before.
        from: [String; 3],
        /// The same for what serves now.
        to: [String; 3],
    },
    /// An approval in the lock was rewritten in the form of this release.
    SurfaceRemapped {
        /// Name of the plugin.
        plugin: &'a str,
        /// Digests of the texts for models, as approved.
        from: Vec<String>,
        /// Digests of the same texts in the present form.
        to: Vec<String>,
        /// Name of the approver.
        approved_by: &'a str,
    },
    /// The process began or ended.
    Process {
        /// `started` or `stopped`.
        what: &'static str,
    },
}

impl Recorder {
    /// Opens the audit log in `folder`, and its key in `keys`. Without an audit log nothing is served.
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

    /// Keyed digest for the record of a call. Equal arguments have equal digests, however they were written. An error if
    /// they have no canonical form.
    pub fn digest(&self, arguments: &Json) -> std::io::Result<String> {
        let tag = self.key.tag_written(|to| arguments.write_canonical(to))?;
        Ok(format!("hmac-sha256:{}", toolgate_policy::digest::hex(&tag)))
    }

    /// Whether a record could be written now.
    pub fn is_ready(&self) -> bool {
        self.sink.check().is_ok()
    }

    /// Records an event. After a failure the next call is refused.
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
            Event::Held { plugin, tenant, scope, caller, seconds } => {
                let name = if seconds.is_some() { "hold" } else { "release" };
                let caller = caller.map(|caller| printable(caller, 200));
                let fields = json!({ "plugin": plugin, "tenant": tenant, "scope": scope, "caller": caller, "seconds": seconds });
                (name, fields)
            }
            Event::Rules { policy, problems } => {
                ("rules", json!({ "policy": policy, "problems": shown(problems) }))
            }
            Event::AuthFailed { reason, issuer, source } => {
                ("auth-failed", json!({ "reason": reason, "issuer": issuer, "source": source }))
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

/// Current time as RFC 3339, in UTC, with milliseconds.
fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}
