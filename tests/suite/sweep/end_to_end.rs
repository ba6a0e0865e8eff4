//! The real program from manifest to table: caching, selective reruns, interruption, failures.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use crate::support::common::*;

#[test]
fn a_run_fills_every_cell_and_a_second_one_does_nothing() {
    let folder = tiny();
    let first = run(folder.path(), &tiny_run(&[]), 0);
    // One pretraining, two fine-tunings, two trainings from scratch, four evaluations.
    assert_eq!(first.counts(), Some((9, 0)));
    let results = folder.path().join("results");
    let runs = csv(&results.join("tiny/paper/runs.csv"));
    assert_eq!(runs.len(), 4);
    for row in &runs {
        assert!(
            row["status"] == "ok" || row["status"] == "undefined",
            "{row:?}"
        );
        assert!(row["dice_percent"].parse::<f64>().is_ok());
    }
    let cells = csv(&results.join("tiny/paper/tiny.csv"));
    assert_eq!(cells.len(), 2 * 3);

    let before = files(&results);
    let times = modified(&results);
    let second = run(folder.path(), &tiny_run(&[]), 0);
    assert_eq!(second.counts(), None, "nothing was to be done");
    assert_eq!(second.out, first.out);
    assert!(files(&results) == before);
    assert_eq!(modified(&results), times, "no file was written again");
}

#[test]
fn repeats_of_a_pretraining_are_runs_of_their_own() {
    let folder = tiny();
    run(folder.path(), &tiny_run(&[]), 0);
    let repeats = ["--set", "grid.repeats=2"];
    let again = run(folder.path(), &tiny_run(&repeats), 0);
    // One more pretraining, with its two fine-tunings and their evaluations.
    assert_eq!(
        again.counts().map(|(done, _)| done),
        Some(5),
        "{}",
        again.err
    );
    let rows = csv(&results_of(folder.path(), "tiny", "paper+grid.repeats=2").join("runs.csv"));
    let column = |name: &str| -> Vec<&str> { rows.iter().map(|row| row[name].as_str()).collect() };
    assert_eq!(column("repeat"), ["0", "0", "1", "1", "", ""]);
    let trained: BTreeSet<&str> = column("training").into_iter().collect();
    assert_eq!(trained.len(), rows.len());
    let first = csv(&folder.path().join("results/tiny/paper/runs.csv"));
    assert!(!first[0].contains_key("repeat"));
    let only = ["--only", "repeat=1", "--all"];
    let trace = [&["trace"], &tiny_run(&repeats)[1..], &only].concat();
    let said = run(folder.path(), &trace, 0).out;
    assert!(
        said.contains("start 1, annotators 1+2, repeat 1: "),
        "{said}"
    );
}

fn modified(folder: &Path) -> Vec<(String, std::time::SystemTime)> {
    let names = files(folder).into_keys();
    names
        .map(|name| {
            let time = fs::metadata(folder.join(&name))
                .unwrap()
                .modified()
                .unwrap();
            (name, time)
        })
        .collect()
}

#[test]
fn a_cell_is_the_mean_of_its_runs() {
    let folder = tiny();
    run(folder.path(), &tiny_run(&[]), 0);
    let results = folder.path().join("results/tiny/paper");
    let runs = csv(&results.join("runs.csv"));
    for cell in csv(&results.join("tiny.csv")) {
        let values: Vec<f64> = runs
            .iter()
            .filter(|run| {
                run["method"] == cell["method"] && run["new_expert"] == cell["new_expert"]
            })
            .filter_map(|run| run[&cell["metric"]].parse().ok())
            .collect();
        if values.len() < 2 {
            continue;
        }
        // Two starts, one combination: mean and deviation by hand.
        let (mean, half) = (
            (values[0] + values[1]) / 2.0,
            (values[0] - values[1]).abs() / 2.0,
        );
        let number = |column: &str| cell[column].parse::<f64>().unwrap();
        assert!((number("mean") - mean).abs() <= 1e-12 * mean.abs());
        assert!((number("sd") - half * 2.0_f64.sqrt()).abs() <= 1e-9 * mean.abs());
        assert_eq!(cell["n"], "2");
    }
}

