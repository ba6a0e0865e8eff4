//! The leases of one run on the stages of a store.

use std::collections::HashMap;

use crate::{
    artefact::is_whole,
    key::Digest,
    plan::Stage,
    schedule::{LeaseReply, Leases, Release},
    store::{self, Found, LeaseFolder, Store, StoreError},
};

/// How often a stage is asked for again after an error that may pass. Each time takes a fifth of a
/// second or more.
const TRIES: usize = 4;

/// Leases in a store, held until they are released or the process ends.
pub struct StoreLeases {
    store: Store,
    held: HashMap<Digest, store::Lease>,
    /// How often each stage was refused by an error that may pass.
    refused: HashMap<Digest, usize>,
    /// The last to be dropped.
    folder: LeaseFolder,
}

impl StoreLeases {
    /// None yet; removes what ended processes have left behind.
    ///
    /// # Errors
    /// The store cannot be written to, or its disk has no locks.
    pub fn new(store: Store) -> Result<Self, StoreError> {
        let folder = store.leases()?;
        store.sweep_progress();
        Ok(Self {
            store,
            held: HashMap::new(),
            refused: HashMap::new(),
            folder,
        })
    }

    /// Counts a refusal of a stage; whether it is to be asked for again.
    fn is_tried_again(&mut self, stage: &Stage) -> bool {
        let refused = self.refused.entry(stage.digest).or_default();
        *refused += 1;
        *refused <= TRIES
    }

    /// Whether an artefact is there, whole and intact. That a name was not there is remembered for
    /// a while on network file systems; a list of names is not.
    pub(super) fn is_made(&self, stage: &Stage) -> bool {
        let kind = stage.spec.kind();
        self.store.is_listed(kind, &stage.digest)
            && is_whole(&self.store, stage)
            && matches!(self.store.verify(kind, &stage.digest), Found::Intact(_))
    }
}

impl Leases for StoreLeases {
    fn claim(&mut self, stage: &Stage) -> LeaseReply {
        match self.folder.lease(&stage.digest) {
            // Another process may have made the artefact in the meantime.
            Ok(Some(_)) if self.is_made(stage) => LeaseReply::Made,
            Ok(Some(lease)) => {
                self.held.insert(stage.digest, lease);
                LeaseReply::Ours
            }
            Ok(None) => LeaseReply::Theirs,
            // An error is no lease, as long as it may pass.
            Err(error) if error.may_pass() && self.is_tried_again(stage) => LeaseReply::Theirs,
            // A full disk is reported by publishing.
            Err(error) if error.is_no_space() => LeaseReply::Ours,
            Err(error) => LeaseReply::Hopeless(error.to_string()),
        }
    }

    fn release(&mut self, stage: &Stage, _: &Release) {
        self.held.remove(&stage.digest);
    }
}
