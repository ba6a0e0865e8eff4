//! Slurm's commands: submits, looks at, cancels and requeues jobs.
//!
//! The rule: every command has a time in which it must answer, and gets no variable that would
//! change what it does. An error says what the command itself said, and the remedy. A submission
//! that is reported as failed has been looked for in the queue: `sbatch` may fail or hang although
//! the controller has taken the job.

use std::{
    env,
    ffi::OsString,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    process::ExitStatus,
    thread,
    time::{Duration, Instant},
};

use itertools::Itertools;

use super::timed_command::{CommandAnswer, answer};
use crate::cluster::{
    ArrayElement, JobId, QUEUE_FORMAT, SlurmLimits, UnknownPartition, UnreadLine, in_words,
    longest, max_array_size, parse_job_id, parse_queue, partitions, remedy,
};

/// Beginnings of the variables that change what Slurm's commands do, or belong to the job in which
/// this process may run.
const CHANGING: [&str; 7] = [
    "SLURM_",
    "SBATCH_",
    "SRUN_",
    "SQUEUE_",
    "SCANCEL_",
    "SCONTROL_",
    "SALLOC_",
];

/// The variables that say where Slurm's configuration is, and who asks where tokens prove it.
const KEPT: [&str; 2] = ["SLURM_CONF", "SLURM_JWT"];

/// Most characters of a command's own words in an error.
const MOST_SAID: usize = 600;

/// How long commands may take.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// For an answer of any command but these.
    answer: Duration,
    /// For `sbatch`, which waits itself where the queue is full, and `scancel`, which asks again
    /// every 5 s where an element is just being requeued.
    repeated: Duration,
    /// For a job to appear in the queue after `sbatch` has failed.
    appearance: Duration,
}

const PATIENCE: Patience = Patience {
    answer: Duration::from_secs(10),
    repeated: Duration::from_secs(60),
    appearance: Duration::from_secs(5),
};

/// Slurm's commands on this machine.
#[derive(Clone, Debug)]
pub struct Slurm {
    /// Where the commands are; on the path of commands where it is `None`.
    folder: Option<PathBuf>,
    environment: Vec<(OsString, OsString)>,
    patience: Patience,
}

/// Why a command of Slurm gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum SlurmError {
    /// The command is not installed.
    #[error("no `{0}` here; run this on a machine where Slurm's commands are")]
    Absent(&'static str),
    /// The command cannot be started.
    #[error("`{program}` cannot be started: {error}; ask the cluster's administrators")]
    Unstarted {
        /// The command.
        program: &'static str,
        /// The operating system's error.
        error: io::Error,
    },
    /// The command took too long, and was killed.
    #[error(
        "`{program}` gave no answer in {}; Slurm's controller may be busy or away, try again in \
         some minutes",
        in_words(*.after)
    )]
    Silent {
        /// The command.
        program: &'static str,
        /// How long it had.
        after: Duration,
    },
    /// The command reports an error.
    #[error("`{program}` says: {said}; {}", remedy(.said).unwrap_or(ASK))]
    Refused {
        /// The command.
        program: &'static str,
        /// Its own words.
        said: String,
    },
    /// `sbatch` gave no job's number.
    #[error("`sbatch` names no job: it says \"{0}\"; {ASK}")]
    NoJob(String),
    /// A line of `squeue` cannot be read.
    #[error("{0}; {ASK}")]
    Unread(#[from] UnreadLine),
    /// There is no such partition.
    #[error(transparent)]
    Partition(#[from] UnknownPartition),
    /// A submission failed, and the queue does not say whether Slurm has taken it.
    #[error(
        "{error}\nwhether Slurm has taken the job is unknown, since `squeue` does not answer \
         either; look with `squeue --me --name={name}` before this is tried again"
    )]
    PerhapsSubmitted {
        /// The job's name.
        name: String,
        /// Why the submission failed.
        error: Box<SlurmError>,
    },
}

const ASK: &str = "what this means on this cluster, its administrators know";

/// Which jobs are meant.
#[derive(Clone, Copy, Debug)]
pub enum JobsMeant<'a> {
    /// This user's jobs of a name.
    Named(&'a str),
    /// Jobs or elements: `12`, `12_3`, `12_[0-3,7]`.
    Listed(&'a [String]),
}

/// What a job's first process is sent: perhaps twice, 5 s apart, where another element of its array
/// is just being requeued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobSignal {
    /// SIGUSR1.
    Usr1,
    /// SIGTERM.
    Term,
}

impl Slurm {
    /// The commands on the path of commands.
    pub fn new() -> Self {
        Self {
            folder: None,
            environment: cleaned(env::vars_os()),
            patience: PATIENCE,
        }
    }

