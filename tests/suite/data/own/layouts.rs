//! Folders and names of other kinds than QUBIQ's.

use std::{collections::BTreeSet, fs, path::Path};

use expertgrid::data::{self, Case, Dataset, survey::survey};

use crate::support::own_sets::*;

fn names(cases: &[Case]) -> Vec<&str> {
    cases.iter().map(|case| case.name.as_str()).collect()
}

fn open(root: &Path, keys: &str) -> Dataset {
    data::open_as(root, &experiment(keys).data).unwrap_or_else(|why| panic!("{keys}\n{why}"))
}

/// What is wrong with it, errors first, one in a line.
fn told(root: &Path, keys: &str) -> String {
    let survey = survey(root, &experiment(keys).data);
    survey
        .problems()
        .map(|problem| format!("{problem}\n"))
        .collect()
}

/// The images of cases 1 to 8 and the masks of three experts under these names.
fn draw(root: &Path, image_name: impl Fn(u32) -> String, mask_name: impl Fn(u32, u32) -> String) {
    for case in 1..=8 {
        write(&root.join(image_name(case)), &image(case));
        for expert in 1..=3 {
            write(&root.join(mask_name(case, expert)), &mask(case, expert));
        }
    }
}

const SIZE: &str = "training = 6\ntest = 2\nexperts = 3\n";
const SHARE: &str = "split = { test = 0.25, seed = 1 }\n";

#[test]
fn every_layout_of_the_same_cases_has_the_same_content() {
    let dir = tempfile::tempdir().unwrap();
    let part = |case: u32| if case <= 6 { "Training" } else { "Validation" };
    type Named = Box<dyn Fn(u32) -> String>;
    type NamedMask = Box<dyn Fn(u32, u32) -> String>;
    let layouts: [(&str, Named, NamedMask, &str); 7] = [
        (
            "qubiq",
            Box::new(move |c| format!("{}/c{c}/image.nii", part(c))),
            Box::new(move |c, e| format!("{}/c{c}/task01_seg0{e}.nii", part(c))),
            "",
        ),
        // A second task: one line.
        (
            "task02",
            Box::new(move |c| format!("{}/c{c}/image.nii", part(c))),
            Box::new(move |c, e| format!("{}/c{c}/task02_seg0{e}.nii", part(c))),
            "masks = \"{split}/{case}/task02_seg{expert}.nii*\"",
        ),
        (
            "one_folder",
            Box::new(|c| format!("c{c}.png")),
            Box::new(|c, e| format!("c{c}_{e}.png")),
            "images = \"{case}.png\"\nmasks = \"{case}_{expert}.png\"\n\
             split = { test = [\"c7\", \"c8\"] }",
        ),
        // An image's own word stands where a mask's expert does.
        (
            "images_that_fit_the_masks_pattern",
            Box::new(move |c| format!("{}/c{c}_mri.nii", part(c))),
            Box::new(move |c, e| {
                let name = ["ana", "bo", "cy"][e as usize - 1];
                format!("{}/c{c}_{name}.nii", part(c))
            }),
            "images = \"{split}/{case}_mri.nii\"\nmasks = \"{split}/{case}_{expert}.nii\"\n\
             experts = [\"ana\", \"bo\", \"cy\"]",
        ),
        (
            "numbered_channels",
            Box::new(move |c| format!("{}/c{c}_0000.nii", part(c))),
            Box::new(move |c, e| format!("{}/c{c}_{e}.nii", part(c))),
            "images = \"{split}/{case}_0000.nii\"\nmasks = \"{split}/{case}_{expert}.nii\"",
        ),
        (
            "folders_of_experts",
            Box::new(move |c| format!("{}/img/c{c}_T2.nii", ["tr", "te"][usize::from(c > 6)])),
            Box::new(move |c, e| {
                let (side, name) = (["tr", "te"][usize::from(c > 6)], ["ana", "bo", "cy"]);
                format!("{side}/{}/c{c}-seg.nii", name[e as usize - 1])
            }),
            "images = \"{split}/img/{case}_T2.nii\"\nmasks = \"{split}/{expert}/{case}-*.nii\"\n\
             split = { training = \"tr\", test = \"te\" }\nexperts = [\"ana\", \"bo\", \"cy\"]",
        ),
        (
            "names_in_several_folders",
            Box::new(|c| format!("p{}/n{c}/images/s0.png", c / 3)),
            Box::new(|c, e| format!("p{}/n{c}/mask-{}/s0.png", c / 3, e - 1)),
            "images = \"{patient}/{nodule}/images/{slice}.png\"\n\
             masks = \"{patient}/{nodule}/mask-{expert}/{slice}.png\"\n\
             experts = [\"0\", \"1\", \"2\"]\nsplit = { test = [\"*_n7_*\", \"*_n8_*\"] }",
        ),
    ];
    let mut digests = BTreeSet::new();
    for (name, image_name, mask_name, keys) in layouts {
        let root = dir.path().join(name);
        draw(&root, image_name, mask_name);
        let size = match keys.contains("experts") {
            true => "training = 6\ntest = 2\n",
            false => SIZE,
        };
        let set = open(&root, &format!("{size}{keys}"));
        assert_eq!((set.training.len(), set.test.len()), (6, 2), "{name}");
        assert_eq!(set.experts, [1, 2, 3], "{name}");
        assert_eq!(set.warnings, [], "{name}");
        digests.insert(set.digest);
    }
    assert_eq!(digests.len(), 1);
}

