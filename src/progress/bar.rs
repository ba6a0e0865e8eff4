//! The progress of a single piece of work: a bar on a terminal, plain lines elsewhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::{BETWEEN_LINES, duration, print};

/// The display of one training or prediction.
pub struct Bar {
    what: &'static str,
    total: u64,
    started: Instant,
    /// `None` where lines are printed.
    live: Option<ProgressBar>,
    last: Instant,
}

impl Bar {
    /// For `total` steps, each called `what`.
    pub fn new(what: &'static str, total: usize) -> Self {
        let style = "[{bar:24}] {percent:>3} %  {wide_msg}";
        let style = ProgressStyle::with_template(style).expect("a template of this file");
        let bar = ProgressBar::new(total as u64).with_style(style.progress_chars("=> "));
        Self {
            what,
            total: total as u64,
            started: Instant::now(),
            // No terminal, or one that takes no escape sequences.
            live: (!bar.is_hidden()).then_some(bar),
            last: Instant::now(),
        }
    }

    /// Shows that `done` steps are done, followed by `detail`.
    pub fn at(&mut self, done: usize, detail: &str) {
        let left = match self.started.elapsed() {
            elapsed if elapsed < Duration::from_secs(1) || done == 0 => String::new(),
            elapsed => {
                let left = self.total.saturating_sub(done as u64) as f64 / done as f64;
                format!("  ETA {}", duration(elapsed.mul_f64(left)))
            }
        };
        let line = format!("{} {done} of {}  {detail}{left}", self.what, self.total);
        match &self.live {
            Some(bar) => {
                bar.set_position(done as u64);
                bar.set_message(line);
            }
            None if self.last.elapsed() >= BETWEEN_LINES => {
                self.last = Instant::now();
                print(&line);
            }
            None => {}
        }
    }

    /// Ends the display; returns how long it took.
    pub fn finish(self) -> String {
        if let Some(bar) = &self.live {
            bar.finish_and_clear();
        }
        duration(self.started.elapsed())
    }
}
