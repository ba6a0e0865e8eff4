//! The progress of a run, shown: a live display on a terminal, plain lines elsewhere.
//!
//! The rule: it listens to events and prints to standard error; nothing of it can fail or slow a run.

mod bar;

use std::{
    collections::HashMap,
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use itertools::Itertools;

use crate::{
    event::Event,
    manifest::Arm,
    plan::{Plan, Spec, Stage, StageId},
    schedule::{Counts, Schedule},
};

pub use bar::Bar;

/// The display of one run.
pub struct Progress<'a> {
    plan: &'a Plan,
    /// The first run that needs each stage, to call it by.
    users: HashMap<StageId, usize>,
    started: Instant,
    /// Steps of the work to be done, and of what is done.
    total: u64,
    done: u64,
    /// Steps done within running stages, by slot.
    partial: HashMap<usize, u64>,
    shown: Shown,
}

enum Shown {
    Live {
        bars: MultiProgress,
        overall: ProgressBar,
        slots: Vec<ProgressBar>,
    },
    Lines {
        last: Instant,
    },
}

/// Between two plain lines.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

impl<'a> Progress<'a> {
    /// For what a schedule has to do, in this many slots.
    pub fn new(plan: &'a Plan, schedule: &Schedule<'_>, slots: usize) -> Self {
        let mut users = HashMap::new();
        for (i, run) in plan.runs.iter().enumerate() {
            for stage in plan.needed(run) {
                users.entry(stage).or_insert(i);
            }
        }
        let total = schedule.outstanding().map(|id| steps(plan.stage(id))).sum();
        let shown = match std::io::stderr().is_terminal() {
            true => live(slots),
            false => Shown::Lines {
                last: Instant::now(),
            },
        };
        Self {
            plan,
            users,
            started: Instant::now(),
            total,
            done: 0,
            partial: HashMap::new(),
            shown,
        }
    }

    /// Shows an event.
    pub fn on(&mut self, counts: &Counts, event: &Event) {
        match event {
            Event::Started { stage, slot } => {
                let name = self.name(*stage);
                if let Shown::Live { slots, .. } = &self.shown {
                    slots[*slot].set_message(name);
                }
            }
            Event::Progress { stage, slot, step } => {
                let per_step = per_step(self.plan.stage(*stage));
                self.partial.insert(*slot, step.step as u64 * per_step);
                let name = self.name(*stage);
                if let Shown::Live { slots, .. } = &self.shown {
                    let message = format!("{name}  step {}  loss {:.4}", step.step, step.loss);
                    slots[*slot].set_message(message);
                }
            }
            Event::Finished { stage, slot } => {
                self.partial.remove(slot);
                self.done += steps(self.plan.stage(*stage));
            }
            Event::Failed { stage, reason } => {
                let digest = self.plan.stage(*stage).digest.short();
                self.say(&format!(
                    "failed: {} [{digest}]: {reason}",
                    self.name(*stage)
                ));
            }
            Event::Retried {
                stage,
                slot,
                attempt,
                reason,
            } => {
                self.partial.remove(slot);
                self.say(&format!(
                    "attempt {attempt}: {} [{}]: {reason}",
                    self.name(*stage),
                    self.plan.stage(*stage).digest.short()
                ));
            }
            Event::Found { stage } => self.total -= steps(self.plan.stage(*stage)),
            Event::Stopped { slot, .. } => {
                self.partial.remove(slot);
            }
            Event::Interrupted => {
                self.say("stopping at the next step; once more to stop at once");
            }
            Event::Blocked { .. } => {}
        }
        self.refresh(counts);
    }

    /// Ends the display with a line on how it went.
    pub fn finish(self, counts: &Counts) {
        let line = format!(
            "{} in {}",
            summary(counts),
            duration(self.started.elapsed())
        );
        match self.shown {
            Shown::Live { bars, .. } => {
                let _ = bars.clear();
                eprintln!("{line}");
            }
            Shown::Lines { .. } => eprintln!("{line}"),
        }
    }

