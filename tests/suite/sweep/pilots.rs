//! A sweep by pilots, without a cluster: Slurm's commands are pretended, and pilots are started by
//! hand. What needs a real Slurm is in `tests/slurm`.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::support::common::*;

/// A folder with the tiny grid, a description of a cluster, and pretended commands. It is not below
/// `/tmp`, where no cluster's nodes would see it.
struct Site(tempfile::TempDir);

impl Site {
    fn new() -> Self {
        let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let site = Self(tempfile::tempdir_in(parent).unwrap());
        fs::write(site.path().join("tiny.toml"), TINY).unwrap();
        fs::write(
            site.path().join("clusters.toml"),
            "[test]\npilots = 2\ntime = \"1h\"\n",
        )
        .unwrap();
        let here = site.path().display();
        site.command(
            "sbatch",
            &format!(
                "echo \"$*\" >> {here}/calls; cat > {here}/script; touch {here}/queued; echo 7"
            ),
        );
        site.command(
            "squeue",
            &format!(
                "if [ -e {here}/queued ]; then echo '7_0|PENDING|Priority|N/A|'; \
                 echo '7_1|PENDING|Priority|N/A|'; fi"
            ),
        );
        site.command("scontrol", "echo 'MaxArraySize = 1001'");
        site.command("scancel", "true");
        site
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn command(&self, name: &str, script: &str) {
        let folder = self.path().join("bin");
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A command that finds the pretended ones.
    fn with_slurm(&self, arguments: &[&str]) -> Command {
        let mut command = expertgrid(self.path(), arguments);
        let path = std::env::var("PATH").unwrap_or_default();
        let bin = self.path().join("bin");
        command.env("PATH", format!("{}:{path}", bin.display()));
        command
    }

    fn submit(&self, more: &[&str], code: i32) -> Said {
        let cluster = ["--cluster", "test", "--detach", "--jobs", "1"];
        let mut command = self.with_slurm(&tiny_run(&[&cluster[..], more].concat()));
        let output = command.output().unwrap();
        let said = Said::of(&output);
        assert_eq!(output.status.code(), Some(code), "{said:#?}");
        said
    }

    /// The folder of the only sweep.
    fn sweep(&self) -> PathBuf {
        let sweeps = fs::read_dir(self.path().join("results/cluster")).unwrap();
        let mut sweeps: Vec<PathBuf> = sweeps.map(|entry| entry.unwrap().path()).collect();
        assert_eq!(sweeps.len(), 1, "{sweeps:?}");
        sweeps.remove(0)
    }

    /// An element of the array, as its node starts it.
    fn pilot(&self, element: &str) -> Command {
        let sweep = self.sweep();
        let mut pilot = Command::new(sweep.join("expertgrid"));
        pilot.arg("pilot").arg(&sweep).current_dir("/");
        pilot.env("PATH", self.path().join("bin"));
        pilot.env("SLURM_ARRAY_JOB_ID", "7");
        pilot.env("SLURM_ARRAY_TASK_ID", element);
        pilot
    }
}

#[test]
fn pilots_run_what_was_submitted_to_the_bytes_of_one_process() {
    let site = Site::new();
    let said = site.submit(&[], 0);
    assert!(said.err.contains("submitted job 7"), "{}", said.err);
    let calls = || fs::read_to_string(site.path().join("calls")).unwrap();
    assert!(calls().contains("--array=0-1 "), "{}", calls());
    // The second time it finds its pilots.
    let said = site.submit(&[], 0);
    assert!(said.err.contains("none was submitted"), "{}", said.err);
    assert_eq!(calls().lines().count(), 1);
    let status = [
        "status",
        "tiny.toml",
        "--dataset",
        phantom().to_str().unwrap(),
    ];
    let said = Said::of(&site.with_slurm(&status).output().unwrap());
    assert!(
        said.out.contains("on cluster test: 0 of 2 pilots run"),
        "{}",
        said.out
    );
    assert!(said.out.contains("2 wait: "), "{}", said.out);
    // What is edited afterwards changes nothing.
    fs::remove_file(site.path().join("tiny.toml")).unwrap();

    let pilots = ["0", "1"].map(|element| {
        let mut pilot = site.pilot(element);
        pilot.stdout(Stdio::null()).stderr(Stdio::piped());
        pilot.spawn().unwrap()
    });
    let ended = pilots.map(|pilot| pilot.wait_with_output().unwrap());
    for output in &ended {
        assert_eq!(output.status.code(), Some(0), "{:#?}", Said::of(output));
    }
    assert!(site.sweep().join("reported").exists());
    for folder in ["tries", "failed"] {
        let left = fs::read_dir(site.sweep().join(folder)).unwrap();
        assert_eq!(left.count(), 0, "{folder}");
    }

    // A stage leads to what its pilot printed.
    let stages = files(&site.path().join("results/store/evaluate"));
    let digest = stages.keys().next().unwrap().split('/').nth(1).unwrap();
    let said = run(site.path(), &["logs", "--stage", digest], 0);
    assert!(said.out.contains("its pilot's log: "), "{}", said.out);
    assert!(said.out.contains("/pilots/7_"), "{}", said.out);

    let alone = tiny();
    run(alone.path(), &tiny_run(&[]), 0);
    let one = |folder: &Path, of: &str| folder.join("results").join(of);
    assert_same_files(&one(site.path(), "tiny"), &one(alone.path(), "tiny"));
    for kind in ["pretrain", "finetune", "scratch", "evaluate"] {
        let kind = format!("store/{kind}");
        assert_same_files(&one(site.path(), &kind), &one(alone.path(), &kind));
    }
}

#[test]
fn a_stage_that_would_fail_again_is_tried_once_by_all_pilots_and_told() {
    let site = Site::new();
    site.submit(&["--set", "pretrain.lr=1e30"], 0);
    for element in ["0", "1"] {
        let output = site.pilot(element).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{:#?}", Said::of(&output));
    }
    let failed = fs::read_dir(site.sweep().join("failed")).unwrap();
    assert_eq!(failed.count(), 1, "the pretraining");
    let results = results_of(site.path(), "tiny", "paper+pretrain.lr");
    let failures = journals_in(&results).into_iter().map(|journal| {
        let text = fs::read_to_string(journal).unwrap();
        text.matches("\"event\":{\"failed\":").count()
    });
    assert_eq!(failures.sum::<usize>(), 1);
}

#[test]
fn a_pilot_does_not_run_what_was_not_submitted() {
    let site = Site::new();
    site.submit(&[], 0);
    let frozen = site.sweep().join("sweep.json");
    let text = fs::read_to_string(&frozen).unwrap();
    assert!(text.contains("steps"), "{text}");
    let other = text.replacen("steps = ", "steps = 1", 1);
    assert_ne!(text, other);
    fs::write(&frozen, other).unwrap();
    let output = site.pilot("0").output().unwrap();
    let said = Said::of(&output);
    assert_eq!(output.status.code(), Some(78), "{said:#?}");
    assert!(
        said.err.contains("has changed since the sweep"),
        "{}",
        said.err
    );
    let dataset = phantom().to_str().unwrap();
    let status = ["status", "tiny.toml", "--dataset", dataset];
    let said = run(site.path(), &status, 0);
    let line = said
        .out
        .lines()
        .find(|line| line.contains("ended with an error"));
    let line = line.unwrap_or_else(|| panic!("{}", said.out));
    assert!(
        line.contains("pilot 7_0 on ") && line.contains("has changed"),
        "{line}"
    );
    // Another one was killed, which Slurm remembers for some minutes.
    site.command("squeue", "echo '7_1|OUT_OF_MEMORY|OutOfMemory|N/A|n3'");
    let said = Said::of(&site.with_slurm(&status).output().unwrap());
    let lost = "pilot 7_1 on n3 was lost: it ran out of memory; set more `memory`";
    assert!(said.out.contains(lost), "{}", said.out);
}
