//! The probabilistic U-Net in stages: its size, its training, how it serves a new expert and what
//! is trained for one.

use std::{num::NonZeroUsize, sync::Arc};

use candle_core::{Device, Tensor};
use expertgrid::{
    artefact::{
        LATENT, LATENT_CURVE, LATENT_USE, LatentUse, PREDICTIONS, RELATIVE_LATENT, SERVED, WEIGHTS,
        parse_predictions,
    },
    data::{
        self,
        prepare::{Prediction, prepare},
    },
    engine::{Engine, Stock, lanes::Lanes},
    event::Step,
    key::Digest,
    manifest::NetworkSpec,
    method::{Method, NetworkForm, Words},
    net::{Branches, Checkpoint, Declaration, ExpertLayers, Initialiser, UNet, count},
    plan::{Kind, Plan, Spec, Way},
    seed::Seed,
    stage,
    train::{posterior_mean, samples, sigmoid},
};
use itertools::Itertools;
use serde_json::Value;

use super::adaptations::{bench, compute, plan_of, pretrain, tensors};
use crate::support::common::phantom;

fn named(name: &str) -> Method {
    Method::named(name).unwrap()
}

fn first(plan: &Plan, kind: Kind) -> &Spec {
    let mut specs = plan.stages.iter().map(|stage| &stage.spec);
    specs.find(|spec| spec.kind() == kind).unwrap()
}

fn of_width(width: usize) -> NetworkSpec {
    NetworkSpec {
        width,
        ..NetworkSpec::default()
    }
}

#[test]
fn the_network_has_the_size_of_its_parts() {
    // Prior, posterior and last layers, beside the U-Net without its own head of w/4 channels.
    for (width, prior, posterior, comb, all) in [
        (64, 1_367_820, 1_368_108, 929, 17_058_649),
        (8, 21_804, 21_840, 225, 269_257),
        (4, 5_580, 5_598, 217, 68_202),
    ] {
        let head = 9 * width as u64 / 4 + 1;
        let trunk = count(&of_width(width), 1) - head;
        let probabilistic = count(&of_width(width), Branches::probabilistic(6));
        assert_eq!(probabilistic, trunk + prior + posterior + comb, "{width}");
        assert_eq!(probabilistic, all, "{width}");
        // The share of the latent is part of a bias.
        let adapted = count(&of_width(width), Branches::new(ExpertLayers::Comb, 1));
        let channels = (width as u64 / 4).max(8);
        assert_eq!(adapted, trunk + comb - 6 * channels, "{width}");
    }
}

/// The names of the parameters that a row of the vectors is about.
fn parameters_of(layer: &str) -> Vec<String> {
    let words: Vec<&str> = layer.split([' ', ',']).collect();
    match words.as_slice() {
        ["comb", "0"] => vec!["latent.comb.0.weight".into(), "latent.comb.0.latent".into()],
        ["comb", layer] => vec![format!("latent.comb.{layer}.weight")],
        [net @ ("prior" | "posterior"), "block", block, ..] => {
            vec![format!("latent.{net}.{block}.0.weight")]
        }
        ["prior", "or", "posterior", ..] => ["prior", "posterior"]
            .map(|net| format!("latent.{net}.out.weight"))
            .to_vec(),
        _ => vec![],
    }
}

#[test]
fn initial_values_have_the_deviation_of_their_inputs() {
    let text = include_str!("../../fixtures/methods.json");
    let vectors: serde_json::Value = serde_json::from_str(text).unwrap();
    for row in vectors["initial"]["rows"].as_array().unwrap() {
        let layers = row["layers"].as_array().unwrap();
        let law = |name: &str| {
            let mut of = layers.iter().filter(|layer| {
                let layer = layer["layer"].as_str().unwrap();
                parameters_of(layer).iter().any(|known| known == name)
            });
            of.next()
        };
        let mut seen = 0;
        let values = &mut |declared: &Declaration<'_>| {
            let drawn = declared.initial_values(&Seed::new(3));
            if let Some(law) = law(declared.name) {
                seen += 1;
                let squares = drawn.iter().map(|v| f64::from(*v).powi(2));
                let sd = (squares.sum::<f64>() / drawn.len() as f64).sqrt();
                let most = drawn.iter().fold(0.0_f64, |m, v| m.max(f64::from(v.abs())));
                match law["sd"].as_f64() {
                    Some(expected) => {
                        let error = 4.0 * expected / (2.0 * drawn.len() as f64).sqrt();
                        assert!((sd - expected).abs() < error, "{}: {sd}", declared.name);
                    }
                    None => {
                        let bound = law["bound"].as_f64().unwrap();
                        assert_eq!(declared.initialiser, Initialiser::XavierUniform);
                        assert!(most <= bound && most > 0.7 * bound, "{most} {bound}");
                    }
                }
            }
            if declared.name.starts_with("latent.") && declared.name.ends_with(".bias") {
                assert!(drawn.iter().all(|bias| *bias == 0.0));
            }
            Ok(drawn)
        };
        let width = row["width"].as_u64().unwrap() as usize;
        let branches = Branches::probabilistic(6);
        let dtype = candle_core::DType::F32;
        UNet::with_values(&of_width(width), branches, &Device::Cpu, dtype, values).unwrap();
        let expected: usize = layers
            .iter()
            .map(|layer| parameters_of(layer["layer"].as_str().unwrap()).len())
            .sum();
        assert!(expected >= 12, "{expected}");
        assert_eq!(seen, expected, "{width}");
    }
}

