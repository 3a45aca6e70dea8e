//! The list of tools: serialised once for all who see the same, and returned in pages. A cursor names the last tool
//! before its page, so it stays valid if the list changes meanwhile; its client is notified of the change.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use rmcp::ErrorData;
use rmcp::model::Tool;
use toolgate_policy::Digest;
use toolgate_policy::limits::wire::{LIST_VIEWS_MAX, PAGE_BYTES_MAX, PAGE_TOOLS_MAX};
use toolgate_runtime::gate::Gate;
use toolgate_runtime::snapshot::{Snapshot, tool};

use super::inbound::Inbound;
use super::splice::Splice;
use super::tools;

/// Serialised lists of the current snapshot.
#[derive(Default)]
pub(super) struct Catalog {
    current: Mutex<Current>,
    /// Locked by the task that serialises, so that no list is serialised twice.
    writing: tokio::sync::Mutex<()>,
    /// Key that binds cursors to this process and to their principal.
    seal: RandomState,
}

#[derive(Default)]
struct Current {
    of: Weak<Snapshot>,
    /// View of each principal.
    views: HashMap<String, Arc<View>>,
}

/// The list as a group of principals sees it.
struct View {
    tools: Vec<Arc<tool::Tool>>,
    /// Tools as JSON, separated by commas.
    bytes: Bytes,
    /// Range of each tool in `bytes`.
    places: Vec<Range<usize>>,
}

/// A part of a list.
pub(super) struct Page {
    view: Arc<View>,
    range: Range<usize>,
    /// Cursor of the next page, if there is one.
    pub(super) next: Option<String>,
}

impl Catalog {
    /// Returns the page after a cursor, or the first.
    ///
    /// # Errors
    /// When the cursor is not one of this server and principal.
    pub(super) async fn page(
        &self,
        gate: &Gate,
        inbound: &Inbound,
        cursor: Option<&str>,
    ) -> Result<Page, ErrorData> {
        let whose = format!("{}@{}", inbound.principal, inbound.principal.tenant());
        let after = cursor.map(|cursor| self.open(&whose, cursor)).transpose()?;
        let view = self.view(gate, inbound).await?;
        let range = view.page_after(after.as_deref());
        let has_more = range.end < view.tools.len();
        let last = has_more.then(|| range.end.checked_sub(1).and_then(|last| view.tools.get(last))).flatten();
        let next = last.map(|tool| self.close(&whose, tool.listing.name.as_str()));
        Ok(Page { view, range, next })
    }

    async fn view(&self, gate: &Gate, inbound: &Inbound) -> Result<Arc<View>, ErrorData> {
        let snapshot = gate.now();
        let list = |inbound: &Inbound| snapshot.list(&inbound.principal, &inbound.moment(&snapshot));
        // Callers of whom rules know the same see the same, unless rules look at the clock or at the caller's address.
        let (whose, listed) = if snapshot.rules().lists_by_moment() {
            let listed = list(inbound);
            (names(&listed), Some(listed))
        } else {
            (inbound.principal.digest().to_string(), None)
        };
        let whose = &whose;
        if let Some(view) = self.current().view(&snapshot, whose) {
            return Ok(view);
        }
        // Held across the await, so that others wait for the list being serialised.
        let _writing = self.writing.lock().await;
        let seen = {
            let mut current = self.current();
            if let Some(view) = current.view(&snapshot, whose) {
                return Ok(view);
            }
            current.begin(&snapshot)
        };
        let gate = gate.clone();
        let (listing, asks) = (Arc::clone(&snapshot), (inbound.principal.clone(), inbound.moment(&snapshot)));
        let work = move || View::of(listed.unwrap_or_else(|| listing.list(&asks.0, &asks.1)), &seen);
        let written = gate.large().run(&inbound.caller, work).await;
        let view =
            written.map_err(|error| error.to_string()).and_then(|view| view.map_err(|e| e.to_string()));
        let view = view.map_err(|error| {
            tracing::error!(%error, "the list of tools could not be written");
            ErrorData::internal_error("the host failed; its log says why", None)
        })?;
        self.current().keep(&snapshot, whose, &view);
        Ok(view)
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the cursor for the page after a tool.
    fn close(&self, whose: &str, after: &str) -> String {
        let seal = self.seal.hash_one((whose, after));
        URL_SAFE_NO_PAD.encode([&seal.to_be_bytes(), after.as_bytes()].concat())
    }

    /// Reads the name of the tool before the page from a cursor.
    fn open(&self, whose: &str, cursor: &str) -> Result<String, ErrorData> {
        let opened = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| {
            let (seal, after) = bytes.split_first_chunk::<SEAL_BYTES>()?;
            let after = std::str::from_utf8(after).ok()?;
            (self.seal.hash_one((whose, after)).to_be_bytes() == *seal).then(|| after.to_owned())
        });
        let why = "this cursor is not one of this server's, or it was given before a restart; list again without a cursor";
        opened.ok_or_else(|| ErrorData::invalid_params(why, None))
    }
}

