//! The submission of pilots: the words of `sbatch`, the job's script, its answer, and how pilots
//! are divided among arrays.

use std::{fmt, num::NonZeroUsize, path::Path, time::Duration};

use itertools::Itertools;

use super::{durations::rounded_up, settings::ClusterSettings};
use crate::shell;

/// The number of a job, or of an array of jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobId {
    /// The number.
    pub number: u64,
    /// The cluster, where Slurm names it.
    pub cluster: Option<String>,
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cluster {
            Some(cluster) => write!(f, "{};{cluster}", self.number),
            None => write!(f, "{}", self.number),
        }
    }
}

/// The words after `sbatch` that submit an array of pilots. `folder` is the sweep's, absolute and
/// found fit by [`check_folder`](super::check_folder); `elements` are indices such as `0-3,7`.
pub fn words(settings: &ClusterSettings, folder: &Path, name: &str, elements: &str) -> Vec<String> {
    let leave = rounded_up(settings.leave, Duration::from_secs(1));
    let array = [
        format!("--array={elements}"),
        // `B:`: to the pilot, in whose place no shell stands.
        format!("--signal=B:USR1@{leave}"),
    ];
    let log = folder.join("pilots").join("%A_%a.log");
    array
        .into_iter()
        .chain(fixed(name, &log))
        .chain(resources(settings, settings.time))
        .collect()
}

/// The words after `sbatch` that submit one job of two nodes, each with what a pilot has, for at
/// most `time`.
pub fn words_of_two_nodes(
    settings: &ClusterSettings,
    log: &Path,
    name: &str,
    time: Duration,
) -> Vec<String> {
    ["--nodes=2".to_owned(), "--ntasks-per-node=1".to_owned()]
        .into_iter()
        .chain(fixed(name, log))
        .chain(resources(settings, settings.time.min(time)))
        .collect()
}

/// What every job has.
fn fixed(name: &str, log: &Path) -> [String; 8] {
    [
        "--parsable".to_owned(),
        "--requeue".to_owned(),
        "--open-mode=append".to_owned(),
        // A folder that a node lacks would be replaced by /tmp without an error.
        "--chdir=/".to_owned(),
        "-J".to_owned(),
        name.to_owned(),
        "-o".to_owned(),
        log.display().to_string(),
    ]
}

/// What a pilot asks for.
fn resources(settings: &ClusterSettings, time: Duration) -> impl Iterator<Item = String> {
    let minutes = rounded_up(time, Duration::from_secs(60));
    let texts = [
        ("partition", &settings.partition),
        ("account", &settings.account),
        ("qos", &settings.qos),
        ("constraint", &settings.constraint),
    ];
    let word = |option: &str, value: &Option<String>| {
        value.as_ref().map(|value| format!("--{option}={value}"))
    };
    let texts = texts
        .iter()
        .filter_map(|(option, value)| word(option, value));
    let gpus = (settings.gpus > 0).then(|| format!("--gres=gpu:{}", settings.gpus));
    texts
        .chain([format!("--time={minutes}")])
        .chain(gpus)
        .chain([format!("--cpus-per-task={}", settings.cpus)])
        .chain(word("mem", &settings.memory))
        .chain(settings.sbatch.iter().cloned())
        .collect::<Vec<_>>()
        .into_iter()
}

/// The call of `sbatch` with these words, as a shell takes it.
pub fn line(words: &[String]) -> String {
    let words = words.iter().map(|word| shell::word(word));
    std::iter::once("sbatch".to_owned()).chain(words).join(" ")
}

/// The script of a pilot's job, which `sbatch` reads from its standard input. `arguments` are
/// further words of the pilot.
pub fn script(settings: &ClusterSettings, folder: &Path, arguments: &[String]) -> String {
    let arguments = arguments
        .iter()
        .map(|word| format!(" {}", shell::word(word)));
    format!(
        "{beginning}exec {program} pilot {folder}{arguments}\n",
        beginning = beginning(settings, &folder.join("sweep.json")),
        program = word(&folder.join("expertgrid")),
        folder = word(folder),
        arguments = arguments.format(""),
    )
}

/// The script of a site check's job of two nodes. When the job begins first, each node finds what
/// it can, then the job asks to be queued again; the second time it notes that.
pub fn script_of_two_nodes(settings: &ClusterSettings, folder: &Path) -> String {
    format!(
        "{beginning}if [ \"${{SLURM_RESTART_COUNT:-0}}\" = 0 ]; then\n\
         srun --ntasks=2 --ntasks-per-node=1 --cpus-per-task={cpus} {program} cluster node \
         {folder}\n\
         fi\n\
         exec {program} cluster node {folder} --queue-again\n",
        beginning = beginning(settings, &folder.join("check.json")),
        cpus = settings.cpus,
        program = word(&folder.join("expertgrid")),
        folder = word(folder),
    )
}

