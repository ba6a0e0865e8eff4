//! Cases that lack something, names that are markup, pixels that are no squares.

use std::fs;

use super::drawing::*;
use crate::support::{common::run, nifti_file::NiftiFile, own_sets};

const NOTHING: [u8; own_sets::SIDE * own_sets::SIDE] = [0; own_sets::SIDE * own_sets::SIDE];

#[test]
fn an_empty_mask_has_no_contour_and_stays_in_the_legend() {
    let dir = tempfile::tempdir().unwrap();
    own_sets::qubiq(dir.path(), |case, expert| match (case, expert) {
        (7, 2) | (8, 1..=2) => NOTHING.to_vec(),
        _ => own_sets::mask(case, expert),
    });
    let set = open(dir.path());
    let (svg, _) = draw(dir.path(), &["--case", "case7"]);
    let drawn = svg.panel("a").own("contour").into_iter();
    let drawn: Vec<&str> = drawn.map(|contour| contour.get("data-of")).collect();
    assert_eq!(drawn, ["1", "3"]);
    assert_eq!(svg.group("expert", "2").texts(), ["expert 2", "empty"]);
    let numbers = |svg: &Node, pair: &str| svg.panel("c").group("dice", pair).texts()[0].to_owned();
    assert_eq!(numbers(&svg, "1 2"), "0.0");
    assert_eq!(
        numbers(&svg, "1 3"),
        format!("{:.1}", dice(case(&set, "case7"), 1, 3))
    );
    assert!(
        svg.texts()
            .join(" ")
            .contains("Dice of two empty masks is 100")
    );
    assert!(svg.panel("a").groups("detail").len() <= 1);
    // Two empty masks agree.
    let (svg, _) = draw(dir.path(), &["--case", "case8"]);
    assert_eq!(numbers(&svg, "1 2"), "100.0");
    assert_eq!(numbers(&svg, "2 3"), "0.0");
}

#[test]
fn a_case_without_any_foreground_is_shown_whole() {
    let dir = tempfile::tempdir().unwrap();
    own_sets::qubiq(dir.path(), |case, expert| match case {
        7 => NOTHING.to_vec(),
        _ => own_sets::mask(case, expert),
    });
    for file in ["empty.svg", "empty.png"] {
        let arguments = ["data", "show", ".", "--case", "case7", "-o", file];
        run(dir.path(), &arguments, 0);
    }
    let (svg, _) = draw(dir.path(), &["--case", "case7"]);
    assert_eq!(svg.groups("contour").len(), 0);
    let set = open(dir.path());
    assert_eq!(
        shown(&svg, case(&set, "case7")),
        [0, 0, own_sets::SIDE, own_sets::SIDE]
    );
}

#[test]
fn an_expert_without_a_mask_of_the_case_is_named() {
    let dir = tempfile::tempdir().unwrap();
    own_sets::qubiq(dir.path(), own_sets::mask);
    fs::remove_file(dir.path().join("Validation/case7/task01_seg03.nii")).unwrap();
    let (svg, said) = draw(dir.path(), &["--case", "case7"]);
    assert!(
        said.err.contains("is missing, though expert 3 annotated"),
        "{}",
        said.err
    );
    assert_eq!(svg.panel("a").own("contour").len(), 2);
    assert_eq!(svg.panel("b").groups("count").len(), 3);
    assert_eq!(svg.panel("c").groups("dice").len(), 1);
    let legend = svg.panel("a").texts().join(" ");
    assert!(
        legend.contains("No mask of this case: expert 3"),
        "{legend}"
    );
    // Where all are there, nobody is absent.
    let (svg, _) = draw(dir.path(), &["--case", "case8"]);
    assert!(!svg.panel("a").texts().join(" ").contains("No mask"));
    assert_eq!(svg.panel("a").own("contour").len(), 3);
}

#[test]
fn names_that_are_markup_are_text() {
    let dir = tempfile::tempdir().unwrap();
    own_sets::qubiq(&dir.path().join("set"), own_sets::mask);
    let label = r#"{"label": "<b>\"mine\"</b> & 'yours'", "synthetic": false}"#;
    fs::write(dir.path().join("set/dataset.json"), label).unwrap();
    let keys = "training = 6\ntest = 2\npath = \"set\"\n\
                experts = [\"R&D\", \"O'Neil &lt\", \"a name that is too long for its column\"]";
    let path = dir.path().join("mine.toml");
    fs::write(&path, own_sets::manifest(keys)).unwrap();
    let (svg, _) = draw(&path, &[]);
    assert_eq!(svg.texts()[0], "case7, <b>\"mine\"</b> & 'yours'");
    let names: Vec<String> = svg
        .panel("a")
        .own("contour")
        .into_iter()
        .map(title)
        .collect();
    let wanted = [
        "R&D",
        "O'Neil &lt",
        "a name that is too long for its column",
    ];
    assert_eq!(names, wanted);
    let rows = svg.panel("a").groups("expert");
    let shown: Vec<&str> = rows.iter().map(|row| row.texts()[0]).collect();
    assert_eq!(shown[..2], wanted[..2]);
    assert!(
        shown[2].starts_with("a name") && shown[2].ends_with('…'),
        "{}",
        shown[2]
    );
    // Too wide for columns: numbers stand for them.
    let matrix = svg.panel("c").texts();
    assert!(
        matrix.contains(&"1 R&D") && matrix.contains(&"2"),
        "{matrix:?}"
    );
}

