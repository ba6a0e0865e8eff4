//! What it costs to run at all: whole processes, with stages that compute nothing, beside what it
//! may cost.
//!
//! The folder they work in is on the repository's disk, since a good part of the time goes into
//! waiting until things are on it. A machine that does something else at the same time adds to
//! every figure.

#[path = "costs/nothing.rs"]
mod nothing;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use expertgrid::{
    data,
    event::{Counts, Ended, Event, Record, Subject},
    manifest,
    plan::{self, Inventory, Plan},
    results_dir::ResultsDir,
    store::Store,
    variant::Folders,
};

/// The ordinary program.
const PROGRAM: &str = env!("CARGO_BIN_EXE_expertgrid");

/// How often each figure is taken.
const RUNS: usize = 5;

/// Table II on two of five experts and five ways of sampling: 10 + 700 + 70 trainings and 770
/// evaluations.
const SWEEP: &str = "
[grid]
new_experts = [6, 7]
arms = [\"w/\", \"w/o\"]
annotators = { from = [1, 2, 3, 4, 5], choose = 2 }
samples = [5, 10, 15, 20, 25, 30, 34]
starts = [1, 4, 7, 10, 13]
";

/// The benchmark; and, for `run` and the workers it starts, the program whose stages compute
/// nothing.
fn main() -> ExitCode {
    if std::env::args()
        .nth(1)
        .is_some_and(|word| word == "run" || word == "worker")
    {
        return expertgrid::cli::main_with(&nothing::Nothing);
    }
    let disk = Path::new(PROGRAM).parent().expect("it lies in a folder");
    let folder = tempfile::tempdir_in(disk).expect("a temporary folder");
    let folder = folder.path();
    done(
        Command::new(PROGRAM)
            .args(["data", "phantom", "--out"])
            .arg(folder.join("data/phantom")),
    );
    fs::write(folder.join("sweep.toml"), SWEEP).expect("it can be written");
    fs::write(folder.join("million.toml"), million()).expect("it can be written");
    fs::write(folder.join("long.toml"), long()).expect("it can be written");
    println!(
        "the cost of running{:>44} {:>8} {:>8} {:>8}  Snakemake*",
        "median", "best", "at most", "MiB"
    );
    running(folder);
    let plan = |_| in_folder(PROGRAM, folder, &["plan", "million.toml"]);
    // Without a data set at the default place, one of the manifest's size is assumed.
    let aside = folder.join("data/aside");
    fs::rename(folder.join("data/phantom"), &aside).expect("it can be renamed");
    row("planning 1,000,960 runs", &times(RUNS, plan), "2 s", "");
    fs::rename(&aside, folder.join("data/phantom")).expect("it can be renamed");
    let status = |_| in_folder(PROGRAM, folder, &["status", "long.toml"]);
    for (processes, at_most) in [(1, "1 s"), (64, "2 s")] {
        let stages = pretend(folder, processes);
        let what = match processes {
            1 => format!("status of {stages} stages"),
            more => format!("status of {stages} stages in {more} journals"),
        };
        row(&what, &times(RUNS, status), at_most, "");
    }
    println!("* the same shape, measured elsewhere and not by this benchmark");
    ExitCode::SUCCESS
}

/// The sweep from nothing, and again with everything there.
fn running(folder: &Path) {
    let trivial = std::env::current_exe().expect("this program has a path");
    let into = |results: usize| {
        let results = format!("results{results}");
        let arguments = ["run", "sweep.toml", "--results", &results];
        in_folder(&trivial, folder, &arguments)
    };
    // Each into a folder of its own: a file system that has just deleted thousands of files is slow
    // at making new ones.
    let fresh = times(RUNS, into);
    row("1,550 trivial stages", &fresh, "2 s", "48.7 s");
    let again = times(3 * RUNS, |i| into(i % RUNS));
    row("nothing to do on 1,550 stages", &again, "0.1 s", "2.0 s");
}

/// 31 combinations of five experts and one arm without, 2 new experts, 40 sample counts, 391
/// starts.
fn million() -> String {
    grid(&numbers(40), &numbers(391)) + "[dataset]\ntraining = 400\n"
}

/// A hundred thousand stages.
fn long() -> String {
    grid(&numbers(28), &numbers(28))
}

fn grid(samples: &str, starts: &str) -> String {
    format!(
        "[grid]\nnew_experts = [6, 7]\narms = [\"w/\", \"w/o\"]\n\
         annotators = {{ from = [1, 2, 3, 4, 5], choose = [1, 2, 3, 4, 5] }}\n\
         samples = [{samples}]\nstarts = [{starts}]\n"
    )
}

fn numbers(to: usize) -> String {
    let numbers: Vec<String> = (1..=to).map(|n| n.to_string()).collect();
    numbers.join(", ")
}

/// Makes a store look as if the long sweep had run: a folder for every stage, and the journal of
/// each of so many processes.
fn pretend(folder: &Path, processes: usize) -> usize {
    let results = folder.join("results");
    let dataset = data::open(&folder.join("data/phantom")).expect("it was drawn");
    let experiments = manifest::read(&[folder.join("long.toml")], manifest::PAPER, &[])
        .expect("the manifest is good");
    let plan = plan::build(experiments, &Inventory::of(&dataset));
    let store = Store::within(&results);
    for stage in &plan.stages {
        let artefact = store.path(stage.spec.kind(), &stage.digest);
        fs::create_dir_all(&artefact).expect("it can be created");
        fs::write(artefact.join("artefact.json"), "").expect("it can be written");
    }
    let dir = ResultsDir::new(&results);
    let folders = Folders::find(&plan.experiments, Some(&dataset), &dir);
    let place = folders.of(0).journal("writing-0");
    let place = place.parent().expect("a folder");
    // Those of fewer processes.
    let _ = fs::remove_dir_all(place);
    fs::create_dir_all(place).expect("it can be created");
    for process in 0..processes {
        let run = format!("writing-{process}");
        let mut text = Vec::new();
        for (i, event) in events(&plan, process, processes).into_iter().enumerate() {
            let record = Record {
                at: 1e9 + i as f64,
                run: run.clone(),
                counts: Counts::default(),
                event,
            };
            serde_json::to_writer(&mut text, &record).expect("records are plain data");
            text.push(b'\n');
        }
        fs::write(folders.of(0).journal(&run), text).expect("it can be written");
    }
    plan.stages.len()
}

/// What one of several processes did, each of which ran its share of the stages.
fn events(plan: &Plan, process: usize, of: usize) -> Vec<Event> {
    let mut events = vec![Event::Began {
        command: "expertgrid run".into(),
        version: "0".into(),
        process: 1,
        host: String::new(),
        log: None,
        slots: vec!["cpu".into(); 2],
        cost: 1,
        before: 0,
    }];
    let names = plan::Names::of(plan);
    let own = plan.ids().enumerate().filter(|(i, _)| i % of == process);
    for (i, (id, stage)) in own {
        let (slot, stage, work, kind) = (i % 2, stage.digest, stage.spec.work(), stage.spec.kind());
        let subject = Subject {
            kind,
            name: names.name(id),
            work,
        };
        events.push(Event::Started {
            stage,
            slot,
            subject,
        });
        events.push(Event::Finished {
            stage,
            slot,
            seconds: 1.0,
        });
    }
    events.push(Event::Ended { how: Ended::Done });
    events
}

/// A process from its start to its end.
struct Took {
    seconds: f64,
    /// The most memory it held.
    mib: f64,
}

fn in_folder(program: impl AsRef<std::ffi::OsStr>, folder: &Path, arguments: &[&str]) -> Took {
    let mut command = Command::new(program);
    command.current_dir(folder).args(arguments);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let started = Instant::now();
    let mut child = command.spawn().expect("the program starts");
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let watch = thread::spawn(move || {
        let mut most = f64::NAN;
        // Until the process is gone.
        while let Ok(text) = fs::read_to_string(&status)
            && let Some(line) = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))
        {
            most = line
                .trim_end_matches("kB")
                .trim()
                .parse::<f64>()
                .unwrap_or(most)
                / 1024.0;
            thread::sleep(Duration::from_millis(20));
        }
        most
    });
    let ended = child.wait().expect("it can be waited for");
    let seconds = started.elapsed().as_secs_f64();
    assert!(ended.success(), "{command:?}: {ended}");
    let mib = watch.join().expect("reading never panics");
    Took { seconds, mib }
}

fn done(command: &mut Command) {
    let output = command.output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

fn times(count: usize, each: impl Fn(usize) -> Took) -> Vec<Took> {
    let mut times: Vec<Took> = (0..count).map(each).collect();
    times.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    times
}

fn row(what: &str, sorted: &[Took], at_most: &str, snakemake: &str) {
    let (best, median) = (&sorted[0], &sorted[sorted.len() / 2]);
    println!(
        "  {what:<49} {:>8.3} s {:>6.3} s {at_most:>8} {:>8.0}  {snakemake}",
        median.seconds, best.seconds, median.mib
    );
}
