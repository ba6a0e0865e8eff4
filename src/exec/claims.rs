//! The claims of one run on the stages of a store.

use std::collections::HashMap;

use crate::{
    artefact::is_whole,
    key::Digest,
    plan::Stage,
    schedule::{Claim, Claims},
    store::{self, Found, Store},
};

/// Claims in a store, held until they are released or the process ends.
pub struct StoreClaims {
    store: Store,
    held: HashMap<Digest, store::Claim>,
}

impl StoreClaims {
    /// None yet; removes what ended processes have left behind.
    pub fn new(store: Store) -> Self {
        store.sweep_claims();
        store.sweep_progress();
        Self {
            store,
            held: HashMap::new(),
        }
    }
}

impl Claims for StoreClaims {
    fn claim(&mut self, stage: &Stage) -> Claim {
        match self.store.claim(&stage.digest) {
            Ok(Some(claim)) => {
                // Another process may have made the artefact in the meantime.
                let kind = stage.spec.kind();
                if self.store.contains(kind, &stage.digest)
                    && is_whole(&self.store, stage)
                    && matches!(self.store.verify(kind, &stage.digest), Found::Intact(_))
                {
                    return Claim::Made;
                }
                self.held.insert(stage.digest, claim);
                Claim::Ours
            }
            Ok(None) => Claim::Theirs,
            // Where the store cannot be written to, publishing reports it.
            Err(_) => Claim::Ours,
        }
    }

    fn release(&mut self, stage: &Stage) {
        self.held.remove(&stage.digest);
    }
}
