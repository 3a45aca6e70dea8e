//! The only maker of [`Clearance`]: everything that must hold before a plugin is compiled; reports all reasons at once.

use super::execution::{EngineKind, Isolation};
use super::grant::{Effective, Grants, UnmetGrantError};
use super::lint::{Allowed, Finding};
use super::manifest::RequestedCapabilities;
use super::pin::{self, Approved, Pin, PinChangeError, PluginState};
use super::trust::{Trusted, join};
use crate::Digest;
use crate::limits::call::CallLimits;
use crate::redact::printable;

/// Proof that these bytes may be compiled and run as this plugin, with these grants and limits, on this engine, behind these walls. All
/// that makes a plugin ready is read from here.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clearance {
    trusted: Trusted,
    requested: RequestedCapabilities,
    effective: Effective,
    limits: CallLimits,
    engine: EngineKind,
    isolation: Isolation,
    pin: Option<Pin>,
}

/// Reason why a plugin is not cleared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClearanceError {
    /// Refused; no approval can change that.
    #[error("{}", join(.0))]
    Refused(Vec<RefusalError>),
    /// Different from the approved state; it waits for approval.
    #[error("{}", join(.0))]
    Held(Vec<PinChangeError>),
}

/// Reason why a plugin is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefusalError {
    /// Requested and granted capabilities do not match.
    #[error(transparent)]
    Grant(#[from] UnmetGrantError),
    /// The inspected bytes are not the trusted ones.
    #[error("{inspected} was inspected, {trusted} is trusted")]
    OtherBytes {
        /// Digest of the inspected bytes.
        inspected: Digest,
        /// Digest of the trusted bytes.
        trusted: Digest,
    },
    /// The trusted plugin is another than the configured one.
    #[error("it is configured as plugin `{configured}`, and trusted as `{trusted}`")]
    OtherTrust {
        /// Configured id.
        configured: String,
        /// Trusted id.
        trusted: String,
    },
    /// It declares another plugin's id.
    #[error(
        "it says that it is `{0}`; if that is meant, give it id = \"{0}\", which is what trust rules match"
    )]
    OtherPlugin(String),
    /// A text or name in it is unfit for a model.
    #[error("{0}; if that is meant, add to it: allow_lints = [\"{lint}\"]", lint = .0.lint.name())]
    Lint(Finding),
    /// Its approval was revoked.
    #[error("its approval was taken back: {0}")]
    Withdrawn(String),
    /// It has no function to call.
    #[error("it exports no function that can be a tool")]
    NoTools,
    /// It is a command or a server, not a library.
    #[error(
        "it is {0}, and has no function that can be a tool; build a library component (a \"reactor\") that exports its functions \
         instead, as docs/write-a-plugin.md shows"
    )]
    Program(&'static str),
}

/// Facts about a plugin that is to be cleared.
#[derive(Debug, Clone)]
pub struct ClearanceInput<'a> {
    /// Configured id of the plugin.
    pub plugin: &'a str,
    /// Digest of the inspected bytes.
    pub inspected: Digest,
    /// Plugin id that the bytes declare.
    pub declared_id: Option<&'a str>,
    /// Engine for which they were inspected.
    pub engine: EngineKind,
    /// Isolation that the operator chose.
    pub isolation: Isolation,
    /// Capabilities they request.
    pub requested: &'a RequestedCapabilities,
    /// Number of their tools.
    pub tools: usize,
    /// Kind of program it is instead of a library, if it declares one.
    pub program: Option<&'static str>,
    /// Findings of the lints in their texts.
    pub findings: &'a [Finding],
    /// Lints that the operator allows for it.
    pub allowed: &'a Allowed,
    /// Digest of everything that a model reads of it.
    pub surface: Digest,
    /// The same as the former release computed it, where needed for comparison.
    pub former_surface: Option<Digest>,
    /// Approved state.
    pub approved: Approved<'a>,
}

