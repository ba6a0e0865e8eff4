//! What `plan` estimates, from journals whose times are known.

use std::{collections::HashSet, fs, path::Path};

use expertgrid::{
    estimate::{self, Devices, Estimate, Measured},
    key::Digest,
    manifest,
    plan::{self, Inventory, Kind, Plan},
    results_dir::ResultsDir,
    store::Store,
};
use serde_json::{Value, json};

use crate::support::common::{files, phantom, run, tiny, tiny_run};

/// The size of a batch of the tiny manifest: 192 pixels, six of them averaged into one.
const TINY_SIZE: [usize; 3] = [4, 32, 2];

/// A journal with times chosen by hand.
#[derive(Default)]
struct Journal(Vec<Value>);

impl Journal {
    fn tell(mut self, at: f64, event: Value) -> Self {
        let counts = json!({
            "cached": 0, "waiting": 0, "running": 0, "elsewhere": 0, "finished": 0,
            "failed": 0, "blocked": 0
        });
        self.0
            .push(json!({"at": at, "run": "writing-x", "counts": counts, "event": event}));
        self
    }

    fn began(self, slots: &[&str]) -> Self {
        let began = json!({
            "command": "expertgrid run", "version": "0", "process": 1, "slots": slots, "cost": 1
        });
        self.tell(1000.0, json!({ "began": began }))
    }

    fn training(
        self,
        at: f64,
        stage: Digest,
        slot: usize,
        passes: [usize; 2],
        size: [usize; 3],
    ) -> Self {
        let ([steps, batches], [width, side, batch]) = (passes, size);
        let size = json!({"width": width, "side": side, "batch": batch});
        self.started(
            at,
            stage,
            slot,
            json!({"steps": steps, "batches": batches, "size": size}),
        )
    }

    fn evaluation(self, at: f64, stage: Digest, slot: usize) -> Self {
        self.started(
            at,
            stage,
            slot,
            json!({"steps": 0, "batches": 0, "size": null}),
        )
    }

    fn started(self, at: f64, stage: Digest, slot: usize, work: Value) -> Self {
        let subject = json!({"kind": "scratch", "name": "a stage", "work": work});
        self.tell(
            at,
            json!({"started": {"stage": stage, "slot": slot, "subject": subject}}),
        )
    }

    fn finished(self, at: f64, stage: Digest, slot: usize, seconds: f64) -> Self {
        self.tell(
            at,
            json!({"finished": {"stage": stage, "slot": slot, "seconds": seconds}}),
        )
    }

    fn stopped(self, at: f64, stage: Digest, slot: usize) -> Self {
        self.tell(at, json!({"stopped": {"stage": stage, "slot": slot}}))
    }

    /// Writes it as that of an experiment.
    fn write(&self, folder: &Path, experiment: &str) {
        let folder = folder.join("results").join(experiment).join("paper");
        fs::create_dir_all(&folder).unwrap();
        let lines: String = self.0.iter().map(|line| format!("{line}\n")).collect();
        // Whoever wrote it was killed in the middle of a line.
        fs::write(folder.join("journal.jsonl"), lines + "{\"at\":").unwrap();
    }
}

fn stage(name: &str) -> Digest {
    Digest::of_bytes(name.as_bytes())
}

/// Two trainings and an evaluation, two at a time: 20 and 10 batches in 8 s each, of half a
/// processor.
fn half_each() -> Journal {
    let [a, b, c] = ["a", "b", "c"].map(stage);
    Journal::default()
        .began(&["cpu", "cpu"])
        .training(1000.0, a, 0, [10, 2], TINY_SIZE)
        .training(1000.0, b, 1, [10, 1], TINY_SIZE)
        .finished(1008.0, a, 0, 8.0)
        .evaluation(1008.0, c, 0)
        .finished(1008.0, b, 1, 8.0)
        .finished(1008.5, c, 0, 0.5)
}

fn planned(folder: &Path, more: &[&str]) -> Value {
    let arguments = [&["plan", "tiny.toml", "--json"], more].concat();
    serde_json::from_str(&run(folder, &arguments, 0).out).unwrap()
}

fn assert_range(found: &Value, [low, expected, high]: [f64; 3]) {
    for (name, expected) in [("low", low), ("expected", expected), ("high", high)] {
        let found = found[name].as_f64().unwrap();
        assert!(
            (found / expected - 1.0).abs() < 1e-9,
            "{name}: {found} for {expected}"
        );
    }
}

/// The tiny manifest's plan, as it is made where there is no data set.
fn tiny_plan(folder: &Path) -> Plan {
    let experiments = manifest::read(&[folder.join("tiny.toml")], manifest::PAPER, &[]).unwrap();
    let inventory = Inventory::assumed(&experiments[0].cohort);
    plan::build(experiments, &inventory)
}

