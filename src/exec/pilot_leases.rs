//! The leases of a pilot, which shares failures with the other pilots of its sweep.

use std::collections::HashSet;

use super::{StoreLeases, claims::Presence};
use crate::{
    key::Digest,
    pilots::{SharedFailures, Trying},
    plan::Stage,
    schedule::{LeaseReply, Leases, Release},
};

/// Leases in a store, with attempts and failures that all pilots count.
pub struct PilotLeases<'a> {
    leases: StoreLeases,
    failures: &'a mut SharedFailures,
    /// The stages that this pilot may run; `None` for all.
    own: Option<HashSet<Digest>>,
}

impl<'a> PilotLeases<'a> {
    /// None yet.
    pub fn new(
        leases: StoreLeases,
        failures: &'a mut SharedFailures,
        own: Option<HashSet<Digest>>,
    ) -> Self {
        Self {
            leases,
            failures,
            own,
        }
    }

    /// What is known of a stage that another pilot runs.
    fn look(&mut self, stage: &Stage) -> LeaseReply {
        match self.leases.look(stage) {
            Presence::Made => return LeaseReply::Made,
            Presence::Unseen => return LeaseReply::Theirs,
            Presence::Absent => {}
        }
        match self.failures.reason(&stage.digest) {
            Some(reason) => LeaseReply::Hopeless(reason),
            None => LeaseReply::Theirs,
        }
    }
}

impl Leases for PilotLeases<'_> {
    fn claim(&mut self, stage: &Stage) -> LeaseReply {
        let foreign = |own: &HashSet<Digest>| !own.contains(&stage.digest);
        if self.own.as_ref().is_some_and(foreign) {
            return self.look(stage);
        }
        let reply = self.leases.claim(stage);
        if reply != LeaseReply::Ours {
            return reply;
        }
        let reply = match self.failures.begin(&stage.digest) {
            Ok(Trying::Begun) => return LeaseReply::Ours,
            Ok(Trying::GivenUp(reason)) => LeaseReply::Hopeless(reason),
            Ok(Trying::Elsewhere) => LeaseReply::Theirs,
            Err(error) => LeaseReply::Hopeless(error.to_string()),
        };
        self.leases.release(stage, &Release::Stopped);
        reply
    }

    fn release(&mut self, stage: &Stage, how: &Release) {
        // An attempt whose end cannot be noted counts as an accident.
        let _ = self.failures.end(&stage.digest, how);
        self.leases.release(stage, how);
    }
}