/// Decides whether the plugin may be compiled and run. Names every reason against it; the changes since the approval,
/// if they are the only one.
pub fn clear(
    trusted: Trusted,
    case: &ClearanceInput<'_>,
    grants: &Grants,
    limits: CallLimits,
) -> Result<Clearance, ClearanceError> {
    let mut reasons = Vec::new();
    if case.inspected != trusted.digest() {
        reasons.push(RefusalError::OtherBytes { inspected: case.inspected, trusted: trusted.digest() });
    }
    if case.plugin != trusted.plugin() {
        let (configured, trusted) = (printable(case.plugin, 100), printable(trusted.plugin(), 100));
        reasons.push(RefusalError::OtherTrust { configured, trusted });
    }
    if let Some(id) = case.declared_id.filter(|id| *id != trusted.plugin()) {
        reasons.push(RefusalError::OtherPlugin(printable(id, 100)));
    }
    if case.tools == 0 {
        reasons.push(case.program.map_or(RefusalError::NoTools, RefusalError::Program));
    }
    if let Approved::Asked(Some(Pin { revoked: Some(why), .. })) = case.approved {
        reasons.push(RefusalError::Withdrawn(why.clone()));
    }
    reasons.extend(check_lints(case.findings, case.allowed).err().unwrap_or_default());
    let effective = match grants.meet(case.requested) {
        Ok(effective) if reasons.is_empty() => effective,
        Ok(_) => return Err(ClearanceError::Refused(reasons)),
        Err(unmet) => {
            reasons.extend(unmet.into_iter().map(RefusalError::Grant));
            return Err(ClearanceError::Refused(reasons));
        }
    };
    let pin = match case.approved {
        Approved::NotAsked => None,
        Approved::Asked(pin) => {
            let seen = PluginState {
                id: trusted.plugin(),
                digest: trusted.digest(),
                surface: case.surface,
                former_surface: case.former_surface,
                asked: case.requested.written(),
                grant: grants.written(),
            };
            pin::compare(pin, &seen).map_err(ClearanceError::Held)?;
            pin.cloned()
        }
    };
    let (engine, isolation) = (case.engine, case.isolation);
    Ok(Clearance { trusted, requested: case.requested.clone(), effective, limits, engine, isolation, pin })
}

/// Decides whether lint findings may pass. Applied again to texts that a plugin gives only when it runs. Names each
/// finding that the operator does not allow.
pub fn check_lints(findings: &[Finding], allowed: &Allowed) -> Result<(), Vec<RefusalError>> {
    let refused: Vec<RefusalError> = findings
        .iter()
        .filter(|finding| !allowed.contains(&finding.lint))
        .cloned()
        .map(RefusalError::Lint)
        .collect();
    if refused.is_empty() { Ok(()) } else { Err(refused) }
}

impl Clearance {
    /// Digest of the component bytes.
    pub fn digest(&self) -> Digest {
        self.trusted.digest()
    }

    /// Proof of trust in these bytes.
    pub fn trusted(&self) -> &Trusted {
        &self.trusted
    }

    /// Capabilities the plugin requested.
    pub fn asked(&self) -> &RequestedCapabilities {
        &self.requested
    }

    /// Capabilities the plugin has.
    pub fn effective(&self) -> &Effective {
        &self.effective
    }

    /// Approval the plugin runs under, where one was required.
    pub fn pin(&self) -> Option<&Pin> {
        self.pin.as_ref()
    }

    /// Checks that the plugin's answer about its dynamic tools (`None` if it has none) is the approved one.
    pub fn check_dynamic_surface(&self, surface: Option<Digest>) -> Result<(), PinChangeError> {
        self.pin.as_ref().map_or(Ok(()), |pin| pin::compare_surface(pin, surface))
    }

    /// Engine that it runs on.
    pub fn engine(&self) -> EngineKind {
        self.engine
    }

    /// Isolation that it runs behind.
    pub fn isolation(&self) -> Isolation {
        self.isolation
    }

    /// Limits of its calls.
    pub fn limits(&self) -> &CallLimits {
        &self.limits
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "what is cleared is made up here")]
mod tests {
    use super::*;
    use crate::load::key_id::KeyId;
    use crate::load::lint::{self, Lint};
    use crate::load::pin::Approval;
    use crate::load::role::{Pattern, Role, RoleRule};
    use crate::load::signer::{Signer, UnixTime, VerifiedSignature};
    use crate::load::trust::{Evidence, Parts, Standing, TrustPolicy};

    fn trusted(digest: Digest) -> Trusted {
        let key = KeyId::of_spki(b"key");
        let signer = Signer { id: "v".into(), key, identity: None, valid_from: None, valid_until: None };
        let parts = Parts {
            version: 1,
            signers: vec![signer],
            roles: vec![Role { name: "publisher".into(), threshold: 1, signers: vec!["v".into()] }],
            rules: vec![RoleRule { plugin: Pattern::parse("*").unwrap(), require: vec!["publisher".into()] }],
            ..Parts::default()
        };
        let signature = VerifiedSignature::new(digest, key, None);
        let found = Evidence { signatures: &[signature], strangers: &[] };
        TrustPolicy::new(parts).unwrap().trust("p", digest, None, found, Standing::New, UnixTime(0)).unwrap()
    }

