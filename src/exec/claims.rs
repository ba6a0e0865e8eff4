//! The claims of one run on the stages of a store.

use std::collections::HashMap;

use crate::{
    artefact::is_whole,
    key::Digest,
    plan::Stage,
    schedule::{LeaseReply, Leases},
    store::{self, Found, Store},
};

/// Claims in a store, held until they are released or the process ends.
pub struct StoreLeases {
    store: Store,
    held: HashMap<Digest, store::Lease>,
}

impl StoreLeases {
    /// None yet; removes what ended processes have left behind.
    pub fn new(store: Store) -> Self {
        store.sweep_leases();
        store.sweep_progress();
        Self {
            store,
            held: HashMap::new(),
        }
    }
}

impl Leases for StoreLeases {
    fn claim(&mut self, stage: &Stage) -> LeaseReply {
        match self.store.lease(&stage.digest) {
            Ok(Some(lease)) => {
                // Another process may have made the artefact in the meantime.
                let kind = stage.spec.kind();
                if self.store.contains(kind, &stage.digest)
                    && is_whole(&self.store, stage)
                    && matches!(self.store.verify(kind, &stage.digest), Found::Intact(_))
                {
                    return LeaseReply::Made;
                }
                self.held.insert(stage.digest, lease);
                LeaseReply::Ours
            }
            Ok(None) => LeaseReply::Theirs,
            // Where the store cannot be written to, publishing reports it.
            Err(_) => LeaseReply::Ours,
        }
    }

    fn release(&mut self, stage: &Stage) {
        self.held.remove(&stage.digest);
    }
}
