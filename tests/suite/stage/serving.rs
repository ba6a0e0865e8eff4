//! A pretrained network as it is: the mean of its branches, the best branch, the best threshold.
//! Reference values are of tests/reference/serving.py.

use expertgrid::{
    artefact::{
        CHOICE, Choice, MAP_WEIGHT, MapChoice, PREDICTIONS, SERVED, THRESHOLD, ThresholdChoice,
        parse_predictions, predictions,
    },
    data::{
        self, Mask,
        prepare::{Frame, Prediction, Region},
    },
    method::{Method, Words},
    plan::{Kind, Plan, Spec, Way},
    serving::{consensus, map_weights, moved_by, thresholds, weight},
    stage,
    store::{Files, Found},
};
use serde_json::Value;

use super::adaptations::{bench, compute, plan_of};
use crate::support::common::phantom;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../fixtures/serving.json")).unwrap()
}

fn bytes(rows: &Value) -> Vec<u8> {
    let rows = rows.as_array().unwrap().iter();
    let row = |row: &Value| row.as_array().unwrap().clone();
    let all = rows.flat_map(row);
    all.map(|byte| byte.as_u64().unwrap() as u8).collect()
}

fn prediction(probability: Vec<u8>, [height, width]: [usize; 2]) -> Prediction {
    Prediction {
        case: "case".into(),
        frame: Frame {
            original: [height, width],
            reduce: 1,
        },
        region: Region {
            origin: [0; 2],
            size: [height, width],
        },
        probability,
        threshold: Prediction::HALF,
    }
}

#[test]
fn a_consensus_is_the_mean_of_all_branches_in_whole_numbers() {
    for row in vectors()["consensus"].as_array().unwrap() {
        let branches = row["bytes"].as_array().unwrap().iter();
        let branches = branches.map(|byte| byte.as_u64().unwrap() as u8);
        let by_branch: Vec<Vec<Prediction>> = branches
            .map(|byte| vec![prediction(vec![byte], [1, 1])])
            .collect();
        let expected = row["byte"].as_u64().unwrap() as u8;
        assert_eq!(consensus(&by_branch)[0].probability, [expected], "{row}");
    }
}

#[test]
fn the_best_threshold_is_nearest_to_one_half_among_equals() {
    let vectors = vectors();
    let planes = vectors["probability"].as_array().unwrap().iter();
    let predictions: Vec<Prediction> = planes
        .map(|plane| prediction(bytes(plane), [4, 5]))
        .collect();
    for case in vectors["thresholds"].as_array().unwrap() {
        let masks = case["masks"].as_array().unwrap().iter();
        let masks: Vec<Mask> = masks
            .map(|mask| Mask {
                height: 4,
                width: 5,
                pixels: bytes(mask).into_iter().map(|byte| byte == 1).collect(),
            })
            .collect();
        let masks: Vec<&Mask> = masks.iter().collect();
        let (fits, best) = thresholds(&predictions, &masks).unwrap();
        assert_eq!(fits.len(), 31);
        let expected = case["mean_dice"].as_array().unwrap();
        for (fit, expected) in fits.iter().zip(expected) {
            let expected = expected.as_f64().unwrap();
            assert!((fit.mean_dice - expected).abs() < 1e-15, "{fit:?}");
        }
        let chosen = case["chosen"].as_u64().unwrap();
        assert_eq!(
            u64::from(fits[best].threshold),
            8 * chosen,
            "{}",
            case["name"]
        );
    }
}

