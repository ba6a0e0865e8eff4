//! The layouts of public data sets with several raters, with made-up pixels.

use std::{fs, path::Path};

use crate::support::{
    common::{results_of, run},
    nifti_file::NiftiFile,
    own_sets::*,
};

/// Runs a small grid on a folder `set` that these keys describe; returns the table.
fn table(at: &Path, dataset: &str, edit: impl Fn(String) -> String) -> String {
    let text = edit(manifest(&format!("path = \"set\"\n{dataset}")));
    fs::write(at.join("own.toml"), text).unwrap();
    let said = run(at, &["data", "check", "own.toml"], 0);
    assert!(said.out.contains("6 training, 2 test"), "{}", said.out);
    run(at, &["run", "own.toml"], 0);
    let folder = results_of(at, "own", "paper@");
    fs::read_to_string(folder.join("own.md")).unwrap()
}

/// The two folder trees in which QUBIQ 2021 distributed a task, with the masks of tasks.
fn qubiq_2021(root: &Path, organ: &str, experts: u32, tasks: u32, channels: usize) {
    for case in 1..=8 {
        let part = match case {
            1..=6 => format!("training_data_v3_QC/{organ}/Training"),
            _ => format!("validation_data_qubiq2021_QC/{organ}/Validation"),
        };
        let folder = root.join(part).join(format!("case{case:02}"));
        fs::create_dir_all(&folder).unwrap();
        let all: Vec<u8> = (0..channels as u32)
            .flat_map(|c| image(case + 8 * c))
            .collect();
        let side = SIDE as i16;
        let dims: &[i16] = match channels {
            1 => &[side, side],
            _ => &[side, side, 1, channels as i16],
        };
        NiftiFile::new(dims, &all).write(folder.join("image.nii.gz"));
        for task in 1..=tasks {
            for expert in 1..=experts {
                let name = format!("task{task:02}_seg{expert:02}.nii.gz");
                let mask = mask(case, expert.min(3) + task);
                NiftiFile::new(&[side, side], &mask).write(folder.join(name));
            }
        }
    }
}

const SIZE: &str = "training = 6\ntest = 2\n";

#[test]
fn kidney_of_qubiq_with_three_experts() {
    let dir = tempfile::tempdir().unwrap();
    qubiq_2021(&dir.path().join("set"), "kidney", 3, 1, 1);
    let keys = format!(
        "{SIZE}experts = 3\nimages = \"*/kidney/{{split}}/{{case}}/image.nii.gz\"\n\
         masks = \"*/kidney/{{split}}/{{case}}/task01_seg{{expert}}.nii.gz\""
    );
    let table = table(dir.path(), &keys, |text| text);
    assert!(table.contains("Adapted to expert 3"), "{table}");
}

#[test]
fn prostate_of_qubiq_with_six_experts_and_two_structures() {
    let dir = tempfile::tempdir().unwrap();
    qubiq_2021(&dir.path().join("set"), "prostate", 6, 2, 1);
    let mut contents = Vec::new();
    for task in ["01", "02"] {
        let keys = format!(
            "{SIZE}experts = 6\nimages = \"*/prostate/{{split}}/{{case}}/image.nii.gz\"\n\
             masks = \"*/prostate/{{split}}/{{case}}/task{task}_seg{{expert}}.nii.gz\""
        );
        let edit = |text: String| text.replace("new_experts = [3]", "new_experts = [6]");
        let path = dir.path().join(task);
        fs::create_dir(&path).unwrap();
        fs::rename(dir.path().join("set"), path.join("set")).unwrap();
        let table = table(&path, &keys, edit);
        assert!(table.contains("Adapted to expert 6"), "{table}");
        let json = run(&path, &["data", "check", "own.toml", "--json"], 0).out;
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        contents.push(json["content"].as_str().unwrap().to_owned());
        // The masks of the other structure are left out and told of.
        let others = json["problems"].as_array().unwrap();
        assert_eq!(others.len(), 8 * 6);
        assert!(others[0]["what"].as_str().unwrap().contains("fits neither"));
        fs::rename(path.join("set"), dir.path().join("set")).unwrap();
    }
    assert_ne!(contents[0], contents[1]);
}

#[test]
fn brain_tumour_of_qubiq_with_four_channels_and_three_structures() {
    let dir = tempfile::tempdir().unwrap();
    qubiq_2021(&dir.path().join("set"), "brain-tumor", 3, 3, 4);
    let keys = format!(
        "{SIZE}experts = 3\nimages = \"*/brain-tumor/{{split}}/{{case}}/image.nii.gz\"\n\
         masks = \"*/brain-tumor/{{split}}/{{case}}/task03_seg{{expert}}.nii.gz\"\nchannel = 2"
    );
    let table = table(dir.path(), &keys, |text| text);
    assert!(table.contains("channel 2 of each image"), "{table}");
}