/// The lines before the program: those of the user, and a look whether the node sees a file.
fn beginning(settings: &ClusterSettings, file: &Path) -> String {
    let before: String = settings
        .before
        .iter()
        .map(|line| format!("{line}\n"))
        .collect();
    let missing = shell::quoted(&format!(
        "this node sees no {}; keep the results where every node sees them, or leave this node \
         out with `--sbatch=--exclude=NODE`",
        file.display()
    ));
    format!(
        "#!/bin/bash\n{before}[ -e {} ] || {{ echo \"$(uname -n):\" {missing} >&2; exit 78; }}\n",
        word(file)
    )
}

fn word(path: &Path) -> String {
    shell::word(&path.display().to_string())
}

/// The job's number by the answer of `sbatch --parsable`: `id` or `id;cluster`. A site's own
/// messages may stand above it.
pub fn parse_job_id(answer: &str) -> Option<JobId> {
    let mut lines = answer.lines().rev().map(str::trim);
    lines.find_map(|line| {
        let (number, cluster) = match line.split_once(';') {
            Some((number, cluster)) => (number, Some(cluster.to_owned())),
            None => (line, None),
        };
        let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
        let number = number.parse().ok().filter(|_| is_number)?;
        Some(JobId { number, cluster })
    })
}

/// Indices as Slurm writes them, each once: `0-3,7`.
pub fn ranges(indices: impl IntoIterator<Item = usize>) -> String {
    let sorted = indices.into_iter().sorted().dedup();
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for index in sorted {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == index => *last = index,
            _ => ranges.push((index, index)),
        }
    }
    let range = |(first, last): (usize, usize)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    ranges.into_iter().map(range).join(",")
}

/// Pilots that one array has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArrayPart {
    /// The number of the pilot whose index would be 0: a pilot's number is this and its index.
    pub first: usize,
    /// The indices of its elements, as `--array` takes them.
    pub elements: String,
}

