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
    /// None yet; what processes have left behind that are gone is removed.
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
                // Whoever held it before may have made it.
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
            // A store that cannot be written to says so when the stage publishes.
            Err(_) => LeaseReply::Ours,
        }
    }

    fn release(&mut self, stage: &Stage) {
        self.held.remove(&stage.digest);
    }
}
