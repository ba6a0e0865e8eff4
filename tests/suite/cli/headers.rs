//! One rule for the headers of a mask and what it belongs to, with the real program: whatever
//! command reads the two, it gives the same answer.

use std::{fs, path::Path};

use crate::support::{common::*, nifti_file::*};

const SHAPE: [usize; 2] = [48, 40];
const SIZE: [f32; 2] = [0.5, 0.8];
const FIRST: [f32; 3] = [10.0, -20.0, 30.0];

const GRID: &str = r#"
title = "one rule"
[grid]
new_experts = [3]
arms = ["w/"]
annotators = { from = [1, 2], choose = 2 }
samples = [2]
starts = [1, 2]
[dataset]
training = 4
test = 1
experts = 3
[image]
crop = 32
cut_masks = "allow"
[network]
width = 4
[training]
batch = 2
[pretrain]
steps = 1
[finetune]
steps = 1
"#;

/// What every command makes of a mask.
enum Answer {
    Agrees,
    Turned(&'static str),
    Refused(&'static str),
}

use Answer::{Agrees, Refused, Turned};

fn values() -> Vec<u8> {
    disc(SHAPE, [20, 18], 7)
}

/// The mask under the pixel sizes and the affine that its image has, all times a factor.
fn mask(values: &[u8], [w, h]: [usize; 2], factor: f32) -> NiftiFile {
    let [x, y] = SIZE.map(|v| v * factor);
    NiftiFile::new(&[w as i16, h as i16], values)
        .pixdim(x, y)
        .sform(rows(
            [x, 0.0, 0.0],
            [0.0, y, 0.0],
            FIRST.map(|v| v * factor),
        ))
}

/// The same with other steps and another first pixel.
fn placed(x: [f32; 3], y: [f32; 3], first: [f32; 3]) -> NiftiFile {
    mask(&values(), SHAPE, 1.0).sform(rows(x, y, first))
}

fn in_unit(mut file: NiftiFile, unit: u8) -> NiftiFile {
    file.put(123, [unit]);
    file
}

fn without_affine(mut file: NiftiFile) -> NiftiFile {
    file.put(254, 0_i16.to_le_bytes());
    file
}

fn variants() -> Vec<(&'static str, NiftiFile, Answer)> {
    let [w, h] = SHAPE;
    let [sx, sy] = SIZE;
    let (x, y) = ([sx, 0.0, 0.0], [0.0, sy, 0.0]);
    let own = || mask(&values(), SHAPE, 1.0);
    let last = |n: usize, step: f32| (n - 1) as f32 * step;
    let mirror = mask(&mirrored(&values(), w), SHAPE, 1.0).sform(rows(
        [-sx, 0.0, 0.0],
        y,
        [FIRST[0] + last(w, sx), FIRST[1], FIRST[2]],
    ));
    // Rows become columns, and run backwards.
    let quarter = transposed(&mirrored(&values(), w), w);
    let quarter = mask(&quarter, [h, w], 1.0).pixdim(sy, sx).sform(rows(
        y,
        [-sx, 0.0, 0.0],
        [FIRST[0] + last(w, sx), FIRST[1], FIRST[2]],
    ));
    let moved = |by: f32| placed(x, y, [FIRST[0] + by, FIRST[1], FIRST[2]]);
    let turned = |degrees: f32| {
        let (sine, cosine) = degrees.to_radians().sin_cos();
        placed(
            [sx * cosine, sx * sine, 0.0],
            [-sy * sine, sy * cosine, 0.0],
            FIRST,
        )
    };
    let quaternion = |first| without_affine(own()).qform([0.0; 3], first);
    vec![
        ("the same", own(), Agrees),
        ("mirrored", mirror, Turned("(x reversed)")),
        (
            "a quarter",
            quarter,
            Turned("(rows and columns exchanged, "),
        ),
        ("moved", moved(10.0), Refused("lies elsewhere than its")),
        ("moved by rounding", moved(2e-5), Agrees),
        (
            "another size",
            mask(&values(), SHAPE, 2.0),
            Refused("lies elsewhere than its"),
        ),
        (
            "another size, no place",
            without_affine(mask(&values(), SHAPE, 2.0)),
            Refused("has pixels of 1 x 1.6 mm by its header"),
        ),
        (
            "in micrometres",
            in_unit(mask(&values(), SHAPE, 1e3), 3),
            Agrees,
        ),
        (
            "in metres",
            in_unit(mask(&values(), SHAPE, 1e-3), 1),
            Agrees,
        ),
        ("in no unit", in_unit(own(), 0), Agrees),
        (
            "numbers of another unit",
            in_unit(own(), 3),
            Refused("lies elsewhere than its"),
        ),
        (
            "nothing said",
            NiftiFile::new(&[w as i16, h as i16], &values()).pixdim(sx, sy),
            Agrees,
        ),
        (
            "no size either",
            in_unit(NiftiFile::new(&[w as i16, h as i16], &values()), 0),
            Agrees,
        ),
        ("oblique", turned(30.0), Refused("lies elsewhere than its")),
        (
            "sheared",
            placed(x, [0.2, sy, 0.0], FIRST),
            Refused("lies elsewhere than its"),
        ),
        ("by quaternion", quaternion(FIRST), Agrees),
        (
            "elsewhere by quaternion",
            quaternion([0.0; 3]),
            Refused("lies elsewhere than its"),
        ),
        (
            "two places",
            own().qform([0.0; 3], [0.0; 3]),
            Refused("has a header that puts its pixels at two places"),
        ),
        (
            "no number",
            placed([f32::NAN, 0.0, 0.0], y, FIRST),
            Refused("values that are not finite (sform)"),
        ),
        (
            "one direction",
            placed(x, x, FIRST),
            Refused("gives x and y one direction (sform)"),
        ),
    ]
}

fn image(seed: u8) -> NiftiFile {
    let [w, h] = SHAPE;
    let shown = |i: usize| (1..w - 1).contains(&(i % w)) && (w..w * (h - 1)).contains(&i);
    let pixel = |i: usize| {
        if shown(i) {
            (i * 7 % 240) as u8 + seed
        } else {
            0
        }
    };
    mask(&(0..w * h).map(pixel).collect::<Vec<u8>>(), SHAPE, 1.0)
}

fn data_set(root: &Path) {
    for case in 1..=5 {
        let part = if case < 5 { "Training" } else { "Validation" };
        let folder = root.join(part).join(format!("case{case}"));
        fs::create_dir_all(&folder).unwrap();
        image(case).write(folder.join("image.nii"));
        for expert in 1..=3 {
            mask(&values(), SHAPE, 1.0).write(folder.join(format!("task01_seg0{expert}.nii")));
        }
    }
}

#[test]
fn every_command_gives_the_same_answer() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    data_set(&at("set"));
    fs::write(at("grid.toml"), GRID).unwrap();
    let first = run(folder.path(), &["run", "grid.toml", "--dataset", "set"], 0);
    assert_eq!(first.counts(), Some((5, 0)), "{}", first.err);
    let runs = fs::read_dir(at("results/store/pretrain"))
        .unwrap()
        .next()
        .unwrap();
    let stage = fs::read_dir(runs.unwrap().path()).unwrap().next().unwrap();
    let digest = stage.unwrap().file_name().into_string().unwrap();
    run(
        folder.path(),
        &["store", "export", &digest, "-o", "w.safetensors"],
        0,
    );

    let path = at("set/Training/case2/task01_seg03.nii");
    let reference = "set/Training/case1/task01_seg03.nii";
    for (i, (name, file, answer)) in variants().into_iter().enumerate() {
        file.write(&path);
        file.write(at("mask.nii"));
        let out = format!("{i}.safetensors");
        let metric = ["metric", "mask.nii", reference, "--json"];
        let commands: [&[&str]; 4] = [
            &["data", "check", "set"],
            &["run", "grid.toml", "--dataset", "set"],
            &[
                "adapt",
                "--weights",
                "w.safetensors",
                "--cases",
                "set/Training",
                "--expert",
                "3",
                "--steps",
                "1",
                "-o",
                &out,
            ],
            &metric,
        ];
        for command in commands {
            let output = expertgrid(folder.path(), command).output().unwrap();
            let said = Said::of(&output);
            let code = output.status.code();
            // What `data check` finds is its output.
            let text = format!("{}{}", said.err, said.out);
            let wrong = format!("{name}: {command:?}: {code:?} {text}");
            match answer {
                Agrees | Turned(_) => assert_eq!(code, Some(0), "{wrong}"),
                Refused(why) => {
                    assert_eq!(code, Some(2), "{wrong}");
                    assert!(text.contains(why), "{wrong}");
                }
            }
            match answer {
                Agrees => assert!(!text.contains("by its header"), "{wrong}"),
                Turned(how) => {
                    assert!(
                        text.contains("is stored in another order of pixels"),
                        "{wrong}"
                    );
                    assert!(text.contains(how), "{wrong}");
                }
                Refused(_) => {}
            }
            let accepted = matches!(answer, Agrees | Turned(_));
            if accepted && command[0] == "run" {
                assert_eq!(
                    said.counts(),
                    None,
                    "the same pixels are the same stages: {wrong}"
                );
            }
            if accepted && command[0] == "metric" {
                assert!(said.out.contains("\"dice\": 1.0"), "{wrong}");
            }
        }
    }
}

#[test]
fn an_image_whose_header_contradicts_itself_is_told_by_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    data_set(&at("set"));
    fs::write(at("grid.toml"), GRID).unwrap();
    run(folder.path(), &["run", "grid.toml", "--dataset", "set"], 0);
    let case = at("set/Training/case2");
    // Image and masks by one program: the same header, which gives two places.
    let two = |file: NiftiFile| file.qform([0.0; 3], [0.0; 3]);
    two(image(2)).write(case.join("image.nii"));
    for expert in 1..=3 {
        two(mask(&values(), SHAPE, 1.0)).write(case.join(format!("task01_seg0{expert}.nii")));
    }
    let told =
        "4 files have the same problem: each has a header that puts its pixels at two places";
    let check = run(folder.path(), &["data", "check", "set"], 0).out;
    assert!(check.contains(told), "{check}");
    let said = run(folder.path(), &["run", "grid.toml", "--dataset", "set"], 0);
    assert!(said.err.contains(told), "{}", said.err);
    assert_eq!(said.counts(), None, "{}", said.err);
    let mask = "set/Training/case2/task01_seg01.nii";
    let said = run(folder.path(), &["metric", mask, mask], 0).err;
    assert!(
        said.contains("note: set/Training/case2/task01_seg01.nii: has a header that puts"),
        "{said}"
    );
}