#[test]
fn a_latent_is_chosen_by_the_posterior_and_folded_into_the_network() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = data::open(phantom()).unwrap();
    let plan = plan_of(&[named("probabilistic")], &dataset, &[]);
    let mut bench = bench(folder.path(), dataset);
    let weights = pretrain(&plan, &mut bench);
    let Spec::Serve(serve) = first(&plan, Kind::Serve) else {
        panic!("a served network")
    };
    assert_eq!(serve.way, Way::Latent);
    let files = compute(first(&plan, Kind::Serve), &mut bench);
    let served = parse_predictions(&files[PREDICTIONS]).unwrap();
    assert_eq!(served.len(), 1);
    assert_eq!(served[0].0, SERVED);
    let choice: Value = serde_json::from_slice(&files[LATENT]).unwrap();
    let chosen = choice["chosen"].as_array().unwrap().iter();
    let chosen: Vec<f32> = chosen.map(|z| z.as_f64().unwrap() as f32).collect();
    assert_eq!(chosen.len(), 6);
    let images = choice["images"].as_array().unwrap().len();
    assert_eq!(images, serve.support.as_ref().unwrap().images.len());

    // The network with the latent in its bias is the one that is given the latent.
    let read = Checkpoint::read(&weights).unwrap();
    let about = read.about().unwrap().clone();
    assert_eq!(about.network, NetworkForm::Latent);
    assert!(about.owners().is_empty());
    let network = about.recipe.network;
    let free = read.restore(&network, &Device::Cpu).unwrap();
    let with_latent = read.with_latent(&chosen).unwrap();
    let folded = with_latent.restore(&network, &Device::Cpu).unwrap();
    assert!(!folded.branches().has_latent());
    let engine = Stock::new(Device::Cpu);
    let pixels: Vec<f32> = (0..2 * 32 * 32).map(|i| (0.013 * i as f32).sin()).collect();
    let x = engine.pack(&pixels, [2, 1, 32, 32]).unwrap();
    let features = free.features(&engine, &x, &[0; 2]).unwrap();
    let z = engine.pack(&chosen.repeat(2), [2, 6, 1, 1]).unwrap();
    let given = free.decode(&engine, &features, &z).unwrap();
    let own = folded.forward(&engine, &x, &[0; 2]).unwrap();
    let flat = |tensor: &Tensor| -> Vec<f32> { tensor.flatten_all().unwrap().to_vec1().unwrap() };
    for (given, own) in std::iter::zip(flat(&given), flat(&own)) {
        assert!(
            (given - own).abs() < 1e-5 * (1.0 + given.abs()),
            "{given} {own}"
        );
    }
    // A latent cannot be given twice, and a network without one takes none.
    assert!(with_latent.with_latent(&chosen).is_err());
    assert!(read.with_latent(&chosen[..5]).is_err());
    assert!(folded.decode(&engine, &features, &z).is_err());
    assert!(free.logits(&engine, &features, 0).is_err());
    assert!(folded.prior(&engine, &x).is_err());
}

#[test]
fn as_it_is_a_network_decodes_the_mean_of_its_prior_whoever_the_new_expert_is() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = data::open(phantom()).unwrap();
    let more = ["grid.samples=[0, 5]", "grid.new_experts=[6, 7]"];
    let plan = plan_of(&[named("probabilistic")], &dataset, &more);
    let ways: Vec<Way> = plan
        .stages
        .iter()
        .filter_map(|stage| match &stage.spec {
            Spec::Serve(serve) => Some(serve.way),
            Spec::Train(_) | Spec::Agree(_) | Spec::Evaluate(_) => None,
        })
        .collect();
    // Without samples both experts are served alike.
    let of = |way: Way| ways.iter().filter(|other| **other == way).count();
    let pretrained = plan.stages.iter();
    let pretrained = pretrained.filter(|stage| stage.spec.kind() == Kind::Pretrain);
    assert_eq!(of(Way::Consensus), pretrained.count());
    assert!(of(Way::Latent) >= 2);
    let mut bench = bench(folder.path(), dataset);
    pretrain(&plan, &mut bench);
    let pretrained = compute(first(&plan, Kind::Pretrain), &mut bench);
    let predicted = parse_predictions(&pretrained[PREDICTIONS]).unwrap();
    let served = plan
        .stages
        .iter()
        .find(|stage| matches!(&stage.spec, Spec::Serve(serve) if serve.way == Way::Consensus));
    let served = compute(&served.unwrap().spec, &mut bench);
    let served = parse_predictions(&served[PREDICTIONS]).unwrap();
    assert_eq!(served[0].1, predicted[0].1);
}

