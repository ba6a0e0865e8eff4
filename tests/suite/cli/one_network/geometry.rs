//! What a checkpoint says of its training images' headers, and who is told of others.

use std::{fs, io::Read, path::Path};

use super::{about, export, files_of_store, some_cases, trained};
use crate::support::common::*;

/// A phantom's image with another header: the size of a pixel in millimetres (with a minus where
/// the axis runs to the left or to posterior), or no word of size and place.
fn with_header(from: &Path, to: &Path, size: Option<[f32; 2]>) {
    let mut bytes = Vec::new();
    let file = fs::File::open(from).unwrap();
    flate2::read::GzDecoder::new(file)
        .read_to_end(&mut bytes)
        .unwrap();
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    match size {
        Some([x, y]) => {
            put(80, &x.abs().to_le_bytes());
            put(84, &y.abs().to_le_bytes());
            put(280, &x.to_le_bytes());
            put(300, &y.to_le_bytes());
        }
        None => {
            put(123, &[0]);
            put(254, &0_i16.to_le_bytes());
        }
    }
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::write(to, bytes).unwrap();
}

fn image() -> std::path::PathBuf {
    phantom().join("Validation/case35/image.nii.gz")
}

/// The warnings of a prediction of these images.
fn predicted(folder: &Path, weights: &str, images: &[&str]) -> Vec<String> {
    let out = tempfile::tempdir_in(folder).unwrap();
    let out = out.path().to_str().unwrap();
    let mut arguments = vec!["predict", "--weights", weights, "-o", out];
    if weights == "pretrained.safetensors" {
        arguments.extend(["--expert", "1"]);
    }
    arguments.extend(images);
    let said = run(folder, &arguments, 0).err;
    let warnings = said.lines().filter(|line| line.starts_with("warning: "));
    warnings.map(str::to_owned).collect()
}

#[test]
fn predict_tells_of_images_whose_pixels_are_not_those_of_the_training() {
    let (folder, digest) = trained();
    let path = export(folder.path(), &digest);
    let geometry = &about(&path)["geometry"];
    assert_eq!(geometry["spacing_mm"]["x"], serde_json::json!([1.0, 1.0]));
    assert_eq!(geometry["orientations"], serde_json::json!(["RA"]));

    let at = |name: &str| folder.path().join(name);
    let sizes = [
        ("same.nii", Some([1.0, 1.0])),
        ("silent.nii", None),
        ("fine.nii", Some([0.5, 0.5])),
        ("left.nii", Some([-1.0, 1.0])),
        ("both.nii", Some([-2.0, -0.5])),
    ];
    for (name, size) in sizes {
        with_header(&image(), &at(name), size);
    }
    let told = |images: &[&str]| predicted(folder.path(), "pretrained.safetensors", images);
    assert_eq!(told(&["same.nii", "silent.nii"]), [""; 0]);
    let [line] = &told(&["same.nii", "fine.nii"])[..] else {
        panic!("one line");
    };
    assert!(
        line.contains("fine.nii: pixels of 0.5 x 0.5 mm by the header")
            && line.contains("trained on pixels of 1 x 1 mm; resample"),
        "{line}"
    );
    let [line] = &told(&["left.nii"])[..] else {
        panic!("one line");
    };
    assert!(line.contains("left.nii: orientation LA"), "{line}");
    assert_eq!(told(&["both.nii"]).len(), 2);
    // Like images share a line, each kind of difference has one.
    for i in 0..5 {
        let name = format!("many/{i}.nii");
        with_header(&image(), &at(&name), Some([-0.5 - i as f32, 0.5]));
    }
    let lines = told(&["many", "same.nii"]);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[0].contains("and 2 more: pixels of 0.5 to 4.5 x 0.5 mm"),
        "{lines:?}"
    );
    assert!(lines[1].contains("and 2 more: orientation LA"), "{lines:?}");
}

#[test]
fn adapt_compares_its_cases_and_writes_what_their_headers_say() {
    let (folder, digest) = trained();
    export(folder.path(), &digest);
    let cases = some_cases(folder.path(), &["case03", "case04", "case05", "case06"]);
    let adapt = |out: &str| {
        let arguments = [
            "adapt",
            "--weights",
            "pretrained.safetensors",
            "--cases",
            "cases",
        ];
        let more = ["--expert", "7", "--steps", "1", "-o", out];
        run(folder.path(), &[&arguments[..], &more].concat(), 0).err
    };
    assert!(!adapt("same.safetensors").contains("by the header"));
    let geometry = |name: &str| about(&folder.path().join(name))["geometry"].to_string();
    assert!(geometry("same.safetensors").contains("\"orientations\":[\"RA\"]"));

    let rewrite = |size: Option<[f32; 2]>| {
        for case in fs::read_dir(&cases).unwrap() {
            let case = case.unwrap().path();
            for name in ["image", "task01_seg07"] {
                let file = case.join(format!("{name}.nii.gz"));
                let original = phantom().join("Training").join(case.file_name().unwrap());
                with_header(&original.join(format!("{name}.nii.gz")), &file, size);
            }
            let others = (1..=6).map(|n| case.join(format!("task01_seg0{n}.nii.gz")));
            others.for_each(|file| fs::remove_file(file).unwrap_or_default());
        }
    };
    rewrite(Some([0.5, 0.5]));
    let said = adapt("fine.safetensors");
    let told = "warning: case03, case04, case05 and 1 more: pixels of 0.5 x 0.5 mm by the header";
    assert_eq!(said.matches(told).count(), 1, "{said}");
    // What counts for the new network is what it was trained on last.
    with_header(&image(), &folder.path().join("fine.nii"), Some([0.5, 0.5]));
    with_header(&image(), &folder.path().join("one.nii"), Some([1.0, 1.0]));
    let predicted = |weights: &str, name: &str| predicted(folder.path(), weights, &[name]).len();
    assert_eq!(predicted("fine.safetensors", "fine.nii"), 0);
    assert_eq!(predicted("fine.safetensors", "one.nii"), 1);
    assert_eq!(predicted("same.safetensors", "fine.nii"), 1);
    // Of what these headers do not say, the earlier ones are known.
    rewrite(None);
    assert!(!adapt("silent.safetensors").contains("by the header"));
    assert_eq!(geometry("silent.safetensors"), geometry("same.safetensors"));
}

