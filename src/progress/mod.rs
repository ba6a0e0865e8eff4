//! The progress of a run, shown: a live display on a terminal, plain lines elsewhere.
//!
//! The rule: it listens to records and prints to standard error; it cannot fail or slow a run.

mod bar;
mod board;

use std::{
    io::Write,
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::event::{Event, Listener, Record};

pub use bar::Bar;
pub use board::{Board, FailedStage, Running, SlotState};

/// The display of one run.
#[derive(Default)]
pub struct Progress {
    board: Board,
    shown: Option<Shown>,
    /// Whether a second interrupt is ignored.
    once: bool,
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

/// Time between two plain lines.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// The length of the bar: thousandths, so that it moves in a long sweep too.
const WHOLE: u64 = 1000;

impl Listener for Progress {
    /// Shows a record.
    fn on(&mut self, record: &Record) {
        let retried = match &record.event {
            Event::Retried { slot, .. } => self.board.name(*slot).unwrap_or("a stage").to_owned(),
            _ => String::new(),
        };
        self.board.on(record);
        match &record.event {
            Event::Began { slots, .. } => {
                self.shown = Some(live(slots.len()).unwrap_or(Shown::Lines {
                    last: Instant::now(),
                }));
            }
            Event::Failed {
                stage,
                subject,
                reason,
                ..
            }
            | Event::FailedElsewhere {
                stage,
                subject,
                reason,
            } => {
                let digest = stage.short();
                self.say(&format!("failed: {} [{digest}]: {reason}", subject.name));
            }
            Event::Retried {
                stage,
                attempt,
                reason,
                ..
            } => {
                let digest = stage.short();
                self.say(&format!(
                    "attempt {attempt}: {retried} [{digest}]: {reason}"
                ));
            }
            Event::Interrupted => {
                // The next interrupt ends the program, and must leave no bars behind.
                self.end_live();
                self.say(match self.once {
                    true => "stopping at the next step, progress is saved",
                    false => {
                        "stopping at the next step, progress is saved; a second Ctrl-C stops at \
                         once, without saving it"
                    }
                });
            }
            Event::Ended { .. } => return self.finish(),
            _ => {}
        }
        self.refresh(record.at);
    }
}

impl Progress {
    /// The display of a pilot, which is interrupted once.
    pub fn of_pilot() -> Self {
        Self {
            once: true,
            ..Self::default()
        }
    }

    /// Replaces a live display by plain lines.
    fn end_live(&mut self) {
        if let Some(Shown::Live { bars, .. }) = &self.shown {
            let _ = bars.clear();
            self.shown = Some(Shown::Lines {
                last: Instant::now(),
            });
        }
    }

    /// Ends the display with a line on how the run ended.
    fn finish(&mut self) {
        self.end_live();
        self.shown = None;
        print(&self.board.outcome());
    }

    /// Prints a line that stays.
    fn say(&self, line: &str) {
        match &self.shown {
            Some(Shown::Live { bars, .. }) => {
                let _ = bars.println(line);
            }
            Some(Shown::Lines { .. }) | None => print(line),
        }
    }

    fn refresh(&mut self, now: f64) {
        let board = &self.board;
        match &mut self.shown {
            Some(Shown::Live { overall, slots, .. }) => {
                overall.set_position((board.share_done() * WHOLE as f64) as u64);
                overall.set_message(board.line(now));
                for (i, bar) in slots.iter().enumerate() {
                    bar.set_message(board.slot(i));
                }
            }
            Some(Shown::Lines { last }) if last.elapsed() >= BETWEEN_LINES => {
                *last = Instant::now();
                let percent = 100.0 * board.share_done();
                print(&format!("{percent:5.1} %  {}", board.line(now)));
            }
            Some(Shown::Lines { .. }) | None => {}
        }
    }
}

/// Prints a line. Errors are ignored: a full disk behind standard error must not end a run.
fn print(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A live display; `None` where there is no terminal, or one that takes no escape sequences.
fn live(slots: usize) -> Option<Shown> {
    let bars = MultiProgress::new();
    if bars.is_hidden() {
        return None;
    }
    let style = |template: &str| {
        let style = ProgressStyle::with_template(template).expect("a template of this file");
        style.progress_chars("=> ")
    };
    let overall = bars.add(ProgressBar::new(WHOLE));
    overall.set_style(style("[{bar:24}] {percent:>3} %  {wide_msg}"));
    let slots = (0..slots)
        .map(|slot| {
            let bar = bars.add(ProgressBar::new_spinner());
            bar.set_style(style(&format!("  slot {slot}: {{wide_msg}}")));
            bar
        })
        .collect();
    Some(Shown::Live {
        bars,
        overall,
        slots,
    })
}

/// `75 s`, `12 min 5 s`, `3 h 20 min`.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..120 => format!("{:.0} s", time.as_secs_f64()),
        120..7200 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}
