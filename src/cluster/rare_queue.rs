//! How rarely the queue is looked at: a real controller serves many users.

use std::time::{Duration, Instant};

use super::queue::ArrayElement;

/// How long after a look that showed a change the next one is due.
const AFTER_A_CHANGE: Duration = Duration::from_secs(30);

/// The same after one that showed none, and after several.
const AFTER_NONE: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(300)];

/// What the queue showed, and when the next look is due. The clock is the caller's.
#[derive(Clone, Debug, Default)]
pub struct RareQueue {
    looked: Option<Instant>,
    /// The number of looks since the last change.
    unchanged: usize,
    shown: Option<Vec<ArrayElement>>,
}

impl RareQueue {
    /// Never looked at: the first look is due at once.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a look is due.
    pub fn is_due(&self, now: Instant) -> bool {
        self.next().is_none_or(|next| next <= now)
    }

    /// When the next look is due; `None` before the first.
    pub fn next(&self) -> Option<Instant> {
        let wait = match self.unchanged {
            0 => AFTER_A_CHANGE,
            looks => AFTER_NONE[(looks - 1).min(AFTER_NONE.len() - 1)],
        };
        Some(self.looked? + wait)
    }

    /// Notes what a look showed; `None` where it failed, which shows no change.
    pub fn looked(&mut self, now: Instant, found: Option<Vec<ArrayElement>>) {
        let is_new = match (&self.shown, &found) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(before), Some(now)) => !is_same(before, now),
        };
        self.unchanged = match is_new {
            true => 0,
            false => self.unchanged + 1,
        };
        self.looked = Some(now);
        self.shown = found.or(self.shown.take());
    }

    /// The elements at the last look that did not fail; `None` before it.
    pub fn shown(&self) -> Option<&[ArrayElement]> {
        self.shown.as_deref()
    }
}

/// Whether two looks show the same; estimates of a start vary all the time.
fn is_same(one: &[ArrayElement], other: &[ArrayElement]) -> bool {
    let plain = |elements: &[ArrayElement]| {
        let elements = elements.iter().map(|element| ArrayElement {
            start: None,
            ..element.clone()
        });
        elements.collect::<Vec<_>>()
    };
    plain(one) == plain(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::parse_queue;

    #[test]
    fn looks_become_rarer_where_nothing_changes() {
        let queue = |text: &str| Some(parse_queue(text).unwrap());
        let start = Instant::now();
        let mut rare = RareQueue::new();
        assert!(rare.is_due(start) && rare.shown().is_none());
        let mut now = start;
        let mut look = |found, seconds: u64| {
            rare.looked(now, found);
            let wait = Duration::from_secs(seconds);
            assert!(
                !rare.is_due(now + wait - Duration::from_millis(1)),
                "{seconds}"
            );
            assert!(rare.is_due(now + wait), "{seconds}");
            assert_eq!(rare.next(), Some(now + wait));
            now += wait;
            rare.shown().map(<[ArrayElement]>::len)
        };
        let waits = "12_0|PENDING|Priority|2024-01-31T10:00:00|";
        let later = "12_0|PENDING|Priority|2024-01-31T11:00:00|";
        assert_eq!(look(queue(waits), 30), Some(1));
        assert_eq!(look(queue(later), 60), Some(1));
        assert_eq!(look(None, 300), Some(1));
        assert_eq!(look(queue(waits), 300), Some(1));
        assert_eq!(look(queue("12_0|RUNNING|None|N/A|n1"), 30), Some(1));
        assert_eq!(look(queue("12_0|RUNNING|None|N/A|n1"), 60), Some(1));
        assert_eq!(look(queue(""), 30), Some(0));
    }

    #[test]
    fn a_first_look_that_fails_shows_nothing() {
        let (mut rare, now) = (RareQueue::new(), Instant::now());
        rare.looked(now, None);
        assert!(rare.shown().is_none());
        assert_eq!(rare.next(), Some(now + Duration::from_secs(60)));
    }
}