#[test]
fn what_is_left_takes_as_long_as_what_was_measured() {
    let folder = tiny();
    half_each().write(folder.path(), "elsewhere");
    // What a sweep of several experiments does is in the journal of each, and happened once.
    half_each().write(folder.path(), "too");
    let estimate = &planned(folder.path(), &[])["estimate"];
    // Half of 8 s for 20 batches and for 10, half of 0.5 s for an evaluation. Left are a
    // pretraining of 4 steps with two experts, two fine-tunings of 2 steps, two trainings of 4
    // steps, and four evaluations.
    let [fast, mean, slow] = [4.0 / 20.0, 8.0 / 30.0, 4.0 / 10.0];
    let all = [fast, mean, slow].map(|batch| 20.0 * batch + 4.0 * 0.25);
    assert_range(&estimate["time"]["device_seconds"], all);
    assert_range(&estimate["time"]["wall_seconds"], all);
    assert_eq!(estimate["device"], "cpu");
    assert_eq!(estimate["stages"], 9);
    let basis = &estimate["basis"][0];
    assert_eq!(basis["size"], json!({"width": 4, "side": 32, "batch": 2}));
    assert_eq!(basis["batches"], 20);
    assert_eq!(basis["known"], json!({"measured": {"trainings": 2}}));
    assert_range(&basis["seconds_per_batch"], [fast, mean, slow]);

    let without = &planned(folder.path(), &["--only", r#"method="w/o""#])["estimate"];
    assert_eq!(without["stages"], 4);
    let some = [fast, mean, slow].map(|batch| 8.0 * batch + 2.0 * 0.25);
    assert_range(&without["time"]["device_seconds"], some);

    let said = run(folder.path(), &["plan", "tiny.toml"], 0).out;
    assert!(
        said.contains("left: about 6.3 s (5.0 s to 9.0 s) on the processor"),
        "{said}"
    );
    assert!(
        said.contains(
            "20 batches of 2 images of 32 x 32 at width 4: 266.7 ms (200.0 ms to 400.0 ms) each, \
             measured in 2 trainings"
        ),
        "{said}"
    );
}

#[test]
fn several_devices_wait_for_the_longest_chain() {
    let folder = tiny();
    let [a, b] = ["a", "b"].map(stage);
    // One at a time on each, a second for each batch.
    Journal::default()
        .began(&["cuda:0", "cuda:1"])
        .training(1000.0, a, 0, [5, 1], TINY_SIZE)
        .training(1000.0, b, 1, [7, 1], TINY_SIZE)
        .finished(1005.0, a, 0, 5.0)
        .finished(1007.0, b, 1, 7.0)
        .write(folder.path(), "elsewhere");
    let plan = tiny_plan(folder.path());
    let results = folder.path().join("results");
    let on = |count: usize| -> Estimate {
        let devices = Devices {
            device: "cuda".into(),
            count,
        };
        let measured = Measured::read(&ResultsDir::new(&results));
        estimate::of(
            &plan,
            |_| true,
            &Store::within(&results),
            &HashSet::new(),
            &measured,
            devices,
        )
    };
    for (devices, wall) in [
        (1, 20.0),
        // Halves of 20 batches, and a pretraining of 8 with a fine-tuning of 2.
        (2, 10.0),
        (3, 10.0),
        (9, 10.0),
    ] {
        let time = on(devices).time.unwrap();
        assert_eq!(time.device_seconds.expected, 20.0, "{devices} devices");
        assert_eq!(time.wall_seconds.expected, wall, "{devices} devices");
    }
    // What was measured on another kind of device says nothing.
    let cpu = Devices {
        device: "cpu".into(),
        count: 1,
    };
    let measured = Measured::read(&ResultsDir::new(&results));
    let estimate = estimate::of(
        &plan,
        |_| true,
        &Store::within(&results),
        &HashSet::new(),
        &measured,
        cpu,
    );
    assert_eq!(estimate.time, None);
}

#[test]
fn attempts_that_were_cut_short_are_spent_but_measure_nothing() {
    let folder = tiny();
    let plan = tiny_plan(folder.path());
    let of_kind = |kind: Kind| {
        let stages = plan
            .stages
            .iter()
            .filter(move |stage| stage.spec.kind() == kind);
        stages.map(|stage| stage.digest).collect::<Vec<_>>()
    };
    let [stopped, killed] = of_kind(Kind::Scratch)[..] else {
        panic!("two ways of sampling")
    };
    Journal::default()
        .began(&["cpu"])
        .training(1000.0, stopped, 0, [4, 1], TINY_SIZE)
        .stopped(1003.0, stopped, 0)
        // It goes on from where it was: 1 s is not what four steps take.
        .training(1010.0, stopped, 0, [4, 1], TINY_SIZE)
        .finished(1011.0, stopped, 0, 1.0)
        .training(1020.0, killed, 0, [4, 1], TINY_SIZE)
        .tell(1025.5, json!({"elsewhere": {"stage": stage("another")}}))
        .write(folder.path(), "tiny");
    let estimate = &planned(folder.path(), &[])["estimate"];
    assert_eq!(estimate["spent_device_seconds"], 3.0 + 1.0 + 5.5);
    assert_eq!(estimate["time"], Value::Null);
    let spent = estimate::spent(&ResultsDir::new(folder.path().join("results")));
    assert_eq!(spent[&stopped], 4.0);
    assert_eq!(spent[&killed], 5.5);
    // Other runs of the plan have taken nothing.
    let with = &planned(folder.path(), &["--only", r#"method="w/""#])["estimate"];
    assert_eq!(with["spent_device_seconds"], 0.0);
}

#[test]
fn another_size_gives_a_guess_and_nothing_gives_no_estimate() {
    let folder = tiny();
    let known = |folder: &Path| planned(folder, &[])["estimate"]["basis"][0]["known"].clone();
    assert_eq!(known(folder.path()), "not");
    let said = run(folder.path(), &["plan", "tiny.toml"], 0).out;
    assert!(said.contains("the time is not known"), "{said}");
    assert!(said.contains("`expertgrid bench 4:32:2`"), "{said}");

    let a = stage("a");
    Journal::default()
        .began(&["cpu"])
        .training(1000.0, a, 0, [100, 1], [8, 64, 16])
        .finished(1128.0, a, 0, 128.0)
        .write(folder.path(), "elsewhere");
    let guessed = json!({"guessed": {"from": {"width": 8, "side": 64, "batch": 16}}});
    assert_eq!(known(folder.path()), guessed);
    // Half the width, half the side, an eighth of the images: a 4 x 4 x 8th of 1.28 s.
    let estimate = &planned(folder.path(), &[])["estimate"];
    let [third, batch, triple] = [0.01 / 3.0, 0.01, 0.03];
    assert_range(
        &estimate["basis"][0]["seconds_per_batch"],
        [third, batch, triple],
    );
    assert_range(
        &estimate["time"]["device_seconds"],
        [third, batch, triple].map(|batch| 20.0 * batch),
    );
    let said = run(folder.path(), &["plan", "tiny.toml"], 0).out;
    assert!(
        said.contains("a GUESS from batches of 16 images of 64 x 64 at width 8"),
        "{said}"
    );
    assert!(said.contains("`expertgrid bench 4:32:2`"), "{said}");
}

#[test]
fn the_disk_that_a_run_takes_was_estimated_before() {
    let folder = tiny();
    let dataset = phantom().to_str().unwrap();
    let estimate = |more: &[&str]| {
        let arguments = [&["--dataset", dataset], more].concat();
        planned(folder.path(), &arguments)["estimate"].clone()
    };
    let before = estimate(&[])["disk_bytes"].as_f64().unwrap();
    run(folder.path(), &tiny_run(&[]), 0);
    let store = files(&folder.path().join("results/store"));
    let taken: usize = store.values().map(Vec::len).sum();
    let taken = taken as f64;
    assert!((before / taken - 1.0).abs() < 0.25, "{before} for {taken}");

    let done = estimate(&[]);
    assert_eq!(done["stages"], 0);
    assert_eq!(done["disk_bytes"], 0);
    assert!(done["spent_device_seconds"].as_f64().unwrap() > 0.0);
    // Artefacts of the same kinds and size in the store, though of another plan, are what others
    // will be like.
    let again = estimate(&["--set", "grid.starts=[4, 7]"]);
    assert_eq!(again["stages"], 8, "the pretraining is there");
    let nearer = again["disk_bytes"].as_f64().unwrap();
    let mut of_pretraining = 0.0;
    for (name, bytes) in &store {
        if name.starts_with("pretrain/") {
            of_pretraining += bytes.len() as f64;
        }
    }
    let rest = taken - of_pretraining;
    assert!((nearer / rest - 1.0).abs() < 0.01, "{nearer} for {rest}");

    let said = run(
        folder.path(),
        &["plan", "tiny.toml", "--dataset", dataset],
        0,
    );
    let said = said.out;
    assert!(said.contains("spent so far: "), "{said}");
    assert!(said.ends_with("nothing is left to do\n"), "{said}");
}