    /// The commands in a folder.
    pub fn at(folder: &Path) -> Self {
        Self {
            folder: Some(folder.to_owned()),
            ..Self::new()
        }
    }

    /// Submits a script with these words of `sbatch`. `name` is the job's name, and `known` are the
    /// numbers of the arrays of that name that were there before.
    ///
    /// # Errors
    /// [`SlurmError`]. No array has then appeared in the queue, but for
    /// [`SlurmError::PerhapsSubmitted`].
    pub fn submit(
        &self,
        words: &[String],
        script: &str,
        name: &str,
        known: &[u64],
    ) -> Result<JobId, SlurmError> {
        let answer = self.ask("sbatch", words, script, self.patience.repeated);
        let error = match answer {
            Ok(answer) => match parse_job_id(&answer) {
                Some(job) => return Ok(job),
                None => SlurmError::NoJob(shortened(&answer)),
            },
            Err(error @ (SlurmError::Absent(_) | SlurmError::Unstarted { .. })) => {
                return Err(error);
            }
            Err(error) => error,
        };
        self.appeared(name, known, error)
    }

    /// The array that has appeared in the queue although its submission ended in an error, or the
    /// error.
    fn appeared(&self, name: &str, known: &[u64], error: SlurmError) -> Result<JobId, SlurmError> {
        let all = self.patience.appearance;
        let give_up = Instant::now() + all;
        loop {
            let found = self.queue(name);
            if let Ok(elements) = &found {
                let arrays = elements.iter().map(|element| element.array);
                if let Some(number) = arrays.filter(|array| !known.contains(array)).max() {
                    let cluster = None;
                    return Ok(JobId { number, cluster });
                }
            }
            if Instant::now() >= give_up {
                return Err(match found {
                    Ok(_) => error,
                    Err(_) => SlurmError::PerhapsSubmitted {
                        name: name.to_owned(),
                        error: Box::new(error),
                    },
                });
            }
            thread::sleep(all / 5);
        }
    }

    /// This user's jobs of a name that Slurm has not forgotten, each element by itself.
    ///
    /// # Errors
    /// [`SlurmError`]: what waits and runs is unknown.
    pub fn queue(&self, name: &str) -> Result<Vec<ArrayElement>, SlurmError> {
        let name = format!("--name={name}");
        // Those that have ended stay for some minutes.
        let words = [
            "-h",
            "-r",
            "--me",
            "--states=all",
            &name,
            "-o",
            QUEUE_FORMAT,
        ];
        let words = words.map(str::to_owned);
        let text = self.ask("squeue", &words, "", self.patience.answer)?;
        Ok(parse_queue(&text)?)
    }

    /// Cancels jobs, or sends their first process a signal. A job that is not there is no error.
    ///
    /// # Errors
    /// [`SlurmError`].
    pub fn cancel(&self, jobs: JobsMeant, signal: Option<JobSignal>) -> Result<(), SlurmError> {
        // Otherwise the signal would miss the batch script's process.
        let signal = signal.map(|signal| match signal {
            JobSignal::Usr1 => ["--batch", "--signal=USR1"],
            JobSignal::Term => ["--batch", "--signal=TERM"],
        });
        let meant = match jobs {
            JobsMeant::Listed([]) => return Ok(()),
            JobsMeant::Listed(jobs) => jobs.to_vec(),
            JobsMeant::Named(name) => vec![format!("--name={name}")],
        };
        let user = match jobs {
            JobsMeant::Named(_) => user(),
            JobsMeant::Listed(_) => None,
        };
        let signal = signal.into_iter().flatten().map(str::to_owned);
        let words: Vec<String> = signal.chain(user).chain(meant).collect();
        self.ask("scancel", &words, "", self.patience.repeated)?;
        Ok(())
    }

    /// Ends a job and queues it again: an element such as `12_3`, or a lone job. Called by the job
    /// itself, it may end this process before it returns. The number of an array alone, or of one
    /// of its jobs, could queue all of it again.
    ///
    /// # Errors
    /// [`SlurmError`].
    pub fn requeue(&self, job: &str) -> Result<(), SlurmError> {
        let words = ["requeue".to_owned(), job.to_owned()];
        self.ask("scontrol", &words, "", self.patience.answer)?;
        Ok(())
    }