/// Digest of the names of listed tools.
fn names(listed: &[Arc<tool::Tool>]) -> String {
    let names: Vec<&str> = listed.iter().map(|tool| tool.listing.name.as_str()).collect();
    Digest::of(names.join(" ").as_bytes()).to_string()
}

/// Bytes of the keyed hash that binds a cursor to its server and principal.
const SEAL_BYTES: usize = 8;

impl Current {
    fn view(&self, snapshot: &Arc<Snapshot>, whose: &str) -> Option<Arc<View>> {
        let is_of = std::ptr::eq(self.of.as_ptr(), Arc::as_ptr(snapshot));
        self.views.get(whose).filter(|_| is_of).cloned()
    }

    /// Drops views of another snapshot. Returns those of this one.
    fn begin(&mut self, snapshot: &Arc<Snapshot>) -> Vec<Arc<View>> {
        if !std::ptr::eq(self.of.as_ptr(), Arc::as_ptr(snapshot)) {
            *self = Self { of: Arc::downgrade(snapshot), views: HashMap::new() };
        }
        self.views.values().cloned().collect()
    }

    fn keep(&mut self, snapshot: &Arc<Snapshot>, whose: &str, view: &Arc<View>) {
        if !std::ptr::eq(self.of.as_ptr(), Arc::as_ptr(snapshot)) {
            return;
        }
        if self.views.len() >= LIST_VIEWS_MAX {
            // Serialised again on the next request.
            self.views.clear();
        }
        self.views.insert(whose.to_owned(), Arc::clone(view));
    }
}

impl View {
    /// Serialises these tools, or returns a view in `seen` of the same ones.
    fn of(tools: Vec<Arc<tool::Tool>>, seen: &[Arc<Self>]) -> serde_json::Result<Arc<Self>> {
        let same = |view: &&Arc<Self>| {
            view.tools.len() == tools.len()
                && view.tools.iter().zip(&tools).all(|(one, other)| Arc::ptr_eq(one, other))
        };
        if let Some(view) = seen.iter().find(same) {
            return Ok(Arc::clone(view));
        }
        let (mut bytes, mut places) = (Vec::new(), Vec::with_capacity(tools.len()));
        for tool in &tools {
            if !bytes.is_empty() {
                bytes.push(b',');
            }
            let begins = bytes.len();
            serde_json::to_writer(&mut bytes, &tools::listed(tool))?;
            places.push(begins..bytes.len());
        }
        bytes.shrink_to_fit();
        Ok(Arc::new(Self { tools, bytes: Bytes::from(bytes), places }))
    }

    /// Range of the page that begins after a name: as many tools as fit, but at least one.
    fn page_after(&self, after: Option<&str>) -> Range<usize> {
        let begins = match after {
            Some(after) => self.tools.partition_point(|tool| tool.listing.name.as_str() <= after),
            None => 0,
        };
        let mut ends = begins;
        while let Some(place) = self.places.get(ends) {
            let from = self.places.get(begins).map_or(0, |first| first.start);
            let fits = ends - begins < PAGE_TOOLS_MAX && place.end - from <= PAGE_BYTES_MAX;
            if !fits && ends > begins {
                break;
            }
            ends += 1;
        }
        begins..ends
    }
}

impl Page {
    /// Tools of the page, or a stub for them if bytes can be spliced into the answer.
    pub(super) fn tools(&self, splice: Option<&Splice>) -> Vec<Tool> {
        let tools = self.view.tools.get(self.range.clone()).unwrap_or_default();
        let stub = splice.and_then(|splice| self.spliced(splice));
        stub.map_or_else(|| tools.iter().map(|tool| tools::listed(tool)).collect(), |stub| vec![stub])
    }

    fn spliced(&self, splice: &Splice) -> Option<Tool> {
        let first = self.view.places.get(self.range.start)?;
        let last = self.view.places.get(self.range.end.checked_sub(1)?)?;
        let stub = Tool::new(splice.mark().to_owned(), "", Arc::default());
        let written = serde_json::to_string(&stub).ok()?;
        splice.fill(written, self.view.bytes.slice(first.start..last.end));
        Some(stub)
    }
}
