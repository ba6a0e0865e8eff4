//! The folders that results go to: other overrides, data sets and manifests never replace each
//! other's, and the same inputs have the same folder again.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use expertgrid::{data, file_name::folded, manifest, results_dir::ResultsDir, variant::Folders};

use crate::support::common::*;

/// The folders of the tiny grid's results.
fn variants(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder.join("results/tiny")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

fn plain(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    files(&folder.join("results/tiny/paper"))
}

/// What `variant.toml` says in a folder of the tiny grid.
fn says(folder: &Path, variant: &str) -> String {
    let path = folder.join("results/tiny").join(variant);
    fs::read_to_string(path.join("variant.toml")).unwrap()
}

#[test]
fn results_of_overrides_have_a_folder_that_names_them() {
    let folder = tiny();
    run(folder.path(), &tiny_run(&[]), 0);
    let before = plain(folder.path());
    run(folder.path(), &tiny_run(&["--set", "finetune.steps=3"]), 0);
    assert!(plain(folder.path()) == before);
    assert_eq!(variants(folder.path()), ["paper", "paper+finetune.steps=3"]);
    assert!(says(folder.path(), "paper+finetune.steps=3").contains("finetune.steps = 3"));
    let page = folder
        .path()
        .join("results/tiny/paper+finetune.steps=3/index.html");
    let page = fs::read_to_string(page).unwrap();
    assert!(
        page.contains("tiny/paper+finetune.steps=3"),
        "the page names its own folder"
    );
    // The same however it is written, and for who only looks.
    let again = tiny_run(&["--set", "finetune.steps = 3"]);
    run(folder.path(), &again, 0);
    let mut looks = again.clone();
    looks[0] = "status";
    let said = run(folder.path(), &looks, 0);
    assert!(
        said.out.contains("ended"),
        "its journal is found: {}",
        said.out
    );
    assert_eq!(variants(folder.path()).len(), 2);
    assert!(plain(folder.path()) == before);
}

#[test]
fn results_of_another_data_set_have_a_folder_that_names_it() {
    let folder = tiny();
    let other = ["data", "phantom", "--out", "other", "--seed", "2"];
    run(folder.path(), &other, 0);
    // Whichever comes first: the folder follows from the data alone.
    let of_other = ["run", "tiny.toml", "--dataset", "other"];
    run(folder.path(), &of_other, 0);
    let [only] = &variants(folder.path())[..] else {
        panic!("{:?}", variants(folder.path()));
    };
    assert!(only.starts_with("paper@phantom-"), "{only}");
    assert!(says(folder.path(), only).contains("phantom (synthetic, seed 2)"));
    let before = files(&folder.path().join("results/tiny"));
    run(folder.path(), &tiny_run(&[]), 0);
    assert_eq!(variants(folder.path()), ["paper", only]);
    let after = files(&folder.path().join("results/tiny"));
    let kept = before.iter().all(|(name, bytes)| after[name] == *bytes);
    assert!(kept);
    // A copy elsewhere is the same data.
    fs::rename(folder.path().join("other"), folder.path().join("moved")).unwrap();
    run(
        folder.path(),
        &["run", "tiny.toml", "--dataset", "moved"],
        0,
    );
    assert_eq!(variants(folder.path()), ["paper", only]);
}

/// A manifest of the same name in a folder of its own.
fn namesake(folder: &Path) -> PathBuf {
    let path = folder.join("mine/tiny.toml");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, TINY.replace("a tiny grid", "another grid")).unwrap();
    path
}

#[test]
fn results_of_another_manifest_of_the_same_name_have_a_folder_that_names_its_own() {
    let folder = tiny();
    namesake(folder.path());
    run(folder.path(), &tiny_run(&[]), 0);
    let before = plain(folder.path());
    let mut mine = tiny_run(&[]);
    mine[1] = "mine/tiny.toml";
    let said = run(folder.path(), &mine, 0);
    assert!(
        said.err
            .contains("note: results/tiny/paper holds the results of ../tiny.toml"),
        "{}",
        said.err
    );
    assert!(plain(folder.path()) == before);
    let all = variants(folder.path());
    assert!(
        all.len() == 2 && all[1].starts_with("paper~mine-"),
        "{all:?}"
    );
    assert!(says(folder.path(), &all[1]).contains("\"../mine/tiny.toml\""));

    // However the manifest is named and from wherever, it has the same folder.
    let own = fs::read(
        folder
            .path()
            .join("results/tiny")
            .join(&all[1])
            .join("tiny.md"),
    )
    .unwrap();
    assert!(String::from_utf8_lossy(&own).contains("another grid"));
    mine[1] = "tiny.toml";
    mine.extend(["--results", "../results"]);
    run(&folder.path().join("mine"), &mine, 0);
    assert_eq!(variants(folder.path()), all);
    // Also when the other one's results are gone.
    fs::remove_dir_all(folder.path().join("results/tiny/paper")).unwrap();
    run(&folder.path().join("mine"), &mine, 0);
    assert_eq!(variants(folder.path()), all[1..]);
    run(folder.path(), &tiny_run(&[]), 0);
    assert_eq!(variants(folder.path()), all);
    assert!(timeless(plain(folder.path())) == timeless(before));
}

