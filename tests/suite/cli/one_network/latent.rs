//! A probabilistic network outside a grid: masks drawn from its prior, a latent of one's own,
//! adaptation to one more expert.

use std::fs;

use expertgrid::{artefact::parse_predictions, data::nifti};

use super::{about, export, some_cases, tensors, trained};
use crate::support::common::*;

#[test]
fn a_probabilistic_network_draws_masks_takes_a_latent_and_is_adapted() {
    let folder = tiny();
    let methods = TINY.replace(
        "arms = [\"w/\", \"w/o\"]",
        "methods = [\"probabilistic\", \"probabilistic-full\"]",
    );
    fs::write(folder.path().join("tiny.toml"), methods).unwrap();
    run(folder.path(), &tiny_run(&[]), 0);
    let results = fs::read_dir(folder.path().join("results/tiny")).unwrap();
    let results = results.map(|entry| entry.unwrap().path()).next().unwrap();
    let runs = csv(&results.join("runs.csv"));
    let served = runs
        .iter()
        .find(|run| run["method"] == "probabilistic")
        .unwrap();
    let (digest, served) = (served["pretraining"].clone(), served["training"].clone());
    export(folder.path(), &digest);
    let image = phantom().join("Validation/case35");
    let image = image.to_str().unwrap();
    let predict = |out: &str, more: &[&str], code: i32| {
        let all = [
            "predict",
            "--weights",
            "pretrained.safetensors",
            image,
            "-o",
            out,
        ];
        run(folder.path(), &[&all, more].concat(), code)
    };
    let mask = |path: &str| nifti::read_mask(&folder.path().join(path)).unwrap().mask;

    // As it is: the mean of the prior, which is what the grid has stored.
    let said = predict("plain", &[], 0);
    assert!(
        said.err.contains("a latent for the masks of experts 1, 2"),
        "{}",
        said.err
    );
    let stored = |kind: &str, digest: &str| {
        let path = format!(
            "results/store/{kind}/{}/{digest}/predictions.safetensors",
            &digest[..2]
        );
        let bytes = fs::read(folder.path().join(path)).unwrap();
        let mut branches = parse_predictions(&bytes).unwrap();
        let of_case = branches.remove(0).1.into_iter();
        of_case
            .filter(|p| p.case == "case35")
            .map(|p| p.mask())
            .next()
            .unwrap()
    };
    assert_eq!(mask("plain/case35.nii.gz"), stored("pretrain", &digest));

    // With a latent that a grid has chosen: what it is served with.
    let path = format!("results/store/serve/{}/{served}/latent.json", &served[..2]);
    let choice: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.path().join(path)).unwrap()).unwrap();
    let latent = choice["chosen"].as_array().unwrap().iter();
    let latent: Vec<String> = latent.map(|z| z.to_string()).collect();
    let latent = latent.join(",");
    predict("latent", &["--latent", &latent], 0);
    assert_eq!(mask("latent/case35.nii.gz"), stored("serve", &served));

    // Samples are the same for the same seed, and differ between seeds.
    let sampled = ["--sample", "3", "--probabilities"];
    predict("a", &sampled, 0);
    predict("b", &sampled, 0);
    predict("c", &[&sampled[..], &["--seed", "1"]].concat(), 0);
    let bytes = |path: &str| fs::read(folder.path().join(path)).unwrap();
    for file in ["", "_probability", "_sample1", "_sample2", "_sample3"] {
        let file = format!("case35{file}.nii.gz");
        assert_eq!(
            bytes(&format!("a/{file}")),
            bytes(&format!("b/{file}")),
            "{file}"
        );
    }
    let probability = |of: &str| {
        let path = folder
            .path()
            .join(format!("{of}/case35_probability.nii.gz"));
        nifti::read_image(&path).unwrap().0.pixels
    };
    assert_ne!(probability("a"), probability("c"));
    assert!(!folder.path().join("a/case35_sample4.nii.gz").exists());

    // Wrong use.
    for (more, expected) in [
        (
            &["--latent", "1,2"][..],
            "`--latent` has 2 numbers; the network takes 6 finite ones",
        ),
        (
            &["--latent", "1,2,3,4,5,inf"],
            "`--latent` has 6 numbers; the network takes 6 finite ones",
        ),
        (
            &["--sample", "2", "--latent", "1,2,3,4,5,6"],
            "cannot be used with",
        ),
        (
            &["--sample", "0"],
            "invalid value '0' for '--sample <COUNT>'",
        ),
        (&["--seed", "1"], "--sample <COUNT>"),
        (
            &["--expert", "1"],
            "one branch, which several experts share",
        ),
    ] {
        let said = predict("wrong", more, 2);
        assert!(said.err.contains(expected), "{more:?}: {}", said.err);
    }
    assert!(!folder.path().join("wrong").exists());

    // Adapted, it has one expert and takes no latent any more.
    some_cases(folder.path(), &["case01", "case02"]);
    for method in ["full", "expert-layers"] {
        let out = format!("{method}.safetensors");
        let adapt = [
            "adapt",
            "--weights",
            "pretrained.safetensors",
            "--cases",
            "cases",
            "--expert",
            "6",
            "--method",
            method,
            "--steps",
            "2",
            "-o",
            &out,
        ];
        run(folder.path(), &adapt, 0);
        let adapted = tensors(&folder.path().join(&out));
        assert!(
            adapted
                .keys()
                .all(|name| !name.contains("prior") && !name.contains("posterior"))
        );
        assert!(adapted.contains_key("latent.comb.0.bias"));
        assert_eq!(about(&folder.path().join(&out))["network"], "comb");
        let adapted = ["predict", "--weights", &out, image, "-o"];
        run(folder.path(), &[&adapted, &[method][..]].concat(), 0);
        let said = run(
            folder.path(),
            &[&adapted, &["x", "--sample", "2"][..]].concat(),
            2,
        );
        assert!(
            said.err.contains("the network takes no latent"),
            "{}",
            said.err
        );
    }
    let pretrained = tensors(&folder.path().join("pretrained.safetensors"));
    let frozen = tensors(&folder.path().join("expert-layers.safetensors"));
    for (name, tensor) in &frozen {
        let kept = *tensor == pretrained[name];
        assert_eq!(kept, !name.starts_with("latent."), "{name}");
    }
}

#[test]
fn a_network_without_a_latent_is_not_asked_for_one() {
    let (folder, digest) = trained();
    export(folder.path(), &digest);
    let image = phantom().join("Validation/case35");
    for option in [&["--sample", "2"][..], &["--latent", "1,2,3,4,5,6"]] {
        let all = [
            "predict",
            "--weights",
            "pretrained.safetensors",
            image.to_str().unwrap(),
            "-o",
            "out",
        ];
        let said = run(folder.path(), &[&all, option].concat(), 2);
        let expected = format!("not a probabilistic U-Net; leave `{}` out", option[0]);
        assert!(said.err.contains(&expected), "{}", said.err);
    }
}
