//! The leases of one run on the stages of a store.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

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

/// How long an artefact may be listed and not be found by its name. Network file systems remember
/// for up to a minute that a name was not there.
const UNSEEN: Duration = Duration::from_secs(90);

/// Leases in a store, held until they are released or the process ends.
pub struct StoreLeases {
    store: Store,
    held: HashMap<Digest, store::Lease>,
    /// How often each stage was refused by an error that may pass.
    refused: HashMap<Digest, usize>,
    /// Since when each stage is listed and not found.
    unseen: HashMap<Digest, Instant>,
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
            unseen: HashMap::new(),
            folder,
        })
    }

    /// The same for one of several processes on several machines.
    #[must_use]
    pub fn shared_by_machines(self) -> Self {
        Self {
            folder: self.folder.keeping_files(),
            ..self
        }
    }

    /// Counts a refusal of a stage; whether it is to be asked for again.
    fn is_tried_again(&mut self, stage: &Stage) -> bool {
        let refused = self.refused.entry(stage.digest).or_default();
        *refused += 1;
        *refused <= TRIES
    }

    /// Whether an artefact is there. That a name was not there is remembered for a while on network
    /// file systems; a list of names is not.
    pub(super) fn look(&mut self, stage: &Stage) -> Presence {
        let kind = stage.spec.kind();
        if !self.store.is_listed(kind, &stage.digest) {
            return Presence::Absent;
        }
        match self.store.verify(kind, &stage.digest) {
            Found::Intact(_) if is_whole(&self.store, stage) => Presence::Made,
            Found::Missing => {
                let since = self.unseen.entry(stage.digest).or_insert_with(Instant::now);
                match since.elapsed() < UNSEEN {
                    true => Presence::Unseen,
                    false => Presence::Absent,
                }
            }
            Found::Intact(_) | Found::Damaged(_) => Presence::Absent,
        }
    }
}

/// Whether an artefact is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// It is, whole and intact.
    Made,
    /// Another machine has made it, and it is not seen here yet.
    Unseen,
    /// It is not, or is damaged, or lacks what is to be kept.
    Absent,
}

impl Leases for StoreLeases {
    fn claim(&mut self, stage: &Stage) -> LeaseReply {
        match self.folder.lease(&stage.digest) {
            // Another process may have made the artefact in the meantime.
            Ok(Some(lease)) => match self.look(stage) {
                Presence::Made => LeaseReply::Made,
                Presence::Unseen => LeaseReply::Theirs,
                Presence::Absent => {
                    self.held.insert(stage.digest, lease);
                    LeaseReply::Ours
                }
            },
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