#[test]
fn two_manifests_of_one_name_that_begin_at_once_do_not_share_a_folder() {
    let folder = tiny();
    namesake(folder.path());
    let manifests = ["tiny.toml", "mine/tiny.toml"];
    let children = manifests.map(|manifest| {
        let mut arguments = tiny_run(&["--jobs", "1"]);
        arguments[1] = manifest;
        let mut command = expertgrid(folder.path(), &arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    });
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let all = variants(folder.path());
    let mut titles: Vec<bool> = all
        .iter()
        .map(|variant| {
            let path = folder.path().join("results/tiny").join(variant);
            let table = fs::read_to_string(path.join("tiny.md")).unwrap();
            let mine = table.contains("another grid");
            assert_eq!(
                says(folder.path(), variant).contains("mine/tiny.toml"),
                mine
            );
            mine
        })
        .collect();
    titles.sort();
    assert_eq!(titles, [false, true], "{all:?}");
}

#[test]
fn an_edited_manifest_keeps_its_folder() {
    let folder = tiny();
    run(folder.path(), &tiny_run(&[]), 0);
    let edited = TINY.replace("a tiny grid", "an edited grid");
    fs::write(folder.path().join("tiny.toml"), edited).unwrap();
    run(folder.path(), &tiny_run(&[]), 0);
    assert_eq!(variants(folder.path()), ["paper"]);
    let table = fs::read_to_string(folder.path().join("results/tiny/paper/tiny.md")).unwrap();
    assert!(table.contains("an edited grid"), "{table}");
    // What was killed over `variant.toml` is no other manifest's.
    let whole = says(folder.path(), "paper");
    let path = folder.path().join("results/tiny/paper/variant.toml");
    fs::write(path, &whole[..whole.len() / 2]).unwrap();
    run(folder.path(), &tiny_run(&[]), 0);
    assert_eq!(variants(folder.path()), ["paper"]);
    assert_eq!(says(folder.path(), "paper"), whole);
}

/// The variant of the tiny grid with overrides, of which nothing is run.
fn named(folder: &Path, overrides: &[&str]) -> String {
    let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
    let experiments = manifest::read(&[folder.join("tiny.toml")], "paper", &overrides).unwrap();
    let dir = ResultsDir::new(folder.join("results"));
    let folders = Folders::find(&experiments, None, &dir);
    let path = folders.of(0).path();
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn names_of_variants_are_short_plain_and_apart() {
    let folder = tiny();
    let name = |overrides: &[&str]| named(folder.path(), overrides);
    assert_eq!(name(&[]), "paper");
    // Neither order nor spelling nor what is overridden again tells runs apart.
    let two = name(&["seed=4", "finetune.lr=1e-2"]);
    assert_eq!(two, "paper+finetune.lr=0.01+seed=4");
    assert_eq!(two, name(&["finetune.lr = 0.01", "seed=5", "seed=4"]));
    assert_eq!(name(&["grid.samples=[5, 10]"]), "paper+grid.samples=5,10");
    let names = [
        name(&["title=\"a b\""]),
        name(&["title=\"a/b\""]),
        name(&["title=\"a-b\""]),
        name(&["title=\"../../b\""]),
        name(&["grid.arms=[\"w/\"]"]),
        name(&["grid.arms=[\"w/o\"]"]),
        name(&[&format!("title=\"{}\"", "long".repeat(100))]),
        name(&[&format!("title=\"{}er\"", "long".repeat(100))]),
        name(&["title=\"longer\"", "seed=5"]),
        name(&["title=\"longer+seed=5\""]),
    ];
    // Also on a disk that ignores case, and does not tell accents that are stored otherwise.
    let others = [
        name(&["title=\"A B\""]),
        name(&["title=\"A b\""]),
        name(&["title=\"caf\u{e9}\""]),
        name(&["title=\"cafe\u{301}\""]),
    ];
    let apart = names.iter().chain(&others).map(|name| folded(name));
    let apart: std::collections::BTreeSet<String> = apart.collect();
    assert_eq!(
        apart.len(),
        names.len() + others.len(),
        "{names:#?} {others:#?}"
    );
    for name in &names {
        let plain = |c: char| c.is_ascii_alphanumeric() || "+=,._-".contains(c);
        assert!(name.len() < 120 && name.chars().all(plain), "{name}");
        assert!(name.starts_with("paper+"), "{name}");
    }
}

/// `UPDATE_SNAPSHOTS=1` writes the committed files anew. The digest is the phantom's, whose last
/// bits may differ between mathematical libraries.
#[test]
fn the_committed_results_are_in_the_folders_of_the_papers_manifests() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files(&repository().join("experiments")) {
        let path = folder.path().join("experiments").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let tables = ["table1", "table2", "table3"];
    let manifests = tables.map(|name| folder.path().join(format!("experiments/{name}.toml")));
    let experiments = manifest::read(&manifests, "phantom", &[]).unwrap();
    let dataset = data::open(phantom()).unwrap();
    let dir = ResultsDir::new(folder.path().join("results"));
    let folders = Folders::find(&experiments, Some(&dataset), &dir);
    for (i, name) in tables.iter().enumerate() {
        let path = format!("{name}/phantom/variant.toml");
        folders.write_identity(i).unwrap();
        let written = fs::read(folder.path().join("results").join(&path)).unwrap();
        let committed = repository().join("results").join(&path);
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            fs::write(&committed, &written).unwrap();
        }
        assert!(fs::read(&committed).unwrap() == written, "{path}");
    }
    assert_eq!(folders.pages().last(), Some(&dir.overview("phantom")));
}
