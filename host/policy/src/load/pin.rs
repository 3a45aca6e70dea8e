//! Comparison of a plugin with its approval: bytes, texts that a model reads, requests and grants. A change in any of
//! them needs a new approval.

use std::collections::BTreeSet;

use super::signer::UnixTime;
use crate::Digest;

/// Approved state of one plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// Plugin id.
    pub id: String,
    /// Digest of the component bytes.
    pub digest: Digest,
    /// Digests of all texts that a model reads: those in the bytes, then those of dynamic tools.
    pub surfaces: Vec<Digest>,
    /// Requested capabilities, as text.
    pub asked: Vec<String>,
    /// Granted capabilities, as lines of `[plugin.grant]`.
    pub grant: Vec<String>,
    /// Approver and time.
    pub approval: Approval,
    /// Reason of the revocation, if revoked.
    pub revoked: Option<String>,
}

/// Approver and time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Name the approver gave.
    pub by: String,
    /// Time of the approval.
    pub at: UnixTime,
}

/// Stored approvals that clearing compares with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approved<'a> {
    /// No comparison: signatures alone decide, or an approval is about to be given.
    NotAsked,
    /// The approval of the plugin, if there is one; required.
    Asked(Option<&'a Pin>),
}

/// Current state of one plugin.
#[derive(Debug, Clone)]
pub struct PluginState<'a> {
    /// Plugin id.
    pub id: &'a str,
    /// Digest of the component bytes.
    pub digest: Digest,
    /// Digest of all texts in the bytes that a model reads.
    pub surface: Digest,
    /// The same as the former release computed it, where needed: an approval of that counts for this.
    pub former_surface: Option<Digest>,
    /// Requested capabilities, as text.
    pub asked: Vec<String>,
    /// Granted capabilities, as lines.
    pub grant: Vec<String>,
}

/// A difference from the approved state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PinChangeError {
    /// No approval.
    #[error("it is not approved")]
    New,
    /// Another plugin id.
    #[error("it was approved as plugin `{was}` and is now `{is}`")]
    Id {
        /// Approved id.
        was: String,
        /// Configured id.
        is: String,
    },
    /// Other bytes.
    #[error("its bytes changed: {was} was approved, these are {is}")]
    Bytes {
        /// Approved digest.
        was: Digest,
        /// Current digest.
        is: Digest,
    },
    /// Other texts for a model.
    #[error("what a model reads of its tools changed")]
    Surface,
    /// Other requests.
    #[error("what it asks changed:{}", list(.0))]
    Asked(Vec<Line>),
    /// Other grants.
    #[error("what it is granted changed:{}", list(.0))]
    Grant(Vec<Line>),
}

/// A removed or added line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// Approved, and no longer there.
    Gone(String),
    /// Added since the approval.
    Came(String),
}

/// Compares the current state with the approved one. Names every difference.
pub fn compare(pin: Option<&Pin>, seen: &PluginState<'_>) -> Result<(), Vec<PinChangeError>> {
    let Some(pin) = pin else { return Err(vec![PinChangeError::New]) };
    let mut changes = Vec::new();
    if pin.id != seen.id {
        changes.push(PinChangeError::Id { was: pin.id.clone(), is: seen.id.to_owned() });
    }
    if pin.digest != seen.digest {
        changes.push(PinChangeError::Bytes { was: pin.digest, is: seen.digest });
    }
    let is_seen = |approved: &Digest| *approved == seen.surface || Some(*approved) == seen.former_surface;
    if !pin.surfaces.first().is_some_and(is_seen) {
        changes.push(PinChangeError::Surface);
    }
    if pin.asked != seen.asked {
        changes.push(PinChangeError::Asked(lines(&pin.asked, &seen.asked)));
    }
    if pin.grant != seen.grant {
        changes.push(PinChangeError::Grant(lines(&pin.grant, &seen.grant)));
    }
    if changes.is_empty() { Ok(()) } else { Err(changes) }
}

/// Compares the digest of a plugin's dynamic tools with the approved one.
pub(super) fn compare_surface(pin: &Pin, surface: Option<Digest>) -> Result<(), PinChangeError> {
    if pin.surfaces.get(1).copied() == surface && pin.surfaces.len() <= 2 {
        Ok(())
    } else {
        Err(PinChangeError::Surface)
    }
}

/// Removed and added lines, in the order of the lists.
fn lines(was: &[String], is: &[String]) -> Vec<Line> {
    let (before, now): (BTreeSet<&String>, BTreeSet<&String>) = (was.iter().collect(), is.iter().collect());
    let gone = was.iter().filter(|line| !now.contains(line)).cloned().map(Line::Gone);
    gone.chain(is.iter().filter(|line| !before.contains(line)).cloned().map(Line::Came)).collect()
}

