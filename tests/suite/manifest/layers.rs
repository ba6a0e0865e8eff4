//! Manifests that extend others, profiles and overrides: what counts, and what is said of it.

use std::{fs, path::Path};

use expertgrid::manifest::{self, ChangedBy, Experiment, Place, Start};
use proptest::prelude::*;

use crate::support::common::{repository, run};

const BASE: &str = r#"[grid]
new_experts = [6, 7]
arms = ["w/", "w/o"]
annotators = { from = [1, 2, 3, 4, 5], choose = 3 }
samples = [5, 10]
starts = [1, 4]
[network]
width = 32
[profile.small]
network.width = 8
finetune.steps = 5
"#;

/// A folder with files by name.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn read(path: &Path, profile: &str, overrides: &[&str]) -> Experiment {
    let overrides: Vec<String> = overrides.iter().map(|o| (*o).to_owned()).collect();
    let read = manifest::read(&[path], profile, &overrides);
    read.unwrap_or_else(|problems| panic!("{problems}"))
        .remove(0)
}

/// The problems of one file, without the folder's name.
fn problems(folder: &tempfile::TempDir, name: &str) -> Vec<String> {
    let error = manifest::read(&[folder.path().join(name)], "paper", &[]).unwrap_err();
    let prefix = format!("{}/", folder.path().display());
    let lines = error.to_string().replace(&prefix, "");
    lines.lines().map(str::to_owned).collect()
}

fn width(experiment: &Experiment) -> usize {
    experiment.recipe.network.width
}

#[test]
fn an_extending_file_overlays_the_base_and_lends_its_name() {
    let files = folder(&[
        ("base.toml", BASE),
        (
            "mine.toml",
            "extends = \"base.toml\"\n[network]\nnorm_eps = 1e-3\n",
        ),
    ]);
    let mine = read(&files.path().join("mine.toml"), "paper", &[]);
    assert_eq!(mine.name, "mine");
    assert_eq!(width(&mine), 32);
    assert_eq!(mine.recipe.network.norm_eps, 1e-3);
    assert_eq!(mine.grid.samples, [5, 10]);
}

#[test]
fn what_is_edited_last_by_hand_counts() {
    let mine =
        "extends = \"base.toml\"\n[network]\nwidth = 16\n[profile.big]\nnetwork.width = 128\n";
    let both = format!("{mine}[profile.small]\nfinetune.steps = 6\nscratch.steps = 9\n");
    let files = folder(&[
        ("base.toml", BASE),
        ("mine.toml", mine),
        ("both.toml", &both),
        ("quiet.toml", "extends = \"base.toml\"\nseed = 1\n"),
    ]);
    let at = |name: &str| files.path().join(name);
    // The base's profile counts over the base's keys, and not over the extending file's.
    assert_eq!(width(&read(&at("base.toml"), "small", &[])), 8);
    assert_eq!(width(&read(&at("quiet.toml"), "small", &[])), 8);
    let small = read(&at("mine.toml"), "small", &[]);
    assert_eq!((width(&small), small.finetune.steps), (16, 5));
    // The extending file's own profiles count over its keys; those of one name are joined.
    assert_eq!(width(&read(&at("mine.toml"), "big", &[])), 128);
    let both = read(&at("both.toml"), "small", &[]);
    assert_eq!(
        (width(&both), both.finetune.steps, both.scratch.steps),
        (16, 6, 9)
    );
    assert_eq!(
        width(&read(&at("mine.toml"), "big", &["network.width=4"])),
        4
    );
    let names = manifest::profiles(&at("mine.toml")).unwrap();
    assert_eq!(names, ["paper", "big", "small"]);
}

#[test]
fn paths_are_relative_to_the_file_that_writes_them() {
    let below =
        format!("{BASE}[pretrain]\nfrom = \"w.safetensors\"\n[reference]\nvalues = \"v.csv\"\n");
    let files = folder(&[
        ("below/base.toml", &below),
        (
            "mine.toml",
            "extends = \"below/base.toml\"\nreference.values = \"u.csv\"\n",
        ),
    ]);
    let mine = read(&files.path().join("mine.toml"), "paper", &[]);
    let weights = files.path().join("below/w.safetensors");
    assert_eq!(mine.pretrain.start, Start::File(weights));
    assert_eq!(mine.reference.unwrap().values, files.path().join("u.csv"));
}

