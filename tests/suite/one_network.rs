//! One network at a time, with the real program: weights out of the store, in from elsewhere, adapted to one more
//! expert; masks predicted and scored; stages computed again.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
};

use expertgrid::{
    artefact::parse_predictions,
    data::{
        Mask,
        nifti::{self, Header},
    },
};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::Value;

use crate::common::*;

/// A folder in which the tiny grid has been run, and the digest of its pretraining.
fn trained() -> (tempfile::TempDir, String) {
    let folder = tiny();
    run(folder.path(), &tiny_run(&[]), 0);
    let runs = csv(&folder.path().join("results/tiny/paper/runs.csv"));
    let digest = runs[0]["pretraining"].clone();
    (folder, digest)
}

fn export(folder: &Path, digest: &str) -> PathBuf {
    run(
        folder,
        &["store", "export", digest, "-o", "pretrained.safetensors"],
        0,
    );
    folder.join("pretrained.safetensors")
}

/// Shape and bytes of every tensor.
fn tensors(path: &Path) -> BTreeMap<String, (Vec<usize>, Vec<u8>)> {
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = |(name, view): (String, TensorView<'_>)| {
        assert_eq!(view.dtype(), Dtype::F32);
        (name, (view.shape().to_vec(), view.data().to_vec()))
    };
    file.tensors().into_iter().map(tensor).collect()
}

fn about(path: &Path) -> Value {
    let bytes = fs::read(path).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    serde_json::from_str(&header.metadata().as_ref().unwrap()["expertgrid"]).unwrap()
}

/// A folder with some of the phantom's training cases.
fn some_cases(folder: &Path, names: &[&str]) -> PathBuf {
    let to = folder.join("cases");
    for name in names {
        fs::create_dir_all(to.join(name)).unwrap();
        for file in fs::read_dir(phantom().join("Training").join(name)).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), to.join(name).join(file.file_name())).unwrap();
        }
    }
    to
}

#[test]
fn an_exported_checkpoint_has_the_fields_names_and_says_where_it_comes_from() {
    let (folder, digest) = trained();
    let path = export(folder.path(), &digest[..10]);
    let tensors = tensors(&path);
    // Two experts, width 4.
    for (name, shape) in [
        ("encoder.conv1.weight", vec![4, 1, 7, 7]),
        ("encoder.bn1.weight", vec![2, 4]),
        ("encoder.layer1.0.conv1.weight", vec![4, 4, 3, 3]),
        ("encoder.layer4.0.downsample.0.weight", vec![32, 16, 1, 1]),
        ("encoder.layer4.0.downsample.1.bias", vec![2, 32]),
        ("decoder.blocks.0.conv1.0.weight", vec![16, 48, 3, 3]),
        ("decoder.blocks.4.conv2.1.weight", vec![2, 1]),
        ("segmentation_head.0.weight", vec![1, 1, 3, 3]),
        ("segmentation_head.0.bias", vec![1]),
    ] {
        assert_eq!(tensors[name].0, shape, "{name}");
    }
    // 20 + 10 convolutions with two tensors each of 30 norms, the head's bias.
    assert_eq!(tensors.len(), 31 + 60 + 1);
    let about = about(&path);
    assert_eq!(about["experts"], serde_json::json!([1, 2]));
    let stage = &about["provenance"]["stage"];
    assert_eq!(stage["digest"], digest.as_str());
    let dataset = stage["record"]["dataset"].as_str().unwrap();
    assert!(dataset.contains("synthetic"), "{dataset}");
    assert!(stage["record"]["inputs"].as_array().unwrap().len() > 40);

    let again = run(
        folder.path(),
        &["store", "export", &digest, "-o", "pretrained.safetensors"],
        2,
    );
    assert!(again.err.contains("exists already"), "{}", again.err);
    let none = run(
        folder.path(),
        &["store", "export", "ffff0000ffff", "-o", "x"],
        2,
    );
    assert!(
        none.err.contains("no stage in the store begins with"),
        "{}",
        none.err
    );
    let runs = csv(&folder.path().join("results/tiny/paper/runs.csv"));
    let finetuned = run(
        folder.path(),
        &["store", "export", &runs[0]["training"], "-o", "x"],
        2,
    );
    assert!(
        finetuned.err.contains("keeps no weights"),
        "{}",
        finetuned.err
    );
}

