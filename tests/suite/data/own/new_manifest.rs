//! Manifests that are written for a folder of data.

use std::{fs, path::Path};

use expertgrid::data::guess::guess;

use crate::support::{
    common::{repository, results_of, run},
    own_sets::*,
};

/// Twelve images with the masks of three raters, each under a name that a function gives.
fn draw(root: &Path, image_name: impl Fn(u32) -> String, mask_name: impl Fn(u32, usize) -> String) {
    for case in 1..=12 {
        write(&root.join(image_name(case)), &image(case));
        for rater in 0..3 {
            let mask = mask(case, rater as u32 + 1);
            write(&root.join(mask_name(case, rater)), &mask);
        }
    }
}

#[test]
fn the_layout_of_a_folder_is_guessed_from_its_names() {
    let raters = ["anna", "bert", "carla"];
    let dir = tempfile::tempdir().unwrap();
    let side = |case: u32| if case <= 9 { "train" } else { "val" };
    type Named = Box<dyn Fn(u32) -> String>;
    type NamedMask = Box<dyn Fn(u32, usize) -> String>;
    let layouts: [(Named, NamedMask, [&str; 3]); 6] = [
        (
            Box::new(|c| format!("scan {c}.png")),
            Box::new(move |c, r| format!("scan {c}_{}.png", raters[r])),
            ["{case}.png", "{case}_{expert}.png", "anna bert carla"],
        ),
        (
            Box::new(|c| format!("images/c{c:02}.nii")),
            Box::new(|c, r| format!("masks/c{c:02}_rater{}.nii", r + 1)),
            ["images/{case}.nii", "masks/{case}_rater{expert}.nii", ""],
        ),
        (
            Box::new(move |c| format!("{}/images/c{c}.png", side(c))),
            Box::new(move |c, r| format!("{}/{}/c{c}.png", side(c), raters[r])),
            [
                "{split}/images/{case}.png",
                "{split}/{expert}/{case}.png",
                "anna bert carla",
            ],
        ),
        (
            Box::new(|c| format!("p{c}/t2.nii")),
            Box::new(|c, r| format!("p{c}/seg-0{}.nii", r + 1)),
            ["{case}/t2.nii", "{case}/seg-{expert}.nii", ""],
        ),
        (
            Box::new(|c| format!("img_{c:03}.png")),
            Box::new(|c, r| format!("gt_{c:03}_{}.png", ["A", "B", "C"][r])),
            ["img_{case}.png", "gt_{case}_{expert}.png", "A B C"],
        ),
        (
            Box::new(|c| format!("p{}/n{c}/images/slice-0.png", c / 2)),
            Box::new(|c, r| format!("p{}/n{c}/mask-{r}/slice-0.png", c / 2)),
            [
                "{patient}/{case}/images/slice-0.png",
                "{patient}/{case}/mask-{expert}/slice-0.png",
                "0 1 2",
            ],
        ),
    ];
    for (i, (image_name, mask_name, [images, masks, experts])) in layouts.into_iter().enumerate() {
        let root = dir.path().join(i.to_string());
        draw(&root, image_name, mask_name);
        let found = guess(&root).unwrap_or_else(|problem| panic!("{images}: {problem}"));
        let files = found.spec.files.unwrap();
        assert_eq!((files.images.text(), files.masks.text()), (images, masks));
        assert_eq!(found.spec.experts.join(" "), experts, "{images}");
        assert_eq!(found.labels, Vec::<u32>::new());
    }
}

#[test]
fn what_cannot_be_guessed_says_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let said = || guess(dir.path()).unwrap_err().to_string();
    assert!(said().contains("no NIfTI file and no PNG"), "{}", said());
    write(&dir.path().join("a.png"), &image(1));
    assert!(said().contains("1 images and 0 masks"), "{}", said());
    write(&dir.path().join("b.png"), &image(2));
    write(&dir.path().join("x.png"), &mask(1, 1));
    assert!(
        said().contains("do not say which belong together"),
        "{}",
        said()
    );
}