#[test]
fn a_pretraining_says_how_its_loss_is_made_up_and_how_much_of_the_latent_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = data::open(phantom()).unwrap();
    let plan = plan_of(&[named("probabilistic")], &dataset, &[]);
    let mut bench = bench(folder.path(), dataset);
    let mut steps = Vec::new();
    let spec = first(&plan, Kind::Pretrain);
    let mut watch = |step: Step| steps.push(step);
    let files = stage::compute(spec, &mut bench, &mut watch).unwrap();
    let Spec::Train(train) = spec else {
        panic!("a training")
    };
    let pixels = train.recipe.image.input().pow(2) as f32;
    for step in &steps {
        let terms = step.latent.unwrap();
        let sum = terms.cross_entropy + terms.divergence / pixels;
        assert!((step.loss - sum).abs() < 1e-5, "{step:?}");
        assert!(terms.divergence >= 0.0);
        assert_eq!(terms.clamped, 0);
    }
    let text = String::from_utf8(files[LATENT_CURVE].clone()).unwrap();
    assert_eq!(text.lines().count(), 1 + steps.len());
    assert!(text.starts_with("step,cross_entropy,divergence,clamped\n1,"));
    let used = LatentUse::parse(&files[LATENT_USE]).unwrap();
    assert_eq!(used.divergence.len(), 6);
    assert!(
        used.divergence
            .iter()
            .all(|nats| *nats >= 0.0 && nats.is_finite())
    );
    assert!(used.variance_between_masks.iter().all(|v| *v > 0.0));
    let dead = LatentUse {
        divergence: vec![0.009; 6],
        ..used
    };
    assert_eq!(dead.used(), 0);
    // Nothing of this is there where no latent is.
    let plain = plan_of(&[named("pool")], bench.library.dataset(), &[]);
    let files = compute(first(&plain, Kind::Pretrain), &mut bench);
    assert!(!files.contains_key(LATENT_CURVE) && !files.contains_key(LATENT_USE));
}

#[test]
fn a_manifest_sets_the_latent_of_probabilistic_networks_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = data::open(phantom()).unwrap();
    let methods = [named("probabilistic"), named("customised")];
    let stages = |more: &[&str]| -> Vec<(Kind, Digest)> {
        let plan = plan_of(&methods, &dataset, more);
        let stages = plan.stages.iter();
        stages
            .map(|stage| (stage.spec.kind(), stage.digest))
            .collect()
    };
    let differing = |more: &str| -> Vec<Kind> {
        let (usual, other) = (stages(&[]), stages(&[more]));
        assert_eq!(usual.len(), other.len());
        let pairs = usual.into_iter().filter(|stage| !other.contains(stage));
        pairs.map(|(kind, _)| kind).unique().collect()
    };
    // The pretraining, what is served from it, and its scores.
    let all = [Kind::Pretrain, Kind::Serve, Kind::Evaluate];
    assert_eq!(differing("probabilistic.beta=0.25"), all);
    assert_eq!(differing("probabilistic.latent=3"), all);
    assert_eq!(differing("probabilistic.serve=relative"), all[1..]);
    assert_eq!(differing("probabilistic.beta=1.0"), []);

    let more = ["probabilistic.beta=0.25", "probabilistic.latent=3"];
    let plan = plan_of(&methods[..1], &dataset, &more);
    let mut bench = bench(folder.path(), dataset);
    let spec = first(&plan, Kind::Pretrain);
    let Spec::Train(train) = spec else {
        panic!("a training")
    };
    let pixels = train.recipe.image.input().pow(2) as f32;
    let mut steps = Vec::new();
    let mut watch = |step: Step| steps.push(step);
    let files = stage::compute(spec, &mut bench, &mut watch).unwrap();
    for step in &steps {
        let terms = step.latent.unwrap();
        let sum = terms.cross_entropy + 0.25 * terms.divergence / pixels;
        assert!((step.loss - sum).abs() < 1e-5, "{step:?}");
    }
    let used = LatentUse::parse(&files[LATENT_USE]).unwrap();
    assert_eq!(used.divergence.len(), 3);
    let read = Checkpoint::read(&files[WEIGHTS]).unwrap();
    assert_eq!(read.size().unwrap().branches.latent(), 3);
}