#[test]
fn predicted_masks_are_those_of_the_grid_and_lie_over_their_images() {
    let (folder, digest) = trained();
    export(folder.path(), &digest);
    let validation = phantom().join("Validation");
    let said = run(
        folder.path(),
        &[
            "predict",
            "--weights",
            "pretrained.safetensors",
            "--expert",
            "2",
            validation.to_str().unwrap(),
            "-o",
            "masks",
            "--probabilities",
            "--logits",
        ],
        0,
    );
    assert!(said.out.contains("5 masks for expert 2"), "{}", said.out);
    assert!(said.err.contains("synthetic"), "{}", said.err);
    let stored = format!(
        "results/store/pretrain/{}/{digest}/predictions.safetensors",
        &digest[..2]
    );
    let stored = parse_predictions(&fs::read(folder.path().join(stored)).unwrap()).unwrap();
    let (_, of_expert) = stored
        .iter()
        .find(|(branch, _)| branch == "expert2")
        .unwrap();
    assert_eq!(of_expert.len(), 5);
    for prediction in of_expert {
        let file = |ending: &str| {
            folder
                .path()
                .join(format!("masks/{}{ending}.nii.gz", prediction.case))
        };
        let mask = nifti::read_mask(&file("")).unwrap();
        assert_eq!(mask.mask, prediction.mask(), "{}", prediction.case);
        let image = validation.join(&prediction.case).join("image.nii.gz");
        let (_, header) = nifti::read_image(&image).unwrap();
        assert_eq!(mask.header.affine(), header.affine());
        assert_eq!(mask.header.spacing(), header.spacing());
        assert_eq!(mask.header.dims(), header.dims());
        let (probability, _) = nifti::read_image(&file("_probability")).unwrap();
        let inside = probability.pixels.iter().zip(&mask.mask.pixels);
        // The mask is cut from bytes, so a probability near one half may fall on either side.
        for (probability, inside) in inside {
            assert!((0.0..=1.0).contains(probability));
            assert!((probability - 0.5).abs() < 0.01 || (*probability > 0.5) == *inside);
        }
        let logits = fs::metadata(file("_logits")).unwrap();
        assert!(logits.len() > 1000);
    }
    let again = run(
        folder.path(),
        &[
            "predict",
            "--weights",
            "pretrained.safetensors",
            "--expert",
            "2",
            validation.to_str().unwrap(),
            "-o",
            "masks",
        ],
        2,
    );
    assert_eq!(
        again.err.matches("exists already").count(),
        5,
        "{}",
        again.err
    );
}

#[test]
fn a_prediction_keeps_an_anisotropic_header_with_a_third_axis() {
    let (folder, digest) = trained();
    export(folder.path(), &digest);
    let image = phantom().join("Validation/case35/image.nii.gz");
    let mut plain = Vec::new();
    std::io::Read::read_to_end(
        &mut flate2::read::GzDecoder::new(fs::File::open(image).unwrap()),
        &mut plain,
    )
    .unwrap();
    // dim = 3, 256, 256, 1 and pixdim = 0.5, 0.8: nifti1.h has them at bytes 40 and 76.
    plain[40..42].copy_from_slice(&3_i16.to_le_bytes());
    plain[80..84].copy_from_slice(&0.5_f32.to_le_bytes());
    plain[84..88].copy_from_slice(&0.8_f32.to_le_bytes());
    fs::write(folder.path().join("a.b.nii"), plain).unwrap();
    run(
        folder.path(),
        &[
            "predict",
            "--weights",
            "pretrained.safetensors",
            "--expert",
            "1",
            "a.b.nii",
            "-o",
            "masks",
        ],
        0,
    );
    let mask = nifti::read_mask(&folder.path().join("masks/a.b.nii.gz")).unwrap();
    assert_eq!(mask.header.dims(), [256, 256, 1]);
    let spacing = mask.header.spacing().unwrap();
    assert_eq!([spacing.x_mm, spacing.y_mm], [0.5_f32, 0.8].map(f64::from));
}

