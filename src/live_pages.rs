//! Pages of a running sweep, rewritten while results arrive, without slowing the work.
//!
//! The rule: writing takes at most a fiftieth of one core's time. What cannot be written is ignored
//! here, since the end of the sweep writes the same pages and reports it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    },
    thread::Scope,
    time::{Duration, Instant},
};

use crate::{
    data::Dataset,
    estimate,
    event::{Ended, Listener, Record, now},
    paper,
    plan::{Plan, StageId},
    progress::Board,
    report::{self, DataOrigin, PageSources, RicherTable, RunningSweep, Unread},
    results,
    store::Store,
    variant::Folders,
};

/// The shortest time between two writings: a short sweep writes its pages once, at its end.
const SHORTEST: Duration = Duration::from_secs(20);
/// When a page loads itself again.
const AGAIN: Duration = Duration::from_secs(15);
/// The pause before the next writing, in multiples of the time that the last one took.
const REST: u32 = 50;

/// What pages are written from while a sweep runs.
#[derive(Clone, Debug)]
pub struct LivePages<'a> {
    /// What is run.
    pub plan: &'a Plan,
    /// Where results are stored.
    pub store: &'a Store,
    /// The images and masks.
    pub dataset: &'a Dataset,
    /// Where the pages go.
    pub folders: &'a Folders,
}

/// Signals changes to the writer, which ends when this is dropped.
#[derive(Debug)]
pub struct PageUpdates {
    signals: SyncSender<()>,
    board: Arc<Mutex<Board>>,
}

impl PageUpdates {
    /// Signals a change; does nothing where a signal is pending.
    fn tell(&self) {
        // Full: a signal is pending. Closed: the writer has ended.
        let _ = self.signals.try_send(());
    }
}

impl Listener for PageUpdates {
    /// Signals every event of a stage.
    fn on(&mut self, record: &Record) {
        let board = self.board.lock();
        board.unwrap_or_else(PoisonError::into_inner).on(record);
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
        let (signals, receiver) = mpsc::sync_channel(1);
        let board: Arc<Mutex<Board>> = Arc::default();
        let seen = board.clone();
        scope.spawn(move || self.write_until_the_end(&receiver, &seen));
        PageUpdates { signals, board }
    }

    fn write_until_the_end(&self, news: &Receiver<()>, board: &Mutex<Board>) {
        let mut rest = SHORTEST;
        let mut written = false;
        loop {
            let goes_on = rested(news, rest);
            let began = Instant::now();
            let underway = {
                let board = board.lock().unwrap_or_else(PoisonError::into_inner);
                if !goes_on {
                    // Otherwise the end of the sweep writes them.
                    let stopped = matches!(board.ended, Some(Ended::Interrupted | Ended::DiskFull));
                    drop(board);
                    if stopped && written {
                        self.write(None);
                    }
                    return;
                }
                RunningSweep {
                    share: board.share_done(),
                    line: board.line(now()),
                    at: board.heard,
                    again_after: AGAIN,
                }
            };
            self.write(Some(&underway));
            written = true;
            rest = SHORTEST.max(REST * began.elapsed());
        }
    }

    /// Writes them now, as those of a running sweep, or of one that was stopped. Finished pages
    /// over tables that have more results than there are so far are left alone.
    pub fn write(&self, underway: Option<&RunningSweep>) {
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
            underway,
            kept: &RicherTable::find(&results, self.folders),
        };
        let _ = report::write_pages(&sources);
    }
}

/// Waits this long, and then for a signal if none came meanwhile; false where the sweep ends
/// before.
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
    // Without a signal there is nothing to write yet.
    told || news.recv().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Duration = Duration::from_millis(5);

    #[test]
    fn news_on_the_way_are_for_afterwards() {
        let (signals, receiver) = mpsc::sync_channel(1);
        let news = PageUpdates {
            signals,
            board: Arc::default(),
        };
        // Telling twice neither waits nor fails.
        news.tell();
        news.tell();
        assert!(rested(&receiver, MOMENT));
    }

    #[test]
    fn the_end_of_the_sweep_is_the_end_of_waiting() {
        let (signals, receiver) = mpsc::sync_channel::<()>(1);
        drop(signals);
        assert!(!rested(&receiver, Duration::from_secs(3600)));
    }
}