#[test]
fn masks_of_a_pattern_without_an_expert_are_of_expert_1() {
    let dir = tempfile::tempdir().unwrap();
    for case in 1..=4 {
        write(
            &dir.path().join(format!("images/c{case}.png")),
            &image(case),
        );
        write(
            &dir.path().join(format!("masks/c{case}.png")),
            &mask(case, 1),
        );
    }
    let keys = "images = \"images/{case}.png\"\nmasks = \"masks/{case}.png\"\n";
    let set = open(dir.path(), &format!("{SIZE}{keys}{SHARE}"));
    assert_eq!((set.experts, set.test.len()), (vec![1], 1));
    assert_eq!(set.warnings, []);
}

#[test]
fn a_share_is_drawn_from_names_and_seed_and_keeps_units_together() {
    let dir = tempfile::tempdir().unwrap();
    let keys = |seed: u32, share: f64| {
        format!(
            "{SIZE}images = \"{{patient}}/{{case}}.png\"\nmasks = \
             \"{{patient}}/{{case}}_{{expert}}.png\"\nsplit = {{ test = {share}, seed = {seed} }}"
        )
    };
    // Four patients of two images each.
    let patient = |case: u32| (case - 1) / 2;
    draw(
        dir.path(),
        |c| format!("p{}/c{c}.png", patient(c)),
        |c, e| format!("p{}/c{c}_{e}.png", patient(c)),
    );
    let test = |seed, share| {
        let set = open(dir.path(), &keys(seed, share));
        assert_eq!(set.training.len() + set.test.len(), 8);
        names(&set.test).join(" ")
    };
    let patients = |names: &str| -> Vec<String> {
        names.split(' ').map(|name| name[..2].to_owned()).collect()
    };
    let mut drawn = BTreeSet::new();
    for seed in 0..20 {
        let names = test(seed, 0.25);
        assert_eq!(names, test(seed, 0.25), "the same again");
        let of = patients(&names);
        assert!(
            of.len() == 2 && of[0] == of[1],
            "one patient, whole: {names}"
        );
        drawn.insert(names);
    }
    assert_eq!(drawn.len(), 4, "every patient by some seed: {drawn:?}");
    // Half of four, all but one, at least one.
    for (share, count) in [(0.5, 4), (0.99, 6), (0.01, 2)] {
        assert_eq!(patients(&test(1, share)).len(), count, "{share}");
    }
    // What lies there in other order, or besides, changes nothing of who is drawn first: the rank
    // of a name is a digest of `seed/name`.
    let rank = |patient: u32| blake3::hash(format!("1/p{patient}").as_bytes()).to_hex();
    let first = (0..4).min_by_key(|patient| rank(*patient)).unwrap();
    assert_eq!(patients(&test(1, 0.25))[0], format!("p{first}"));
}

#[test]
fn what_fits_no_pattern_is_told_and_nothing_advises_to_lose_it() {
    let dir = tempfile::tempdir().unwrap();
    let keys = format!(
        "{SIZE}images = \"im/{{case}}.png\"\nmasks = \"ma/{{case}}_{{expert}}.png\"\n{SHARE}"
    );
    draw(
        dir.path(),
        |c| format!("im/c{c}.png"),
        |c, e| format!("ma/c{c}_{e}.png"),
    );
    assert_eq!(told(dir.path(), &keys), "");
    for (path, wanted) in [
        ("notes.txt", "fits neither `images"),
        ("im/c1.jpg", "fits neither"),
        ("more/c9.png", "no pattern under `[dataset]` leads into"),
        ("ma/c99_1.png", "which has no image"),
        (
            "ma/c1_dora.png",
            "is of expert \"dora\", which is no number",
        ),
        (
            "ma/c1_0.png",
            "is of expert \"0\", which is no number from 1",
        ),
        ("ma/c1_01.png", "is a mask of expert 1 of a case, and so is"),
    ] {
        let path = dir.path().join(path);
        write(&path, &mask(1, 1));
        let said = told(dir.path(), &keys);
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(wanted), "{wanted}: {said}");
        let base = path.parent().unwrap();
        match base.ends_with("more") {
            true => fs::remove_dir_all(base).unwrap(),
            false => fs::remove_file(path).unwrap(),
        }
    }
    // An expert's mask is missing: the file that was expected is named.
    fs::remove_file(dir.path().join("ma/c2_3.png")).unwrap();
    let said = told(dir.path(), &keys);
    assert!(
        said.contains("ma/c2_3.png: is missing, though expert 3"),
        "{said}"
    );
}