#[test]
fn adapting_writes_the_same_network_whatever_the_threads_and_says_how_it_came_about() {
    let (folder, digest) = trained();
    let pretrained = export(folder.path(), &digest);
    let cases = some_cases(folder.path(), &["case03", "case04", "case05"]);
    fs::remove_file(cases.join("case05/task01_seg07.nii.gz")).unwrap();
    let adapt = |out: &str, more: &[&str], code: i32| {
        let mut arguments = vec![
            "adapt",
            "--weights",
            "pretrained.safetensors",
            "--cases",
            "cases",
            "--expert",
            "7",
            "--steps",
            "3",
            "--lr",
            "1e-2",
            "-o",
            out,
        ];
        arguments.extend(more);
        run(folder.path(), &arguments, code)
    };
    let said = adapt("a.safetensors", &["--threads", "1"], 0);
    assert!(
        said.err
            .contains("2 with a mask of expert 7 (1 without, left out)"),
        "{}",
        said.err
    );
    assert!(said.out.contains("3 steps on 2 cases"), "{}", said.out);
    adapt("b.safetensors", &["--threads", "2"], 0);
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    assert!(read("a.safetensors") == read("b.safetensors"));
    adapt("c.safetensors", &["--seed", "1"], 0);
    assert!(read("a.safetensors") != read("c.safetensors"));
    let exists = adapt("a.safetensors", &[], 2);
    assert!(exists.err.contains("exists already"), "{}", exists.err);

    let (before, after) = (
        tensors(&pretrained),
        tensors(&folder.path().join("a.safetensors")),
    );
    assert_eq!(after["encoder.bn1.weight"].0, [4], "one branch");
    assert_ne!(
        after["encoder.conv1.weight"].1, before["encoder.conv1.weight"].1,
        "trained"
    );
    let about = about(&folder.path().join("a.safetensors"));
    let adaptation = &about["provenance"]["adaptation"];
    assert_eq!(adaptation["cases"], serde_json::json!(["case03", "case04"]));
    assert!(adaptation["dataset"].as_str().unwrap() == "cases");
    assert!(
        adaptation["pretrained_on"]
            .as_str()
            .unwrap()
            .contains("synthetic")
    );

    // The new network has one branch, so that no expert need be named.
    let image = phantom().join("Validation/case35");
    let image = image.to_str().unwrap();
    let said = run(
        folder.path(),
        &[
            "predict",
            "--weights",
            "a.safetensors",
            image,
            "-o",
            "masks",
        ],
        0,
    );
    assert!(said.out.contains("1 mask for expert 7"), "{}", said.out);
    assert!(folder.path().join("masks/case35.nii.gz").exists());
}

