//! Pretrainings that start from another program's weights.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::Value;

use super::{export, tensors};
use crate::support::common::*;

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
    let variant = "paper+pretrain.from=resnet.safetensors+pretrain.steps=0";
    let results = results_of(folder.path(), "tiny", variant);
    let digest = &csv(&results.join("runs.csv"))[0]["pretraining"];
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
    let runs = csv(&results.join("runs.csv"));
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