#[test]
fn where_nothing_fits_the_message_says_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    draw(
        dir.path(),
        |c| format!("im/c{c}.png"),
        |c, e| format!("im/c{c}_{e}.png"),
    );
    let keys = |images: &str| {
        format!("{SIZE}images = \"{images}\"\nmasks = \"im/{{case}}_{{expert}}.png\"\n{SHARE}")
    };
    let said = told(dir.path(), &keys("scans/{case}.png"));
    assert!(
        said.contains("no file that fits `images = \"scans/{case}.png\"`"),
        "{said}"
    );
    assert!(said.contains("it holds im"), "{said}");
    // Named experts, of whom none is there: the words that stand there are listed.
    let root = dir.path().join("named");
    draw(
        &root,
        |c| format!("c{c}.png"),
        |c, e| format!("c{c}_r{e}.png"),
    );
    let keys =
        format!("{SIZE}images = \"{{case}}.png\"\nmasks = \"{{case}}_{{expert}}.png\"\n{SHARE}");
    let said = told(&root, &keys);
    assert!(
        said.contains("`experts = [\"r1\", \"r2\", \"r3\"]`"),
        "{said}"
    );
}

#[test]
fn a_folder_that_is_not_there_is_told_once_and_a_mask_of_another_format_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let keys =
        format!("{SIZE}images = \"{{case}}.nii\"\nmasks = \"{{case}}_{{expert}}.png\"\n{SHARE}");
    let said = told(&dir.path().join("nowhere"), &keys);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("nowhere: does not exist"), "{said}");
    draw(
        dir.path(),
        |c| format!("c{c}.nii"),
        |c, e| format!("c{c}_{e}.png"),
    );
    let said = told(dir.path(), &keys);
    assert_eq!(said.lines().count(), 24, "{said}");
    assert!(
        said.contains("c1_1.png: is a PNG and its image is NIfTI; check that"),
        "{said}"
    );
}

#[test]
fn a_split_that_names_nothing_or_leaves_cases_out_is_told() {
    let dir = tempfile::tempdir().unwrap();
    draw(
        dir.path(),
        |c| format!("c{c}.png"),
        |c, e| format!("c{c}_{e}.png"),
    );
    let keys = |split: &str| {
        format!(
            "{SIZE}images = \"{{case}}.png\"\nmasks = \"{{case}}_{{expert}}.png\"\n\
             split = {{ {split} }}"
        )
    };
    for (split, wanted) in [
        ("test = [\"c7\", \"x9\"]", "has nothing called \"x9\""),
        ("test = [\"c*\"]", "has no training case"),
        (
            "test = \"c8\", training = [\"c1\", \"c2\"]",
            "has 5 cases that are neither",
        ),
        (
            "test = [\"c8\", \"c1\"], training = [\"c1\", \"c2*\"]",
            "as training and as test: c1",
        ),
    ] {
        let said = told(dir.path(), &keys(split));
        assert!(said.contains(wanted), "{split}: {said}");
    }
    let set = open(dir.path(), &keys("test = [\"c7\", \"c8\"]"));
    assert_eq!(names(&set.test), ["c7", "c8"]);
    assert_eq!(names(&set.training), ["c1", "c2", "c3", "c4", "c5", "c6"]);
}

#[test]
fn mistakes_in_the_keys_are_told_with_their_place() {
    let both = "images = \"{case}.png\"\nmasks = \"{case}_{expert}.png\"\n";
    for (keys, wanted) in [
        (
            format!("{both}split = {{ test = 1.5 }}"),
            "a share is above 0 and below 1",
        ),
        (
            format!("{both}split = {{ test = [0.5, \"a\"] }}"),
            "one share, or names",
        ),
        (both.to_owned(), "`dataset.split.test` is missing"),
        (
            format!("{both}{SHARE}label = 1\nsplits = 1"),
            "unknown key `dataset.splits`",
        ),
        (SHARE.to_owned(), "needs `dataset.images`"),
        (
            format!("images = \"/data/{{case}}.png\"\n{SHARE}"),
            "no relative path",
        ),
        (
            format!("images = \"a/b.png\"\nmasks = \"{{expert}}.png\"\n{SHARE}"),
            "what tells the cases apart",
        ),
        (
            format!("images = \"{{case}}.png\"\nmasks = \"{{cases}}_{{expert}}.png\"\n{SHARE}"),
            "{cases} in masks (beside {expert}), {case} in images",
        ),
        (
            format!("images = \"{{case}}_{{expert}}.png\"\nmasks = \"{{case}}.png\"\n{SHARE}"),
            "an image is of no expert",
        ),
        (
            "images = \"{split}/{case}.png\"\nmasks = \"{split}/{case}_{expert}.png\"\n\
          split = { test = 0.5 }"
                .to_owned(),
            "take {split}",
        ),
    ] {
        let said = problems(&format!("{SIZE}{keys}"));
        assert!(
            said.contains(wanted) && said.contains("own.toml:"),
            "{keys}: {said}"
        );
    }
}
