//! Linkers: one for each engine and set of capabilities, shared by all plugins with the same set.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use toolgate_base::spec::EngineKind;
use toolgate_policy::Capability;
use wasmtime::Engine;
use wasmtime::component::Linker;

use crate::imports::{Ctx, link};

/// Cache of linkers.
#[derive(Default)]
pub(super) struct Linkers {
    made: Mutex<BTreeMap<Wanted, Arc<Linker<Ctx>>>>,
}

type Wanted = (EngineKind, BTreeSet<Capability>);

impl Linkers {
    /// Returns the linker that provides exactly `words` of the capabilities that need a grant.
    pub(super) fn for_words(
        &self,
        engine: &Engine,
        kind: EngineKind,
        words: &BTreeSet<Capability>,
    ) -> wasmtime::Result<Arc<Linker<Ctx>>> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(linker) = made.get(&(kind, words.clone())) {
            return Ok(Arc::clone(linker));
        }
        let mut linker = Linker::new(engine);
        link(&mut linker, kind, words)?;
        let linker = Arc::new(linker);
        made.insert((kind, words.clone()), Arc::clone(&linker));
        Ok(linker)
    }
}
