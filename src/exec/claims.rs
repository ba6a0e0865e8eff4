//! The claims of one run on the stages of a store.

use std::collections::HashMap;

use crate::{
    artefact::is_whole,
    key::Digest,
    plan::Stage,
    schedule::{LeaseReply, Leases},
    store::{self, Found, Store},
};

/// How often a stage is asked for again after an error that may pass. Each time takes a fifth of a
/// second or more.
const TRIES: usize = 4;

/// Claims in a store, held until they are released or the process ends.
pub struct StoreLeases {
    store: Store,
    held: HashMap<Digest, store::Lease>,
    /// How often each stage was refused by an error that may pass.
    refused: HashMap<Digest, usize>,
}

impl StoreLeases {
    /// None yet; removes what ended processes have left behind.
    pub fn new(store: Store) -> Self {
        store.sweep_leases();
        store.sweep_progress();
        Self {
            store,
            held: HashMap::new(),
            refused: HashMap::new(),
        }
    }
}

impl StoreLeases {
    /// Counts a refusal of a stage; whether it is to be asked for again.
    fn is_tried_again(&mut self, stage: &Stage) -> bool {
        let refused = self.refused.entry(stage.digest).or_default();
        *refused += 1;
        *refused <= TRIES
    }
}

impl Leases for StoreLeases {
    fn claim(&mut self, stage: &Stage) -> LeaseReply {
        match self.store.lease(&stage.digest) {
            Ok(Some(lease)) => {
                // Another process may have made the artefact in the meantime. That a name was not
                // there is remembered for a while on network file systems; a list of names is not.
                let kind = stage.spec.kind();
                if self.store.is_listed(kind, &stage.digest)
                    && is_whole(&self.store, stage)
                    && matches!(self.store.verify(kind, &stage.digest), Found::Intact(_))
                {
                    return LeaseReply::Made;
                }
                self.held.insert(stage.digest, lease);
                LeaseReply::Ours
            }
            Ok(None) => LeaseReply::Theirs,
            // An error is no claim, as long as it may pass.
            Err(error) if error.may_pass() && self.is_tried_again(stage) => LeaseReply::Theirs,
            // Where the store cannot be written to, publishing reports it.
            Err(_) => LeaseReply::Ours,
        }
    }

    fn release(&mut self, stage: &Stage) {
        self.held.remove(&stage.digest);
    }
}