#[test]
fn only_what_depends_on_an_edit_is_run_again() {
    let folder = tiny();
    run(folder.path(), &tiny_run(&[]), 0);

    // The fine-tunings and their evaluations; pretraining and w/o stay.
    let finetune = run(folder.path(), &tiny_run(&["--set", "finetune.steps=3"]), 0);
    assert_eq!(finetune.counts(), Some((2 + 2, 1 + 2)));

    // A new number of samples: one fine-tuning, one training and one evaluation each, per start.
    let samples = run(
        folder.path(),
        &tiny_run(&["--set", "grid.samples=[5, 10]"]),
        0,
    );
    assert_eq!(samples.counts(), Some((2 * 2 + 2 * 2, 1 + 4)));

    // Order, comments and spelling of the manifest are not part of any key.
    let shuffled = shuffle(TINY);
    assert_ne!(shuffled, TINY);
    fs::write(folder.path().join("tiny.toml"), shuffled).unwrap();
    assert_eq!(run(folder.path(), &tiny_run(&[]), 0).counts(), None);
}

/// The same manifest with sections and keys in reverse order, comments, and numbers spelled
/// differently.
fn shuffle(manifest: &str) -> String {
    let mut sections: Vec<Vec<&str>> = vec![vec![]];
    for line in manifest.lines().filter(|line| !line.is_empty()) {
        if line.starts_with('[') {
            sections.push(vec![]);
        }
        sections.last_mut().unwrap().push(line);
    }
    let top = sections.remove(0);
    let mut text = format!(
        "# a comment\n{}\n",
        top.into_iter().rev().collect::<Vec<_>>().join("\n")
    );
    for section in sections.into_iter().rev() {
        let (name, keys) = section.split_first().unwrap();
        text.push_str(&format!("\n{name}  # why not\n"));
        for key in keys.iter().rev() {
            text.push_str(&format!(
                "{}\n",
                key.replace("1e-2", "0.01").replace(" = ", "=")
            ));
        }
    }
    text
}

#[test]
fn the_number_of_workers_and_threads_changes_no_byte() {
    let folders = [tiny(), tiny()];
    run(folders[0].path(), &tiny_run(&["--jobs", "1"]), 0);
    run(folders[1].path(), &tiny_run(&["--jobs", "3"]), 0);
    assert_same_files(
        &folders[0].path().join("results"),
        &folders[1].path().join("results"),
    );
}

#[test]
fn a_killed_run_goes_on_to_the_same_bytes() {
    let undisturbed = tiny();
    run(undisturbed.path(), &tiny_run(&[]), 0);
    let folder = tiny();
    for round in 0..6 {
        let mut child = expertgrid(folder.path(), &tiny_run(&[]))
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // SIGKILL, each time a little later: in the middle of starting, training, publishing.
        thread::sleep(Duration::from_millis(40 + 60 * round));
        let _ = child.kill();
        child.wait().unwrap();
    }
    run(folder.path(), &tiny_run(&[]), 0);
    // What the killed runs left half-written is swept by a later one.
    let scratch = folder.path().join("results/store/tmp");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !files(&scratch).is_empty() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(50));
        run(folder.path(), &tiny_run(&[]), 0);
    }
    assert_same_files(
        &undisturbed.path().join("results"),
        &folder.path().join("results"),
    );
}

#[test]
fn a_damaged_artefact_is_noticed_and_made_again() {
    let folder = tiny();
    run(folder.path(), &tiny_run(&[]), 0);
    let results = folder.path().join("results");
    let before = timeless(files(&results));
    let scores = before
        .keys()
        .find(|name| name.ends_with("scores.json"))
        .unwrap();
    fs::write(results.join(scores), b"{}").unwrap();
    let again = run(folder.path(), &tiny_run(&[]), 0);
    assert!(again.err.contains("damaged"), "{}", again.err);
    assert_eq!(again.counts().unwrap().0, 1);
    assert!(timeless(files(&results)) == before);
}

