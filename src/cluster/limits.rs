//! The limits of a Slurm installation, from what `scontrol show` prints.

use std::{num::NonZeroUsize, time::Duration};

use super::durations::of_slurm;
use crate::suggestion;

/// What limits a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlurmLimits {
    /// `MaxArraySize`: the indices of an array are below it.
    pub max_array_size: NonZeroUsize,
    /// The longest time of a job in the partition; `None` where it is unlimited or unknown.
    pub longest: Option<Duration>,
}

/// `MaxArraySize` by `scontrol show config`; Slurm's default where it is not there.
pub fn max_array_size(config: &str) -> NonZeroUsize {
    let entries = config.lines().filter_map(|line| line.split_once('='));
    let mut sizes = entries.filter(|(key, _)| key.trim() == "MaxArraySize");
    let size = sizes.next().and_then(|(_, size)| size.trim().parse().ok());
    size.unwrap_or(NonZeroUsize::new(1001).expect("not zero"))
}

/// A partition, as far as it limits jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionLimit {
    /// Its name.
    pub name: String,
    /// Whether jobs go there that name none.
    pub is_default: bool,
    /// `MaxTime`; `None` where it is unlimited.
    pub longest: Option<Duration>,
}

/// The partitions by `scontrol --oneliner show partition`.
pub fn partitions(text: &str) -> Vec<PartitionLimit> {
    let value = |line: &str, key: &str| {
        let mut words = line
            .split_whitespace()
            .filter_map(|word| word.split_once('='));
        words
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value.to_owned())
    };
    let partition = |line: &str| {
        Some(PartitionLimit {
            name: value(line, "PartitionName")?,
            is_default: value(line, "Default").as_deref() == Some("YES"),
            longest: value(line, "MaxTime").as_deref().and_then(of_slurm),
        })
    };
    text.lines().filter_map(partition).collect()
}

/// There is no such partition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no partition `{name}` here; {remedy}")]
pub struct UnknownPartition {
    /// The name.
    pub name: String,
    /// The partition that may be meant, or those that there are.
    pub remedy: String,
}

/// The longest time of a job that names this partition, one of several with commas, or none.
///
/// # Errors
/// [`UnknownPartition`].
pub fn longest(
    partitions: &[PartitionLimit],
    asked: Option<&str>,
) -> Result<Option<Duration>, UnknownPartition> {
    let Some(asked) = asked else {
        let default = partitions.iter().find(|partition| partition.is_default);
        return Ok(default.and_then(|partition| partition.longest));
    };
    let one = |name: &str| {
        let known = partitions.iter().find(|partition| partition.name == name);
        known.ok_or_else(|| {
            let names: Vec<&str> = partitions.iter().map(|p| p.name.as_str()).collect();
            UnknownPartition {
                name: name.to_owned(),
                remedy: suggestion::nearest(name, &names),
            }
        })
    };
    let found: Vec<&PartitionLimit> = asked.split(',').map(one).collect::<Result<_, _>>()?;
    // A job starts in whichever can take it.
    match found.iter().any(|partition| partition.longest.is_none()) {
        true => Ok(None),
        false => Ok(found.iter().filter_map(|partition| partition.longest).max()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTITIONS: &str = "\
PartitionName=main AllowGroups=ALL Default=YES QoS=N/A DefaultTime=00:05:00 MaxTime=01:00:00 \
State=UP TotalCPUs=16
PartitionName=long AllowGroups=ALL Default=NO DefaultTime=NONE MaxTime=7-00:00:00 State=UP
PartitionName=free Default=NO MaxTime=UNLIMITED State=UP
";

    #[test]
    fn the_size_of_an_array_is_read_or_slurms_default() {
        let config = "Configuration data as of 2024-01-01\nMaxArraySize            = 11\n\
                      MaxBatchRequeue         = 5\n";
        assert_eq!(max_array_size(config).get(), 11);
        for other in ["", "MaxArraySize = 0", "MaxArraySize = many"] {
            assert_eq!(max_array_size(other).get(), 1001);
        }
    }

    #[test]
    fn the_longest_time_is_that_of_the_partition() {
        let all = partitions(PARTITIONS);
        let hours = |hours: u64| Some(Duration::from_secs(hours * 3600));
        for (asked, expected) in [
            (None, hours(1)),
            (Some("main"), hours(1)),
            (Some("long"), hours(7 * 24)),
            (Some("main,long"), hours(7 * 24)),
            (Some("main,free"), None),
        ] {
            assert_eq!(longest(&all, asked), Ok(expected), "{asked:?}");
        }
        assert_eq!(longest(&[], None), Ok(None));
        let error = longest(&all, Some("lnog")).unwrap_err().to_string();
        assert_eq!(
            error,
            "there is no partition `lnog` here; did you mean \"long\"?"
        );
    }
}
