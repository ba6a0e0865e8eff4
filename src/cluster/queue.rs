//! What Slurm's queue says of the elements of arrays.
//!
//! The rule: this is never the truth about a stage, only about what waits and why. A state that is
//! not known here is not taken for an end.

use std::fmt;

use super::waiting;

/// The `--format` of `squeue` that [`parse_queue`] reads.
pub const QUEUE_FORMAT: &str = "%i|%T|%r|%S|%N";

/// An element of an array in the queue, or a lone job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArrayElement {
    /// The array's number, or the lone job's.
    pub array: u64,
    /// The index; `None` for a lone job.
    pub index: Option<usize>,
    /// Its state.
    pub state: ElementState,
    /// Slurm's word for why it waits, or why it ended.
    pub reason: String,
    /// When it started or may start, as Slurm estimates it: `2024-01-31T10:00:00`, local time.
    pub start: Option<String>,
    /// Its nodes, as in `n[1-2]`; empty while it waits.
    pub nodes: String,
}

impl ArrayElement {
    /// As Slurm's commands take it: `12_3`, or `12` for a lone job.
    pub fn job(&self) -> String {
        match self.index {
            Some(index) => format!("{}_{index}", self.array),
            None => self.array.to_string(),
        }
    }

    /// Whether it runs or may run yet, also where that takes a release by hand.
    pub fn is_alive(&self) -> bool {
        self.state.is_alive()
    }

    /// Why it does not run, in plain words, with what can be done; `None` where it runs or Slurm
    /// gives no reason.
    pub fn why(&self) -> Option<String> {
        let reason = self.reason.trim();
        let says_nothing = ["", "None", "N/A", "(null)"].contains(&reason);
        let runs = matches!(self.state, ElementState::Running | ElementState::Completing);
        match says_nothing || runs {
            true => self.state.is_held().then(|| waiting::held(&self.job())),
            false => Some(waiting::explained(reason, &self.job())),
        }
    }
}

/// Defines the states with their words.
macro_rules! states {
    ($($(#[$doc:meta])* $state:ident = $word:literal,)+) => {
        /// The state of an element.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum ElementState {
            $($(#[$doc])* $state,)+
            /// One that this program does not know, as Slurm words it.
            Other(String),
        }

        impl ElementState {
            /// The state of a word; what follows it, as in `CANCELLED by 1000`, does not count.
            pub fn of(text: &str) -> Self {
                match text.split_whitespace().next().unwrap_or("") {
                    $($word => Self::$state,)+
                    _ => Self::Other(text.trim().to_owned()),
                }
            }

            /// Slurm's word.
            pub fn word(&self) -> &str {
                match self {
                    $(Self::$state => $word,)+
                    Self::Other(word) => word,
                }
            }
        }
    };
}

states! {
    /// It waits.
    Pending = "PENDING",
    /// It runs.
    Running = "RUNNING",
    /// It has its nodes, and is stopped.
    Suspended = "SUSPENDED",
    /// It is ending; a requeued element waits after that.
    Completing = "COMPLETING",
    /// Its nodes are being made ready.
    Configuring = "CONFIGURING",
    /// It ended with 0.
    Completed = "COMPLETED",
    /// It was cancelled.
    Cancelled = "CANCELLED",
    /// It ended otherwise.
    Failed = "FAILED",
    /// Its time was up.
    Timeout = "TIMEOUT",
    /// A node was lost.
    NodeFail = "NODE_FAIL",
    /// It gave way to another job.
    Preempted = "PREEMPTED",
    /// Its nodes did not start.
    BootFail = "BOOT_FAIL",
    /// Its deadline has passed.
    Deadline = "DEADLINE",
    /// It used more memory than it has.
    OutOfMemory = "OUT_OF_MEMORY",
    /// It is being sent a signal.
    Signaling = "SIGNALING",
    /// Its files are being carried away.
    StageOut = "STAGE_OUT",
    /// It is stopped, and keeps its cores.
    Stopped = "STOPPED",
    /// Its size is changing.
    Resizing = "RESIZING",
    /// It has been queued again.
    Requeued = "REQUEUED",
    /// A federation queues it again.
    RequeueFed = "REQUEUE_FED",
    /// It has been queued again, and is held.
    RequeueHold = "REQUEUE_HOLD",
    /// It has been queued again after an exit code that a site marks, and is held.
    SpecialExit = "SPECIAL_EXIT",
    /// It is held, because its reservation is gone.
    ResvDelHold = "RESV_DEL_HOLD",
    /// Another cluster of a federation has taken it.
    Revoked = "REVOKED",
}

impl ElementState {
    /// Whether an element in this state runs or may run yet.
    pub fn is_alive(&self) -> bool {
        match self {
            Self::Completed
            | Self::Cancelled
            | Self::Failed
            | Self::Timeout
            | Self::NodeFail
            | Self::Preempted
            | Self::BootFail
            | Self::Deadline
            | Self::OutOfMemory
            | Self::Revoked => false,
            Self::Pending
            | Self::Running
            | Self::Suspended
            | Self::Completing
            | Self::Configuring
            | Self::Signaling
            | Self::StageOut
            | Self::Stopped
            | Self::Resizing
            | Self::Requeued
            | Self::RequeueFed
            | Self::RequeueHold
            | Self::SpecialExit
            | Self::ResvDelHold
            | Self::Other(_) => true,
        }
    }

    /// What has ended a job that did not end by itself, and the remedy if there is one, as half a
    /// sentence.
    pub fn cause(&self) -> Option<&'static str> {
        Some(match self {
            Self::OutOfMemory => "it ran out of memory; set more `memory`",
            Self::NodeFail => "its node went down",
            Self::BootFail => "its node did not start",
            Self::Timeout => "its time was up before it had saved; set a longer `leave`",
            Self::Deadline => "its deadline has passed",
            _ => return None,
        })
    }

    /// Whether it waits until it is released by hand.
    pub fn is_held(&self) -> bool {
        matches!(
            self,
            Self::RequeueHold | Self::SpecialExit | Self::ResvDelHold
        )
    }
}

impl fmt::Display for ElementState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A line of `squeue` that is not of [`QUEUE_FORMAT`]: what waits and runs is then unknown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`squeue` says \"{0}\", which is none of its usual lines")]
pub struct UnreadLine(pub String);