#[test]
fn a_failing_run_is_reported_and_the_rest_goes_on() {
    let folder = tiny();
    // A learning rate at which training from scratch leaves the numbers in its first steps.
    let said = run(folder.path(), &tiny_run(&["--set", "scratch.lr=1e25"]), 1);
    assert!(
        said.err.contains("failed: scratch on 6, n = 5, start 1"),
        "{}",
        said.err
    );
    assert!(
        said.err.contains("the training diverged") && said.err.contains("NaN"),
        "{}",
        said.err
    );
    assert!(
        said.err.contains("a lower `scratch.lr` may help"),
        "{}",
        said.err
    );
    let rows = csv(&folder
        .path()
        .join("results/tiny/paper+scratch.lr=1e25/runs.csv"));
    for row in &rows {
        let failed = row["status"] == "failed";
        assert_eq!(failed, row["method"] == "w/o", "{row:?}");
        assert_eq!(failed, row["reason"].contains("diverged"), "{row:?}");
        assert_eq!(failed, row["dice_percent"].is_empty(), "{row:?}");
    }
    // A cell without results is empty, and no mark is earned against it.
    for cell in csv(&folder
        .path()
        .join("results/tiny/paper+scratch.lr=1e25/tiny.csv"))
    {
        assert_eq!(cell["mean"].is_empty(), cell["method"] == "w/o", "{cell:?}");
        assert_eq!(
            (&*cell["p_counterpart"], &*cell["underline"]),
            ("", "false"),
            "{cell:?}"
        );
    }
    // The same inputs would fail again; other inputs are not held up by it.
    run(folder.path(), &tiny_run(&["--set", "scratch.lr=1e25"]), 1);
    run(folder.path(), &tiny_run(&[]), 0);
}

#[test]
fn a_worker_that_dies_takes_down_one_stage() {
    let folder = tiny();
    let mut child = expertgrid(
        folder.path(),
        &tiny_run(&[
            "--jobs",
            "1",
            "--retries",
            "0",
            "--set",
            "scratch.steps=2000",
        ]),
    )
    .stdout(std::process::Stdio::null())
    .stderr(std::process::Stdio::piped())
    .spawn()
    .unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let killed = loop {
        if kill_a_child_of(child.id()) || Instant::now() > deadline {
            break Instant::now() < deadline;
        }
        thread::sleep(Duration::from_millis(5));
    };
    assert!(killed, "there was a worker");
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{said}");
    assert!(said.contains("the worker ended"), "{said}");
    let rows = csv(&folder
        .path()
        .join("results/tiny/paper+scratch.steps=2000/runs.csv"));
    assert!(rows.iter().any(|row| row["status"] == "failed"));
    assert!(rows.iter().any(|row| row["status"] != "failed"));
    // And the next call mends it.
    run(
        folder.path(),
        &tiny_run(&["--set", "scratch.steps=2000"]),
        0,
    );
}

/// Kills a process started by another one, if there is one.
fn kill_a_child_of(parent: u32) -> bool {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let Ok(children) = fs::read_to_string(path) else {
        return false;
    };
    let Some(child) = children.split_whitespace().next() else {
        return false;
    };
    thread::sleep(Duration::from_millis(300));
    let status = std::process::Command::new("kill")
        .args(["-9", child])
        .status();
    status.is_ok_and(|status| status.success())
}

#[test]
fn report_rebuilds_the_tables_from_the_store_alone() {
    let folder = tiny();
    run(folder.path(), &tiny_run(&[]), 0);
    let results = folder.path().join("results");
    let written = || timeless(files(&results));
    let before = written();
    fs::remove_dir_all(results.join("tiny")).unwrap();
    let dataset = phantom().to_str().unwrap();
    run(
        folder.path(),
        &["report", "tiny.toml", "--dataset", dataset],
        0,
    );
    assert!(written() == before);
}

