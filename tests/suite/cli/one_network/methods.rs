//! `adapt --method`: by words and by the names of methods, on every form of network.

use std::{collections::BTreeMap, fs};

use super::{about, export, some_cases, tensors};
use crate::support::common::*;

/// The pretrained networks of a tiny grid of some methods, as files named after these.
pub fn pretrained(folder: &std::path::Path, methods: &[&str]) {
    let methods_line = format!("methods = {methods:?}");
    let text = TINY.replace("arms = [\"w/\", \"w/o\"]", &methods_line);
    fs::write(folder.join("tiny.toml"), text).unwrap();
    run(folder, &tiny_run(&[]), 0);
    let results = fs::read_dir(folder.join("results/tiny")).unwrap();
    let results = results.map(|entry| entry.unwrap().path()).next().unwrap();
    let runs = csv(&results.join("runs.csv"));
    for method in methods {
        let of_method = runs.iter().find(|run| run["method"] == *method).unwrap();
        let exported = export(folder, &of_method["pretraining"]);
        fs::rename(exported, folder.join(format!("{method}.safetensors"))).unwrap();
    }
}

fn adapt(folder: &std::path::Path, weights: &str, method: &str, code: i32) -> Said {
    let (weights, out) = (
        format!("{weights}.safetensors"),
        format!("{weights}-{method}.safetensors"),
    );
    let words = [
        "adapt",
        "--weights",
        &weights,
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
    run(folder, &words, code)
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    let chunks = bytes.chunks(4);
    chunks
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect()
}

#[test]
fn a_network_is_adapted_by_the_name_of_a_method_or_chosen_from_without_training() {
    let folder = tiny();
    let folder = folder.path();
    let methods = [
        "customised",
        "uncertainty",
        "uncertainty-map",
        "probabilistic",
    ];
    pretrained(folder, &methods);
    some_cases(folder, &["case01", "case02"]);
    let read = |name: &str| tensors(&folder.join(format!("{name}.safetensors")));
    let network =
        |name: &str| about(&folder.join(format!("{name}.safetensors")))["network"].clone();

    // The branch that fits best, to the bit; nothing is trained.
    let said = adapt(folder, "customised", "select", 0);
    assert!(
        said.err.contains("fits the cases best (mean Dice"),
        "{}",
        said.err
    );
    assert!(
        said.out.contains("chosen by 2 cases, nothing is trained"),
        "{}",
        said.out
    );
    let chosen = usize::from(said.err.contains("the branch of expert 2"));
    let (all, one) = (read("customised"), read("customised-select"));
    for (name, (shape, bytes)) in &one {
        let (of_all, all) = &all[name];
        match of_all == shape {
            true => assert_eq!(bytes, all, "{name}"),
            false => assert_eq!(*bytes, all[chosen * bytes.len()..][..bytes.len()], "{name}"),
        }
    }
    let adaptation = &about(&folder.join("customised-select.safetensors"))["provenance"];
    assert_eq!(adaptation["adaptation"]["budget"]["steps"], 0);

    // By name: inherited and trained, as the grid does it.
    let said = adapt(folder, "customised", "customised-inherit", 0);
    assert!(
        said.err.contains("it is trained with all the rest"),
        "{}",
        said.err
    );
    let moved: BTreeMap<_, _> = read("customised-customised-inherit");
    assert!(moved["encoder.conv1.weight"] != all["encoder.conv1.weight"]);
    adapt(folder, "customised", "original", 0);
    let frozen = read("customised-original");
    assert!(frozen["encoder.conv1.weight"] == all["encoder.conv1.weight"]);

    // A threshold becomes part of the bias, and nothing else changes.
    let said = adapt(folder, "uncertainty", "uncertainty", 0);
    let threshold = said.err.split("a threshold of ").nth(1).unwrap();
    let threshold: f64 = threshold.split(' ').next().unwrap().parse().unwrap();
    let (before, after) = (read("uncertainty"), read("uncertainty-uncertainty"));
    for (name, (_, bytes)) in &after {
        let old = &before[name].1;
        if name == "segmentation_head.0.bias" {
            let moved = f64::from(floats(old)[0]) - (threshold / (1.0 - threshold)).ln();
            assert!(
                (f64::from(floats(bytes)[0]) - moved).abs() < 1e-6,
                "{threshold}"
            );
        } else {
            assert_eq!(bytes, old, "{name}");
        }
    }

    // A latent becomes part of the last layers; a map is left out.
    adapt(folder, "probabilistic", "probabilistic", 0);
    assert_eq!(network("probabilistic-probabilistic"), "comb");
    adapt(folder, "uncertainty-map", "uncertainty-map-full", 0);
    let adapted = read("uncertainty-map-uncertainty-map-full");
    assert_eq!(adapted["segmentation_head.0.bias"].0, [1]);

    // What cannot be.
    for (weights, method, expected) in [
        (
            "customised",
            "pool",
            "method \"pool\" adapts networks with one branch for the masks of all experts, and \
             this one has norms for each expert; take one of full, expert-layers, select, \
             customised,",
        ),
        (
            "uncertainty-map",
            "select",
            "the weight of a map cannot become part of a network of one branch; take `--method \
             full`",
        ),
        (
            "probabilistic-probabilistic",
            "select",
            "its latent is chosen already; take `--method full`",
        ),
        ("customised", "scratch", "invalid value 'scratch'"),
        ("customised", "orignal", "'original'"),
    ] {
        let said = adapt(folder, weights, method, 2);
        assert!(
            said.err.contains(expected),
            "{weights} {method}: {}",
            said.err
        );
        assert!(
            !folder
                .join(format!("{weights}-{method}.safetensors"))
                .exists()
        );
    }
}
