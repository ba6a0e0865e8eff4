//! The settings of a cluster, and the options of the command line that are laid over them.
//!
//! The rule: they say how a sweep runs, never what it computes. Every mistake is reported at once,
//! each with its place and the remedy.

use std::{
    fmt, io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use itertools::Itertools;
use serde::{Deserialize, Serialize};

use super::{
    durations::{in_words, rounded_up},
    further_words,
};

/// The name of the file that describes clusters.
pub const CLUSTERS_FILE: &str = "clusters.toml";

/// Times are cut down to this only for tests: below it, `leave` may be shorter.
const SHORT: Duration = Duration::from_secs(10 * 60);

/// The least `leave` of a job that is not short: Slurm looks at limits every 30 s, and progress has
/// to be saved.
const LEAST_LEAVE: Duration = Duration::from_secs(2 * 60);

/// The most seconds before its limit at which Slurm sends a job a signal.
const MOST_LEAVE: u128 = 65535;

/// How pilots divide stages among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Claiming {
    /// By locks of the store, which all nodes share.
    #[default]
    Locks,
    /// Stage `i` belongs to pilot `i mod N`, for a file system without shared locks.
    Shares,
}

impl Claiming {
    /// Its words.
    pub(super) const WORDS: [(&str, Self); 2] = [("locks", Self::Locks), ("shares", Self::Shares)];
}

/// A cluster, and what one pilot asks of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterSettings {
    /// The cluster's name, as `--cluster` takes it.
    pub name: String,
    /// The file that describes it.
    pub file: PathBuf,
    /// The partition; Slurm's default where there is none.
    pub partition: Option<String>,
    /// The account; Slurm's default where there is none.
    pub account: Option<String>,
    /// The quality of service; Slurm's default where there is none.
    pub qos: Option<String>,
    /// Features that a node must have.
    pub constraint: Option<String>,
    /// How long a pilot may run.
    pub time: Duration,
    /// The GPUs of a pilot.
    pub gpus: usize,
    /// The cores of a pilot.
    pub cpus: NonZeroUsize,
    /// The memory of a pilot, as Slurm takes it: `16G`.
    pub memory: Option<String>,
    /// The most pilots at once.
    pub pilots: NonZeroUsize,
    /// How long before its limit a pilot stops, saves and is queued again.
    pub leave: Duration,
    /// After how long without work a pilot ends.
    pub idle: Duration,
    /// Lines of the job's script before the pilot starts.
    pub before: Vec<String>,
    /// Further words of the call of `sbatch`.
    pub sbatch: Vec<String>,
    /// How pilots divide stages among them.
    pub claims: Claiming,
}

/// Values that are wrong, together or one alone.
struct SettingMistake {
    /// The keys to blame.
    keys: Vec<&'static str>,
    /// What is wrong, and the remedy: half a sentence.
    message: String,
}

impl ClusterSettings {
    /// The defaults of every key.
    pub fn new(name: &str, file: &Path) -> Self {
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        Self {
            name: name.to_owned(),
            file: file.to_owned(),
            partition: None,
            account: None,
            qos: None,
            constraint: None,
            time: minutes(4 * 60),
            gpus: 0,
            cpus: NonZeroUsize::MIN,
            memory: None,
            pilots: NonZeroUsize::new(8).expect("not zero"),
            leave: minutes(3),
            idle: minutes(10),
            before: Vec::new(),
            sbatch: Vec::new(),
            claims: Claiming::Locks,
        }
    }

    /// What is wrong, each with its place by the keys to blame.
    pub(super) fn wrong(&self, place: impl Fn(&[&str]) -> String) -> Vec<WrongSetting> {
        let mistakes = self.texts().into_iter().chain(self.times());
        let words = self
            .sbatch
            .iter()
            .filter_map(|word| further_words::refused(word));
        let words = words.map(|message| SettingMistake {
            keys: vec!["sbatch"],
            message,
        });
        mistakes
            .chain(words)
            .map(|mistake| WrongSetting {
                place: place(&mistake.keys),
                message: mistake.message,
            })
            .collect()
    }

    fn texts(&self) -> Vec<SettingMistake> {
        let texts = [
            ("partition", &self.partition),
            ("account", &self.account),
            ("qos", &self.qos),
            ("constraint", &self.constraint),
            ("memory", &self.memory),
        ];
        let blank = |text: &Option<String>| text.as_deref().is_some_and(is_blank);
        let blank = texts.into_iter().filter(|(_, text)| blank(text));
        let empty = blank.map(|(key, _)| SettingMistake {
            keys: vec![key],
            message: format!("`{key}` is empty; leave it out for Slurm's default"),
        });
        let mut found: Vec<SettingMistake> = empty.collect();
        if let Some(memory) = self.memory.as_deref().filter(|text| !is_blank(text))
            && !is_memory(memory)
        {
            found.push(SettingMistake {
                keys: vec!["memory"],
                message: format!(
                    "\"{memory}\" is no amount of memory; write a whole number and K, M, G or T, \
                     such as \"16G\""
                ),
            });
        }
        found
    }