fn list(lines: &[Line]) -> String {
    let line = |line: &Line| match line {
        Line::Gone(line) => format!(" - {line}"),
        Line::Came(line) => format!(" + {line}"),
    };
    lines.iter().map(line).collect::<Vec<_>>().join(";")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin() -> Pin {
        Pin {
            id: "acme:files".into(),
            digest: Digest::of(b"bytes"),
            surfaces: vec![Digest::of(b"surface")],
            asked: vec!["needs http".into()],
            grant: vec!["http = []".into()],
            approval: Approval { by: "somebody".into(), at: UnixTime(0) },
            revoked: None,
        }
    }

    fn seen() -> PluginState<'static> {
        PluginState {
            id: "acme:files",
            digest: Digest::of(b"bytes"),
            surface: Digest::of(b"surface"),
            former_surface: None,
            asked: vec!["needs http".into()],
            grant: vec!["http = []".into()],
        }
    }

    #[test]
    fn what_is_as_it_was_approved_is_the_same() {
        assert_eq!(compare(Some(&pin()), &seen()), Ok(()));
        assert_eq!(compare(None, &seen()), Err(vec![PinChangeError::New]));
    }

    #[test]
    fn every_part_is_compared_and_every_change_is_told() {
        let other = Digest::of(b"other");
        let one = |change: fn(&mut PluginState<'static>, Digest)| {
            let mut seen = seen();
            change(&mut seen, other);
            compare(Some(&pin()), &seen).unwrap_err()
        };
        assert!(matches!(one(|seen, _| seen.id = "acme:file").as_slice(), [PinChangeError::Id { .. }]));
        assert!(matches!(one(|seen, other| seen.digest = other).as_slice(), [PinChangeError::Bytes { .. }]));
        assert_eq!(one(|seen, other| seen.surface = other), [PinChangeError::Surface]);
        assert_eq!(
            one(|seen, _| seen.asked.push("may use clock".into())),
            [PinChangeError::Asked(vec![Line::Came("may use clock".into())])]
        );
        let (asked, grant) = (vec![], vec!["a".into()]);
        let seen = PluginState { id: "x", digest: other, surface: other, asked, grant, ..seen() };
        let all = compare(Some(&pin()), &seen).unwrap_err();
        assert_eq!(all.len(), 5);
        let text = all.last().unwrap().to_string();
        assert_eq!(text, "what it is granted changed: - http = []; + a", "both ways");
    }

    #[test]
    fn what_was_approved_as_the_former_release_wrote_it_is_the_same_and_nothing_else_is() {
        let written_anew = Digest::of(b"the same tools, written in another way");
        let seen = |former_surface| PluginState { surface: written_anew, former_surface, ..seen() };
        assert_eq!(compare(Some(&pin()), &seen(Some(Digest::of(b"surface")))), Ok(()));
        for former in [None, Some(Digest::of(b"other"))] {
            assert_eq!(compare(Some(&pin()), &seen(former)), Err(vec![PinChangeError::Surface]));
        }
        let other = Pin { digest: Digest::of(b"other"), ..pin() };
        let changes = compare(Some(&other), &seen(Some(Digest::of(b"surface")))).unwrap_err();
        assert!(matches!(changes.as_slice(), [PinChangeError::Bytes { .. }]), "{changes:?}");
    }

    #[test]
    fn a_pin_without_a_surface_matches_nothing() {
        let pin = Pin { surfaces: vec![], ..pin() };
        assert_eq!(compare(Some(&pin), &seen()), Err(vec![PinChangeError::Surface]));
        let former = PluginState { former_surface: Some(Digest::of(b"surface")), ..seen() };
        assert_eq!(compare(Some(&pin), &former), Err(vec![PinChangeError::Surface]));
    }

    #[test]
    fn what_it_says_when_it_runs_is_held_to_what_it_said_when_it_was_approved() {
        let (surface, other) = (Digest::of(b"said"), Digest::of(b"other"));
        let dynamic = Pin { surfaces: vec![Digest::of(b"surface"), surface], ..pin() };
        assert_eq!(compare_surface(&dynamic, Some(surface)), Ok(()));
        assert_eq!(compare_surface(&dynamic, Some(other)), Err(PinChangeError::Surface));
        assert_eq!(compare_surface(&dynamic, None), Err(PinChangeError::Surface));
        assert_eq!(compare_surface(&pin(), Some(surface)), Err(PinChangeError::Surface));
        assert_eq!(compare_surface(&pin(), None), Ok(()));
    }
}
