//! From a number back to what stands behind it: `trace`, `report --verify`, `report --only`.

use std::fs;

use serde_json::Value;

use crate::support::common::*;

/// Makes the data set the default one, as whoever types a command from a page has it.
fn with_data() -> tempfile::TempDir {
    let folder = tiny();
    fs::create_dir(folder.path().join("data")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(phantom(), folder.path().join("data/phantom")).unwrap();
    folder
}

#[test]
fn a_cell_is_traced_to_runs_scores_and_files_that_give_its_mean() {
    let folder = with_data();
    run(folder.path(), &["run", "tiny.toml"], 0);
    let asked = "expert=6 n=5 method=w/ metric=assd";
    let said = run(
        folder.path(),
        &["trace", "tiny", "--only", asked, "--json"],
        0,
    )
    .out;
    let traced: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(traced.as_array().unwrap().len(), 1);
    let cell = &traced[0];
    let runs = cell["behind"].as_array().unwrap();
    assert_eq!(runs.len(), 2);
    // Each run is the mean of its five cases, the cell that of its runs.
    let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
    let of_run = |run: &Value| {
        let cases = run["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 5);
        mean(
            cases
                .iter()
                .map(|case| case[1]["value"].as_f64().unwrap())
                .collect(),
        )
    };
    let means: Vec<f64> = runs.iter().map(of_run).collect();
    assert!(
        (mean(means) - cell["mean"].as_f64().unwrap()).abs() < 1e-12,
        "{cell:#}"
    );
    for run in runs {
        let stages = run["stages"].as_array().unwrap();
        let kinds: Vec<&str> = stages.iter().map(|s| s["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["pretrain", "finetune", "evaluate"]);
        for stage in stages {
            let path = folder.path().join(stage["artefact"].as_str().unwrap());
            assert!(path.join("artefact.json").is_file(), "{stage}");
        }
    }
    // The same for people; without a metric all three, and part of the runs.
    let asked = ["trace", "tiny.toml", "--only", "method=w/ and start=28"];
    let said = run(folder.path(), &asked, 0).out;
    assert_eq!(said.matches("over 2 results").count(), 3, "{said}");
    assert_eq!(
        said.matches("  by way of sampling:  1: ").count(),
        3,
        "{said}"
    );
    let said_of_runs = "--all shows the run behind it";
    assert_eq!(said.matches(said_of_runs).count(), 3, "{said}");
    assert!(!said.contains("start 28"), "{said}");
    let said = run(folder.path(), &[&asked[..], &["--all"]].concat(), 0).out;
    assert_eq!(said.matches("over 2 results").count(), 3, "{said}");
    assert_eq!(
        said.matches("  start 28, annotators 1+2: ").count(),
        3,
        "{said}"
    );
    assert!(!said.contains("start 1,"), "{said}");
    for wrong in [
        "metric=iou",
        "expert=5",
        "metric=dice metric=assd",
        "nonsense=1",
    ] {
        run(folder.path(), &["trace", "tiny", "--only", wrong], 2);
    }
    // One language: the metric is a field like others.
    let either = "not start=1 and (metric=dice or metric=95hd)";
    let said = run(folder.path(), &["trace", "tiny", "--only", either, "-a"], 0).out;
    assert_eq!(said.matches("  start 28").count(), 2 * 2, "{said}");
    assert!(!said.contains(": assd"), "{said}");
    // A question in the place of a manifest.
    let said = run(folder.path(), &["trace", "tiny", "expert=6"], 2).err;
    assert!(said.contains("`--only 'expert=6'`"), "{said}");
    // Without a question, every cell.
    let said = run(folder.path(), &["trace", "tiny"], 0).out;
    assert_eq!(said.matches("over 2 results").count(), 6, "{said}");
}

#[test]
fn the_command_that_a_page_gives_for_a_number_traces_it() {
    let folder = with_data();
    run(
        folder.path(),
        &["run", "tiny.toml", "--set", "scratch.steps=3"],
        0,
    );
    let page = fs::read_to_string(
        folder
            .path()
            .join("results/tiny/paper+scratch.steps=3/index.html"),
    );
    let page = page.unwrap();
    let command = page.split("\"trace\":\"expertgrid ").nth(1).unwrap();
    let command = command
        .split("\",")
        .next()
        .unwrap()
        .trim_end_matches('"')
        .split('"')
        .next()
        .unwrap();
    // As a shell takes it apart.
    let words: Vec<&str> = command
        .split('\'')
        .enumerate()
        .flat_map(|(i, part)| match i % 2 {
            0 => part.split_whitespace().collect::<Vec<_>>(),
            _ => vec![part],
        })
        .collect();
    assert!(words.contains(&"--set"), "{command}");
    let said = run(folder.path(), &words, 0).out;
    assert_eq!(
        said.matches("over 2 results").count(),
        1,
        "{command}: {said}"
    );
    assert!(!said.contains("(not there)"), "{said}");
}

#[test]
fn every_number_comes_out_again_from_the_stored_predictions_or_is_named() {
    let folder = with_data();
    run(
        folder.path(),
        &["run", "tiny.toml", "--only", "method=w/"],
        0,
    );
    let said = run(folder.path(), &["report", "tiny.toml", "--verify"], 1).out;
    assert!(
        said.contains("2 of 2 evaluations give the stored scores"),
        "{said}"
    );
    assert!(said.contains("2 have not been run yet"), "{said}");
    run(folder.path(), &["run", "tiny.toml"], 0);
    let said = run(folder.path(), &["report", "tiny.toml", "--verify"], 0).out;
    assert!(
        said.contains("4 of 4 evaluations give the stored scores"),
        "{said}"
    );

    // A score that was changed together with its digest: only computing it again finds that.
    let evaluation = &csv(&folder.path().join("results/tiny/paper/runs.csv"))[0]["evaluation"];
    let artefact = folder.path().join(format!(
        "results/store/evaluate/{}/{evaluation}",
        &evaluation[..2]
    ));
    let scores = fs::read_to_string(artefact.join("scores.json")).unwrap();
    let (before, after) = scores.split_once("\"value\": 0.").unwrap();
    let changed = format!("{before}\"value\": 0.9{after}");
    fs::write(artefact.join("scores.json"), &changed).unwrap();
    let description = fs::read_to_string(artefact.join("artefact.json")).unwrap();
    let mut description: Value = serde_json::from_str(&description).unwrap();
    let digest = expertgrid::key::Digest::of_bytes(changed.as_bytes()).to_string();
    description["files"]["scores.json"] =
        serde_json::json!({"size": changed.len(), "digest": digest});
    fs::write(artefact.join("artefact.json"), description.to_string()).unwrap();
    run(folder.path(), &["report", "tiny.toml"], 0);
    let said = run(folder.path(), &["report", "tiny.toml", "--verify"], 1);
    assert!(said.out.contains("3 of 4 evaluations"), "{}", said.out);
    assert!(
        said.err
            .contains(&format!("differs: evaluate {}", &evaluation[..12])),
        "{}",
        said.err
    );
}

#[test]
fn a_part_of_a_table_is_shown_and_nothing_is_written_over() {
    let folder = with_data();
    run(folder.path(), &["run", "tiny.toml"], 0);
    let before = files(&folder.path().join("results"));
    let part = [
        "report",
        "tiny.toml",
        "--only",
        "method=w/",
        "--format",
        "csv",
    ];
    let said = run(folder.path(), &part, 0).out;
    let rows = said.lines().count();
    let whole = run(
        folder.path(),
        &["report", "tiny.toml", "--format", "csv"],
        0,
    )
    .out;
    // A header, three metrics of one cell; two cells in the whole.
    assert_eq!((rows, whole.lines().count()), (1 + 3, 1 + 6), "{said}");
    assert!(files(&folder.path().join("results")) == before);
}