    /// What limits a submission to a partition, or to the default one.
    ///
    /// # Errors
    /// [`SlurmError`], also where there is no such partition.
    pub fn limits(&self, partition: Option<&str>) -> Result<SlurmLimits, SlurmError> {
        let show = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
            self.ask("scontrol", &words, "", self.patience.answer)
        };
        let config = show(&["show", "config"])?;
        // Partitions may be hidden.
        let all = show(&["--all", "--oneliner", "show", "partition"])?;
        Ok(SlurmLimits {
            max_array_size: max_array_size(&config),
            longest: longest(&partitions(&all), partition)?,
        })
    }

    /// What a command prints, given an input, if it ends well in time.
    fn ask(
        &self,
        program: &'static str,
        words: &[String],
        input: &str,
        patience: Duration,
    ) -> Result<String, SlurmError> {
        let path = match &self.folder {
            Some(folder) => folder.join(program),
            None => program.into(),
        };
        let answer = answer(&path, words, &self.environment, input, patience);
        let answer = answer.map_err(|error| match error.kind() {
            ErrorKind::NotFound => SlurmError::Absent(program),
            _ => SlurmError::Unstarted { program, error },
        })?;
        let after = patience;
        let CommandAnswer {
            status,
            output,
            errors,
        } = answer.ok_or(SlurmError::Silent { program, after })?;
        if status.success() || program == "scontrol" && is_terminated(status) {
            return Ok(output);
        }
        let said = [errors, output].into_iter().map(|text| shortened(&text));
        let said = said.into_iter().find(|text| !text.is_empty());
        Err(SlurmError::Refused {
            program,
            said: said.unwrap_or_else(|| format!("nothing ({status})")),
        })
    }
}

impl Default for Slurm {
    fn default() -> Self {
        Self::new()
    }
}

/// Variables without those that change what Slurm's commands do.
fn cleaned(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Vec<(OsString, OsString)> {
    let stays = |name: &OsString| {
        let text = name.to_string_lossy();
        KEPT.contains(&&*text) || !CHANGING.iter().any(|start| text.starts_with(start))
    };
    let variables = variables.into_iter();
    variables.filter(|(name, _)| stays(name)).collect()
}

/// The word of `scancel` for this user's jobs: the superuser would cancel everybody's.
fn user() -> Option<String> {
    #[cfg(unix)]
    return Some(format!("--user={}", rustix::process::getuid().as_raw()));
    #[cfg(not(unix))]
    None
}

/// Whether a signal to end has ended the command, as a requeue does to what its own job runs.
fn is_terminated(status: ExitStatus) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt;
        status.signal() == Some(signal_hook::consts::SIGTERM) || status.code() == Some(143)
    }
    #[cfg(not(unix))]
    {
        let _ = status;
        false
    }
}