    fn times(&self) -> Vec<SettingMistake> {
        let (time, leave) = (in_words(self.time), in_words(self.leave));
        let (keys, message) = match () {
            () if self.time.is_zero() => (
                vec!["time"],
                "`time` is zero; write how long a pilot may run, such as \"4h\"".to_owned(),
            ),
            () if self.leave >= self.time => (
                vec!["leave", "time"],
                format!(
                    "`leave` ({leave}) is not shorter than `time` ({time}), so that a pilot would \
                     do nothing; write a longer `time` or a shorter `leave`"
                ),
            ),
            () if self.leave < LEAST_LEAVE && self.time >= SHORT => (
                vec!["leave", "time"],
                format!(
                    "`leave` ({leave}) is shorter than {}, too short to stop and save before the \
                     limit, which Slurm looks at every 30 s; write a longer one, or leave it out \
                     for 3m",
                    in_words(LEAST_LEAVE)
                ),
            ),
            () if rounded_up(self.leave, Duration::from_secs(1)) > MOST_LEAVE => (
                vec!["leave"],
                format!("`leave` ({leave}) is longer than Slurm takes; write at most \"18h\""),
            ),
            () => return Vec::new(),
        };
        vec![SettingMistake { keys, message }]
    }
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

/// Whether Slurm takes it for an amount of memory; `0` is all of a node's.
fn is_memory(text: &str) -> bool {
    let number = text.trim_end_matches(['K', 'M', 'G', 'T', 'k', 'm', 'g', 't']);
    let is_whole = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    // Without a unit, Slurm counts in megabytes, which nobody who writes 16 means.
    is_whole && (text.len() == number.len() + 1 || text == "0")
}

/// What the options of the command line say of a cluster; `None` leaves the setting as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterOptions {
    /// `--pilots`.
    pub pilots: Option<NonZeroUsize>,
    /// `--time`.
    pub time: Option<Duration>,
    /// `--partition`.
    pub partition: Option<String>,
    /// `--account`.
    pub account: Option<String>,
    /// `--qos`.
    pub qos: Option<String>,
    /// `--gpus`.
    pub gpus: Option<usize>,
    /// `--cpus`.
    pub cpus: Option<NonZeroUsize>,
    /// `--memory`.
    pub memory: Option<String>,
    /// Each `--sbatch`; they come after those of the file.
    pub sbatch: Vec<String>,
}

impl ClusterOptions {
    /// Lays the options over the settings of the file.
    ///
    /// # Errors
    /// [`SettingsError::Wrong`], where an option is wrong or does not fit a setting.
    pub fn over(self, settings: ClusterSettings) -> Result<ClusterSettings, SettingsError> {
        let given = [
            ("pilots", self.pilots.is_some()),
            ("time", self.time.is_some()),
            ("partition", self.partition.is_some()),
            ("account", self.account.is_some()),
            ("qos", self.qos.is_some()),
            ("gpus", self.gpus.is_some()),
            ("cpus", self.cpus.is_some()),
            ("memory", self.memory.is_some()),
            ("sbatch", !self.sbatch.is_empty()),
        ];
        let laid = ClusterSettings {
            pilots: self.pilots.unwrap_or(settings.pilots),
            time: self.time.unwrap_or(settings.time),
            partition: self.partition.or(settings.partition),
            account: self.account.or(settings.account),
            qos: self.qos.or(settings.qos),
            gpus: self.gpus.unwrap_or(settings.gpus),
            cpus: self.cpus.unwrap_or(settings.cpus),
            memory: self.memory.or(settings.memory),
            sbatch: settings.sbatch.into_iter().chain(self.sbatch).collect(),
            ..settings
        };
        let place = |keys: &[&str]| {
            let is_given = |key: &&&str| given.contains(&(**key, true));
            match keys.iter().find(is_given) {
                Some(option) => format!("--{option}"),
                None => format!("[{}] in {}", laid.name, laid.file.display()),
            }
        };
        let wrong = laid.wrong(place);
        match wrong.is_empty() {
            true => Ok(laid),
            false => Err(SettingsError::Wrong(wrong)),
        }
    }
}

/// A setting that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongSetting {
    /// Where it was written: `clusters.toml:3:8`, or `--time`.
    pub place: String,
    /// What is wrong, and the remedy: one sentence, lower case, no full stop.
    pub message: String,
}

impl fmt::Display for WrongSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// The keys that a cluster mostly needs.
const EXAMPLE: &str = "  scheduler = \"slurm\"
  partition = \"NAME\"   # `sinfo` lists them
  time = \"4h\"          # of one job; a sweep may take longer
  gpus = 1             # of one job";