#[test]
fn report_before_any_run_says_what_to_do() {
    let folder = tiny();
    let dataset = phantom().to_str().unwrap();
    let said = run(
        folder.path(),
        &["report", "tiny.toml", "--dataset", dataset],
        2,
    );
    assert!(said.err.contains("expertgrid run"), "{}", said.err);
    assert!(!folder.path().join("results").exists());
}

#[test]
fn smoke_profiles_of_all_tables_share_their_work_and_label_their_data() {
    let folder = tempfile::tempdir().unwrap();
    let manifests: Vec<String> = (1..=3)
        .map(|i| {
            repository()
                .join(format!("experiments/table{i}.toml"))
                .display()
                .to_string()
        })
        .collect();
    let dataset = phantom().to_str().unwrap();
    let mut arguments = vec!["run", "--profile", "smoke", "--dataset", dataset];
    arguments.extend(manifests.iter().map(String::as_str));
    run(folder.path(), &arguments, 0);
    let results = folder.path().join("results");
    for name in ["table1", "table2", "table3"] {
        let text = fs::read_to_string(results.join(format!("{name}/smoke/{name}.md"))).unwrap();
        assert!(
            text.contains("Synthetic data") && text.contains("phantom"),
            "{text}"
        );
        assert!(text.contains("`smoke`") && text.contains("cpu"), "{text}");
        for row in csv(&results.join(format!("{name}/smoke/{name}.csv"))) {
            assert!(row["mean"].parse::<f64>().is_ok(), "{name}: {row:?}");
        }
    }
    // Table I's own expert and Table II without pretraining at all samples are the same trainings.
    let training = |table: &str, method: &str| -> Vec<String> {
        let rows = csv(&results.join(format!("{table}/smoke/runs.csv")));
        let mut digests: Vec<String> = rows
            .iter()
            .filter(|row| {
                row["method"] == method && row["new_expert"] == "6" && row["samples"] == "34"
            })
            .filter(|row| method == "w/o" || row["annotators"] == "6")
            .map(|row| row["training"].clone())
            .collect();
        digests.sort();
        digests
    };
    assert_eq!(training("table1", "single").len(), 2);
    assert_eq!(training("table1", "single"), training("table2", "w/o"));
}

