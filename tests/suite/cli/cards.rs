//! The program on emulated cards: as many as there are, none, and some that compute wrong.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use crate::support::{common::*, emulated_card::EmulatedCard};

/// The program on so many emulated cards.
fn on_cards(card: &EmulatedCard, count: usize, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = expertgrid(folder, arguments);
    command.env("LD_LIBRARY_PATH", card.folder());
    command.env("EMULATED_DEVICES", count.to_string());
    command
}

/// What it said, with an expected exit code.
fn said(mut command: Command, code: i32) -> Said {
    let output = command.output().unwrap();
    let said = Said::of(&output);
    assert_eq!(output.status.code(), Some(code), "{said:#?}");
    said
}

#[test]
fn a_doctor_compares_every_layer_with_the_processor() {
    let Some(card) = EmulatedCard::new() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let check = ["doctor", "--device", "cuda:0", "--shape", "4:32:2"];
    let right = said(on_cards(&card, 1, folder.path(), &check), 0).out;
    for part in [
        "cuda:0: an emulated device, compute capability 9.0, 132 multiprocessors",
        "conv 7x7/2, 1 to 4, 32x32",
        "joint, 32 and 16 to 16, 1x1",
        "cuda:0 computes as the processor does",
    ] {
        assert!(right.contains(part), "{part}: {right}");
    }
    let mut broken = on_cards(&card, 1, folder.path(), &check);
    let wrong = said(
        {
            broken.env("EMULATED_WRONG", "max_pool_gradient");
            broken
        },
        1,
    );
    let pool = wrong.out.lines().find(|line| line.starts_with("max pool"));
    assert!(pool.unwrap().contains("WRONG"), "{wrong:#?}");
    assert!(
        wrong
            .err
            .contains("computes other numbers than the processor"),
        "{wrong:#?}"
    );
}

/// The mean distance of each score between two sweeps of the same runs, by their tables, over the
/// runs in which it is defined.
fn distances(one: &str, other: &str) -> [f64; 3] {
    let runs = |table: &str| -> Vec<BTreeMap<String, String>> {
        let mut reader = csv::Reader::from_reader(table.as_bytes());
        reader.deserialize().map(Result::unwrap).collect()
    };
    let (one, other) = (runs(one), runs(other));
    assert_eq!(one.len(), other.len());
    ["dice_percent", "assd", "hd95"].map(|score| {
        let of = |run: &BTreeMap<String, String>| run[score].parse::<f64>().ok();
        let pairs = one.iter().zip(&other);
        let all = pairs.filter_map(|(one, other)| Some((of(one)? - of(other)?).abs()));
        let all: Vec<f64> = all.collect();
        assert!(!all.is_empty(), "{score}");
        all.iter().sum::<f64>() / all.len() as f64
    })
}

/// Of how many networks the launches of each process were, by its log.
fn networks_of_launches(logs: &Path) -> Vec<Vec<usize>> {
    let processes = fs::read_dir(logs).unwrap().map(|file| {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        text.lines().map(|line| line.parse().unwrap()).collect()
    });
    processes.collect()
}

#[test]
fn a_sweep_shares_cards_and_gives_the_same_numbers_on_each() {
    let Some(card) = EmulatedCard::new() else {
        return;
    };
    let folders = [1, 2].map(|count| {
        let (folder, logs) = (tiny(), tempfile::tempdir().unwrap());
        let three = ["--only", "start=1", "--set", "grid.samples=[4,5]"];
        let arguments = tiny_run(&three);
        let mut command = on_cards(&card, count, folder.path(), &arguments);
        command.env("EMULATED_LOG", logs.path());
        let said = said(command, 0).out;
        // One process for each card, which trains several networks at once.
        let launches = networks_of_launches(logs.path());
        assert_eq!(launches.len(), count, "{launches:?}");
        let most = launches.iter().flatten().max().unwrap();
        assert!(count > 1 || *most > 1, "{launches:?}");
        // Scores do not depend on what computes them.
        let made = "omputed on an emulated device, compute capability 9.0 (cuda), expertgrid";
        assert!(
            said.contains(made) && !said.contains("Mixed origin"),
            "{said}"
        );
        folder
    });
    let [one, two] = [&folders[0], &folders[1]].map(|folder| {
        let table = results_of(folder.path(), "tiny", "");
        fs::read_to_string(table.join("runs.csv")).unwrap()
    });
    assert_eq!(one, two, "on one card and on two");
    // What a card computes differs from what the processor does by much less than what another seed
    // gives.
    let on_processor = |seed: &str| {
        let folder = tiny();
        let words = [
            "--only",
            "start=1",
            "--set",
            "grid.samples=[4,5]",
            "--set",
            seed,
        ];
        said(on_cards(&card, 0, folder.path(), &tiny_run(&words)), 0);
        let results = fs::read_dir(folder.path().join("results/tiny")).unwrap();
        let variant = results
            .map(|variant| variant.unwrap().path())
            .next()
            .unwrap();
        fs::read_to_string(variant.join("runs.csv")).unwrap()
    };
    let lanes = on_processor("seed=3");
    let [by_card, by_seed] = [one, on_processor("seed=4")].map(|other| distances(&lanes, &other));
    for (card, seed) in by_card.iter().zip(&by_seed) {
        assert!(card * 5.0 < *seed, "{by_card:?} {by_seed:?}");
    }
    let journals = journals_in(&results_of(folders[1].path(), "tiny", ""));
    let text = |path: &std::path::PathBuf| fs::read_to_string(path).unwrap();
    let journals: String = journals.iter().map(text).collect();
    assert!(
        journals.contains("cuda:0") && journals.contains("cuda:1"),
        "{journals}"
    );
}