#[test]
fn from_a_folder_of_pictures_to_a_table_in_five_commands_without_an_edit() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    draw(
        &at.join("scans"),
        |c| format!("scan {c}.png"),
        |c, r| format!("scan {c}-{}.png", ["anna", "bert", "carla"][r]),
    );
    let base = repository().join("experiments/table2.toml");
    let base = base.to_str().unwrap();
    let made = run(
        at,
        &["new", "mine", "--from", base, "--dataset", "scans"],
        0,
    );
    assert!(
        made.out
            .contains("9 training and 3 test cases, experts anna, bert, carla")
    );
    let text = fs::read_to_string(at.join("mine.toml")).unwrap();
    for line in [
        "images = \"{case}.png\"",
        "masks = \"{case}-{expert}.png\"",
        "experts = [\"anna\", \"bert\", \"carla\"]",
        "split = { test = 0.25, seed = 0 }",
        "new_experts = [\"carla\"]",
        "crop = 32",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    run(at, &["data", "check", "mine.toml"], 0);
    run(at, &["plan", "mine.toml", "--profile", "smoke"], 0);
    // The smallest network and a few runs of it.
    let only = "samples=1 and start=1";
    run(
        at,
        &["run", "mine.toml", "--profile", "smoke", "--only", only],
        0,
    );
    let report = run(at, &["report", "mine.toml", "--profile", "smoke"], 1);
    assert!(report.out.contains("expert carla"), "{}", report.out);
    results_of(at, "mine", "smoke@scans-");
    // Nothing is written over.
    run(
        at,
        &["new", "mine", "--from", base, "--dataset", "scans"],
        2,
    );
}

#[test]
fn the_papers_manifests_come_with_the_program() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let raters = ["anna", "bert", "carla"];
    draw(
        &at.join("scans"),
        |c| format!("scan {c}.png"),
        |c, r| format!("scan {c}-{}.png", raters[r]),
    );
    // Where nothing comes of it, nothing stays.
    run(at, &["new", "mine", "--dataset", "nowhere"], 2);
    assert!(!at.join("table2.toml").exists());
    let made = run(at, &["new", "mine", "--dataset", "scans"], 0);
    assert!(
        made.out.contains("table2.toml: as the paper's"),
        "{}",
        made.out
    );
    let plan = run(at, &["plan", "mine.toml", "--profile", "phantom"], 0);
    assert!(plan.out.contains(" runs\n"), "{}", plan.out);
    // Now there is one, which counts: it may have been edited.
    let edited = fs::read_to_string(at.join("table2.toml")).unwrap();
    let edited = edited.replace("width = 64", "width = 32");
    fs::write(at.join("table2.toml"), &edited).unwrap();
    let again = run(at, &["new", "again", "--dataset", "scans"], 0);
    assert!(!again.out.contains("as the paper's"), "{}", again.out);
    assert_eq!(fs::read_to_string(at.join("table2.toml")).unwrap(), edited);
    // The others, elsewhere; their keys are those of the repository's.
    let known = |text: String| {
        let start = text.find("[reference]").unwrap();
        let end = start + text[start..].find("\n\n").unwrap() + 1;
        let schema = text.find('\n').unwrap() + 1;
        format!("{}{}", &text[schema..start], &text[end..])
    };
    fs::create_dir(at.join("sub")).unwrap();
    for table in ["table1", "table3"] {
        let name = format!("sub/of {table}");
        let arguments = ["new", &name, "--from", table, "--dataset", "scans"];
        run(at, &arguments, 0);
        let path = format!("experiments/{table}.toml");
        let expected = known(fs::read_to_string(repository().join(path)).unwrap());
        let written = fs::read_to_string(at.join(format!("sub/{table}.toml"))).unwrap();
        assert_eq!(written, expected);
    }
    // Another name is nobody's.
    let said = run(
        at,
        &["new", "x", "--from", "table9", "--dataset", "scans"],
        2,
    );
    assert!(said.err.contains("no such manifest"), "{}", said.err);
}

#[test]
fn a_manifest_for_masks_of_labels_names_them() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    for case in 1..=8 {
        write(&at.join(format!("set/c{case}.png")), &image(case));
        for rater in 1..=2 {
            let name = format!("set/c{case}_{rater}.png");
            write(&at.join(name), &labels(case, rater));
        }
    }
    let base = repository().join("experiments/table2.toml");
    run(
        at,
        &[
            "new",
            "own",
            "--from",
            base.to_str().unwrap(),
            "--dataset",
            "set",
        ],
        0,
    );
    let text = fs::read_to_string(at.join("own.toml")).unwrap();
    assert!(
        text.contains("label = [2]   # the masks have labels 0, 1, 2"),
        "{text}"
    );
    assert!(
        text.contains("annotators = { from = [1], choose = 1 }"),
        "{text}"
    );
    run(at, &["data", "check", "own.toml"], 0);
}