/// Divides pilots, by their numbers, among arrays whose indices are all below `MaxArraySize`. A
/// pilot's array and index follow from its number alone.
pub fn parts(
    pilots: impl IntoIterator<Item = usize>,
    max_array_size: NonZeroUsize,
) -> Vec<ArrayPart> {
    let size = max_array_size.get();
    let sorted = pilots.into_iter().sorted();
    let chunks = sorted.chunk_by(|pilot| pilot / size);
    let parts = chunks.into_iter().map(|(chunk, pilots)| ArrayPart {
        first: chunk * size,
        elements: ranges(pilots.map(|pilot| pilot % size)),
    });
    parts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> ClusterSettings {
        ClusterSettings::new("gpu", Path::new("clusters.toml"))
    }

    fn full() -> ClusterSettings {
        let text = |text: &str| Some(text.to_owned());
        ClusterSettings {
            partition: text("gpu"),
            account: text("lab"),
            qos: text("high"),
            constraint: text("a100&nvlink"),
            time: Duration::from_secs(90),
            gpus: 1,
            cpus: NonZeroUsize::new(8).unwrap(),
            memory: text("16G"),
            leave: Duration::from_millis(20_500),
            before: vec!["module load cuda/12.6 # $HOME stays".to_owned()],
            sbatch: vec!["--exclude=gpu07".to_owned()],
            ..settings()
        }
    }

    #[test]
    fn the_call_says_what_a_pilot_needs_and_further_words_come_last() {
        let call = line(&words(
            &settings(),
            Path::new("/data/r"),
            "eg-1a2b3c4d",
            "0-31",
        ));
        assert_eq!(
            call,
            "sbatch --array=0-31 '--signal=B:USR1@180' --parsable --requeue --open-mode=append \
             --chdir=/ -J eg-1a2b3c4d -o '/data/r/pilots/%A_%a.log' --time=240 --cpus-per-task=1"
        );
        let words = words(&full(), Path::new("/data/my r"), "eg-1a2b3c4d", "0-3,7");
        assert_eq!(
            words,
            [
                "--array=0-3,7",
                "--signal=B:USR1@21",
                "--parsable",
                "--requeue",
                "--open-mode=append",
                "--chdir=/",
                "-J",
                "eg-1a2b3c4d",
                "-o",
                "/data/my r/pilots/%A_%a.log",
                "--partition=gpu",
                "--account=lab",
                "--qos=high",
                "--constraint=a100&nvlink",
                "--time=2",
                "--gres=gpu:1",
                "--cpus-per-task=8",
                "--mem=16G",
                "--exclude=gpu07",
            ]
        );
        assert!(line(&words).contains("'--constraint=a100&nvlink'"));
    }

    #[test]
    fn the_script_checks_that_the_node_sees_the_folder() {
        let text = script(
            &full(),
            Path::new("/data/my r"),
            &["--first".into(), "11".into()],
        );
        assert_eq!(
            text,
            "#!/bin/bash\n\
             module load cuda/12.6 # $HOME stays\n\
             [ -e '/data/my r/sweep.json' ] || { echo \"$(uname -n):\" 'this node sees no \
             /data/my r/sweep.json; keep the results where every node sees them, or leave this \
             node out with `--sbatch=--exclude=NODE`' >&2; exit 78; }\n\
             exec '/data/my r/expertgrid' pilot '/data/my r' --first 11\n"
        );
    }

    #[test]
    fn a_site_check_is_one_job_of_two_nodes_with_what_a_pilot_has() {
        let log = Path::new("/data/r/log");
        let time = Duration::from_secs(600);
        let call = line(&words_of_two_nodes(&full(), log, "eg-check", time));
        assert_eq!(
            call,
            "sbatch --nodes=2 --ntasks-per-node=1 --parsable --requeue --open-mode=append \
             --chdir=/ -J eg-check -o /data/r/log --partition=gpu --account=lab --qos=high \
             '--constraint=a100&nvlink' --time=2 --gres=gpu:1 --cpus-per-task=8 --mem=16G \
             --exclude=gpu07"
        );
        assert_eq!(
            script_of_two_nodes(&settings(), Path::new("/data/my r")),
            "#!/bin/bash\n\
             [ -e '/data/my r/check.json' ] || { echo \"$(uname -n):\" 'this node sees no \
             /data/my r/check.json; keep the results where every node sees them, or leave this \
             node out with `--sbatch=--exclude=NODE`' >&2; exit 78; }\n\
             if [ \"${SLURM_RESTART_COUNT:-0}\" = 0 ]; then\n\
             srun --ntasks=2 --ntasks-per-node=1 --cpus-per-task=1 '/data/my r/expertgrid' \
             cluster node '/data/my r'\n\
             fi\n\
             exec '/data/my r/expertgrid' cluster node '/data/my r' --queue-again\n"
        );
    }

    #[test]
    fn the_answer_is_a_number_and_perhaps_a_cluster() {
        let id = |number, cluster: Option<&str>| JobId {
            number,
            cluster: cluster.map(str::to_owned),
        };
        assert_eq!(parse_job_id("42\n"), Some(id(42, None)));
        assert_eq!(parse_job_id("42;west\n"), Some(id(42, Some("west"))));
        assert_eq!(parse_job_id("Welcome.\n42\n\n"), Some(id(42, None)));
        for other in ["", "Submitted batch job 42", "+42", "-1", "42 43"] {
            assert_eq!(parse_job_id(other), None, "{other}");
        }
        assert_eq!(id(42, Some("west")).to_string(), "42;west");
    }

    #[test]
    fn indices_are_written_as_ranges() {
        for (indices, expected) in [
            (&[][..], ""),
            (&[7], "7"),
            (&[0, 1, 2, 3, 7], "0-3,7"),
            (&[7, 3, 3, 2, 9, 8], "2-3,7-9"),
        ] {
            assert_eq!(ranges(indices.iter().copied()), expected);
        }
    }

    #[test]
    fn no_index_reaches_the_size_of_an_array() {
        let part = |first, elements: &str| ArrayPart {
            first,
            elements: elements.to_owned(),
        };
        let size = |size| NonZeroUsize::new(size).unwrap();
        assert_eq!(parts(0..32, size(1001)), [part(0, "0-31")]);
        assert_eq!(
            parts(0..32, size(11)),
            [part(0, "0-10"), part(11, "0-10"), part(22, "0-9")]
        );
        // Missing ones only, each where it was.
        assert_eq!(
            parts([25, 2, 3, 11], size(11)),
            [part(0, "2-3"), part(11, "0"), part(22, "3")]
        );
        assert_eq!(
            parts(0..3, size(1)),
            [part(0, "0"), part(1, "0"), part(2, "0")]
        );
        assert_eq!(parts([], size(11)), []);
    }
}