#[test]
fn the_best_weight_of_a_map_is_nearest_to_none_among_equals() {
    let vectors = vectors();
    let of = |name: &str| -> Vec<Prediction> {
        let planes = vectors[name].as_array().unwrap().iter();
        planes
            .map(|plane| prediction(bytes(plane), [4, 5]))
            .collect()
    };
    let (predictions, maps) = (of("probability"), of("maps"));
    let mut chosen_steps = Vec::new();
    for case in vectors["map_weights"].as_array().unwrap() {
        let masks = case["masks"].as_array().unwrap().iter();
        let masks: Vec<Mask> = masks
            .map(|mask| Mask {
                height: 4,
                width: 5,
                pixels: bytes(mask).into_iter().map(|byte| byte == 1).collect(),
            })
            .collect();
        let masks: Vec<&Mask> = masks.iter().collect();
        let (fits, step) = map_weights(&predictions, &maps, &masks).unwrap();
        assert_eq!(fits.len(), 31);
        let expected = case["mean_dice"].as_array().unwrap();
        for (fit, expected) in fits.iter().zip(expected) {
            let expected = expected.as_f64().unwrap();
            assert!((fit.mean_dice - expected).abs() < 1e-15, "{fit:?}");
        }
        assert_eq!(
            Some(u64::from(step)),
            case["chosen"].as_u64(),
            "{}",
            case["name"]
        );
        chosen_steps.push(step);
    }
    assert!(
        chosen_steps.iter().any(|step| *step != 16),
        "{chosen_steps:?}"
    );
    assert_eq!([1, 16, 31].map(weight), [-15.0 / 32.0, 0.0, 15.0 / 32.0]);
    // Nothing is below 0 or above 255.
    let bright = prediction(vec![250, 3], [1, 2]);
    let map = prediction(vec![200, 200], [1, 2]);
    assert_eq!(moved_by(&bright, &map, 31).probability, [255, 96]);
    assert_eq!(moved_by(&bright, &map, 1).probability, [156, 0]);
}

#[test]
fn a_mask_is_moved_by_the_map_as_far_as_fits_the_cases() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = data::open(phantom()).unwrap();
    let more = ["grid.samples=[0, 5]", "pretrain.steps=40"];
    let plan = plan_of(&[own("uncertainty-map")], &dataset, &more);
    let mut bench = bench(folder.path(), dataset.clone());
    let pretraining = |stage: &&expertgrid::plan::Stage| stage.spec.kind() == Kind::Pretrain;
    let pretraining = plan.stages.iter().find(pretraining).unwrap();
    let quiet = &mut |_: expertgrid::event::Step| {};
    stage::run(&pretraining.spec, &stage::Stages, &mut bench, quiet).unwrap();
    let stored = bench
        .store
        .read(Kind::Pretrain, &pretraining.digest, &[PREDICTIONS]);
    let Found::Intact(artefact) = stored else {
        panic!("no pretraining")
    };
    let stored = parse_predictions(&artefact.files[PREDICTIONS]).unwrap();
    let [(all, mask), (map_name, map)] = stored.as_slice() else {
        panic!("a mask and a map");
    };
    assert_eq!((all.as_str(), map_name.as_str()), ("all", "map"));
    // As it is: the mask.
    let as_it_is = served(&plan, "uncertainty-map-select", 0);
    assert_eq!(only(&compute(&as_it_is, &mut bench)), *mask);
    let chosen = served(&plan, "uncertainty-map-select", 5);
    let Spec::Serve(serve) = &chosen else {
        panic!("served")
    };
    assert_eq!(serve.way, Way::Map);
    let files = compute(&chosen, &mut bench);
    let choice: MapChoice = serde_json::from_slice(&files[MAP_WEIGHT]).unwrap();
    assert_eq!((choice.images.len(), choice.weights.len()), (5, 31));
    let means = choice.weights.iter().map(|fit| fit.mean_dice);
    let best = means.fold(0.0, f64::max);
    let of_chosen = choice
        .weights
        .iter()
        .find(|fit| fit.weight == choice.chosen)
        .unwrap();
    assert_eq!(of_chosen.mean_dice, best);
    let step = (32.0 * choice.chosen + 16.0) as u8;
    for ((found, mask), map) in only(&files).iter().zip(mask).zip(map) {
        assert_eq!(*found, moved_by(mask, map, step));
    }
}

#[test]
fn a_threshold_lies_between_two_bytes_of_an_enlarged_prediction() {
    // Two pixels of the network are four columns of the image: 100, 100.25, 100.75, 101.
    let mut prediction = prediction(vec![100, 101], [1, 2]);
    prediction.frame = Frame {
        original: [2, 4],
        reduce: 2,
    };
    let first_row = |prediction: &Prediction| prediction.mask().pixels[..4].to_vec();
    prediction.threshold = 101;
    assert_eq!(first_row(&prediction), [false, false, true, true]);
    prediction.threshold = 100;
    assert_eq!(first_row(&prediction), [true; 4]);
    prediction.threshold = 102;
    assert_eq!(first_row(&prediction), [false; 4]);
    // All of an image would be foreground at 0.
    prediction.threshold = 0;
    let written = predictions(&[(SERVED.to_owned(), vec![prediction])]);
    let refused = parse_predictions(&written).unwrap_err();
    assert!(refused.ends_with("has the threshold 0"), "{refused}");
}

