//! Pages that follow a sweep: rewritten while results come, beside the work and never in its way.
//!
//! The rule: writing takes at most a fiftieth of one core's time, and what cannot be written is not
//! mentioned here; the end of the sweep writes the same pages and says so.

use std::{
    sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    thread::Scope,
    time::{Duration, Instant},
};

use crate::{
    data::Dataset,
    estimate,
    event::{Listener, Record},
    paper,
    plan::{Plan, StageId},
    report::{self, DataOrigin, PageSources, Unread},
    results,
    store::Store,
    variant::Folders,
};

/// The shortest time between two writings: a short sweep writes its pages once, at its end.
const SHORTEST: Duration = Duration::from_secs(20);
/// How many times the time that a writing took passes before the next.
const REST: u32 = 50;

/// What pages are written from while a sweep runs.
#[derive(Clone, Debug)]
pub struct LivePages<'a> {
    /// What is run.
    pub plan: &'a Plan,
    /// Where results come to.
    pub store: &'a Store,
    /// The images and masks.
    pub dataset: &'a Dataset,
    /// Where the pages go.
    pub folders: &'a Folders,
}

/// Tells the writer that there is something new; the writer ends when this is dropped.
#[derive(Debug)]
pub struct PageUpdates(SyncSender<()>);

impl PageUpdates {
    /// Something has changed. It costs nothing where the writer knows that already.
    fn tell(&self) {
        // Full: it has been told. Closed: there is no writer to tell.
        let _ = self.0.try_send(());
    }
}

impl Listener for PageUpdates {
    /// Tells of every stage that is at another point.
    fn on(&mut self, record: &Record) {
        if record.event.stage().is_some() {
            self.tell();
        }
    }
}

impl<'a> LivePages<'a> {
    /// Starts writing in a thread of its own.
    pub fn follow<'scope>(self, scope: &'scope Scope<'scope, '_>) -> PageUpdates
    where
        'a: 'scope,
    {
        let (sender, receiver) = mpsc::sync_channel(1);
        scope.spawn(move || self.write_until_the_end(&receiver));
        PageUpdates(sender)
    }

    fn write_until_the_end(&self, news: &Receiver<()>) {
        let mut rest = SHORTEST;
        loop {
            if !rested(news, rest) {
                return;
            }
            let began = Instant::now();
            self.write();
            rest = SHORTEST.max(REST * began.elapsed());
        }
    }

    fn write(&self) {
        let results = results::collect(self.plan, self.store, &|_: StageId| None);
        let sources = PageSources {
            results: &results,
            store: self.store,
            dataset: self.dataset,
            provenance: &DataOrigin::of(self.dataset),
            folders: self.folders,
            spent: &estimate::spent(self.folders.dir()),
            claims: paper::claims,
            unread: &Unread::default(),
            underway: true,
        };
        let _ = report::write_pages(&sources);
    }
}

/// Waits so long; false where the sweep ends before. News on the way are for afterwards.
fn rested(news: &Receiver<()>, long: Duration) -> bool {
    let until = Instant::now() + long;
    let mut told = false;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match news.recv_timeout(left) {
            Ok(()) => told = true,
            Err(RecvTimeoutError::Timeout) => break,
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
    // Without any news there is nothing to write, and the next one is waited for.
    told || news.recv().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Duration = Duration::from_millis(5);

    #[test]
    fn news_on_the_way_are_for_afterwards() {
        let (sender, receiver) = mpsc::sync_channel(1);
        let news = PageUpdates(sender);
        // Telling twice neither waits nor fails.
        news.tell();
        news.tell();
        assert!(rested(&receiver, MOMENT));
    }

    #[test]
    fn the_end_of_the_sweep_is_the_end_of_waiting() {
        let (sender, receiver) = mpsc::sync_channel(1);
        drop(PageUpdates(sender));
        assert!(!rested(&receiver, Duration::from_secs(3600)));
    }
}