/// The elements in lines of [`QUEUE_FORMAT`].
///
/// # Errors
/// [`UnreadLine`], where one line cannot be read: an element that is left out would be taken for
/// gone.
pub fn parse_queue(text: &str) -> Result<Vec<ArrayElement>, UnreadLine> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let elements = lines.map(|line| elements(line).ok_or_else(|| UnreadLine(line.to_owned())));
    let elements: Vec<Vec<ArrayElement>> = elements.collect::<Result<_, _>>()?;
    Ok(elements.into_iter().flatten().collect())
}

/// The elements of one line: several, where those that wait are listed together.
fn elements(line: &str) -> Option<Vec<ArrayElement>> {
    let (id, rest) = line.split_once('|')?;
    let (state, rest) = rest.split_once('|')?;
    // Reasons are free text.
    let (rest, nodes) = rest.rsplit_once('|')?;
    let (reason, start) = rest.rsplit_once('|')?;
    let (array, indices) = match id.split_once('_') {
        Some((array, indices)) => (
            array,
            self::indices(indices)?.into_iter().map(Some).collect(),
        ),
        None => (id, vec![None]),
    };
    let array = array.parse().ok()?;
    let known = |text: &str| (!["", "N/A", "(null)"].contains(&text)).then(|| text.to_owned());
    let element = |index| ArrayElement {
        array,
        index,
        state: ElementState::of(state),
        reason: reason.to_owned(),
        start: known(start),
        nodes: known(nodes).unwrap_or_default(),
    };
    Some(indices.into_iter().map(element).collect())
}