    /// A library with one tool, of bytes `a`.
    fn input<'a>(asked: &'a RequestedCapabilities, allowed: &'a Allowed) -> ClearanceInput<'a> {
        ClearanceInput {
            plugin: "p",
            inspected: Digest::of(b"a"),
            declared_id: Some("p"),
            engine: EngineKind::default(),
            isolation: Isolation::default(),
            requested: asked,
            tools: 1,
            program: None,
            findings: &[],
            allowed,
            surface: Digest::of(b"surface"),
            former_surface: None,
            approved: Approved::NotAsked,
        }
    }

    #[test]
    fn trust_in_some_bytes_clears_no_others_and_no_other_plugin() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let asked = RequestedCapabilities::default();
        let allowed = Allowed::default();
        let case = |plugin, inspected| ClearanceInput { plugin, inspected, ..input(&asked, &allowed) };
        let clear = |case| clear(trusted(a), &case, &Grants::default(), CallLimits::default());
        assert_eq!(clear(case("p", a)).unwrap().digest(), a);
        let refused = |case| match clear(case) {
            Err(ClearanceError::Refused(reasons)) => reasons,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(case("p", b)), [RefusalError::OtherBytes { inspected: b, trusted: a }]);
        let (configured, trusted) = ("q".to_owned(), "p".to_owned());
        assert_eq!(refused(case("q", a)), [RefusalError::OtherTrust { configured, trusted }]);
    }

    #[test]
    fn every_reason_is_told_at_once() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let imports = ["wasi:http/types@0.2.0", "wasi:config/store@0.2.0-rc.1"];
        let asked = RequestedCapabilities::from_imports(imports, false).unwrap();
        let findings = lint::text("a text", "\u{1b}[2J<!-- -->");
        let allowed = Allowed::from([Lint::HtmlComment]);
        let case = ClearanceInput {
            inspected: b,
            declared_id: Some("q"),
            tools: 0,
            findings: &findings,
            ..input(&asked, &allowed)
        };
        let refused = clear(trusted(a), &case, &Grants::default(), CallLimits::default()).unwrap_err();
        let ClearanceError::Refused(refused) = refused else { panic!("{refused:?}") };
        assert_eq!(refused.len(), 6);
        let told: Vec<String> = refused.iter().map(RefusalError::to_string).collect();
        assert!(
            told.iter().any(|line| line.contains("it needs `http`; add to its [plugin.grant]: http = [")),
            "{told:?}"
        );
        assert!(
            told.iter().any(|line| line.ends_with(r#"add to it: allow_lints = ["ansi-escape"]"#)),
            "{told:?}"
        );
    }

    #[test]
    fn what_nobody_approved_is_held_and_what_would_be_refused_is_refused_first() {
        let a = Digest::of(b"a");
        let (asked, allowed, grants) =
            (RequestedCapabilities::default(), Allowed::default(), Grants::default());
        let pin = Pin {
            id: "p".into(),
            digest: a,
            surfaces: vec![Digest::of(b"surface")],
            asked: vec![],
            grant: vec![],
            approval: Approval { by: "somebody".into(), at: UnixTime(0) },
            revoked: None,
        };
        let withdrawn = Pin { revoked: Some("a flaw".into()), ..pin.clone() };
        let judged = |approved, tools| {
            let case = ClearanceInput { declared_id: None, tools, approved, ..input(&asked, &allowed) };
            clear(trusted(a), &case, &grants, CallLimits::default())
        };
        assert_eq!(judged(Approved::Asked(Some(&pin)), 1).unwrap().pin(), Some(&pin));
        assert_eq!(judged(Approved::Asked(None), 1), Err(ClearanceError::Held(vec![PinChangeError::New])));
        assert_eq!(
            judged(Approved::Asked(None), 0),
            Err(ClearanceError::Refused(vec![RefusalError::NoTools]))
        );
        assert_eq!(
            judged(Approved::Asked(Some(&withdrawn)), 1),
            Err(ClearanceError::Refused(vec![RefusalError::Withdrawn("a flaw".into())]))
        );
    }
}
