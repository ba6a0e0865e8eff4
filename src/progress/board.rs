//! The state of a run of stages, computed from its records alone.
//!
//! The rule: the live display shows a board and nothing else, so that a journal that is read again
//! shows what the display showed.

use std::time::Duration;

use serde::Serialize;

use super::duration;
use crate::{
    event::{Counts, Ended, Event, Record, Step, Subject},
    key::Digest,
    plan::grouped,
};

/// The state of one run of stages.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Board {
    /// The command as it was typed.
    pub command: String,
    /// Its process.
    pub process: u32,
    /// The machine of the process; empty in journals of earlier versions.
    pub host: String,
    /// When it began, in seconds since 1970.
    pub began: f64,
    /// The time of its last record, in seconds since 1970.
    pub heard: f64,
    /// The states of its stages.
    pub counts: Counts,
    /// Every slot: its device and its stage.
    pub slots: Vec<SlotState>,
    /// The stages that failed.
    pub failures: Vec<FailedStage>,
    /// How it ended, if it did.
    pub ended: Option<Ended>,
    /// Seconds that it was paused.
    pub paused: f64,
    /// How much work there is, and how much is done.
    work: WorkDone,
}

/// One slot.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SlotState {
    /// Device and engine.
    pub device: String,
    /// The stage that runs in it.
    pub stage: Option<Running>,
}

/// A stage in a slot.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Running {
    /// The stage.
    pub stage: Digest,
    /// What it is.
    pub subject: Subject,
    /// When it began.
    pub since: f64,
    /// Its last step.
    pub step: Option<Step>,
    /// The steps that an earlier attempt had done, from which it goes on.
    pub resumed: usize,
}

impl Running {
    /// Batches that passed through the network: in this attempt, and before it.
    fn passes(&self) -> [u64; 2] {
        let work = self.subject.work;
        let steps = self.step.map_or(0, |step| step.step.min(work.steps));
        let before = self.resumed.min(work.steps);
        let passes = |steps: usize| (steps * work.batches) as u64;
        [passes(steps.saturating_sub(before)), passes(before)]
    }

    /// What a batch costs, as [`crate::plan::Work::cost`] counts.
    fn cost_each(&self) -> u64 {
        let work = self.subject.work;
        work.cost() / work.passes().max(1)
    }
}

/// A stage without artefact.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FailedStage {
    /// The stage.
    pub stage: Digest,
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// For how much work, in multiples of what is done, scores without trainings give a pace.
const SCORES_SAY: u64 = 100;

/// Work as [`crate::plan::Work::cost`] counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
struct WorkDone {
    /// Done before the run began.
    before: u64,
    /// Outstanding when it began.
    cost: u64,
    /// Of it, what finished stages have done now.
    cost_done: u64,
    /// Of it, what finished stages found in saved progress.
    cost_restored: u64,
    /// Batches of finished stages, done now.
    batches_done: u64,
    /// The largest share that was shown.
    share_shown: f64,
}

impl Board {
    /// Applies a record.
    pub fn on(&mut self, record: &Record) {
        self.take(record);
        self.work.share_shown = self.share_done();
    }

    fn take(&mut self, record: &Record) {
        self.heard = record.at;
        self.counts = record.counts;
        match &record.event {
            Event::Began {
                command,
                process,
                host,
                slots,
                cost,
                before,
                version: _,
                log: _,
            } => {
                let slots = slots.iter().map(|device| SlotState {
                    device: device.clone(),
                    stage: None,
                });
                *self = Self {
                    command: command.clone(),
                    process: *process,
                    host: host.clone(),
                    began: record.at,
                    slots: slots.collect(),
                    work: WorkDone {
                        cost: *cost,
                        before: *before,
                        ..WorkDone::default()
                    },
                    heard: record.at,
                    counts: record.counts,
                    ..Self::default()
                };
            }
            Event::Started {
                stage,
                slot,
                subject,
            } => {
                if let Some(slot) = self.slots.get_mut(*slot) {
                    slot.stage = Some(Running {
                        stage: *stage,
                        subject: subject.clone(),
                        since: record.at,
                        step: None,
                        resumed: 0,
                    });
                }
            }
            Event::Resumed { slot, steps, .. } => {
                if let Some(running) = self.running(*slot) {
                    running.resumed = *steps;
                }
            }
            Event::Progress { slot, step, .. } => {
                if let Some(running) = self.running(*slot) {
                    running.step = Some(*step);
                }
            }
            Event::Finished { slot, .. } => {
                if let Some(running) = self.free(*slot) {
                    let work = running.subject.work;
                    let [_, before] = running.passes();
                    let restored = before * running.cost_each();
                    self.work.cost_done += work.cost().saturating_sub(restored);
                    self.work.cost_restored += restored;
                    self.work.batches_done += work.passes().saturating_sub(before);
                }
            }
            Event::Found { cost, .. } => {
                self.work.cost = self.work.cost.saturating_sub(*cost);
                self.work.before += *cost;
            }
            Event::Continued { seconds } => self.paused += seconds,
            Event::Retried { slot, .. } | Event::Stopped { slot, .. } => {
                self.free(*slot);
            }
            Event::Failed {
                stage,
                slot,
                subject,
                reason,
            } => {
                self.free(*slot);
                self.failed(*stage, subject, reason);
            }
            Event::FailedElsewhere {
                stage,
                subject,
                reason,
            } => self.failed(*stage, subject, reason),
            Event::Elsewhere { .. } | Event::Blocked { .. } | Event::Interrupted => {}
            Event::Ended { how } => self.ended = Some(*how),
        }
    }

