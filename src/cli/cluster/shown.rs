//! What is shown of the pilots of a sweep: those that live by their locks, and why others wait by
//! Slurm's queue, which is asked rarely.

use std::{fmt::Write as _, time::Instant};

use itertools::Itertools;

use crate::{
    cluster::{ArrayElement, ElementState, RareQueue},
    exec::Slurm,
    key::Digest,
    pilots::{self, FrozenSweep, PilotError, SweepFolder, given_up, living, pilot_errors},
    results_dir::ResultsDir,
};

/// The queue of a sweep, as it was when it was asked last.
pub(in super::super) struct Pilots<'a> {
    slurm: &'a Slurm,
    job: &'a str,
    queue: RareQueue,
    /// Why the last look failed.
    problem: Option<String>,
}

impl<'a> Pilots<'a> {
    pub(in super::super) fn new(slurm: &'a Slurm, job: &'a str) -> Self {
        Self {
            slurm,
            job,
            queue: RareQueue::new(),
            problem: None,
        }
    }

    /// Asks Slurm where its turn has come.
    pub(in super::super) fn look(&mut self, now: Instant) {
        if !self.queue.is_due(now) {
            return;
        }
        let (found, problem) = match self.slurm.queue(self.job) {
            Ok(elements) => (Some(elements), None),
            Err(error) => (None, Some(error.to_string())),
        };
        self.queue.looked(now, found);
        self.problem = problem;
    }

    /// Whether Slurm has answered that no pilot runs or will run.
    pub(in super::super) fn is_over(&self) -> bool {
        let over = |elements: &[ArrayElement]| !elements.iter().any(ArrayElement::is_alive);
        self.problem.is_none() && self.queue.shown().is_some_and(over)
    }

    /// Whether Slurm has said that one runs or may run.
    fn is_queued(&self) -> bool {
        let elements = self.queue.shown().unwrap_or_default();
        elements.iter().any(ArrayElement::is_alive)
    }

    /// How many pilots wait, and why; or why that is not known.
    pub(in super::super) fn waiting(&self) -> Option<String> {
        if let Some(problem) = &self.problem {
            return Some(format!("why pilots wait is not known ({problem})"));
        }
        match (self.pending().count(), self.why()) {
            (0, _) => None,
            (count, Some(why)) => Some(format!("{count} wait: {why}")),
            (count, None) => Some(format!("{count} wait")),
        }
    }

    /// What has ended pilots that did not end by themselves, each in a line.
    pub(super) fn lost(&self) -> Vec<String> {
        let elements = self.queue.shown().unwrap_or_default().iter();
        let lost = elements.filter_map(|element| {
            let cause = element.state.cause()?;
            let on = match element.nodes.as_str() {
                "" => String::new(),
                nodes => format!(" on {nodes}"),
            };
            Some(format!("pilot {}{on} was lost: {cause}", element.job()))
        });
        lost.collect()
    }

    /// Why the first of those waits that Slurm gives a reason for.
    pub(super) fn why(&self) -> Option<String> {
        self.pending().find_map(ArrayElement::why)
    }

    fn pending(&self) -> impl Iterator<Item = &ArrayElement> {
        let elements = self.queue.shown().unwrap_or_default().iter();
        elements.filter(|element| element.state == ElementState::Pending)
    }
}

/// The sweep of what is to be run, as `status` shows it; `None` where it was never submitted.
pub(in super::super) struct SubmittedSweep<'a> {
    folder: SweepFolder,
    frozen: FrozenSweep,
    queued: Pilots<'a>,
}

impl<'a> SubmittedSweep<'a> {
    /// By the digest of what is to be run and the name of its jobs.
    pub(in super::super) fn find(
        results: &ResultsDir,
        digest: &Digest,
        slurm: &'a Slurm,
        job: &'a str,
    ) -> Option<Self> {
        let folder = SweepFolder::of(results, &pilots::name_of(digest));
        let frozen = FrozenSweep::read(&folder).ok()?;
        let queued = Pilots::new(slurm, job);
        Some(Self {
            folder,
            frozen,
            queued,
        })
    }

    /// Whether pilots are in the queue, as Slurm said when it was asked last.
    pub(in super::super) fn is_queued(&self) -> bool {
        !self.folder.is_reported() && self.queued.is_queued()
    }

    /// Asks Slurm where its turn has come, which knows nothing more of a sweep that is done.
    pub(in super::super) fn look(&mut self) {
        if !self.folder.is_reported() {
            self.queued.look(Instant::now());
        }
    }

    /// The pilots that run, why others wait, and what went wrong.
    pub(in super::super) fn told(&self) -> String {
        let (folder, frozen) = (&self.folder, &self.frozen);
        let alive = living(folder);
        let mut text = String::new();
        let _ = writeln!(
            text,
            "\non cluster {}: {} of {} pilots run; logs: {}",
            frozen.settings.name,
            alive.len(),
            frozen.pilots,
            folder.pilots().display()
        );
        for pilot in alive {
            let _ = writeln!(text, "  {} on {}", pilot.name, pilot.host);
        }
        if !folder.is_reported() {
            if let Some(waiting) = self.queued.waiting() {
                let _ = writeln!(text, "  {waiting}");
            }
            for line in self.queued.lost() {
                let _ = writeln!(text, "  {line}");
            }
        }
        let failed = given_up(folder).len();
        if failed > 0 {
            let _ = writeln!(
                text,
                "  {failed} stages are given up: {}",
                folder.failed().display()
            );
        }
        for line in ended_with_errors(pilot_errors(folder)) {
            let _ = writeln!(text, "  {line}");
        }
        text
    }
}

/// Why pilots have ended with errors, each reason once.
pub(super) fn ended_with_errors(errors: Vec<PilotError>) -> Vec<String> {
    let by_reason = errors
        .into_iter()
        .into_group_map_by(|each| each.reason.clone());
    let told = by_reason.into_iter().map(|(reason, pilots)| {
        let first = &pilots[0];
        let more = match pilots.len() {
            1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        format!(
            "pilot {} on {}{more} ended with an error: {reason}",
            first.pilot, first.host
        )
    });
    told.sorted().collect()
}
