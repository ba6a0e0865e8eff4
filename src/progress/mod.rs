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
    /// Whether failures alone are shown.
    quiet: bool,
}

enum Shown {
    Live {
        bars: MultiProgress,
        overall: ProgressBar,
        done: ProgressBar,
        slots: Vec<ProgressBar>,
    },
    Lines(PlainLines),
}

/// What is printed where there is no terminal.
struct PlainLines {
    begun: Instant,
    last: Instant,
    /// The trainings that finished since the last line: the last one's name, and how many.
    finished: Option<(String, usize)>,
}

impl PlainLines {
    fn begin() -> Shown {
        let begun = Instant::now();
        Shown::Lines(Self {
            begun,
            last: begun,
            finished: None,
        })
    }

    /// The time between two lines: a twentieth of what has passed, from ten seconds to ten minutes.
    fn pause(&self) -> Duration {
        (self.begun.elapsed() / 20).clamp(BETWEEN_LINES, 60 * BETWEEN_LINES)
    }
}

/// The shortest time between two plain lines.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// The lines of slots that are shown.
const MOST_SLOTS: usize = 8;

/// The length of the bar: thousandths, so that it moves in a long sweep too.
const WHOLE: u64 = 1000;

impl Listener for Progress {
    /// Shows a record.
    fn on(&mut self, record: &Record) {
        let retried = match &record.event {
            Event::Retried { slot, .. } => self.board.name(*slot).unwrap_or("a stage").to_owned(),
            _ => String::new(),
        };
        if let (Event::Finished { slot, .. }, Some(Shown::Lines(lines))) =
            (&record.event, &mut self.shown)
            && let Some(name) = self.board.training(*slot)
        {
            let before = lines.finished.take().map_or(0, |(_, count)| count);
            lines.finished = Some((name.to_owned(), before + 1));
        }
        self.board.on(record);
        match &record.event {
            Event::Began { .. } if self.quiet => {}
            Event::Began { slots, .. } => {
                let live = live(slots.len().min(MOST_SLOTS));
                if live.is_none() {
                    print(&format!(
                        "{}  {}, {}",
                        clock(record.at),
                        self.board.done(),
                        match slots.len() {
                            1 => "1 slot".to_owned(),
                            count => format!("{count} slots"),
                        }
                    ));
                }
                self.shown = Some(live.unwrap_or_else(PlainLines::begin));
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

    /// A display of failures alone.
    pub fn quiet() -> Self {
        Self {
            quiet: true,
            ..Self::default()
        }
    }

    /// Replaces a live display by plain lines.
    fn end_live(&mut self) {
        if let Some(Shown::Live { bars, .. }) = &self.shown {
            let _ = bars.clear();
            self.shown = Some(PlainLines::begin());
        }
    }

    /// Ends the display with a line on how the run ended.
    fn finish(&mut self) {
        self.end_live();
        self.shown = None;
        if !self.quiet {
            print(&self.board.outcome());
        }
    }

    /// Prints a line that stays.
    fn say(&self, line: &str) {
        match &self.shown {
            Some(Shown::Live { bars, .. }) => {
                let _ = bars.println(line);
            }
            Some(Shown::Lines(_)) | None => print(line),
        }
    }

    fn refresh(&mut self, now: f64) {
        let board = &self.board;
        match &mut self.shown {
            Some(Shown::Live {
                overall,
                done,
                slots,
                ..
            }) => {
                overall.set_position((board.share_done() * WHOLE as f64) as u64);
                overall.set_message(board.pace(now));
                done.set_message(board.done());
                let lines = board.slot_lines(slots.len());
                let lines = lines.into_iter().chain(std::iter::repeat(String::new()));
                for (bar, line) in slots.iter().zip(lines) {
                    bar.set_message(line);
                }
            }
            Some(Shown::Lines(lines)) if lines.last.elapsed() >= lines.pause() => {
                lines.last = Instant::now();
                let percent = 100.0 * board.share_done();
                let finished = match lines.finished.take() {
                    None => String::new(),
                    Some((name, 1)) => format!("; finished: {name}"),
                    Some((name, count)) => format!("; finished: {name} and {} more", count - 1),
                };
                let (clock, line) = (clock(now), board.line(now));
                print(&format!("{clock}  {percent:5.1} %  {line}{finished}"));
            }
            Some(Shown::Lines(_)) | None => {}
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
    overall.set_style(style("{percent:>3} % [{bar:20}]  {wide_msg}"));
    let line = |_| {
        let line = bars.add(ProgressBar::new_spinner());
        line.set_style(style("  {wide_msg}"));
        line
    };
    let done = line(0);
    let slots = (0..slots).map(line).collect();
    Some(Shown::Live {
        bars,
        overall,
        done,
        slots,
    })
}

/// A time of day, of seconds since 1970.
fn clock(at: f64) -> String {
    let seconds = at as u64 % (24 * 60 * 60);
    let [hours, minutes] = [seconds / 3600, seconds / 60 % 60];
    format!("{hours:02}:{minutes:02}:{:02} UTC", seconds % 60)
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
