//! Pages of results: what they hold, whether the same results give the same bytes, and how they
//! behave in a browser.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    time::Duration,
};

use expertgrid::{
    artefact::{SCORES, Scores},
    data, estimate,
    event::now,
    figure::CaseFigure,
    live_pages::LivePages,
    manifest, paper,
    plan::{self, Inventory, Kind, StageId},
    report::{self, DataOrigin, PageSources, RunningSweep, Unread},
    results,
    results_dir::ResultsDir,
    store::{Found, Store},
    variant::Folders,
};
use serde_json::Value;

use crate::support::common::{Metric, TINY, csv, files, phantom, repository, run, tiny, tiny_run};

/// Networks of single experts, with the recipe of the tiny grid.
fn single() -> String {
    let grid = r#"
rows = "train_expert"
[grid]
new_experts = [6, 7]
arms = ["single"]
train_experts = [6, 7]
samples = [5]
starts = [1, 28]
"#;
    let recipe = TINY.split_once("[image]").unwrap().1;
    format!("title = \"<single> & \\\"alone\\\"\"\n{grid}\n[image]{recipe}")
}

/// A folder with the tiny grid and the one of single experts, both run.
fn results() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("tiny.toml"), TINY).unwrap();
        fs::write(folder.path().join("alone.toml"), single()).unwrap();
        let dataset = phantom().to_str().unwrap();
        let arguments = ["run", "tiny.toml", "alone.toml", "--dataset", dataset];
        run(folder.path(), &arguments, 0);
        folder
    });
    folder.path()
}

fn pages(folder: &Path) -> BTreeMap<&'static str, String> {
    let results = folder.join("results");
    [
        ("tiny", "tiny/paper/index.html"),
        ("alone", "alone/paper/index.html"),
        ("both", "paper.html"),
    ]
    .into_iter()
    .map(|(name, path)| (name, fs::read_to_string(results.join(path)).unwrap()))
    .collect()
}