/// A copy of the phantom, to be damaged.
fn copied_phantom(to: &Path) -> std::path::PathBuf {
    let copy = to.join("copy");
    for (name, bytes) in files(phantom()) {
        let path = copy.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    copy
}

#[test]
fn bad_data_is_reported_all_at_once_and_loses_nothing() {
    let folder = tiny();
    run(folder.path(), &tiny_run(&[]), 0);
    let results = folder.path().join("results");
    let before = files(&results);
    let copy = copied_phantom(folder.path());
    let case = |name: &str| copy.join("Training").join(name);
    fs::remove_file(case("case03/image.nii.gz")).unwrap();
    let truncated = fs::read(case("case04/image.nii.gz")).unwrap();
    fs::write(
        case("case04/image.nii.gz"),
        &truncated[..truncated.len() / 2],
    )
    .unwrap();
    fs::remove_file(case("case05/task01_seg02.nii.gz")).unwrap();
    fs::write(case("case06/task01_seg02.nii.gz"), b"no NIfTI at all").unwrap();
    let said = run(
        folder.path(),
        &["run", "tiny.toml", "--dataset", copy.to_str().unwrap()],
        2,
    );
    for place in [
        "case03",
        "case04/image.nii.gz",
        "case05",
        "case06/task01_seg02.nii.gz",
    ] {
        assert!(said.err.contains(place), "{place} in {}", said.err);
    }
    assert!(files(&results) == before);
    // And `data check` finds the same.
    let said = run(folder.path(), &["data", "check", copy.to_str().unwrap()], 2);
    assert!(said.out.contains("case04/image.nii.gz"), "{}", said.out);
}

#[test]
fn a_data_set_that_does_not_fit_the_experiment_is_refused() {
    let folder = tiny();
    let refused = |more: &[&str]| run(folder.path(), &tiny_run(more), 2).err;
    let said = refused(&["--set", "dataset.training=40"]);
    assert!(
        said.contains("40 training and 5 test cases") && said.contains("34"),
        "{said}"
    );
    let said = refused(&["--set", "image.crop=96", "--set", "image.reduce=3"]);
    assert!(
        said.contains("cuts off part of a mask") && said.contains("cut_masks"),
        "{said}"
    );
    // Allowed, it is only said.
    let allowed = run(
        folder.path(),
        &tiny_run(&[
            "--set",
            "image.crop=96",
            "--set",
            "image.reduce=3",
            "--set",
            "image.cut_masks=allow",
        ]),
        0,
    );
    assert!(
        allowed.err.contains("cuts off part of a mask"),
        "{}",
        allowed.err
    );
}

#[test]
fn results_that_cannot_be_written_are_refused_before_anything_runs() {
    let folder = tiny();
    fs::write(folder.path().join("file"), b"not a folder").unwrap();
    let said = run(folder.path(), &tiny_run(&["--results", "file/results"]), 2);
    assert!(
        said.err.contains("must be writable") && said.err.contains("--results"),
        "{}",
        said.err
    );
}

#[test]
fn the_data_sets_folder_and_the_files_compression_are_not_part_of_any_key() {
    let folder = tiny();
    run(folder.path(), &tiny_run(&[]), 0);
    let copy = copied_phantom(folder.path());
    let image = copy.join("Training/case01/image.nii.gz");
    let packed = fs::read(&image).unwrap();
    let mut plain = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&packed[..]), &mut plain).unwrap();
    fs::remove_file(&image).unwrap();
    fs::write(copy.join("Training/case01/image.nii"), plain).unwrap();
    let said = run(
        folder.path(),
        &["run", "tiny.toml", "--dataset", copy.to_str().unwrap()],
        0,
    );
    assert_eq!(said.counts(), None, "{}", said.err);
}

#[test]
fn both_engines_run_the_grid_and_a_table_of_both_says_so() {
    let folder = tiny();
    run(
        folder.path(),
        &tiny_run(&["--engine", "stock", "--set", "grid.arms=[\"w/o\"]"]),
        0,
    );
    let said = run(folder.path(), &tiny_run(&["--engine", "lanes"]), 0);
    assert!(said.out.contains("Mixed origin"), "{}", said.out);
    assert!(
        said.out.contains("cpu (stock)") && said.out.contains("cpu (lanes"),
        "{}",
        said.out
    );
}

/// A folder in which the tiny grid has been run, and two of its four scores are gone since.
fn half_lost() -> tempfile::TempDir {
    let folder = tiny();
    run(folder.path(), &tiny_run(&[]), 0);
    let runs = csv(&folder.path().join("results/tiny/paper/runs.csv"));
    for row in &runs[..2] {
        let digest = &row["evaluation"];
        let place = format!("results/store/evaluate/{}/{digest}", &digest[..2]);
        fs::remove_dir_all(folder.path().join(place)).unwrap();
    }
    folder
}

#[test]
fn report_writes_no_table_over_one_with_more_results_unless_told() {
    let folder = half_lost();
    let dataset = phantom().to_str().unwrap();
    let report = ["report", "tiny.toml", "--dataset", dataset];
    let written = || files(&folder.path().join("results/tiny"));
    let before = written();
    for more in [&[][..], &["--claims"]] {
        let said = run(folder.path(), &[&report[..], more].concat(), 1);
        assert!(
            said.err
                .contains("has the scores of 4 runs, and those of 2 are"),
            "{}",
            said.err
        );
        assert!(said.err.contains("`--force`"), "{}", said.err);
        assert!(!said.out.is_empty(), "what there is is shown");
        assert!(written() == before, "{more:?}");
    }
    let said = run(folder.path(), &[&report[..], &["--force"]].concat(), 1);
    assert!(said.err.contains("written to"), "{}", said.err);
    let rows = csv(&folder.path().join("results/tiny/paper/runs.csv"));
    let missing = rows.iter().filter(|row| row["status"] == "missing");
    assert_eq!(missing.count(), 2);
    // More than there was replaces it.
    run(folder.path(), &tiny_run(&[]), 0);
    assert!(timeless(written()) == timeless(before));
}

