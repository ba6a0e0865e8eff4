//! `expertgrid pilot`: one element of an array that runs a sweep.

use std::{
    iter,
    path::PathBuf,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use anyhow::{Context, anyhow};
use clap::{Args, Parser};

use super::{
    super::{
        Cli, Command, Done, Failure, chain,
        interrupts::Interrupts,
        report::say_written,
        run::{self, PilotPart, sweep_here},
    },
    job_of,
};
use crate::{
    cluster::{ArrayElement, Claiming, ElementState},
    exec::{JobsMeant, Slurm, SlurmError},
    host,
    pilots::{
        Alive, FrozenSweep, LocksSeen, NotShared, SharedFailures, SweepFolder, note_error,
        watch_for_unshared_locks,
    },
    schedule::Share,
    shell,
    sweep::{self, SweepEnd},
};

#[derive(Debug, Args)]
pub(in super::super) struct Arguments {
    /// The sweep's folder.
    folder: PathBuf,
    /// The number of the pilot whose index in the array is 0.
    #[arg(long, default_value_t = 0)]
    first: usize,
}

/// The element of a job array that this process is.
#[derive(Clone, Copy, Debug)]
struct OwnElement {
    array: u64,
    index: usize,
}

impl OwnElement {
    fn this() -> Option<Self> {
        let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
        Some(Self {
            array: number("SLURM_ARRAY_JOB_ID")?,
            index: usize::try_from(number("SLURM_ARRAY_TASK_ID")?).ok()?,
        })
    }
}

/// How long a pilot that has queued itself again waits for its end, which Slurm makes.
const AFTER_REQUEUE: Duration = Duration::from_secs(300);

pub(in super::super) fn run(arguments: &Arguments) -> Result<Done, Failure> {
    let folder = SweepFolder::at(&arguments.folder);
    let element = OwnElement::this();
    let name = match element {
        Some(OwnElement { array, index }) => format!("{array}_{index}"),
        None => format!("process-{}", std::process::id()),
    };
    let ended = pilot(&folder, element, &name, arguments.first);
    if let Err(Failure::Input(error) | Failure::Work(error) | Failure::Everywhere(error)) = &ended {
        note_error(&folder, &name, &chain(error));
    }
    ended
}

fn pilot(
    folder: &SweepFolder,
    element: Option<OwnElement>,
    name: &str,
    first: usize,
) -> Result<Done, Failure> {
    let interrupts = Interrupts::listen_once("expertgrid pilot".to_owned());
    let frozen = FrozenSweep::read(folder).map_err(|why| Failure::everywhere(anyhow!(why)))?;
    let command = command(&frozen)?;
    eprintln!("pilot {name} on {}", host::name());
    let shares = frozen.settings.claims == Claiming::Shares;
    let number = first + element.map_or(0, |element| element.index);
    let share = Share {
        index: number % frozen.pilots.max(1),
        of: frozen.pilots.max(1),
        fixed: shares,
    };
    let run = format!("{name}-{}", std::process::id());
    let alive = Alive::begin(folder, &run, name).map_err(Failure::everywhere)?;
    let unshared: Arc<Mutex<Option<NotShared>>> = Arc::default();
    let locks = LocksSeen::default();
    let watching = (!shares).then(|| {
        let (unshared, interrupts) = (unshared.clone(), interrupts.clone());
        watch_for_unshared_locks(folder.clone(), locks.clone(), move |why| {
            *unshared.lock().expect("no holder of the lock panics") = Some(why);
            interrupts.interrupt();
        })
    });
    let pilot = PilotPart {
        pilot: sweep::Pilot {
            folder: folder.clone(),
            digest: frozen.digest,
            share,
            failures: SharedFailures::new(
                folder.clone(),
                frozen.retries,
                format!("{name} on {}", host::name()),
                run.clone(),
            ),
            locks,
            log: element.map(|_| folder.pilots().join(format!("{name}.log"))),
        },
        idle: frozen.settings.idle,
    };
    let ended = sweep_here(&command, &interrupts, typed(&frozen), Some(pilot));
    drop(watching);
    if let Some(why) = unshared
        .lock()
        .expect("no holder of the lock panics")
        .take()
    {
        return Err(Failure::everywhere(why));
    }
    drop(alive);
    let slurm = Slurm::new();
    match ended? {
        SweepEnd::Ended(written) => {
            // They would find nothing to do. Where Slurm does not answer, they find it themselves.
            if element.is_some() {
                let _ = cancel_waiting(&slurm, &job_of(&frozen.digest));
            }
            Ok(say_written(&written, false))
        }
        SweepEnd::LeftToOthers(left) => {
            match left.stages {
                0 => eprintln!("nothing is left; another pilot writes the tables"),
                stages => eprintln!("{stages} stages are left to other pilots"),
            }
            Ok(match left.failed {
                0 => Done::Whole,
                _ => Done::WithFailures,
            })
        }
        SweepEnd::DiskFull => Ok(Done::WithFailures),
        SweepEnd::Interrupted => match element.filter(|_| interrupts.is_time_up()) {
            Some(element) => queue_again(&slurm, element),
            None => {
                eprintln!("ended as asked; what is done is kept");
                Ok(Done::Whole)
            }
        },
    }
}

/// The command that was submitted, in its folder, with the manifests as they were.
fn command(frozen: &FrozenSweep) -> Result<Box<run::Arguments>, Failure> {
    std::env::set_current_dir(&frozen.directory)
        .with_context(|| {
            format!(
                "this node sees no {}, the folder in which the sweep was submitted; submit it from \
                 a folder that every node sees",
                frozen.directory.display()
            )
        })
        .map_err(Failure::Everywhere)?;
    let words = iter::once("expertgrid").chain(frozen.words.iter().map(String::as_str));
    let parsed = Cli::try_parse_from(words).map_err(Failure::everywhere)?;
    let Command::Run(mut arguments) = parsed.command else {
        return Err(Failure::everywhere(anyhow!(
            "the sweep is not of `expertgrid run`"
        )));
    };
    arguments.selection.texts = frozen.texts.clone();
    arguments.selection.manifests = frozen.manifests.clone();
    Ok(Box::new(arguments))
}

/// Takes the pilots that have not begun out of the queue.
fn cancel_waiting(slurm: &Slurm, job: &str) -> Result<(), SlurmError> {
    let queue = slurm.queue(job)?;
    let waiting = queue
        .iter()
        .filter(|element| element.state == ElementState::Pending);
    let waiting: Vec<String> = waiting.map(ArrayElement::job).collect();
    slurm.cancel(JobsMeant::Listed(&waiting), None)
}

/// The command that was submitted, as it is typed.
fn typed(frozen: &FrozenSweep) -> String {
    let words = frozen.words.iter().map(|word| shell::word(word));
    iter::once("expertgrid".to_owned())
        .chain(words)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Queues this element again, and waits for its end.
fn queue_again(slurm: &Slurm, element: OwnElement) -> Result<Done, Failure> {
    let OwnElement { array, index } = element;
    eprintln!("the time is nearly up: progress is saved, and this pilot is queued again");
    match slurm.requeue(&format!("{array}_{index}")) {
        Ok(()) => thread::sleep(AFTER_REQUEUE),
        Err(error) => eprintln!(
            "warning: it could not be queued again: {error}; type `scontrol requeue \
             {array}_{index}`, or give the command again that submitted the sweep"
        ),
    }
    Ok(Done::Whole)
}