/// The phantom with other headers: the same pixels, masks under their images' headers.
fn phantom_of(folder: &Path, size: Option<[f32; 2]>) {
    for (name, bytes) in files(phantom()) {
        let (from, to) = (phantom().join(&name), folder.join("other").join(&name));
        match name.ends_with(".nii.gz") {
            true => with_header(&from, &to, size),
            false => {
                fs::create_dir_all(to.parent().unwrap()).unwrap();
                fs::write(to, bytes).unwrap();
            }
        }
    }
}

#[test]
fn headers_change_no_byte_of_a_stage_and_old_stores_say_nothing() {
    let (folder, digest) = trained();
    let path = export(folder.path(), &digest);
    let other = tiny();
    phantom_of(other.path(), Some([-0.8, 0.4]));
    run(other.path(), &["run", "tiny.toml", "--dataset", "other"], 0);
    let stored = |folder: &Path| {
        let mut stored = files_of_store(folder);
        stored.retain(|name, _| !name.ends_with("artefact.json"));
        assert!(stored.len() > 10);
        stored
    };
    assert!(stored(folder.path()) == stored(other.path()));
    let said = about(&export(other.path(), &digest))["geometry"].to_string();
    assert!(said.contains("0.8") && said.contains("LA"), "{said}");

    // A pretraining that starts from the other's weights.
    let weights = other.path().join("pretrained.safetensors");
    let from = format!("pretrain.from={:?}", weights.to_str().unwrap());
    let dataset = phantom().to_str().unwrap();
    let plan = ["plan", "tiny.toml", "--dataset", dataset, "--set", &from];
    let said = run(folder.path(), &plan, 0).err;
    let told = "pretrained.safetensors: case01, case02, case03 and 31 more: pixels of 1 x 1 mm";
    assert!(said.contains(told), "{said}");
    assert!(said.contains("trained on pixels of 0.8 x 0.4 mm"), "{said}");
    let own = format!("pretrain.from={:?}", path.to_str().unwrap());
    let plan = ["plan", "tiny.toml", "--dataset", dataset, "--set", &own];
    let said = run(folder.path(), &plan, 0).err;
    assert!(!said.contains("by the header"), "{said}");

    // A description as earlier versions wrote it.
    let description = folder.path().join(format!(
        "results/store/pretrain/{}/{digest}/artefact.json",
        &digest[..2]
    ));
    let text = fs::read_to_string(&description).unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(value.as_object_mut().unwrap().remove("geometry").is_some());
    fs::write(&description, value.to_string()).unwrap();
    fs::remove_file(&path).unwrap();
    export(folder.path(), &digest);
    assert!(about(&path).get("geometry").is_none());
    with_header(&image(), &folder.path().join("fine.nii"), Some([0.5, -0.5]));
    let told = predicted(folder.path(), "pretrained.safetensors", &["fine.nii"]);
    assert_eq!(told, [""; 0]);
}

#[test]
fn headers_that_contradict_themselves_are_told_by_predict() {
    let (folder, digest) = trained();
    export(folder.path(), &digest);
    let at = |name: &str| folder.path().join(name);
    with_header(&image(), &at("a.nii"), Some([1.0, 1.0]));
    let bytes = fs::read(at("a.nii")).unwrap();
    let with = |name: &str, edits: &[(usize, &[u8])]| {
        let mut bytes = bytes.clone();
        for (at, value) in edits {
            bytes[*at..at + value.len()].copy_from_slice(value);
        }
        fs::write(at(name), bytes).unwrap();
        predicted(folder.path(), "pretrained.safetensors", &[name])
    };
    let one = 1_i16.to_le_bytes();
    let float = |value: f32| value.to_le_bytes();
    // A quaternion of no turn, 10 mm away from the affine's place; and at it.
    let away = with("b.nii", &[(252, &one), (268, &float(10.0))]);
    assert!(
        away[0].contains("b.nii: has a header that puts its pixels at two places"),
        "{away:?}"
    );
    assert_eq!(with("c.nii", &[(252, &one)]), [""; 0]);
    for (name, edit, said) in [
        (
            "d.nii",
            (80, float(f32::NAN)),
            "no spacing (pixdim NaN x 1)",
        ),
        ("e.nii", (84, float(0.0)), "no spacing (pixdim 1 x 0)"),
        (
            "f.nii",
            (80, float(2.0)),
            "two spacings: 2 x 1 mm (pixdim) and 1 x 1 mm (sform)",
        ),
        (
            "g.nii",
            (280, float(f32::INFINITY)),
            "values that are not finite (sform)",
        ),
        (
            "h.nii",
            (280, float(0.0)),
            "gives its pixels no size (sform)",
        ),
    ] {
        let told = with(name, &[(edit.0, &edit.1)]);
        assert!(
            told.iter().any(|line| line.contains(said)),
            "{name}: {told:?}"
        );
    }
}