#[test]
fn adapting_the_experts_layers_alone_leaves_the_shared_part_to_the_bit() {
    let (folder, digest) = trained();
    let pretrained = export(folder.path(), &digest);
    some_cases(folder.path(), &["case03", "case04"]);
    let said = run(
        folder.path(),
        &[
            "adapt",
            "--weights",
            "pretrained.safetensors",
            "--cases",
            "cases",
            "--expert",
            "6",
            "--method",
            "expert-layers",
            "--steps",
            "4",
            "-o",
            "layers.safetensors",
        ],
        0,
    );
    assert!(said.err.contains("fits the cases best"), "{}", said.err);
    let (before, after) = (
        tensors(&pretrained),
        tensors(&folder.path().join("layers.safetensors")),
    );
    let mut moved = 0;
    for (name, (shape, bytes)) in &after {
        if before[name].0.len() == 2 {
            // A norm: one row of the two, trained on.
            assert_eq!(shape.len(), 1, "{name}");
            moved += usize::from(!before[name].1.chunks(bytes.len()).any(|row| row == bytes));
        } else {
            assert!(before[name].1 == *bytes, "{name} is shared");
        }
    }
    // The deepest level is a single pixel, whose norm is 0 whatever its scale: those scales cannot move.
    assert!(moved > 40, "{moved} of 60 norms' tensors have moved");
}