fn own(multitask: &str) -> Method {
    let words = Words {
        annotation: "every",
        multitask,
        branch: "inherit",
        adapt: "select",
    };
    Method::from_words(&format!("{multitask}-select"), &words).unwrap()
}

fn served(plan: &Plan, method: &str, samples: usize) -> Spec {
    let mut runs = plan.runs.iter();
    let run = runs.find(|run| run.method().name == method && run.at.samples == samples);
    plan.stage(run.unwrap().network).spec.clone()
}

fn only(files: &Files) -> Vec<Prediction> {
    let parsed = parse_predictions(&files[PREDICTIONS]).unwrap();
    let [(name, predictions)] = parsed.as_slice() else {
        panic!("one branch");
    };
    assert_eq!(name, SERVED);
    predictions.clone()
}

#[test]
fn what_is_served_is_the_pretrainings_own_predictions() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = data::open(phantom()).unwrap();
    let methods = [own("norms"), own("pool")];
    let more = ["grid.samples=[0, 5]", "pretrain.steps=40"];
    let plan = plan_of(&methods, &dataset, &more);
    let kinds = plan.stages.iter().map(|stage| stage.spec.kind());
    let trained = kinds.filter(|kind| ![Kind::Serve, Kind::Evaluate].contains(kind));
    assert!(trained.clone().all(|kind| kind == Kind::Pretrain));
    let mut bench = bench(folder.path(), dataset.clone());
    for stage in plan
        .stages
        .iter()
        .filter(|s| s.spec.kind() == Kind::Pretrain)
    {
        let quiet = &mut |_: expertgrid::event::Step| {};
        stage::run(&stage.spec, &stage::Stages, &mut bench, quiet).unwrap();
    }
    let stored = |spec: &Spec| {
        let Spec::Serve(serve) = spec else {
            panic!("served")
        };
        match bench
            .store
            .read(Kind::Pretrain, &serve.pretrained, &[PREDICTIONS])
        {
            Found::Intact(artefact) => parse_predictions(&artefact.files[PREDICTIONS]).unwrap(),
            _ => panic!("no pretraining"),
        }
    };
    let [norms, pool] = ["norms-select", "pool-select"].map(|name| served(&plan, name, 0));
    let [branch, threshold] = ["norms-select", "pool-select"].map(|name| served(&plan, name, 5));
    let by_branch = stored(&norms);
    let branches: Vec<Vec<Prediction>> = by_branch.iter().map(|(_, b)| b.clone()).collect();
    assert_eq!(branches.len(), 2);
    let all = stored(&pool);
    assert_eq!(all.len(), 1);

    // As they are: the mean, or the only branch to the byte.
    let norms = compute(&norms, &mut bench);
    assert_eq!(only(&norms), consensus(&branches));
    assert_ne!(only(&norms), branches[0]);
    assert_eq!(only(&compute(&pool, &mut bench)), all[0].1);

    // By five cases: the branch that fits best, the threshold that fits best.
    let files = compute(&branch, &mut bench);
    let choice: Choice = serde_json::from_slice(&files[CHOICE]).unwrap();
    assert_eq!(choice.images.len(), 5);
    let chosen = usize::from(choice.chosen) - 1;
    assert_eq!(only(&files), branches[chosen]);
    let files = compute(&threshold, &mut bench);
    let choice: ThresholdChoice = serde_json::from_slice(&files[THRESHOLD]).unwrap();
    let means = choice.thresholds.iter().map(|fit| fit.mean_dice);
    let best = means.fold(0.0, f64::max);
    let fit = choice
        .thresholds
        .iter()
        .find(|fit| fit.threshold == choice.chosen);
    assert_eq!(fit.unwrap().mean_dice, best);
    for (found, stored) in only(&files).iter().zip(&all[0].1) {
        assert_eq!(found.threshold, choice.chosen);
        assert_eq!(found.probability, stored.probability);
    }
    // Written and read back, the threshold is there only where it is not one half.
    let text = String::from_utf8_lossy(&files[PREDICTIONS]).into_owned();
    assert_eq!(
        text.contains("threshold"),
        choice.chosen != Prediction::HALF
    );
    assert!(!String::from_utf8_lossy(&norms[PREDICTIONS]).contains("threshold"));
    let Spec::Serve(serve) = threshold else {
        panic!("served")
    };
    assert_eq!(serve.way, Way::Threshold);
}