#[test]
fn a_mistake_of_the_base_is_placed_in_the_base() {
    let files = folder(&[
        ("base.toml", &BASE.replace("width = 32", "width = 10")),
        (
            "mine.toml",
            "extends = \"base.toml\"\nnetwork.norm_esp = 1\n",
        ),
    ]);
    let found = problems(&files, "mine.toml");
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(
        found[0].starts_with("base.toml:8:9: `network.width` is 10"),
        "{found:#?}"
    );
    assert!(
        found[1].starts_with("mine.toml:2:9: unknown key `network.norm_esp`; did you mean"),
        "{found:#?}"
    );
}

#[test]
fn a_chain_that_cannot_be_followed_is_refused_where_it_breaks() {
    let link = |i: usize| format!("extends = \"{}.toml\"\nseed = {i}\n", i + 1);
    let names: Vec<String> = (1..=8).map(|i| format!("{i}.toml")).collect();
    let texts: Vec<String> = (1..=8).map(link).collect();
    let mut all: Vec<(&str, &str)> = vec![
        ("a.toml", "extends = \"b.toml\"\n"),
        ("b.toml", "seed = 1\nextends = \"./a.toml\"\n"),
        ("self.toml", "extends = \"self.toml\"\n"),
        ("gone.toml", "extends = \"nowhere.toml\"\n"),
        ("number.toml", "extends = 3\n"),
        ("in.toml", "[profile.x]\nextends = \"b.toml\"\n"),
        ("9.toml", BASE),
    ];
    all.extend(
        names
            .iter()
            .zip(&texts)
            .map(|(n, t)| (n.as_str(), t.as_str())),
    );
    let files = folder(&all);
    let circle = problems(&files, "a.toml");
    assert_eq!(circle.len(), 1);
    assert!(
        circle[0].starts_with("b.toml:2:11: `extends` comes back to"),
        "{circle:#?}"
    );
    assert!(circle[0].contains("take one `extends` out"), "{circle:#?}");
    assert!(problems(&files, "self.toml")[0].starts_with("self.toml:1:11: `extends` comes back"));
    assert_eq!(
        problems(&files, "gone.toml"),
        ["gone.toml:1:11: `extends` names nowhere.toml: no such manifest"]
    );
    assert_eq!(
        problems(&files, "number.toml"),
        ["number.toml:1:11: `extends` is the path of another manifest, not the whole number 3"]
    );
    assert!(problems(&files, "in.toml")[0].starts_with("in.toml:2:1: `extends` has no place in"));
    // Eight files are a chain, nine are too many.
    assert_eq!(read(&files.path().join("2.toml"), "paper", &[]).seed, 2);
    let long = problems(&files, "1.toml");
    assert!(
        long[0].starts_with("8.toml:1:11: a chain of more than 8 manifests"),
        "{long:#?}"
    );
    for set in ["extends=\"a.toml\"", "profile.small.seed=3"] {
        let base = files.path().join("9.toml");
        let error = manifest::read(&[base], "paper", &[set.to_owned()]).unwrap_err();
        assert!(
            error.to_string().contains("has no place in an override"),
            "{error}"
        );
    }
}

#[test]
fn every_change_is_recorded_by_what_counts() {
    let files = folder(&[
        ("base.toml", BASE),
        (
            "mine.toml",
            "extends = \"base.toml\"\nnetwork.width = 16\nfinetune.lr = 0.001\n",
        ),
    ]);
    let mine = read(&files.path().join("mine.toml"), "small", &["seed=3"]);
    let told: Vec<String> = mine.changes.iter().map(ToString::to_string).collect();
    let folder = files.path().display().to_string();
    assert_eq!(
        told.iter()
            .map(|line| line.replace(&format!("{folder}/"), ""))
            .collect::<Vec<_>>(),
        [
            "profile small (base.toml:11): finetune.steps = 5 (was 1000)",
            "extends base.toml (mine.toml:2): network.width = 16 (was 8)",
            "--set: seed = 3 (was 0)",
        ]
    );
    let [steps, width, seed] = &mine.changes[..] else {
        panic!("three changes");
    };
    assert_eq!(steps.by, ChangedBy::Profile("small".into()));
    assert_eq!(width.previous.as_deref(), Some("8"));
    assert_eq!(
        (&seed.by, &seed.place),
        (&ChangedBy::Set, &Place::Override("seed=3".into()))
    );
}