fn title(group: &Node) -> String {
    group.named("title")[0].text.clone()
}

#[test]
fn letters_that_a_png_lacks_are_told() {
    let dir = tempfile::tempdir().unwrap();
    own_sets::qubiq(&dir.path().join("set"), own_sets::mask);
    let keys = "training = 6\ntest = 2\npath = \"set\"\nexperts = [\"Łucja\", \"脳\", \"Zoë\"]";
    fs::write(dir.path().join("mine.toml"), own_sets::manifest(keys)).unwrap();
    let show = |file: &str| run(dir.path(), &["data", "show", "mine.toml", "-o", file], 0).err;
    let said = show("drawn.png");
    assert!(
        said.contains("a PNG has Latin letters only, and no \"脳\""),
        "{said}"
    );
    assert!(!show("drawn.svg").contains("Latin"));
}

#[test]
fn pixels_that_are_no_squares_keep_their_proportions() {
    let dir = tempfile::tempdir().unwrap();
    for n in 1..=4 {
        let part = if n <= 3 { "Training" } else { "Validation" };
        let folder = dir.path().join(part).join(format!("case{n}"));
        fs::create_dir_all(&folder).unwrap();
        let image: Vec<u8> = (0..200 * 100).map(|i| (i % 251) as u8).collect();
        let image = NiftiFile::new(&[200, 100], &image).pixdim(0.5, 2.0);
        image.write(folder.join("image.nii"));
        let disc = |radius| NiftiFile::disc([200, 100], [100, 50], radius).pixdim(0.5, 2.0);
        disc(20).write(folder.join("task01_seg01.nii"));
        disc(24 + n).write(folder.join("task01_seg02.nii"));
    }
    let set = open(dir.path());
    let (svg, _) = draw(dir.path(), &[]);
    let case = case(&set, "case4");
    let [_, _, width, height] = shown(&svg, case).map(|n| n as f64);
    for panel in ["a", "b"] {
        let image = svg.panel(panel).named("image")[0];
        let [drawn, wanted] = [
            image.number("width") / image.number("height"),
            0.5 * width / (2.0 * height),
        ];
        assert!(
            (drawn - wanted).abs() < 0.01,
            "{panel}: {drawn} for {wanted}"
        );
    }
    let notes = svg.texts().join(" ");
    assert!(
        notes.contains("Image of 200 × 100 pixels of 0.5 × 2 mm"),
        "{notes}"
    );
    // The scale bar is as long as it says.
    let bar = svg.panel("a").groups("scale")[0];
    let length: f64 = bar.texts()[0].strip_suffix(" mm").unwrap().parse().unwrap();
    let image = svg.panel("a").named("image")[0];
    let wanted = length / (0.5 * width) * image.number("width");
    assert!((bar.named("rect")[0].number("width") - wanted).abs() < 0.1);
}

#[test]
fn pictures_without_a_size_of_pixels_are_measured_in_pixels() {
    let dir = tempfile::tempdir().unwrap();
    for case in 1..=8 {
        let path = |name: String| dir.path().join("set").join(name);
        own_sets::write(&path(format!("c{case}.png")), &own_sets::image(case));
        for expert in 1..=3 {
            let mask = own_sets::mask(case, expert);
            own_sets::write(&path(format!("c{case}_{expert}.png")), &mask);
        }
    }
    let keys = "training = 6\ntest = 2\nexperts = 3\npath = \"set\"\nimages = \"{case}.png\"\n\
                masks = \"{case}_{expert}.png\"\nsplit = { test = 0.25 }";
    let path = dir.path().join("mine.toml");
    fs::write(&path, own_sets::manifest(keys)).unwrap();
    let (svg, _) = draw(&path, &[]);
    assert!(
        svg.texts()
            .join(" ")
            .contains("whose size the file does not say")
    );
    assert!(svg.panel("a").groups("scale")[0].texts()[0].ends_with(" px"));
}

#[test]
fn one_expert_agrees_with_nobody() {
    let dir = tempfile::tempdir().unwrap();
    own_sets::qubiq(dir.path(), own_sets::mask);
    for part in ["Training", "Validation"] {
        for folder in fs::read_dir(dir.path().join(part)).unwrap() {
            for expert in [2, 3] {
                let mask = format!("task01_seg{expert:02}.nii");
                fs::remove_file(folder.as_ref().unwrap().path().join(mask)).unwrap();
            }
        }
    }
    let (svg, _) = draw(dir.path(), &[]);
    assert_eq!(svg.panel("a").own("contour").len(), 1);
    assert_eq!(svg.panel("a").groups("detail").len(), 0);
    let said = svg.panel("c").texts().join(" ");
    assert!(
        said.contains("No two experts annotated this case."),
        "{said}"
    );
}