    fn failed(&mut self, stage: Digest, subject: &Subject, reason: &str) {
        self.failures.push(FailedStage {
            stage,
            name: subject.name.clone(),
            reason: reason.to_owned(),
        });
    }

    fn running(&mut self, slot: usize) -> Option<&mut Running> {
        self.slots.get_mut(slot)?.stage.as_mut()
    }

    fn free(&mut self, slot: usize) -> Option<Running> {
        self.slots.get_mut(slot)?.stage.take()
    }

    /// The name of the stage in a slot.
    pub fn name(&self, slot: usize) -> Option<&str> {
        let running = self.slots.get(slot)?.stage.as_ref();
        running.map(|running| running.subject.name.as_str())
    }

    /// The name of the stage in a slot, if it is a training.
    pub fn training(&self, slot: usize) -> Option<&str> {
        let running = self.slots.get(slot)?.stage.as_ref();
        let training = running.filter(|running| running.subject.kind.is_training());
        training.map(|running| running.subject.name.as_str())
    }

    /// What running stages have done: cost and batches now, and cost in saved progress.
    fn under_way(&self) -> [u64; 3] {
        let running = self.slots.iter().filter_map(|slot| slot.stage.as_ref());
        running.fold([0; 3], |[cost, batches, restored], running| {
            let ([now, before], each) = (running.passes(), running.cost_each());
            [cost + now * each, batches + now, restored + before * each]
        })
    }

    /// How much of the work is done, from 0 to 1; it never falls, even where a stage begins anew.
    pub fn share_done(&self) -> f64 {
        let work = &self.work;
        let [now, _, restored] = self.under_way();
        let share = match work.before + work.cost {
            0 => 1.0,
            all => {
                let done = work.before + work.cost_done + work.cost_restored + now + restored;
                (done as f64 / all as f64).min(1.0)
            }
        };
        share.max(work.share_shown)
    }

    /// Seconds since it began, without pauses.
    fn elapsed(&self, now: f64) -> f64 {
        now - self.began - self.paused
    }

    /// How long the rest takes at the pace so far; `None` before there is a pace. What was done
    /// before counts for neither.
    pub fn left(&self, now: f64) -> Option<Duration> {
        let work = &self.work;
        let [cost, batches, restored] = self.under_way();
        let (elapsed, done) = (self.elapsed(now), work.cost_done + cost);
        let left = work
            .cost
            .saturating_sub(done + work.cost_restored + restored);
        // Scores alone say nothing of the pace of trainings.
        let says = work.batches_done + batches > 0 || left / SCORES_SAY <= done;
        let paced = elapsed >= 3.0 && done > 0 && says;
        paced
            .then(|| Duration::try_from_secs_f64(elapsed * left as f64 / done as f64).ok())
            .flatten()
    }

    /// The time left and the pace, for example `ETA 4 min 10 s  57 batches/s`.
    pub fn pace(&self, now: f64) -> String {
        let mut text = match self.left(now) {
            Some(left) => format!("ETA {}", duration(left)),
            None if self.work.cost > 1 => "ETA after a few steps".to_owned(),
            None => String::new(),
        };
        let elapsed = self.elapsed(now);
        let [_, batches, _] = self.under_way();
        let batches = self.work.batches_done + batches;
        if batches > 0 && elapsed > 1.0 {
            let each_second = (batches as f64 / elapsed).round() as usize;
            text.push_str(&format!("  {} batches/s", grouped(each_second)));
        }
        text
    }