#[test]
fn a_relative_latent_moves_each_images_prior_as_the_cases_are_from_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = data::open(phantom()).unwrap();
    let more = ["probabilistic.serve=relative"];
    let plan = plan_of(&[named("probabilistic")], &dataset, &more);
    let mut bench = bench(folder.path(), dataset.clone());
    let weights = pretrain(&plan, &mut bench);
    let Spec::Serve(serve) = first(&plan, Kind::Serve) else {
        panic!("a served network")
    };
    assert_eq!(serve.way, Way::Relative);
    let support = serve.support.as_ref().unwrap();
    let files = compute(first(&plan, Kind::Serve), &mut bench);
    let choice: Value = serde_json::from_slice(&files[RELATIVE_LATENT]).unwrap();
    let chosen = choice["chosen"].as_array().unwrap().iter();
    let chosen: Vec<f32> = chosen.map(|z| z.as_f64().unwrap() as f32).collect();

    let read = Checkpoint::read(&weights).unwrap();
    let recipe = read.about().unwrap().recipe;
    let net = read.restore(&recipe.network, &Device::Cpu).unwrap();
    let engine = Stock::new(Device::Cpu);
    let mut expected = [0.0f64; 6];
    for digest in &support.images {
        let mut cases = dataset.training.iter();
        let case = cases.find(|case| case.image_digest == *digest).unwrap();
        let image = Arc::new(prepare(&case.image, &recipe.image));
        let view = image.view(&recipe.image);
        let [height, width] = view.size;
        let x = engine.pack(&image.cut(&view).values, [1, 1, height, width]);
        let prior = net.prior(&engine, &x.unwrap()).unwrap();
        let prior: Vec<f32> = prior.flatten_all().unwrap().to_vec1().unwrap();
        let mask = case.mask(6).unwrap();
        let posterior = posterior_mean(&net, &engine, &[(image, mask)], &recipe.image).unwrap();
        for place in 0..6 {
            let distance = f64::from(posterior[place] - prior[place]);
            let deviation = f64::from(prior[6 + place]).exp();
            expected[place] += distance / deviation / support.images.len() as f64;
        }
    }
    for (chosen, expected) in std::iter::zip(&chosen, expected) {
        assert!(
            (f64::from(*chosen) - expected).abs() < 1e-4 * (1.0 + expected.abs()),
            "{chosen} {expected}"
        );
    }
    let served = parse_predictions(&files[PREDICTIONS]).unwrap();
    let case = &dataset.test[0];
    let image = prepare(&case.image, &recipe.image);
    let lanes = Lanes::new(NonZeroUsize::MIN);
    let planes = samples(&net, &lanes, &image, &[chosen], &recipe.image).unwrap();
    let mut predictions = served[0].1.iter();
    let prediction = predictions.find(|found| found.case == case.name).unwrap();
    for (byte, logit) in std::iter::zip(&prediction.probability, &planes[0].values) {
        let expected = Prediction::quantise(sigmoid(*logit));
        assert!(byte.abs_diff(expected) <= 1, "{byte} {expected}");
    }
}

#[test]
fn a_frozen_probabilistic_network_moves_its_last_layers_alone() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = data::open(phantom()).unwrap();
    for adapt in ["full", "expert-layers"] {
        let words = Words {
            annotation: "every",
            multitask: "probabilistic",
            branch: "inherit",
            adapt,
        };
        let method = Method::from_words("own", &words).unwrap();
        let plan = plan_of(&[method], &dataset, &[]);
        let mut bench = bench(folder.path(), dataset.clone());
        let before = tensors(&pretrain(&plan, &mut bench));
        let files = compute(first(&plan, Kind::Finetune), &mut bench);
        let after = tensors(&files[WEIGHTS]);
        let mut moved = 0;
        for (name, tensor) in &after {
            let kept = *tensor == before[name];
            assert!(
                !name.contains("prior") && !name.contains("posterior"),
                "{name}"
            );
            match (adapt, name.starts_with("latent.comb.")) {
                (_, true) => assert!(!kept, "{name}"),
                ("full", false) => moved += usize::from(!kept),
                (_, false) => assert!(kept, "{name}"),
            }
        }
        assert_eq!(moved > 40, adapt == "full");
        let read = Checkpoint::read(&files[WEIGHTS]).unwrap();
        assert_eq!(read.about().unwrap().network, NetworkForm::Comb);
        assert_eq!(read.about().unwrap().owners(), [6]);
    }
}