#[test]
fn a_value_set_by_hand_that_a_profile_overrides_is_warned_of() {
    let text = fs::read_to_string(repository().join("experiments/table2.toml")).unwrap();
    let files = folder(&[("my.toml", &text.replace("width = 64 ", "width = 32 "))]);
    let path = files.path().join("my.toml");
    let line = |needle: &str| text.lines().position(|l| l.starts_with(needle)).unwrap() + 1;
    let (own, over) = (line("width = 64"), line("network.width = 16"));
    let at = path.display();
    assert_eq!(
        read(&path, "phantom", &[]).warnings,
        [format!(
            "{at}:{own}:9: network.width = 32 is overridden by profile phantom ({at}:{over}:17: \
             16); edit the profile, or use --set network.width=32"
        )]
    );
    let said = run(
        files.path(),
        &["plan", "my.toml", "--profile", "phantom"],
        0,
    );
    let warned = format!("warning: my.toml:{own}:9: network.width = 32 is overridden by profile");
    assert!(said.err.contains(&warned), "{}", said.err);
    let changed = format!("profile phantom (my.toml:{over}): network.width = 16 (was 32)");
    assert!(said.out.lines().any(|line| line == changed), "{}", said.out);
    // Where the profile's value does not count in the end, there is nothing to warn of.
    assert!(
        read(&path, "phantom", &["network.width=16"])
            .warnings
            .is_empty()
    );
    assert!(read(&path, "paper", &[]).warnings.is_empty());
    for number in 1..=3 {
        let shipped = repository().join(format!("experiments/table{number}.toml"));
        for profile in ["phantom", "smoke"] {
            assert_eq!(read(&shipped, profile, &[]).warnings, [""; 0]);
        }
    }
}

#[test]
fn a_plan_lists_what_was_changed_in_few_lines() {
    let folder = tempfile::tempdir().unwrap();
    let tables: Vec<String> = (1..=3)
        .map(|i| {
            repository()
                .join(format!("experiments/table{i}.toml"))
                .display()
                .to_string()
        })
        .collect();
    let mut arguments = vec!["plan", "--profile", "smoke", "--set", "seed=5"];
    arguments.extend(tables.iter().map(String::as_str));
    let said = run(folder.path(), &arguments, 0);
    let changes: Vec<&str> = said
        .out
        .lines()
        .filter(|line| line.contains(" (was "))
        .collect();
    assert!(changes.len() <= 24, "{}", said.out);
    assert!(
        said.out.contains("more changes; `--json` lists all"),
        "{}",
        said.out
    );
    arguments.push("--json");
    let said = run(folder.path(), &arguments, 0);
    let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let all = json["changes"].as_array().unwrap();
    assert!(all.len() > 25);
    // What all three have in common is said once.
    let seeds = all
        .iter()
        .filter(|c| c.as_str().unwrap().contains("seed = 5"));
    assert_eq!(seeds.count(), 1);
}