#[test]
fn run_writes_no_table_over_one_with_more_results_either() {
    let folder = tiny();
    run(folder.path(), &tiny_run(&[]), 0);
    let table = || {
        let mut files = files(&folder.path().join("results/tiny/paper"));
        files.retain(|name, _| name.starts_with("tiny.") || name == "runs.csv");
        files
    };
    let before = table();
    assert_eq!(before.len(), 4);
    fs::remove_dir_all(folder.path().join("results/store")).unwrap();
    let one = tiny_run(&["--only", "method=\"w/\" and start=28"]);
    let said = run(folder.path(), &one, 1);
    assert!(
        said.err
            .contains("has the scores of 4 runs and is kept; those of 1 are"),
        "{}",
        said.err
    );
    assert!(table() == before);
    run(folder.path(), &tiny_run(&[]), 0);
    assert!(table() == before);
}

#[test]
fn a_smaller_grid_with_all_its_results_replaces_a_larger_one() {
    let folder = tiny();
    run(folder.path(), &tiny_run(&[]), 0);
    let smaller = TINY.replace("starts = [1, 28]", "starts = [1]");
    fs::write(folder.path().join("tiny.toml"), smaller).unwrap();
    let dataset = phantom().to_str().unwrap();
    run(
        folder.path(),
        &["report", "tiny.toml", "--dataset", dataset],
        0,
    );
    let rows = csv(&folder.path().join("results/tiny/paper/runs.csv"));
    assert_eq!(rows.len(), 2);
}

#[test]
fn claims_are_written_alone() {
    let folder = tiny();
    run(folder.path(), &tiny_run(&[]), 0);
    let results = folder.path().join("results/tiny/paper");
    for name in ["tiny.md", "tiny.csv", "tiny.tex", "runs.csv", "index.html"] {
        fs::write(results.join(name), "a note of somebody's").unwrap();
    }
    let dataset = phantom().to_str().unwrap();
    let claims = ["report", "tiny.toml", "--dataset", dataset, "--claims"];
    run(folder.path(), &claims, 0);
    for (name, bytes) in files(&results) {
        let own = name.ends_with(".jsonl") || name == "variant.toml";
        let noted = bytes == b"a note of somebody's";
        assert_eq!(noted, !own && name != "tiny-claims.md", "{name}");
    }
    assert!(results.join("tiny-claims.md").exists());
}

#[test]
#[cfg(unix)]
fn paths_that_are_not_utf_8_are_paths() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let folder = tiny();
    let latin = folder.path().join(OsStr::from_bytes(b"d\xe4ten"));
    for (name, bytes) in files(phantom()) {
        let path = latin.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let mut command = expertgrid(folder.path(), &["run", "tiny.toml", "--dataset"]);
    command.arg(&latin).arg("--results");
    command.arg(OsStr::from_bytes(b"ergebnisse\xfc"));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{:#?}", Said::of(&output));
    let results = OsStr::from_bytes(b"ergebnisse\xfc/tiny/paper");
    let journals = journals_in(&folder.path().join(results));
    let journal = fs::read_to_string(&journals[0]).unwrap();
    // As a shell takes it.
    assert!(journal.contains(r"ergebnisse\\xfc'"), "{journal}");
    // A manifest's name is that of a folder, and part of texts.
    let odd = OsStr::from_bytes(b"t\xe4fel.toml");
    fs::write(folder.path().join(odd), TINY).unwrap();
    let mut command = expertgrid(folder.path(), &["run"]);
    let output = command.arg(odd).arg("--dataset").arg(&latin).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(Said::of(&output).err.contains("its name is not UTF-8"));
}