/// The indices in `3` or `[0-3,7,10-20:5%2]`.
fn indices(text: &str) -> Option<Vec<usize>> {
    let Some(list) = text.strip_prefix('[') else {
        return Some(vec![text.parse().ok()?]);
    };
    let list = list.strip_suffix(']')?;
    // What follows is how many may run at once.
    let list = list.split('%').next()?;
    let mut all = Vec::new();
    for part in list.split(',') {
        let (range, step) = match part.split_once(':') {
            Some((range, step)) => (range, step.parse().ok().filter(|step| *step > 0)?),
            None => (part, 1),
        };
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        // Slurm's own bound of an array's size.
        let bounded = last < 4_000_001 && first <= last;
        all.extend(bounded.then(|| (first..=last).step_by(step))?);
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> ArrayElement {
        let mut found = parse_queue(line).unwrap();
        assert_eq!(found.len(), 1, "{line}");
        found.remove(0)
    }

    #[test]
    fn lines_of_the_queue_are_read() {
        let text = "12_0|RUNNING|None|2024-01-31T10:00:00|n1\n\
                    12_1|PENDING|Resources|2024-01-31T14:00:00|\n\
                    12_2|PENDING|JobArrayTaskLimit|N/A|\n\
                    7|RUNNING|None|2024-01-31T10:00:00|n[1-2]\n";
        let found = parse_queue(text).unwrap();
        assert_eq!(
            found[0],
            ArrayElement {
                array: 12,
                index: Some(0),
                state: ElementState::Running,
                reason: "None".to_owned(),
                start: Some("2024-01-31T10:00:00".to_owned()),
                nodes: "n1".to_owned(),
            }
        );
        assert_eq!(
            (found[1].start.is_some(), found[2].start.is_some()),
            (true, false)
        );
        assert_eq!(
            (found[3].array, found[3].index, found[3].job()),
            (7, None, "7".to_owned())
        );
        assert_eq!(
            (found[3].nodes.as_str(), found[2].job().as_str()),
            ("n[1-2]", "12_2")
        );
        assert_eq!(parse_queue("\n"), Ok(Vec::new()));
    }

    #[test]
    fn elements_that_wait_together_are_taken_apart() {
        let of = |id: &str| {
            let found = parse_queue(&format!("{id}|PENDING|Priority|N/A|")).unwrap();
            found
                .iter()
                .map(|element| element.index.unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(of("12_[3-7%2]"), [3, 4, 5, 6, 7]);
        assert_eq!(of("12_[0-1,4]"), [0, 1, 4]);
        assert_eq!(of("12_[10-20:5]"), [10, 15, 20]);
        assert_eq!(of("12_[8]"), [8]);
    }

    #[test]
    fn a_line_that_cannot_be_read_leaves_no_element_out() {
        for line in [
            "slurm_load_jobs error: Unable to contact slurm controller",
            "12_0|RUNNING|None|N/A",
            "x|RUNNING|None|N/A|n1",
            "12_[1,3,...]|PENDING|Priority|N/A|",
            "12_[3-1]|PENDING|Priority|N/A|",
            "12_[0-99999999999]|PENDING|Priority|N/A|",
            "12_[0-9:0]|PENDING|Priority|N/A|",
            "12_|PENDING|Priority|N/A|",
        ] {
            let text = format!("7|RUNNING|None|N/A|n1\n{line}\n");
            assert_eq!(parse_queue(&text), Err(UnreadLine(line.to_owned())));
        }
    }

    #[test]
    fn a_state_is_no_end_unless_it_is_known_as_one() {
        let ends = [
            "COMPLETED",
            "CANCELLED",
            "FAILED",
            "TIMEOUT",
            "NODE_FAIL",
            "PREEMPTED",
            "BOOT_FAIL",
            "DEADLINE",
            "OUT_OF_MEMORY",
            "REVOKED",
            "CANCELLED by 1000",
        ];
        let others = [
            "PENDING",
            "RUNNING",
            "SUSPENDED",
            "COMPLETING",
            "CONFIGURING",
            "SIGNALING",
            "STAGE_OUT",
            "STOPPED",
            "RESIZING",
            "REQUEUED",
            "REQUEUE_FED",
            "REQUEUE_HOLD",
            "SPECIAL_EXIT",
            "RESV_DEL_HOLD",
            "EXPEDITING",
            "",
        ];
        for (words, alive) in [(&ends[..], false), (&others[..], true)] {
            for word in words {
                let element = one(&format!("12_0|{word}|None|N/A|"));
                assert_eq!(element.is_alive(), alive, "{word}");
            }
        }
        for word in ends[..10].iter().chain(&others[..14]) {
            let state = ElementState::of(word);
            assert!(!matches!(state, ElementState::Other(_)), "{word}");
            assert_eq!(state.to_string(), *word);
        }
        let unknown = ElementState::of("EXPEDITING");
        assert_eq!(unknown, ElementState::Other("EXPEDITING".to_owned()));
    }

    #[test]
    fn a_reason_may_be_any_text() {
        let held = one("12_3|PENDING|launch failed requeued held|N/A|");
        assert!(
            held.why().unwrap().contains("`scontrol release 12_3`"),
            "{held:?}"
        );
        let odd = one("12_3|PENDING|a|b|N/A|");
        assert_eq!(
            (odd.reason.as_str(), odd.why().as_deref()),
            ("a|b", Some("a|b"))
        );
        assert_eq!(one("12_3|RUNNING|Priority|N/A|n1").why(), None);
        assert_eq!(one("12_3|PENDING|None|N/A|").why(), None);
        assert!(
            one("12_3|REQUEUE_HOLD|None|N/A|")
                .why()
                .unwrap()
                .contains("scontrol release")
        );
    }
}