/// A ResNet-18's tensors of width 4 as another program would write them, with colour and classes.
fn foreign(path: &Path, width: usize) {
    let mut shapes: Vec<(String, Vec<usize>)> = vec![("conv1.weight".into(), vec![width, 3, 7, 7])];
    let norm = |name: &str, channels: usize| {
        ["weight", "bias", "running_mean", "running_var"]
            .map(|part| (format!("{name}.{part}"), vec![channels]))
    };
    shapes.extend(norm("bn1", width));
    let mut inputs = width;
    for layer in 1..=4 {
        let outputs = width << (layer - 1);
        for block in 0..2 {
            let name = format!("layer{layer}.{block}");
            let first = if block == 0 { inputs } else { outputs };
            shapes.push((format!("{name}.conv1.weight"), vec![outputs, first, 3, 3]));
            shapes.extend(norm(&format!("{name}.bn1"), outputs));
            shapes.push((format!("{name}.conv2.weight"), vec![outputs, outputs, 3, 3]));
            shapes.extend(norm(&format!("{name}.bn2"), outputs));
            if block == 0 && layer > 1 {
                shapes.push((
                    format!("{name}.downsample.0.weight"),
                    vec![outputs, inputs, 1, 1],
                ));
                shapes.extend(norm(&format!("{name}.downsample.1"), outputs));
            }
        }
        inputs = outputs;
    }
    shapes.push(("fc.weight".into(), vec![10, 8 * width]));
    let mut bytes: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = shapes
        .into_iter()
        .enumerate()
        .map(|(i, (name, shape))| {
            let count: usize = shape.iter().product();
            let values = (0..count).flat_map(|j| (((i + j) as f32).sin() * 0.1).to_le_bytes());
            (name, Dtype::F32, shape, values.collect())
        })
        .collect();
    bytes.push((
        "bn1.num_batches_tracked".into(),
        Dtype::I64,
        vec![],
        vec![0; 8],
    ));
    let views = bytes.iter().map(|(name, dtype, shape, bytes)| {
        (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    fs::write(path, safetensors::serialize(views, Some(metadata)).unwrap()).unwrap();
}

#[test]
fn a_pretraining_starts_from_a_file_and_says_what_it_took() {
    let folder = tiny();
    foreign(&folder.path().join("resnet.safetensors"), 4);
    let from = [
        "--set",
        "pretrain.from=resnet.safetensors",
        "--set",
        "pretrain.steps=0",
    ];
    let said = run(folder.path(), &tiny_run(&from), 0);
    // 20 convolutions with two tensors of each norm.
    assert!(said.err.contains("60 tensors loaded"), "{}", said.err);
    assert!(
        said.err
            .contains("encoder.conv1.weight summed over its input channels"),
        "{}",
        said.err
    );
    assert!(said.err.contains("decoder.* 30"), "{}", said.err);
    assert!(said.err.contains("fc.weight"), "{}", said.err);
    // Every name is kept with the stage.
    let digest = &csv(&folder.path().join("results/tiny/paper/runs.csv"))[0]["pretraining"];
    let account = format!(
        "results/store/pretrain/{}/{digest}/import.json",
        &digest[..2]
    );
    let account: Value =
        serde_json::from_slice(&fs::read(folder.path().join(account)).unwrap()).unwrap();
    let count = |what: &str| account[what].as_array().unwrap().len();
    assert_eq!(count("loaded") + count("summed"), 60);
    assert_eq!(count("initialised"), 92 - 60);
    // Two running statistics of 20 norms, a counter, the classes.
    assert_eq!(count("skipped"), 2 * 20 + 2);
    // Not trained at all, the pretrained network is what was imported.
    let runs = csv(&folder.path().join("results/tiny/paper/runs.csv"));
    let pretrained = tensors(&export(folder.path(), &runs[0]["pretraining"]));
    let file = tensors_of_f32(&folder.path().join("resnet.safetensors"));
    assert_eq!(
        pretrained["encoder.layer2.0.conv1.weight"].1,
        file["layer2.0.conv1.weight"].1
    );
    let twice = [file["bn1.bias"].1.clone(), file["bn1.bias"].1.clone()].concat();
    assert_eq!(
        pretrained["encoder.bn1.bias"].1, twice,
        "every expert's branch"
    );
    let float = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().unwrap());
    let colour = |channel: usize| float(&file["conv1.weight"].1[4 * 49 * channel..][..4]);
    let first = float(&pretrained["encoder.conv1.weight"].1[..4]);
    assert_eq!(first, colour(0) + colour(1) + colour(2));

    // The same file again: nothing to do. Another: everything behind the pretraining anew.
    assert_eq!(run(folder.path(), &tiny_run(&from), 0).counts(), None);
    let path = folder.path().join("resnet.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    let other = run(folder.path(), &tiny_run(&from), 0);
    assert_eq!(other.counts(), Some((5, 2)));
}

fn tensors_of_f32(path: &Path) -> BTreeMap<String, (Vec<usize>, Vec<u8>)> {
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let all = file.tensors().into_iter();
    all.filter(|(_, view)| view.dtype() == Dtype::F32)
        .map(|(name, view)| (name, (view.shape().to_vec(), view.data().to_vec())))
        .collect()
}

#[test]
fn weights_that_do_not_fit_are_refused_before_anything_runs() {
    let folder = tiny();
    foreign(&folder.path().join("wide.safetensors"), 8);
    fs::write(folder.path().join("no.safetensors"), b"not weights").unwrap();
    let refused = |from: &str| {
        let from = format!("pretrain.from={from}");
        run(folder.path(), &tiny_run(&["--set", &from]), 2).err
    };
    let wide = refused("wide.safetensors");
    assert!(
        wide.contains("tensor conv1.weight is [8, 3, 7, 7], the network's is [4, 1, 7, 7]"),
        "{wide}"
    );
    let no = refused("no.safetensors");
    assert!(no.contains("not a safetensors checkpoint"), "{no}");
    let absent = refused("absent.safetensors");
    assert!(absent.contains("cannot be read"), "{absent}");
    assert!(!folder.path().join("results/store/pretrain").exists());
}

#[test]
fn a_manifests_path_is_relative_to_the_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let manifests = folder.path().join("manifests");
    fs::create_dir(&manifests).unwrap();
    foreign(&manifests.join("resnet.safetensors"), 4);
    let text = TINY.replace("[pretrain]", "[pretrain]\nfrom = \"resnet.safetensors\"");
    fs::write(manifests.join("tiny.toml"), text).unwrap();
    let said = run(folder.path(), &["plan", "manifests/tiny.toml"], 0);
    assert!(said.err.contains("60 tensors loaded"), "{}", said.err);
}

#[test]
fn wrong_use_of_one_network_is_refused_clearly() {
    let (folder, digest) = trained();
    export(folder.path(), &digest);
    some_cases(folder.path(), &["case03"]);
    let image = phantom().join("Validation/case35/image.nii.gz");
    let image = image.to_str().unwrap();
    let mask = phantom().join("Validation/case35/task01_seg01.nii.gz");
    let mask = mask.to_str().unwrap();
    let refused = |arguments: &[&str]| {
        let said = run(folder.path(), arguments, 2);
        assert!(said.err.starts_with("error: "), "{}", said.err);
        said.err
    };
    let predict = |more: &[&str]| {
        let mut arguments = vec![
            "predict",
            "--weights",
            "pretrained.safetensors",
            "-o",
            "out",
        ];
        arguments.extend(more);
        refused(&arguments)
    };
    let adapt = |more: &[&str]| {
        let mut arguments = vec![
            "adapt",
            "--weights",
            "pretrained.safetensors",
            "-o",
            "out.safetensors",
        ];
        arguments.extend(more);
        refused(&arguments)
    };
    let whose = predict(&[image]);
    assert!(
        whose.contains("experts 1, 2; choose one with `--expert N`"),
        "{whose}"
    );
    let unknown = predict(&["--expert", "5", image]);
    assert!(
        unknown.contains("no branch for expert 5, it has 1, 2"),
        "{unknown}"
    );
    let of_mask = predict(&["--expert", "1", mask]);
    assert!(of_mask.contains("looks like a mask"), "{of_mask}");
    let absent = predict(&["--expert", "1", "absent.nii.gz"]);
    assert!(absent.contains("absent.nii.gz"), "{absent}");
    let twice = predict(&["--expert", "1", image, image]);
    assert!(twice.contains("same name"), "{twice}");
    let nobody = adapt(&["--cases", "cases", "--expert", "9"]);
    assert!(
        nobody.contains("no case with a mask of expert 9"),
        "{nobody}"
    );
    let whole = adapt(&["--cases", phantom().to_str().unwrap(), "--expert", "6"]);
    assert!(whole.contains("is a whole data set"), "{whole}");
    let idle = adapt(&["--cases", "cases", "--expert", "6", "--steps", "0"]);
    assert!(idle.contains("`--steps` is at least 1"), "{idle}");
    assert!(!folder.path().join("out").exists() && !folder.path().join("out.safetensors").exists());

    // A file that contradicts itself: it says width 4 and its first layer is another's.
    let bytes = fs::read(folder.path().join("pretrained.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let wide = vec![0; 4 * 8 * 49];
    let views =
        file.tensors()
            .into_iter()
            .map(|(name, view)| match name == "encoder.conv1.weight" {
                true => (
                    name,
                    TensorView::new(Dtype::F32, vec![8, 1, 7, 7], &wide).unwrap(),
                ),
                false => (name, view),
            });
    let forged = safetensors::serialize(views, header.metadata().clone()).unwrap();
    fs::write(folder.path().join("forged.safetensors"), forged).unwrap();
    let forged = refused(&[
        "predict",
        "--weights",
        "forged.safetensors",
        "--expert",
        "1",
        image,
        "-o",
        "out",
    ]);
    assert!(
        forged.contains("its width is 4") && forged.contains("have width 8"),
        "{forged}"
    );
}

/// A file of 4 x 3 pixels.
fn write_mask(folder: &Path, name: &str, inside: &[usize]) {
    let mask = Mask {
        height: 3,
        width: 4,
        pixels: (0..12).map(|i| inside.contains(&i)).collect(),
    };
    nifti::write_mask(&folder.join(name), &mask, &Header::identity(4, 3).unwrap()).unwrap();
}

#[test]
fn masks_are_scored_one_by_one_and_by_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    for dir in ["pred", "ref"] {
        fs::create_dir(folder.path().join(dir)).unwrap();
    }
    write_mask(folder.path(), "pred/a.nii.gz", &[0, 1]);
    write_mask(folder.path(), "ref/a.nii.gz", &[1, 2]);
    write_mask(folder.path(), "pred/b.nii", &[]);
    write_mask(folder.path(), "ref/b.nii.gz", &[5]);
    let json = |arguments: &[&str]| -> Vec<Value> {
        let mut all = vec!["metric"];
        all.extend(arguments);
        all.push("--json");
        serde_json::from_str(&run(folder.path(), &all, 0).out).unwrap()
    };
    let rows = json(&["pred/a.nii.gz", "ref/a.nii.gz"]);
    // Pixels 0 and 1 against 1 and 2: one of two in common; distances 1, 0 and 0, 1.
    assert_eq!(rows[0]["dice"], 0.5);
    assert_eq!(rows[0]["assd"], 0.5);
    assert_eq!(rows[0]["hd95"], 1.0);
    assert_eq!(rows[0]["status"], "ok");
    let rows = json(&["pred", "ref"]);
    assert_eq!(rows.len(), 2);
    assert_eq!(
        (&rows[0]["case"], &rows[1]["case"]),
        (&"a".into(), &"b".into())
    );
    assert_eq!(rows[1]["dice"], 0.0);
    assert_eq!(rows[1]["assd"], Value::Null);
    assert_eq!(rows[1]["status"], "the prediction is empty");
    let table = run(folder.path(), &["metric", "pred", "ref"], 0).out;
    assert!(table.contains("mean of 1 of 2"), "{table}");

    write_mask(folder.path(), "ref/c.nii", &[1]);
    let unpaired = run(folder.path(), &["metric", "pred", "ref"], 2).err;
    assert!(
        unpaired.contains("ref/c.nii: there is no prediction for it"),
        "{unpaired}"
    );
}

#[test]
fn distances_follow_the_headers_spacing_and_the_definition_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let spaced = |name: &str, inside: &[usize], spacing: [f32; 2]| {
        write_mask(folder.path(), name, inside);
        let path = folder.path().join(name);
        let mut bytes = fs::read(&path).unwrap();
        bytes[80..84].copy_from_slice(&spacing[0].to_le_bytes());
        bytes[84..88].copy_from_slice(&spacing[1].to_le_bytes());
        fs::write(path, bytes).unwrap();
    };
    spaced("p.nii", &[0, 3], [0.5, 2.0]);
    spaced("r.nii", &[0], [0.5, 2.0]);
    let value = |more: &[&str], field: &str| -> f64 {
        let mut arguments = vec!["metric", "p.nii", "r.nii", "--json"];
        arguments.extend(more);
        let rows: Value = serde_json::from_str(&run(folder.path(), &arguments, 0).out).unwrap();
        rows[0][field].as_f64().unwrap()
    };
    // Distances 0 and 3 one way, 0 the other.
    assert_eq!(value(&[], "assd"), 1.0);
    assert_eq!(value(&["--definition", "assd=macro"], "assd"), 0.75);
    assert_eq!(value(&["--spacing", "header"], "assd"), 0.5);
    // The 95th percentile of 0, 0, 3 and that of 0, 3, both linear.
    assert!((value(&[], "hd95") - 2.7).abs() < 1e-12);
    let larger = value(&["--definition", "assd=macro,hd95=max_directed"], "hd95");
    assert!((larger - 2.85).abs() < 1e-12);

    spaced("bare.nii", &[0], [0.0, 0.0]);
    let refused = |arguments: &[&str]| run(folder.path(), arguments, 2).err;
    let bare = refused(&["metric", "p.nii", "bare.nii", "--spacing", "header"]);
    assert!(bare.contains("its header has no spacing"), "{bare}");
    let word = refused(&["metric", "p.nii", "r.nii", "--definition", "hd95=largest"]);
    assert!(word.contains("hd95=max_directed"), "{word}");
    let image = phantom().join("Validation/case35/image.nii.gz");
    let scan = refused(&["metric", image.to_str().unwrap(), image.to_str().unwrap()]);
    assert!(scan.contains("more than two different values"), "{scan}");
    let mixed = refused(&["metric", "p.nii", phantom().to_str().unwrap()]);
    assert!(mixed.contains("is a folder"), "{mixed}");
    let shapes = refused(&[
        "metric",
        "p.nii",
        phantom()
            .join("Validation/case35/task01_seg01.nii.gz")
            .to_str()
            .unwrap(),
    ]);
    assert!(shapes.contains("256"), "{shapes}");
}

#[test]
fn predictions_are_scored_against_an_experts_masks_in_a_folder_of_cases() {
    let (folder, digest) = trained();
    export(folder.path(), &digest);
    let validation = phantom().join("Validation");
    let validation = validation.to_str().unwrap();
    run(
        folder.path(),
        &[
            "predict",
            "--weights",
            "pretrained.safetensors",
            "--expert",
            "1",
            validation,
            "-o",
            "masks",
            "--probabilities",
        ],
        0,
    );
    let whose = run(folder.path(), &["metric", "masks", validation], 2).err;
    assert!(whose.contains("`--expert N`"), "{whose}");
    let said = run(
        folder.path(),
        &["metric", "masks", validation, "--expert", "6", "--json"],
        0,
    );
    let rows: Vec<Value> = serde_json::from_str(&said.out).unwrap();
    assert_eq!(rows.len(), 5);
    assert_eq!(rows[0]["case"], "case35");
}

#[test]
fn an_audit_finds_what_would_come_out_otherwise() {
    let (folder, digest) = trained();
    let dataset = phantom().to_str().unwrap();
    let audit = |more: &[&str], code: i32| {
        let mut arguments = vec!["store", "audit", "--dataset", dataset, "--sample", "100"];
        arguments.extend(more);
        run(folder.path(), &arguments, code).out
    };
    let clean = audit(&["--threads", "2"], 0);
    assert!(
        clean.contains("9 of 9 stages came out with the same bytes"),
        "{clean}"
    );
    let drawn = run(
        folder.path(),
        &[
            "store",
            "audit",
            "--dataset",
            dataset,
            "--sample",
            "2",
            "--json",
        ],
        0,
    );
    let rows: Vec<Value> = serde_json::from_str(&drawn.out).unwrap();
    assert_eq!(rows.len(), 2);

    // An artefact that is intact and wrong: another curve, with its digest in the description.
    let artefact = folder
        .path()
        .join(format!("results/store/pretrain/{}/{digest}", &digest[..2]));
    let curve = fs::read_to_string(artefact.join("curve.csv")).unwrap();
    let forged = curve.replace("1,", "2,");
    let description = fs::read_to_string(artefact.join("artefact.json")).unwrap();
    let digest_of = |text: &str| blake3::hash(text.as_bytes()).to_string();
    let description = description.replace(&digest_of(&curve), &digest_of(&forged));
    fs::write(artefact.join("curve.csv"), &forged).unwrap();
    fs::write(artefact.join("artefact.json"), description).unwrap();
    let found = audit(&[], 1);
    assert!(
        found.contains(&format!("different: pretrain {}: curve.csv", &digest[..12])),
        "{found}"
    );
    assert!(found.contains("8 of 9 stages"), "{found}");

    // Without the images nothing can be computed, and that is no agreement.
    let elsewhere = tempfile::tempdir().unwrap();
    run(
        elsewhere.path(),
        &["data", "phantom", "--out", "other", "--seed", "2"],
        0,
    );
    let other = elsewhere.path().join("other");
    let lost = run(
        folder.path(),
        &[
            "store",
            "audit",
            "--dataset",
            other.to_str().unwrap(),
            "--sample",
            "100",
        ],
        1,
    );
    assert!(
        lost.out
            .contains("0 of 9 stages came out with the same bytes"),
        "{}",
        lost.out
    );
    assert!(lost.out.contains("is not in the data set"), "{}", lost.out);
}