proptest! {
    /// Whichever layers set a key, the highest of them counts, and its change is recorded.
    #[test]
    fn the_highest_layer_that_sets_a_key_counts(
        base in prop::option::of(1_usize..100),
        base_profile in prop::option::of(101_usize..200),
        own in prop::option::of(201_usize..300),
        own_profile in prop::option::of(301_usize..400),
        set in prop::option::of(401_usize..500),
    ) {
        let line = |value: Option<usize>, name: &str| {
            value.map_or_else(String::new, |value| format!("{name} = {value}\n"))
        };
        let grid = BASE.split("[network]").next().unwrap();
        let below = format!(
            "{}{grid}[profile.p]\n{}",
            line(base, "scratch.steps"),
            line(base_profile, "scratch.steps"),
        );
        let above = format!(
            "extends = \"base.toml\"\n{}[profile.p]\n{}",
            line(own, "scratch.steps"),
            line(own_profile, "scratch.steps"),
        );
        let files = folder(&[("base.toml", &below), ("mine.toml", &above)]);
        let overrides: Vec<String> = set.iter().map(|v| format!("scratch.steps={v}")).collect();
        let path = files.path().join("mine.toml");
        let read = manifest::read(&[path], "p", &overrides).unwrap().remove(0);
        let highest = set.or(own_profile).or(own).or(base_profile).or(base);
        prop_assert_eq!(read.scratch.steps, highest.unwrap_or(5000));
        let above_base = set.or(own_profile).or(own).or(base_profile);
        let changes: Vec<_> = read.changes.iter().map(|change| change.value.clone()).collect();
        prop_assert_eq!(changes, Vec::from_iter(above_base.map(|value| value.to_string())));
    }
}

#[test]
fn a_method_that_the_grid_does_not_name_is_warned_of() {
    let words = "annotation = \"every\"\nmultitask = \"norms\"\nbranch = \"inherit\"\n\
                 adapt = \"full\"\n";
    let text = |methods: &str| {
        format!("extends = \"table2.toml\"\n[grid]\nmethods = {methods}\n[method.mine]\n{words}")
    };
    let table2 = fs::read_to_string(repository().join("experiments/table2.toml")).unwrap();
    let files = folder(&[
        ("table2.toml", table2.as_str()),
        ("used.toml", &text("[\"mine\", \"w/o\"]")),
        ("idle.toml", &text("[\"w/\", \"w/o\"]")),
    ]);
    let warnings = |name: &str| read(&files.path().join(name), "paper", &[]).warnings;
    assert_eq!(warnings("used.toml"), [""; 0]);
    let at = files.path().join("idle.toml");
    assert_eq!(
        warnings("idle.toml"),
        [format!(
            "{}:4:9: `[method.mine]` is of no use, as `grid.methods` does not name it; name it \
             there, or take the section out",
            at.display()
        )]
    );
}

#[test]
fn the_older_and_the_newer_name_of_a_key_are_not_both_taken() {
    let table2 = fs::read_to_string(repository().join("experiments/table2.toml")).unwrap();
    let both = table2.replace("[grid]", "[grid]\narms = [\"w/\", \"w/o\"]");
    let files = folder(&[("both.toml", &both)]);
    let said = run(files.path(), &["plan", "both.toml"], 2);
    assert!(
        said.err
            .contains("`grid.arms` and `grid.methods` are one key; take one of them out"),
        "{}",
        said.err
    );
    assert!(said.err.contains("both.toml:"), "{}", said.err);
}

#[test]
fn fine_tuning_of_one_method_alone_is_refused_with_what_to_do() {
    let table2 = fs::read_to_string(repository().join("experiments/table2.toml")).unwrap();
    for (adapt, remedy) in [
        (
            "full",
            "`[finetune]` holds for all methods of a manifest; sweep its keys, as in `[sweep] \
             finetune.lr",
        ),
        (
            "select",
            "a method that selects is not fine-tuned; take it out",
        ),
    ] {
        let text = format!(
            "extends = \"table2.toml\"\n[grid]\nmethods = [\"mine\"]\n[method.mine]\n\
             annotation = \"every\"\nmultitask = \"norms\"\nbranch = \"inherit\"\n\
             adapt = \"{adapt}\"\nfinetune.lr = 1e-2\n"
        );
        let files = folder(&[("table2.toml", &table2), ("mine.toml", &text)]);
        let said = run(files.path(), &["plan", "mine.toml"], 2);
        let wanted = format!("`method.mine.finetune` is no key of a method; {remedy}");
        assert!(said.err.contains(&wanted), "{}", said.err);
        assert!(said.err.contains("mine.toml:9:"), "{}", said.err);
    }
}