/// Why there are no settings of a cluster.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// There is no file that describes clusters.
    #[error(
        "there is no {CLUSTERS_FILE} that says what `{name}` is; looked for:\n{}\nwrite one of \
         them; the least is:\n  [{name}]\n{EXAMPLE}",
        .looked.iter().map(|path| format!("  {}", path.display())).join("\n")
    )]
    NoFile {
        /// The cluster that was asked for.
        name: String,
        /// The files that would have been read, in this order.
        looked: Vec<PathBuf>,
    },
    /// No file describes this cluster.
    #[error("no cluster `{name}` in {}; {remedy}", .files.iter().map(|f| f.display()).join(" or "))]
    NoCluster {
        /// The cluster that was asked for.
        name: String,
        /// The files that were read.
        files: Vec<PathBuf>,
        /// The name that may be meant, or those that there are.
        remedy: String,
    },
    /// A file cannot be read.
    #[error("{}: {error}; mend or move the file", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The operating system's error.
        error: io::Error,
    },
    /// Settings are wrong: all of them.
    #[error("{}", .0.iter().join("\n"))]
    Wrong(Vec<WrongSetting>),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::parse_time;

    fn settings() -> ClusterSettings {
        ClusterSettings::new("gpu", Path::new("clusters.toml"))
    }

    fn wrong(options: ClusterOptions) -> String {
        options.over(settings()).unwrap_err().to_string()
    }

    #[test]
    fn options_beat_the_file_and_further_words_are_added() {
        let file = ClusterSettings {
            partition: Some("gpu".to_owned()),
            account: Some("lab".to_owned()),
            sbatch: vec!["--exclude=n7".to_owned()],
            ..settings()
        };
        let options = ClusterOptions {
            pilots: NonZeroUsize::new(64),
            time: parse_time("8h").ok(),
            partition: Some("long".to_owned()),
            gpus: Some(2),
            memory: Some("16G".to_owned()),
            sbatch: vec!["--nice".to_owned()],
            ..ClusterOptions::default()
        };
        let laid = options.over(file.clone()).unwrap();
        assert_eq!(
            laid,
            ClusterSettings {
                pilots: NonZeroUsize::new(64).unwrap(),
                time: Duration::from_secs(8 * 3600),
                partition: Some("long".to_owned()),
                gpus: 2,
                memory: Some("16G".to_owned()),
                sbatch: vec!["--exclude=n7".to_owned(), "--nice".to_owned()],
                ..file.clone()
            }
        );
        assert_eq!(ClusterOptions::default().over(file.clone()).unwrap(), file);
    }

    #[test]
    fn a_wrong_option_is_named_with_the_remedy() {
        let of = |time: &str| ClusterOptions {
            time: Some(parse_time(time).unwrap()),
            ..ClusterOptions::default()
        };
        assert_eq!(
            wrong(of("2m")),
            "--time: `leave` (3m) is not shorter than `time` (2m), so that a pilot would do \
             nothing; write a longer `time` or a shorter `leave`"
        );
        assert!(wrong(of("0s")).starts_with("--time: `time` is zero"));
        let both = ClusterOptions {
            memory: Some("16".to_owned()),
            sbatch: vec!["--array=0-3".to_owned(), "--requeue".to_owned()],
            partition: Some(String::new()),
            ..of("1m")
        };
        let lines = wrong(both);
        let places: Vec<_> = lines
            .lines()
            .map(|line| line.split(':').next().unwrap())
            .collect();
        assert_eq!(
            places,
            ["--partition", "--memory", "--time", "--sbatch", "--sbatch"]
        );
        // A short time allows a short `leave`, and a long one does not.
        let short = ClusterSettings {
            time: Duration::from_secs(60),
            leave: Duration::from_secs(20),
            ..settings()
        };
        assert!(ClusterOptions::default().over(short.clone()).is_ok());
        let error = of("4h").over(short).unwrap_err().to_string();
        assert!(
            error.starts_with("--time: `leave` (20s) is shorter than 2m"),
            "{error}"
        );
    }

    #[test]
    fn memory_has_a_unit() {
        for right in ["16G", "64000M", "1T", "500k", "0"] {
            assert!(is_memory(right), "{right}");
        }
        for wrong in ["16", "G", "16GB", "1.5G", "-1G", "16 G", "sixteen"] {
            assert!(!is_memory(wrong), "{wrong}");
        }
    }

    #[test]
    fn settings_are_frozen_with_a_sweep() {
        let text = serde_json::to_string(&settings()).unwrap();
        assert_eq!(
            serde_json::from_str::<ClusterSettings>(&text).unwrap(),
            settings()
        );
    }
}