    /// A line that stays.
    fn say(&self, line: &str) {
        match &self.shown {
            Shown::Live { bars, .. } => {
                let _ = bars.println(line);
            }
            Shown::Lines { .. } => eprintln!("{line}"),
        }
    }

    fn refresh(&mut self, counts: &Counts) {
        let done = self.done + self.partial.values().sum::<u64>();
        let line = format!("{}  {}", summary(counts), self.remaining(done));
        match &mut self.shown {
            Shown::Live { overall, .. } => {
                overall.set_length(self.total);
                overall.set_position(done);
                overall.set_message(line);
            }
            Shown::Lines { last } => {
                if last.elapsed() >= BETWEEN_LINES {
                    *last = Instant::now();
                    let percent = 100.0 * done as f64 / self.total.max(1) as f64;
                    eprintln!("{percent:5.1} %  {line}");
                }
            }
        }
    }

    /// How long the rest takes at the pace so far; nothing before there is a pace.
    fn remaining(&self, done: u64) -> String {
        let elapsed = self.started.elapsed();
        if elapsed < Duration::from_secs(3) || done == 0 {
            return "ETA after a few steps".to_owned();
        }
        let left = elapsed.mul_f64(self.total.saturating_sub(done) as f64 / done as f64);
        format!("ETA {}", duration(left))
    }

    fn name(&self, id: StageId) -> String {
        let stage = self.plan.stage(id);
        let kind = stage.spec.kind();
        let Some(run) = self.users.get(&id).map(|i| &self.plan.runs[*i]) else {
            return kind.to_string();
        };
        let experts = run.experts.iter().join("+");
        let Spec::Train(train) = &stage.spec else {
            return format!("{kind} against expert {}", run.new_expert);
        };
        match (stage.upstream, run.arm) {
            (None, Arm::With) => format!("{kind} on {experts}"),
            (_, Arm::With) => {
                format!(
                    "{kind} {experts} to {}, n = {}, start {}",
                    run.new_expert, run.samples, run.start
                )
            }
            (_, Arm::Without | Arm::Single) => format!(
                "{kind} on {}, n = {}, start {}",
                train.support.experts.iter().join("+"),
                run.samples,
                run.start
            ),
        }
    }
}

fn live(slots: usize) -> Shown {
    let bars = MultiProgress::new();
    let style = |template: &str| {
        let style = ProgressStyle::with_template(template).expect("a template of this file");
        style.progress_chars("=> ")
    };
    let overall = bars.add(ProgressBar::new(0));
    overall.set_style(style("[{bar:24}] {percent:>3} %  {wide_msg}"));
    let slots = (0..slots)
        .map(|slot| {
            let bar = bars.add(ProgressBar::new_spinner());
            bar.set_style(style(&format!("  slot {slot}: {{wide_msg}}")));
            bar
        })
        .collect();
    Shown::Live {
        bars,
        overall,
        slots,
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
    } = counts;
    let mut text = format!("{finished} done, {cached} cached, {running} running, {waiting} left");
    if *elsewhere > 0 {
        text.push_str(&format!(", {elsewhere} in another process"));
    }
    if failed + blocked > 0 {
        text.push_str(&format!(", {failed} failed, {blocked} blocked by them"));
    }
    text
}

/// Passes through the network that a step of this stage takes, of one batch each.
fn per_step(stage: &Stage) -> u64 {
    match &stage.spec {
        Spec::Train(train) => train.support.experts.len() as u64,
        Spec::Evaluate(_) => 0,
    }
}

fn steps(stage: &Stage) -> u64 {
    match &stage.spec {
        Spec::Train(train) => train.budget.steps as u64 * per_step(stage),
        // Next to nothing, but not nothing: a run of evaluations alone gets on as well.
        Spec::Evaluate(_) => 1,
    }
}

/// `75 s`, `12 min 5 s`, `3 h 20 min`.
fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..120 => format!("{:.0} s", time.as_secs_f64()),
        120..7200 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}