/// What a command says, in one line.
fn shortened(text: &str) -> String {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines.join("; ");
    match line.char_indices().nth(MOST_SAID) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::{fs, process::Command};

    use super::*;

    /// Slurm's commands, pretended by scripts.
    struct Pretended {
        folder: tempfile::TempDir,
        slurm: Slurm,
    }

    impl Pretended {
        fn new(scripts: &[(&str, &str)]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            for (name, script) in scripts {
                let path = folder.path().join(name);
                // Written by another process: while a file is open for writing here, a process
                // that another test starts could hold it open, and it could not be run.
                let written = Command::new("sh")
                    .args(["-c", "printf '%s' \"$2\" > \"$1\" && chmod +x \"$1\"", "sh"])
                    .arg(&path)
                    .arg(format!(
                        "#!/bin/sh\nhere={}\n{script}",
                        folder.path().display()
                    ))
                    .status();
                assert!(written.unwrap().success());
            }
            let slurm = Slurm {
                patience: Patience {
                    answer: Duration::from_secs(20),
                    repeated: Duration::from_secs(20),
                    appearance: Duration::from_secs(2),
                },
                ..Slurm::at(folder.path())
            };
            Self { folder, slurm }
        }

        fn submit(&self) -> Result<JobId, SlurmError> {
            let words = ["--parsable".to_owned(), "--array=0-3".to_owned()];
            self.slurm
                .submit(&words, "#!/bin/bash\n", "eg-1a2b3c4d", &[7])
        }

        fn calls(&self, program: &str) -> String {
            let path = self.folder.path().join(format!("{program}.calls"));
            fs::read_to_string(path).unwrap_or_default()
        }
    }

    /// Notes the words of a call.
    const NOTE: &str = "echo \"$*\" >> $0.calls\n";
    /// Shows the array that was there before, and the one that `sbatch` has made, if any.
    const SQUEUE: &str = "echo '7_0|RUNNING|None|N/A|n1'; cat $here/made 2> /dev/null; true";
    /// Makes an array of two.
    const MADE: &str = "printf '9_0|PENDING|Priority|N/A|\\n9_1|PENDING|Priority|N/A|\\n' > \
                        $here/made\n";

    #[test]
    fn a_submission_gives_the_jobs_number_and_hands_over_the_script() {
        let sbatch = format!("{NOTE} cat > $here/script; echo '9;west'");
        let pretended = Pretended::new(&[("sbatch", &sbatch)]);
        let job = pretended.submit().unwrap();
        assert_eq!((job.number, job.cluster.as_deref()), (9, Some("west")));
        assert_eq!(pretended.calls("sbatch"), "--parsable --array=0-3\n");
        let script = fs::read_to_string(pretended.folder.path().join("script")).unwrap();
        assert_eq!(script, "#!/bin/bash\n");
    }

    #[test]
    fn a_submission_that_was_taken_and_then_failed_is_not_repeated() {
        let socket = "echo 'sbatch: error: Socket timed out on send/recv operation' >&2; exit 1";
        let silent = "exit 0";
        let odd = "echo hello";
        for how in [socket, silent, odd] {
            let sbatch = format!("{NOTE}{MADE}{how}");
            let pretended = Pretended::new(&[("sbatch", &sbatch), ("squeue", SQUEUE)]);
            assert_eq!(pretended.submit().unwrap().number, 9, "{how}");
            assert_eq!(pretended.calls("sbatch").lines().count(), 1, "{how}");
        }
    }

    #[test]
    fn a_submission_that_was_taken_and_hangs_is_killed_and_found() {
        let sbatch = format!("{MADE} sleep 60");
        let mut pretended = Pretended::new(&[("sbatch", &sbatch), ("squeue", SQUEUE)]);
        pretended.slurm.patience.repeated = Duration::from_secs(1);
        let since = Instant::now();
        assert_eq!(pretended.submit().unwrap().number, 9);
        assert!(
            since.elapsed() < Duration::from_secs(15),
            "{:?}",
            since.elapsed()
        );
    }

    #[test]
    fn an_array_may_appear_late() {
        let sbatch = format!("(sleep 1; {MADE}) > /dev/null 2>&1 &\nexit 1");
        let pretended = Pretended::new(&[("sbatch", &sbatch), ("squeue", SQUEUE)]);
        assert_eq!(pretended.submit().unwrap().number, 9);
    }

    #[test]
    fn a_submission_that_was_refused_says_why_and_what_to_do() {
        let sbatch = "echo 'sbatch: error: Batch job submission failed: Invalid account' >&2\n\
                      exit 1";
        let pretended = Pretended::new(&[("sbatch", sbatch), ("squeue", SQUEUE)]);
        let error = pretended.submit().unwrap_err().to_string();
        assert!(
            error.starts_with("`sbatch` says: sbatch: error: Batch job"),
            "{error}"
        );
        assert!(error.contains("; set `account`"), "{error}");
        // Where the queue cannot be seen, it may be there.
        let away = "echo 'squeue: error: Unable to contact slurm controller' >&2; exit 1";
        let pretended = Pretended::new(&[("sbatch", sbatch), ("squeue", away)]);
        let error = pretended.submit().unwrap_err();
        assert!(
            matches!(error, SlurmError::PerhapsSubmitted { .. }),
            "{error}"
        );
        assert!(
            error
                .to_string()
                .contains("`squeue --me --name=eg-1a2b3c4d`"),
            "{error}"
        );
    }

    #[test]
    fn without_slurm_the_command_is_named() {
        let pretended = Pretended::new(&[]);
        assert_eq!(
            pretended.submit().unwrap_err().to_string(),
            "no `sbatch` here; run this on a machine where Slurm's commands are"
        );
    }

    #[test]
    fn a_command_gets_no_variable_that_changes_what_it_does() {
        let variables = [
            ("PATH", "/bin:/usr/bin"),
            ("SLURM_CONF", "/etc/slurm.conf"),
            ("SLURM_JOB_ID", "3"),
            ("SLURM_NTASKS", "4"),
            ("SBATCH_PARTITION", "other"),
            ("SQUEUE_FORMAT", "%all"),
            ("SCANCEL_USER", "other"),
            ("SRUN_CPUS_PER_TASK", "2"),
        ];
        let variables = variables.map(|(name, value)| (name.into(), value.into()));
        let noted = format!("env > $0.calls\n{SQUEUE}");
        let mut pretended = Pretended::new(&[("squeue", &noted), ("sbatch", "env > $0.calls")]);
        pretended.slurm.environment = cleaned(variables);
        let _ = pretended.submit();
        pretended.slurm.queue("eg-1a2b3c4d").unwrap();
        for program in ["sbatch", "squeue"] {
            let text = pretended.calls(program);
            let names = text.lines().filter_map(|line| line.split_once('='));
            // A shell sets others by itself.
            let names = names
                .map(|(name, _)| name)
                .filter(|name| name.starts_with('S'));
            let names: Vec<&str> = names.filter(|name| *name != "SHLVL").collect();
            assert_eq!(names, ["SLURM_CONF"], "{program}: {text}");
        }
    }

    #[test]
    fn a_command_that_hangs_is_an_error_in_time() {
        // A process that the command has started keeps its output open.
        let mut pretended = Pretended::new(&[("squeue", "echo $$ > $here/number; sleep 60")]);
        pretended.slurm.patience.answer = Duration::from_secs(1);
        let since = Instant::now();
        let error = pretended.slurm.queue("eg-1a2b3c4d").unwrap_err();
        assert!(
            since.elapsed() < Duration::from_secs(10),
            "{:?}",
            since.elapsed()
        );
        assert!(
            error
                .to_string()
                .starts_with("`squeue` gave no answer in 1s"),
            "{error}"
        );
        // One that has ended and left such a process behind has answered.
        let left = format!("sleep 60 &\n{SQUEUE}");
        let pretended = Pretended::new(&[("squeue", &left)]);
        assert_eq!(pretended.slurm.queue("eg-1a2b3c4d").unwrap().len(), 1);
        assert!(
            since.elapsed() < Duration::from_secs(20),
            "{:?}",
            since.elapsed()
        );
    }

    #[test]
    fn the_queue_is_asked_for_every_element_of_a_name() {
        let squeue = format!("{NOTE}{SQUEUE}");
        let pretended = Pretended::new(&[("squeue", &squeue)]);
        assert_eq!(pretended.slurm.queue("eg-1a2b3c4d").unwrap()[0].array, 7);
        let words = "-h -r --me --states=all --name=eg-1a2b3c4d -o %i|%T|%r|%S|%N\n";
        assert_eq!(pretended.calls("squeue"), words);
        let odd = Pretended::new(&[("squeue", "echo '{\"jobs\": []}'")]);
        let error = odd.slurm.queue("eg-1a2b3c4d").unwrap_err();
        assert!(matches!(error, SlurmError::Unread(_)), "{error}");
    }

    #[test]
    fn jobs_are_cancelled_signalled_and_requeued() {
        let pretended = Pretended::new(&[("scancel", NOTE), ("scontrol", NOTE)]);
        let slurm = &pretended.slurm;
        let jobs = ["9_0".to_owned(), "9_[2-3]".to_owned()];
        let (named, listed) = (JobsMeant::Named("eg-1a2b3c4d"), JobsMeant::Listed(&jobs));
        slurm.cancel(named, None).unwrap();
        slurm.cancel(listed, Some(JobSignal::Usr1)).unwrap();
        slurm.cancel(listed, Some(JobSignal::Term)).unwrap();
        slurm.cancel(JobsMeant::Listed(&[]), None).unwrap();
        slurm.requeue("9_3").unwrap();
        let user = rustix::process::getuid().as_raw();
        assert_eq!(
            pretended.calls("scancel"),
            format!(
                "--user={user} --name=eg-1a2b3c4d\n--batch --signal=USR1 9_0 9_[2-3]\n--batch \
                 --signal=TERM 9_0 9_[2-3]\n"
            )
        );
        assert_eq!(pretended.calls("scontrol"), "requeue 9_3\n");
        // Its own effect may end the command.
        let killed = Pretended::new(&[("scontrol", "kill -TERM $$; sleep 60")]);
        killed.slurm.requeue("9_3").unwrap();
        let refused = "echo 'Requested operation is presently disabled for job 9_3' >&2; exit 1";
        let refused = Pretended::new(&[("scontrol", refused)]);
        let error = refused.slurm.requeue("9_3").unwrap_err().to_string();
        assert!(error.contains("presently disabled for job 9_3"), "{error}");
    }

    #[test]
    fn the_limits_are_those_of_the_partition() {
        let scontrol = "case \"$*\" in\n\
             'show config') echo 'MaxArraySize            = 11';;\n\
             *partition) echo 'PartitionName=main Default=YES MaxTime=01:00:00 State=UP';;\n\
             *) exit 1;;\nesac";
        let pretended = Pretended::new(&[("scontrol", scontrol)]);
        let limits = pretended.slurm.limits(None).unwrap();
        assert_eq!(limits.max_array_size.get(), 11);
        assert_eq!(limits.longest, Some(Duration::from_secs(3600)));
        let error = pretended
            .slurm
            .limits(Some("mian"))
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "there is no partition `mian` here; did you mean \"main\"?"
        );
    }
}