#[test]
fn after_a_cards_error_another_process_goes_on_to_the_same_numbers() {
    let Some(card) = EmulatedCard::new() else {
        return;
    };
    let two = [
        "--only",
        "start=1 and method=\"w/o\"",
        "--set",
        "grid.samples=[4,5]",
    ];
    let arguments = tiny_run(&two);
    let [whole, broken] = [false, true].map(|is_broken| {
        let (folder, logs) = (tiny(), tempfile::tempdir().unwrap());
        let mut command = on_cards(&card, 1, folder.path(), &arguments);
        if is_broken {
            let fault = format!("900:{}", folder.path().join("fault").display());
            command.env("EMULATED_FAULT", fault);
        }
        command.env("EMULATED_LOG", logs.path());
        let said = said(command, 0);
        let processes = networks_of_launches(logs.path()).len();
        assert_eq!(processes, 1 + usize::from(is_broken), "{said:#?}");
        // One training has failed and is tried again; its company has only stopped.
        let tries: Vec<&str> = said.err.matches("attempt 2").collect();
        assert_eq!(tries.len(), usize::from(is_broken), "{said:#?}");
        let reason = "CUDA_ERROR_ILLEGAL_ADDRESS";
        assert_eq!(said.err.contains(reason), is_broken, "{said:#?}");
        let table = results_of(folder.path(), "tiny", "");
        fs::read_to_string(table.join("runs.csv")).unwrap()
    });
    assert_eq!(whole, broken);
}

#[test]
fn a_card_that_computes_wrong_trains_nothing() {
    let Some(card) = EmulatedCard::new() else {
        return;
    };
    let folder = tiny();
    let arguments = tiny_run(&["--only", "start=1", "--device", "cuda:0"]);
    let mut broken = on_cards(&card, 1, folder.path(), &arguments);
    broken.env("EMULATED_WRONG", "norm_gradient");
    let said = said(broken, 1);
    assert!(
        said.err
            .contains("it computes other numbers than the processor"),
        "{said:#?}"
    );
}

#[test]
fn cards_that_are_not_there_are_told() {
    let Some(card) = EmulatedCard::new() else {
        return;
    };
    let folder = tiny();
    let arguments = tiny_run(&["--device", "cuda:7"]);
    let missing = said(on_cards(&card, 2, folder.path(), &arguments), 2).err;
    let expected = "error: cuda:7 cannot be used: there is no cuda:7; the driver finds 2, counted \
                    from cuda:0; `--device cpu` takes the processor";
    assert!(missing.contains(expected), "{missing}");
    // An engine of the processor, and cards that are too old, leave the processor under `auto`.
    let lanes = tiny_run(&["--only", "start=1", "--engine", "lanes"]);
    let by_lanes = said(on_cards(&card, 1, folder.path(), &lanes), 0).out;
    assert!(by_lanes.contains("omputed on cpu (lanes)"), "{by_lanes}");
    let mut old = on_cards(&card, 1, folder.path(), &tiny_run(&["--only", "start=1"]));
    old.env("EMULATED_CAPABILITY", "7");
    let warned = said(old, 0).err;
    assert!(
        warned.contains("none has compute capability 8.0 or newer"),
        "{warned}"
    );
    let listed = said(on_cards(&card, 0, folder.path(), &["doctor"]), 0).out;
    assert!(listed.contains("cards: none"), "{listed}");
}