/// The data that a page's popups are made from.
fn behind(page: &str) -> Value {
    let (_, rest) = page
        .split_once("<script id=\"data\" type=\"application/json\">")
        .unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

#[test]
fn every_number_of_a_page_is_that_of_the_csv() {
    let pages = pages(results());
    for (name, count) in [("tiny", 6), ("alone", 12)] {
        let data = behind(&pages[name]);
        let (_, experiment) = data.as_object().unwrap().iter().next().unwrap();
        let rows = csv(&results().join(format!("results/{name}/paper/{name}.csv")));
        assert_eq!(rows.len(), count);
        for row in rows {
            let cell = experiment["cells"].as_array().unwrap().iter().find(|cell| {
                let same = |key: &str| cell["at"][key].as_str().unwrap_or_default() == row[key];
                let places = ["new_expert", "experts", "samples", "train_expert", "method"];
                places.into_iter().all(same) && cell["metric"] == *row["metric"]
            });
            let cell = cell.unwrap_or_else(|| panic!("no cell for {row:?}"));
            for key in ["mean", "sd"] {
                assert_eq!(
                    cell[key].as_f64(),
                    row[key].parse().ok(),
                    "{key} of {row:?}"
                );
            }
            let runs = &experiment["places"][cell["place"].as_u64().unwrap() as usize];
            assert_eq!(runs.as_array().unwrap().len().to_string(), row["runs"]);
            // The rounded mean stands in the table.
            let mean: f64 = row["mean"].parse().unwrap();
            assert!(pages[name].contains(&format!("{mean:.2}")), "{row:?}");
        }
    }
}

#[test]
fn a_page_needs_nothing_else_and_says_what_it_stands_on() {
    for (name, page) in pages(results()) {
        // The name of SVG's elements is no address that is gone to.
        let page = page.replace("'http://www.w3.org/2000/svg'", "");
        for outside in ["http://", "https://", "@import", "src=\"", "<link"] {
            assert!(!page.contains(outside), "{name} holds {outside}");
        }
        assert!(page.contains("synthetic data"), "{name}");
        assert!(page.contains("images and masks were drawn by a program"));
        let dataset = data::open(phantom()).unwrap();
        assert!(page.contains(&dataset.digest.short()), "{name}");
    }
    // What comes from a manifest is text, not markup.
    let alone = &pages(results())["alone"];
    assert!(alone.contains("&lt;single&gt; &amp; "));
    assert!(!alone.contains("<single>"));
}

#[test]
fn a_page_shows_all_experts_on_one_image_of_its_data_set() {
    let set = data::open(phantom()).unwrap();
    let inline = CaseFigure::of(&set, &set.test[0]).sheet().inline_svg();
    for (name, page) in pages(results()) {
        let told = "The experts on one image: case35, the first test case";
        assert_eq!(page.matches(told).count(), 1, "{name}");
        assert!(page.contains(&inline.0), "{name}");
        for expert in 1..=7 {
            let contour = format!("<g class=\"contour\" data-of=\"{expert}\">");
            assert!(page.contains(&contour), "{name}, expert {expert}");
        }
    }
}

#[test]
fn the_same_results_give_the_same_bytes() {
    let before = pages(results());
    let dataset = phantom().to_str().unwrap();
    let arguments = ["report", "tiny.toml", "alone.toml", "--dataset", dataset];
    let said = run(results(), &arguments, 0);
    assert!(said.err.contains("page: results/paper.html"), "{said:?}");
    assert_eq!(before, pages(results()));
    // A page is the same whichever other experiments were asked for.
    let arguments = ["report", "alone.toml", "--dataset", dataset];
    run(results(), &arguments, 0);
    assert_eq!(before, pages(results()));
}

#[test]
fn pictures_are_the_worst_and_the_median_case() {
    let path = results().join("tiny.toml");
    let experiments = manifest::read(&[&path], "paper", &[]).unwrap();
    let dataset = data::open(phantom()).unwrap();
    let plan = plan::build(experiments, &Inventory::of(&dataset));
    let store = Store::within(&results().join("results"));
    let mut dice = Vec::new();
    for run in plan.runs.iter().filter(|run| run.method().is_pretrained()) {
        let stage = plan.stage(run.evaluation);
        let Found::Intact(artefact) = store.read(Kind::Evaluate, &stage.digest, &[SCORES]) else {
            panic!("it has been run")
        };
        let scores = Scores::parse(&artefact.files[SCORES]).unwrap();
        dice.extend(
            scores
                .cases
                .iter()
                .map(|case| case.of(Metric::Dice.measure()).unwrap().value().unwrap()),
        );
    }
    dice.sort_by(f64::total_cmp);
    assert_eq!(dice.len(), 10);
    let page = &pages(results())["tiny"];
    for (word, dice) in [("Worst", dice[0]), ("Median", dice[4])] {
        let (_, caption) = page
            .split_once(&format!("<strong>{word} of 10, expert 6</strong>"))
            .unwrap();
        let caption = &caption[..caption.find("</figcaption>").unwrap()];
        let expected = format!(": Dice {:.1}\u{a0}%", 100.0 * dice);
        assert!(caption.contains(&expected), "{caption} lacks {expected}");
    }
}

#[test]
fn a_page_of_a_sweep_on_its_way_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tiny.toml"), TINY).unwrap();
    let dataset = phantom().to_str().unwrap();
    let arguments = [
        "run",
        "tiny.toml",
        "--dataset",
        dataset,
        "--only",
        "method=\"w/o\" and start=1",
    ];
    run(folder.path(), &arguments, 0);
    let page = fs::read_to_string(folder.path().join("results/tiny/paper/index.html")).unwrap();
    assert!(page.contains("1 with all results, 3 not run yet"), "{page}");
    let data = behind(&page);
    let cells = data["tiny"]["cells"].as_array().unwrap();
    let missing = |method: &str| -> Vec<u64> {
        let of_method = cells.iter().filter(|cell| cell["at"]["method"] == method);
        of_method
            .map(|cell| cell["missing"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(missing("w/"), [2, 2, 2]);
    assert_eq!(missing("w/o"), [1, 1, 1]);
}

/// Tables of an earlier sweep are there, and a sweep from an empty store ends with the same ones:
/// its pages are its own.
#[test]
fn the_end_of_a_sweep_writes_over_what_was_written_on_its_way() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.toml");
    fs::write(&path, TINY).unwrap();
    let arguments = ["run", "tiny.toml", "--dataset", phantom().to_str().unwrap()];
    run(folder.path(), &arguments, 0);
    let to = folder.path().join("results");
    let page = to.join("tiny/paper/index.html");
    let whole = fs::read_to_string(&page).unwrap();

    let dataset = data::open(phantom()).unwrap();
    let experiments = manifest::read(&[&path], "paper", &[]).unwrap();
    let plan = plan::build(experiments, &Inventory::of(&dataset));
    let store = Store::within(&folder.path().join("nothing yet"));
    let dir = ResultsDir::new(&to);
    let folders = Folders::find(&plan.experiments, Some(&dataset), &dir);
    let sources = PageSources {
        results: &results::collect(&plan, &store, &|_: StageId| None),
        store: &store,
        dataset: &dataset,
        provenance: &DataOrigin {
            dataset: dataset.label.clone(),
            origin: dataset.provenance,
            preparation: None,
        },
        folders: &folders,
        spent: &estimate::spent(&dir),
        claims: paper::claims,
        unread: &Unread::default(),
        underway: Some(&underway(0.5)),
        kept: &[],
    };
    report::write_pages(&sources).unwrap();
    assert!(fs::read_to_string(&page).unwrap().contains("4 not run yet"));

    run(folder.path(), &arguments, 0);
    assert!(fs::read_to_string(&page).unwrap() == whole);
}

/// A sweep of which so much is done.
fn underway(share: f64) -> RunningSweep {
    RunningSweep {
        share,
        line: "ETA 2 min 5 s  3 of 6 trainings done, 2 running".to_owned(),
        at: now(),
        again_after: Duration::from_secs(1),
    }
}

/// The page of a running sweep loads itself again in a browser, with what a reader has unfolded,
/// until the sweep ends.
#[test]
fn a_live_page_follows_its_sweep_in_a_browser() {
    let folder = tiny();
    let at = folder.path();
    run(at, &tiny_run(&[]), 0);
    let page = at.join("results/tiny/paper/index.html");
    let whole = fs::read_to_string(&page).unwrap();
    assert!(!whole.contains("id=\"underway\""));

    // The sweep begins again: two of the four scores are there.
    let results = at.join("results");
    for row in &csv(&results.join("tiny/paper/runs.csv"))[..2] {
        let digest = &row["evaluation"];
        let place = format!("store/evaluate/{}/{digest}", &digest[..2]);
        fs::remove_dir_all(results.join(place)).unwrap();
    }
    fs::remove_file(results.join("tiny/paper/runs.csv")).unwrap();
    let experiments = manifest::read(&[&at.join("tiny.toml")], "paper", &[]).unwrap();
    let dataset = data::open(phantom()).unwrap();
    let plan = plan::build(experiments, &Inventory::of(&dataset));
    let dir = ResultsDir::new(&results);
    let live = LivePages {
        plan: &plan,
        store: &Store::within(&results),
        dataset: &dataset,
        folders: &Folders::find(&plan.experiments, Some(&dataset), &dir),
    };
    live.write(Some(&underway(0.25)));
    let text = fs::read_to_string(&page).unwrap();
    for part in [
        "This sweep is running.",
        "25 %",
        "3 of 6 trainings done",
        "&#8230; 0/2",
        "runs have been run so far",
    ] {
        assert!(text.contains(part), "{part}");
    }
    assert!(!text.contains("&#8224;"), "nothing is undefined");

    let mut watcher = Command::new("bash")
        .arg(repository().join("tests/page/check.sh"))
        .args([OsStr::new("--live"), page.as_os_str()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut seen = Vec::new();
    for line in BufReader::new(watcher.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        match line.as_str() {
            "25" => live.write(Some(&RunningSweep {
                at: now() - 3600.0,
                ..underway(0.75)
            })),
            "75 stale" => fs::write(&page, &whole).unwrap(),
            _ => {}
        }
        seen.push(line);
    }
    match watcher.wait().unwrap().code() {
        // The reason has been printed.
        Some(77) => {}
        _ => assert_eq!(seen, ["25", "75 stale", "ended"]),
    }
}

#[test]
fn a_resolved_manifest_reads_back_as_the_same_experiment() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["table1", "table2", "table3"] {
        let path = repository().join(format!("experiments/{name}.toml"));
        for profile in ["paper", "phantom", "smoke"] {
            let overrides = ["finetune.steps=7".to_owned()];
            let experiments = manifest::read(&[&path], profile, &overrides).unwrap();
            let text = manifest::resolved(&experiments[0]);
            let copy = folder.path().join(format!("{name}.toml"));
            fs::write(&copy, &text).unwrap();
            let again = manifest::read(&[&copy], "paper", &[]).unwrap();
            assert_eq!(manifest::resolved(&again[0]), text);
            assert_eq!(again[0].statistics, experiments[0].statistics);
            let digests = |experiments: Vec<manifest::Experiment>| {
                let inventory = Inventory::assumed(&experiments[0].cohort);
                let plan = plan::build(experiments, &inventory);
                let stages = plan.stages.iter().map(|stage| stage.digest);
                stages.collect::<Vec<_>>()
            };
            assert_eq!(digests(again), digests(experiments), "{name}, {profile}");
        }
    }
}

#[test]
fn pages_pass_in_a_browser() {
    let script: PathBuf = repository().join("tests/page/check.sh");
    let output = Command::new("bash")
        .arg(script)
        .arg(results().join("results"))
        .output()
        .unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    match output.status.code() {
        Some(0) => assert!(said.contains("3 pages, 0 problems"), "{said}"),
        // Not through `eprintln!`, which is not shown of a test that passes.
        Some(77) => writeln!(std::io::stderr(), "{said}").unwrap(),
        code => panic!("{code:?}: {said}"),
    }
}

#[test]
fn finished_pages_over_tables_with_more_results_are_kept() {
    let folder = tiny();
    let at = folder.path();
    fs::write(at.join("other.toml"), TINY.replace("seed = 3", "seed = 4")).unwrap();
    let mut both = tiny_run(&[]);
    both.insert(2, "other.toml");
    run(at, &both, 0);
    let results = at.join("results");
    let [own, other, over] = ["tiny/paper", "other/paper", ""].map(|folder| results.join(folder));
    let (own, other) = (own.join("index.html"), other.join("index.html"));
    let over = over.join("paper.html");
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    let [whole, whole_over] = [&own, &over].map(|path| read(path));

    // A sweep that begins again: two of the four scores of one table are there.
    for row in &csv(&results.join("tiny/paper/runs.csv"))[..2] {
        let digest = &row["evaluation"];
        let place = format!("store/evaluate/{}/{digest}", &digest[..2]);
        fs::remove_dir_all(results.join(place)).unwrap();
    }
    let manifests = ["tiny.toml", "other.toml"].map(|name| at.join(name));
    let experiments = manifest::read(&manifests, "paper", &[]).unwrap();
    let dataset = data::open(phantom()).unwrap();
    let plan = plan::build(experiments, &Inventory::of(&dataset));
    let dir = ResultsDir::new(&results);
    let live = LivePages {
        plan: &plan,
        store: &Store::within(&results),
        dataset: &dataset,
        folders: &Folders::find(&plan.experiments, Some(&dataset), &dir),
    };
    live.write(Some(&underway(0.5)));
    assert!(read(&own) == whole && read(&over) == whole_over);
    assert!(read(&other).contains("to be written again"));
    // A page that is not there takes nothing from anybody.
    fs::remove_file(&own).unwrap();
    live.write(Some(&underway(0.5)));
    assert!(read(&own).contains("2 not run yet"));
    fs::write(&own, &whole).unwrap();

    // The same at the end of a sweep; what is forced is written.
    fs::remove_dir_all(results.join("store")).unwrap();
    let one = [
        &both[..],
        &["--only", "table=tiny and method=\"w/\" and start=28"],
    ]
    .concat();
    let said = run(at, &one, 1).err;
    assert!(said.contains("tiny/paper, with its page, has the scores of 4 runs and is kept"));
    assert!(read(&own) == whole && read(&over) == whole_over);
    let dataset = phantom().to_str().unwrap();
    let report = ["report", "tiny.toml", "--dataset", dataset, "--force"];
    run(at, &report, 1);
    assert!(read(&own).contains("3 not run yet"));
    assert!(files(&results.join("tiny"))["paper/runs.csv"] != whole.as_bytes());
}

#[test]
fn a_grid_with_rules_has_their_tables_and_no_plots_of_them() {
    let folder = tiny();
    let text = TINY.replace("choose = 2", "choose = [1, 2]");
    let text = format!("{text}\n[selection]\nrules = [\"mean\", \"agreement\", \"best\"]\n");
    fs::write(folder.path().join("tiny.toml"), text).unwrap();
    run(folder.path(), &tiny_run(&[]), 0);
    let of_grid = folder.path().join("results/tiny/paper");
    let page = fs::read_to_string(of_grid.join("index.html")).unwrap();
    for heading in [
        "Rules for choosing annotators, expert 6",
        "What the rules choose, expert 6",
        "What each annotator contributes, expert 6",
    ] {
        assert!(page.contains(heading), "{heading}");
    }
    // Of the one table of cells, and of the losses.
    assert_eq!(page.matches("<figure class=\"panels\">").count(), 2);
    let rules = csv(&of_grid.join("rules.csv"));
    assert_eq!(rules.len(), 3 * 3);
    let chosen = rules.iter().filter(|row| row["rule"] == "agreement");
    let mut chosen = chosen.map(|row| &row["chosen"]);
    assert!(chosen.all(|chosen| chosen.starts_with(['1', '2'])));
    // Masks are compared once for each way of sampling, and computed again they agree the same.
    let agree = || files(&folder.path().join("results/store/agree"));
    let before = agree();
    let compared = before
        .keys()
        .filter(|name| name.ends_with("agreement.json"));
    assert_eq!(compared.count(), 2);
    run(folder.path(), &tiny_run(&[]), 0);
    assert!(agree() == before);
    let dataset = phantom().to_str().unwrap();
    let audit = ["store", "audit", "--dataset", dataset, "--sample", "100"];
    let said = run(folder.path(), &audit, 0);
    // Three pretrainings, six fine-tunings, two from scratch, two comparisons, eight evaluations.
    let all = "21 of 21 stages came out with the same bytes";
    assert!(said.out.starts_with(all), "{}", said.out);
}
