//! Weights that leave the store, and networks adapted to one more expert.

use std::fs;

use super::{about, export, some_cases, tensors, trained};
use crate::support::common::*;

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

    // By its experts in place of its digest.
    let by = |more: &[&str], out: &str, code: i32| {
        let dataset = phantom().to_str().unwrap();
        let words = ["store", "export", "tiny.toml", "-d", dataset, "-o", out];
        run(folder.path(), &[&words[..], more].concat(), code)
    };
    by(&["--annotators", "1+2"], "by_experts.safetensors", 0);
    let same = fs::read(folder.path().join("by_experts.safetensors")).unwrap();
    assert!(same == fs::read(&path).unwrap());
    let said = by(&["--annotators", "1+3"], "x", 2).err;
    assert!(said.contains("annotators 1+2"), "{said}");
    assert!(by(&[], "x", 2).err.contains("--annotators 1+2+3"));
    let said = by(&["--run", "method=w/"], "x", 2).err;
    assert!(said.contains("2 networks are picked"), "{said}");
    let said = by(&["--run", "method=w/ start=1"], "x", 2).err;
    assert!(said.contains("keeps no weights"), "{said}");

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
            "-o",
            out,
        ];
        let usual = ["--steps", "3", "--lr", "1e-2"];
        arguments.extend(usual.iter().filter(|_| !more.contains(&"--lr")));
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
    let wild = adapt("d.safetensors", &["--lr", "1e25", "--steps", "20"], 1);
    assert!(
        wild.err.contains("the training diverged")
            && wild.err.contains("; a lower `--lr` may help"),
        "{}",
        wild.err
    );
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
    // The deepest level is a single pixel, whose norm is 0 whatever its scale: those scales cannot
    // move.
    assert!(moved > 40, "{moved} of 60 norms' tensors have moved");
}
