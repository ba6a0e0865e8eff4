//! What networks that learned from several experts at once say of them: how much they disagree, and
//! what the only branch stands for.

use std::fs;

use expertgrid::{artefact::parse_predictions, data::nifti};

use super::methods::pretrained;
use crate::support::common::*;

#[test]
fn the_disagreement_of_experts_is_written_by_networks_that_learned_it() {
    let folder = tiny();
    let folder = folder.path();
    let methods = ["uncertainty", "uncertainty-map", "majority", "customised"];
    pretrained(folder, &methods);
    let image = phantom().join("Validation/case35");
    let image = image.to_str().unwrap();
    let predict = |method: &str, more: &[&str], code: i32| {
        let weights = format!("{method}.safetensors");
        let words = ["predict", "--weights", &weights, image, "-o", method];
        run(
            folder,
            &[&words[..], &["--disagreement"], more].concat(),
            code,
        )
    };
    let values = |path: &str| {
        let (image, _) = nifti::read_image(&folder.join(path)).unwrap();
        image.pixels
    };

    // Of a share p of the experts.
    let said = predict("uncertainty", &["--probabilities", "--overlay"], 0).err;
    let whose = "one branch for the mean of the masks of experts 1, 2";
    assert!(said.contains(whose), "{said}");
    let shares = values("uncertainty/case35_probability.nii.gz");
    let found = values("uncertainty/case35_disagreement.nii.gz");
    assert_eq!(found.len(), shares.len());
    for (found, p) in found.iter().zip(&shares) {
        assert!((found - 4.0 * p * (1.0 - p)).abs() < 1e-6, "{found}, {p}");
    }
    assert!(found.iter().any(|value| *value > 0.1));

    // The second head, as the store has its predictions.
    predict("uncertainty-map", &["--logits"], 0);
    let found = values("uncertainty-map/case35_disagreement.nii.gz");
    let results = fs::read_dir(folder.join("results/tiny")).unwrap();
    let results = results.map(|entry| entry.unwrap().path()).next().unwrap();
    let runs = csv(&results.join("runs.csv"));
    let of_map = runs.iter().find(|run| run["method"] == "uncertainty-map");
    let digest = &of_map.unwrap()["pretraining"];
    let path = format!("results/store/pretrain/{}/{digest}", &digest[..2]);
    let stored = fs::read(folder.join(path).join("predictions.safetensors")).unwrap();
    let branches = parse_predictions(&stored).unwrap();
    let (_, maps) = branches.iter().find(|(branch, _)| branch == "map").unwrap();
    let map = maps.iter().find(|map| map.case == "case35").unwrap();
    // Bytes of 1/256, cut off.
    let at = |pixel: usize| f32::from(map.probability[pixel]) / 256.0;
    let stored = map.frame.enlarge(&map.region, at, 0.0).values;
    assert_eq!(found.len(), stored.len());
    for (found, stored) in found.iter().zip(&stored) {
        assert!((found - stored).abs() < 0.005, "{found}, {stored}");
    }
    assert!(stored.iter().any(|value| *value > 0.1));

    // Others did not learn it, whatever their only branch stands for.
    for method in ["majority", "customised"] {
        let expert = ["--expert", "1"];
        let more = &expert[..if method == "customised" { 2 } else { 0 }];
        let said = predict(method, more, 2).err;
        let expected = "the network does not say how much experts disagree";
        assert!(said.contains(expected), "{said}");
        assert!(!folder.join(method).exists());
    }
    let words = [
        "predict",
        "--weights",
        "majority.safetensors",
        image,
        "-o",
        "m",
    ];
    let said = run(folder, &words, 0).err;
    let whose = "one branch for the masks of experts 1, 2 fused by majority";
    assert!(said.contains(whose), "{said}");
}