#[test]
fn distances_in_millimetres_need_one_size_and_right_angles() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let [x, y] = [[0.5, 0.0, 0.0], [0.0, 0.8, 0.0]];
    let sheared = placed(x, [0.3, 0.8, 0.0], FIRST).pixdim(0.5, 0.8_f32.hypot(0.3));
    sheared.write(at("sheared.nii"));
    placed(x, y, FIRST).pixdim(0.5, 0.9).write(at("two.nii"));
    // The sign of a size says nothing: nibabel takes it off.
    placed(x, y, FIRST).pixdim(-0.5, 0.8).write(at("minus.nii"));
    let metric = |name: &str, spacing: &str, code: i32| {
        run(
            folder.path(),
            &["metric", name, name, "--spacing", spacing],
            code,
        )
        .err
    };
    for name in ["sheared.nii", "two.nii", "minus.nii"] {
        metric(name, "unit", 0);
    }
    assert_eq!(metric("minus.nii", "header", 0), "");
    let said = metric("sheared.nii", "header", 2);
    assert!(
        said.contains("sheared.nii: has a header that gives x and y no right angle"),
        "{said}"
    );
    let said = metric("two.nii", "header", 2);
    assert!(
        said.contains("two spacings: 0.5 x 0.9 mm (pixdim) and 0.5 x 0.8 mm (sform); write")
            && said.contains("or measure in pixels with `--spacing unit`"),
        "{said}"
    );
}