#[test]
fn crops_of_lung_nodules_by_four_raters_with_patients_whole_on_one_side() {
    let dir = tempfile::tempdir().unwrap();
    // Four patients with two nodules each.
    for case in 1..=8 {
        let folder = format!(
            "set/LIDC-IDRI-{:04}/nodule-{}",
            (case - 1) / 2,
            (case - 1) % 2
        );
        write(
            &dir.path().join(format!("{folder}/images/slice-4.png")),
            &image(case),
        );
        for rater in 0..4 {
            let name = format!("{folder}/mask-{rater}/slice-4.png");
            let mask: Vec<u8> = mask(case, rater + 1).into_iter().map(|v| 255 * v).collect();
            write(&dir.path().join(name), &mask);
        }
    }
    let keys = format!(
        "{SIZE}experts = [\"0\", \"1\", \"2\", \"3\"]\n\
         images = \"{{patient}}/{{nodule}}/images/{{slice}}.png\"\n\
         masks = \"{{patient}}/{{nodule}}/mask-{{expert}}/{{slice}}.png\"\n\
         split = {{ test = 0.25, seed = 3 }}"
    );
    let edit = |text: String| {
        text.replace("new_experts = [3]", "new_experts = [\"2\"]")
            .replace("from = [1, 2]", "from = [\"0\", \"1\", \"3\"]")
    };
    let table = table(dir.path(), &keys, edit);
    assert!(table.contains("Adapted to expert 2"), "{table}");
    let runs = fs::read_to_string(results_of(dir.path(), "own", "paper@").join("runs.csv"));
    let runs = runs.unwrap();
    for combination in ["0+1", "0+3", "1+3"] {
        assert!(runs.contains(combination), "{runs}");
    }
    // Names, not the numbers that stand behind them: expert "2" has number 3, and "3" is another.
    for (only, code) in [("annotators=0+1", 0), ("expert=2", 0), ("expert=3", 2)] {
        run(dir.path(), &["plan", "own.toml", "--only", only], code);
    }
}

#[test]
fn fundus_pictures_in_colour_with_disc_and_cup_by_six_raters() {
    let dir = tempfile::tempdir().unwrap();
    for case in 1..=8 {
        let grey = image(case);
        let colours: Vec<u8> = grey.iter().flat_map(|v| [v / 2, *v, v / 3]).collect();
        let path = dir.path().join(format!("set/images/V{case:04}.png"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        png(
            &path,
            [SIDE; 2],
            png::ColorType::Rgb,
            png::BitDepth::Eight,
            &colours,
        );
        for rater in 1..=6 {
            let name = format!("set/Rater{rater}/V{case:04}.png");
            // Cup 0, disc 128, the rest 255, as some challenges have it.
            let mask = labels(case, rater.min(4))
                .into_iter()
                .map(|v| [255, 128, 0][v as usize]);
            write(&dir.path().join(name), &mask.collect::<Vec<u8>>());
        }
    }
    let mut areas = Vec::new();
    for (label, words) in [("[0, 128]", "labels 0, 128"), ("0", "label 0")] {
        let keys = format!(
            "{SIZE}experts = 6\nimages = \"images/{{case}}.png\"\n\
             masks = \"Rater{{expert}}/{{case}}.png\"\n\
             split = {{ test = [\"V0007\", \"V0008\"] }}\nchannel = 1\nlabel = {label}"
        );
        let at = dir.path().join(words);
        fs::create_dir(&at).unwrap();
        fs::rename(dir.path().join("set"), at.join("set")).unwrap();
        let table = table(&at, &keys, |text| text.replace("[3]", "[5, 6]"));
        assert!(table.contains(&format!("channel 1 of each image; {words} of each mask")));
        let said = run(&at, &["data", "check", "own.toml"], 0);
        let share = said
            .out
            .lines()
            .find(|line| line.starts_with("expert 1 "))
            .unwrap();
        areas.push(
            share
                .split_whitespace()
                .nth(3)
                .unwrap()
                .parse::<f64>()
                .unwrap(),
        );
        fs::rename(at.join("set"), dir.path().join("set")).unwrap();
    }
    assert!(areas[0] > 2.0 * areas[1] && areas[1] > 0.0, "{areas:?}");
}