    /// How much is done, for example `312 of 1,538 trainings done, 2 stages running`. Where nothing
    /// is trained, stages are counted.
    pub fn done(&self) -> String {
        let Counts {
            cached: _,
            waiting,
            running,
            elsewhere,
            finished,
            failed,
            blocked,
            trainings_finished,
            trainings_left,
        } = self.counts;
        let (done, all, what) = match trainings_finished + trainings_left {
            0 => (finished, finished + waiting + running + elsewhere, "stages"),
            all => (trainings_finished, all, "trainings"),
        };
        let [done, all, running] = [done, all, running].map(grouped);
        let stages = if self.counts.running == 1 {
            "stage"
        } else {
            "stages"
        };
        let mut text = format!("{done} of {all} {what} done, {running} {stages} running");
        if elsewhere > 0 {
            text.push_str(&format!(", {} in another process", grouped(elsewhere)));
        }
        if failed + blocked > 0 {
            let [failed, blocked] = [failed, blocked].map(grouped);
            text.push_str(&format!(", {failed} failed, {blocked} blocked by them"));
        }
        text
    }

    /// One line for all slots, for example
    /// `ETA 4 min 10 s  57 batches/s  312 of 1,538 trainings done, 2 stages running`.
    pub fn line(&self, now: f64) -> String {
        format!("{}  {}", self.pace(now), self.done())
    }

    /// The lines of the slots, at most so many: where there are more slots, those of the first that
    /// are busy, and how many others are.
    pub fn slot_lines(&self, most: usize) -> Vec<String> {
        let line = |slot| format!("slot {slot}: {}", self.slot(slot));
        if self.slots.len() <= most {
            return (0..self.slots.len()).map(line).collect();
        }
        let slots = self.slots.iter().enumerate();
        let busy = slots.filter(|(_, slot)| slot.stage.is_some());
        let busy: Vec<usize> = busy.map(|(slot, _)| slot).collect();
        let shown = match busy.len() > most {
            true => most - 1,
            false => busy.len(),
        };
        let mut lines: Vec<String> = busy[..shown].iter().map(|slot| line(*slot)).collect();
        if shown < busy.len() {
            lines.push(format!("and {} more", busy.len() - shown));
        }
        lines
    }

    /// The line of a slot, for example `finetune 1+2 to 6, n = 10, start 4  step 80 of 150  loss
    /// 0.1234`.
    pub fn slot(&self, slot: usize) -> String {
        let Some(Running { subject, step, .. }) =
            self.slots.get(slot).and_then(|s| s.stage.as_ref())
        else {
            return "-".to_owned();
        };
        let mut text = subject.name.clone();
        if let Some(Step { step, loss, .. }) = step {
            text.push_str(&format!(
                "  step {step} of {}  loss {loss:.4}",
                subject.work.steps
            ));
        }
        text
    }

    /// The line on how the run ended.
    pub fn outcome(&self) -> String {
        let took = Duration::try_from_secs_f64(self.heard - self.began).unwrap_or_default();
        format!("{}, after {}", summary(&self.counts), duration(took))
    }
}

fn summary(counts: &Counts) -> String {
    let Counts {
        cached,
        waiting,
        running,
        elsewhere,
        finished,
        failed,
        blocked,
        trainings_finished: _,
        trainings_left: _,
    } = *counts;
    let [done, cached, running, left] = [finished, cached, running, waiting].map(grouped);
    let mut text = format!("{done} done, {cached} cached, {running} running, {left} left");
    if elsewhere > 0 {
        text.push_str(&format!(", {} in another process", grouped(elsewhere)));
    }
    if failed + blocked > 0 {
        let [failed, blocked] = [failed, blocked].map(grouped);
        text.push_str(&format!(", {failed} failed, {blocked} blocked by them"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Kind, Work};

    fn record(event: Event) -> Record {
        Record {
            at: 0.0,
            run: String::new(),
            counts: Counts {
                trainings_finished: 1,
                trainings_left: 4321,
                running: 12,
                ..Counts::default()
            },
            event,
        }
    }

    #[test]
    fn of_many_slots_the_first_busy_ones_are_shown() {
        let mut board = Board::default();
        board.on(&record(Event::Began {
            command: String::new(),
            version: String::new(),
            process: 1,
            host: String::new(),
            log: None,
            slots: vec!["cuda:0".to_owned(); 64],
            cost: 1,
            before: 0,
        }));
        let mut begin = |slot: usize| {
            board.on(&record(Event::Started {
                stage: Digest::of_bytes(&slot.to_le_bytes()),
                slot,
                subject: Subject {
                    kind: Kind::Scratch,
                    name: format!("training {slot}"),
                    work: Work {
                        steps: 1,
                        batches: 1,
                        size: None,
                    },
                },
            }));
            board.slot_lines(8)
        };
        assert_eq!(begin(3), ["slot 3: training 3"]);
        (4..10).for_each(|slot| drop(begin(slot)));
        let eight = begin(40);
        assert_eq!((eight.len(), &*eight[7]), (8, "slot 40: training 40"));
        let more = begin(41);
        assert_eq!(more.len(), 8);
        assert_eq!(more[6..], ["slot 9: training 9", "and 2 more"]);
        assert_eq!(board.done(), "1 of 4,322 trainings done, 12 stages running");
    }
}
