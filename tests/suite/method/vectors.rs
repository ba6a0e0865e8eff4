//! Losses, sizes, fused masks and matched pairings of the methods against PyTorch in double
//! precision, SimpleITK and formulas, as tests/reference/methods.py computed them. What is private
//! to a module is tested there, by the same file.

use candle_core::{DType, Device, Tensor, Var};
use expertgrid::{
    data::Mask,
    engine::{DiceOver, Engine, Stock},
    fusion::{Rule, fuse},
    manifest::{self, NetworkSpec},
    method::FusionRegion,
    net::{Branches, ExpertLayers, UNet, count},
    plan::{self, Inventory},
    seed::Seed,
    train::disagreement,
};
use serde_json::Value;

use crate::support::common::repository;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../fixtures/methods.json")).unwrap()
}

/// The numbers of a nested list, row-major.
fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(values) => values.iter().flat_map(numbers).collect(),
        number => vec![number.as_f64().unwrap()],
    }
}

fn leaf(values: Vec<f64>, shape: &[usize]) -> Var {
    let tensor = Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
    Var::from_tensor(&tensor).unwrap()
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn close(found: &[f64], expected: &[f64], bound: f64) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in std::iter::zip(found, expected) {
        assert!((found - expected).abs() <= bound, "{found} {expected}");
    }
}

/// Checks a loss and its gradients.
fn check(loss: Tensor, expected: &Value, leaves: &[(&Var, &Value)]) {
    let engine = Stock::double();
    let found = engine.loss(&loss).unwrap();
    close(&[found], &[expected.as_f64().unwrap()], 1e-10);
    let tensors: Vec<&Tensor> = leaves.iter().map(|(leaf, _)| leaf.as_tensor()).collect();
    let gradients = engine.gradients(loss, 1.0, &tensors).unwrap();
    assert_eq!(gradients.len(), leaves.len());
    for ((_, expected), gradient) in std::iter::zip(leaves, gradients) {
        close(&flat(&gradient.unwrap()), &numbers(expected), 1e-10);
    }
}

#[test]
fn cross_entropy_takes_targets_between_the_two() {
    let (engine, vectors) = (Stock::double(), vectors());
    let vector = &vectors["bce"];
    let shape = [2, 1, 2, 3];
    let logits = leaf(numbers(&vector["logits"]), &shape);
    let targets = leaf(numbers(&vector["targets"]), &shape);
    let loss = engine.cross_entropy(logits.as_tensor(), targets.as_tensor(), 2);
    check(
        loss.unwrap(),
        &vector["loss"],
        &[(&logits, &vector["gradient"])],
    );
}

#[test]
fn the_dice_loss_of_many_masks_is_the_mean_of_that_of_each() {
    let (engine, vectors) = (Stock::double(), vectors());
    let vector = &vectors["dice_of_many"];
    let smooth = vector["smooth"].as_f64().unwrap();
    let waves: Vec<f64> = (0..72)
        .map(|i| 2.0 * (0.9 * f64::from(i) + 0.3).sin())
        .collect();
    // A head for each of three masks of two images.
    let masks = leaf(numbers(&vector["masks"]), &[6, 1, 3, 4]);
    let logits = leaf(waves.clone(), &[6, 1, 3, 4]);
    let (z, y) = (logits.as_tensor(), masks.as_tensor());
    let loss = engine.dice_loss(z, y, 6, smooth, DiceOver::Image);
    let heads = &vector["heads"];
    check(
        loss.unwrap(),
        &heads["loss"],
        &[(&logits, &heads["gradient"])],
    );

    // One output against the three masks of its image.
    let first = [waves[..12].to_vec(), waves[36..48].to_vec()].concat();
    let logits = leaf(first, &[2, 1, 3, 4]);
    let masks = masks.reshape((2, 3, 3, 4)).unwrap();
    let of_expert = |expert: usize| {
        let mask = masks.narrow(1, expert, 1).unwrap();
        let loss = engine.dice_loss(logits.as_tensor(), &mask, 2, smooth, DiceOver::Image);
        (loss.unwrap(), 1.0 / 3.0)
    };
    let pool = &vector["pool"];
    let loss = engine.sum(&[0, 1, 2].map(of_expert)).unwrap();
    check(loss, &pool["loss"], &[(&logits, &pool["gradient"])]);
}

#[test]
fn a_share_of_experts_is_learned_by_cross_entropy_and_not_by_the_dice_loss() {
    let (engine, vectors) = (Stock::double(), vectors());
    let vector = &vectors["soft_target_trap"];
    let shape = [1, 1, 3, 3];
    let target = leaf(vec![vector["target"].as_f64().unwrap(); 9], &shape);
    let rows = vector["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 6);
    let mut losses = Vec::new();
    for row in rows {
        let s = row["s"].as_f64().unwrap();
        let logits = leaf(vec![(s / (1.0 - s)).ln(); 9], &shape);
        let (z, y) = (logits.as_tensor(), target.as_tensor());
        let dice = engine.dice_loss(z, y, 1, 1e-7, DiceOver::Image).unwrap();
        let cross_entropy = engine.cross_entropy(z, y, 1).unwrap();
        let found = [dice, cross_entropy].map(|loss| engine.loss(&loss).unwrap());
        let expected = [&row["dice"], &row["bce"]].map(|loss| loss.as_f64().unwrap());
        close(&found, &expected, 1e-10);
        losses.push((s, found));
    }
    let least = |of: usize| {
        let by = |a: &&(f64, [f64; 2]), b: &&(f64, [f64; 2])| a.1[of].total_cmp(&b.1[of]);
        losses.iter().min_by(by).unwrap().0
    };
    assert_eq!([least(0), least(1)], [0.999, 0.3]);
}

#[test]
fn the_losses_of_an_uncertainty_map_are_pytorchs() {
    let (engine, vectors) = (Stock::double(), vectors());
    let vector = &vectors["uncertainty"];
    let shape = [1, 1, 1, 6];
    let of_three = &vector["targets"][2];
    assert_eq!(of_three["experts"], 3);
    let target = |of: &str| leaf(numbers(&of_three[of]), &shape);
    let logits = numbers(&vector["logits"]);
    let (mask, map) = (logits[..6].to_vec(), logits[6..].to_vec());

    let (z, mean) = (leaf(mask.clone(), &shape), target("mean"));
    let loss = engine.cross_entropy(z.as_tensor(), mean.as_tensor(), 1);
    let alone = &vector["mean"];
    check(loss.unwrap(), &alone["loss"], &[(&z, &alone["gradient"])]);

    let (z, of_map) = (leaf(mask, &shape), leaf(map, &shape));
    let (majority, variation) = (target("majority"), target("variation"));
    let image = DiceOver::Image;
    let dice = engine.dice_loss(z.as_tensor(), majority.as_tensor(), 1, 1e-7, image);
    let of_variation = engine.cross_entropy(of_map.as_tensor(), variation.as_tensor(), 1);
    let losses = [(dice.unwrap(), 1.0), (of_variation.unwrap(), 1.0)];
    let beside = &vector["beside"];
    let planes = &beside["gradient"][0];
    let leaves = [(&z, &planes[0]), (&of_map, &planes[1])];
    check(engine.sum(&losses).unwrap(), &beside["loss"], &leaves);
}

#[test]
fn the_targets_of_several_masks_are_their_mean_its_variation_and_their_majority() {
    let vectors = vectors();
    let vector = &vectors["uncertainty"];
    let masks = vector["masks"].as_array().unwrap();
    for case in vector["targets"].as_array().unwrap() {
        let experts = case["experts"].as_u64().unwrap() as usize;
        let rows = masks[..experts].iter().map(|mask| Mask {
            height: 1,
            width: 6,
            pixels: numbers(mask).iter().map(|inside| *inside == 1.0).collect(),
        });
        let rows: Vec<Mask> = rows.collect();
        let fused = fuse(&rows.iter().collect::<Vec<_>>(), Rule::Majority).unwrap();
        let expected = numbers(&case["majority"]);
        let expected: Vec<bool> = expected.iter().map(|inside| *inside == 1.0).collect();
        assert_eq!(fused.mask.pixels, expected, "{experts}");
        let share = |pixel: usize| {
            let inside = rows.iter().filter(|mask| mask.pixels[pixel]).count();
            inside as f64 / experts as f64
        };
        let mean: Vec<f64> = (0..6).map(share).collect();
        close(&mean, &numbers(&case["mean"]), 1e-15);
        let variation: Vec<f64> = mean
            .iter()
            .map(|mean| disagreement(*mean as f32).into())
            .collect();
        close(&variation, &numbers(&case["variation"]), 1e-6);
    }
}

#[test]
fn divergences_of_normal_distributions_are_pytorchs() {
    let (engine, vectors) = (Stock::double(), vectors());
    let cases = vectors["kl"]["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 4);
    for case in cases {
        let each = numbers(&case["kl"]);
        let batch = each.len();
        let of = |of: &str| leaf(numbers(&case[of]), &[batch, 4, 1, 1]);
        let (posterior, prior) = (of("posterior"), of("prior"));
        for (sample, expected) in each.iter().enumerate() {
            let of = |of: &Var| of.narrow(0, sample, 1).unwrap();
            let alone = engine.divergence(&of(&posterior), &of(&prior), 1).unwrap();
            close(
                &[engine.loss(&alone).unwrap()],
                &[*expected],
                1e-10 * (1.0 + expected),
            );
        }
        let mean = engine.divergence(posterior.as_tensor(), prior.as_tensor(), batch);
        let gradients = engine.gradients(mean.unwrap(), 1.0, &[&posterior, &prior]);
        let expected = &case["gradient_of_mean"];
        for (gradient, of) in std::iter::zip(gradients.unwrap(), ["posterior", "prior"]) {
            let expected = numbers(&expected[of]);
            let largest = expected
                .iter()
                .fold(1.0, |most: f64, value| most.max(value.abs()));
            close(&flat(&gradient.unwrap()), &expected, 1e-10 * largest);
        }
    }
}

#[test]
fn a_draw_is_the_mean_and_a_deviation_times_the_noise() {
    let (engine, vectors) = (Stock::double(), vectors());
    let vector = &vectors["draw"];
    let posterior = leaf(numbers(&vector["posterior"]), &[2, 4, 1, 1]);
    let noise: Vec<f32> = numbers(&vector["noise"])
        .iter()
        .map(|n| *n as f32)
        .collect();
    let z = engine.draw(posterior.as_tensor(), &noise).unwrap();
    // Noise is in single precision: 0.7, -1.3 and 2.1 are not exactly what the vector says.
    close(&flat(&z), &numbers(&vector["z"]), 1e-6);
    let parts = numbers(&vector["posterior"]);
    let rounded: Vec<f64> = (0..4)
        .map(|i| {
            let at = 4 * (i / 2) + i % 2;
            parts[at] + parts[at + 2].exp() * f64::from(noise[i])
        })
        .collect();
    close(&flat(&z), &rounded, 1e-10);
    let upstream = leaf(numbers(&vector["upstream"]), &[2, 2, 1, 1]);
    let sum = (z * upstream.as_tensor()).unwrap().sum_all().unwrap();
    let gradients = engine
        .gradients(sum, 1.0, &[posterior.as_tensor()])
        .unwrap();
    let found = flat(gradients[0].as_ref().unwrap());
    close(&found, &numbers(&vector["gradient"]), 1e-6);
}

#[test]
fn means_over_squares_and_over_everything_are_pytorchs() {
    let (engine, vectors) = (Stock::double(), vectors());
    let vector = &vectors["pooling"];
    let waves = (0..32).map(|i| (0.9 * f64::from(i)).sin()).collect();
    let x = leaf(waves, &[1, 2, 4, 4]);
    let found = engine.mean_pool(x.as_tensor()).unwrap();
    close(&flat(&found), &numbers(&vector["mean_2x2"]), 1e-12);
    let found = engine.mean(x.as_tensor()).unwrap();
    close(&flat(&found), &numbers(&vector["mean_of_all"]), 1e-12);
}

/// Side of a layer's output, where the input's is `side`; `None` for a map of means over pixels.
fn side_of(name: &str, side: usize) -> Option<usize> {
    let parts: Vec<&str> = name.split('.').collect();
    Some(match *parts {
        ["encoder", "conv1", ..] => side / 2,
        ["encoder", layer, ..] => {
            let layer: u32 = layer.strip_prefix("layer").unwrap().parse().unwrap();
            side / 2_usize.pow(layer + 1)
        }
        ["decoder", "blocks", block, ..] => side / 16 * 2_usize.pow(block.parse().unwrap()),
        ["latent", _, "out", ..] => return None,
        ["latent", "comb", _, "latent"] => 1,
        ["segmentation_head", ..] | ["latent", "comb", ..] => side,
        ["latent", _, block, ..] => side / 2_usize.pow(block.parse().unwrap()),
        _ => panic!("{name}"),
    })
}

/// Multiplications and additions of a forward pass, and parameters, of the tensors whose names
/// begin so.
fn work(net: &UNet, side: usize, of: &str) -> (u64, u64) {
    let parameters = net.parameters().iter();
    let parameters = parameters.filter(|parameter| parameter.name.starts_with(of));
    parameters.fold((0, 0), |(multiplications, count), parameter| {
        let numbers = parameter.var.elem_count() as u64;
        let side = match parameter.var.dims().len() {
            4 => side_of(&parameter.name, side).unwrap_or(0) as u64,
            _ => 0,
        };
        (multiplications + numbers * side * side, count + numbers)
    })
}

#[test]
fn networks_have_the_sizes_of_their_formulas() {
    let vectors = vectors();
    for row in vectors["sizes"].as_array().unwrap() {
        let whole = |of: &Value| of.as_u64().unwrap();
        let [width, side] = ["width", "side"].map(|of| whole(&row[of]) as usize);
        let spec = NetworkSpec {
            width,
            ..NetworkSpec::default()
        };
        for experts in 1..=5 {
            let norms = count(&spec, Branches::new(ExpertLayers::Norms, experts));
            assert_eq!(norms, whole(&row["norms_by_experts"][experts - 1]));
            let heads = count(&spec, Branches::new(ExpertLayers::Head, experts));
            assert_eq!(heads, whole(&row["heads_by_experts"][experts - 1]));
        }
        let one = count(&spec, 1);
        assert_eq!(one, whole(&row["one_branch"]));
        let of_two = count(&spec, 2);
        assert_eq!(of_two - one, whole(&row["norm_parameters_per_expert"]));
        let map = count(&spec, Branches::with_map());
        assert_eq!(map, whole(&row["uncertainty_beside"]));
        assert_eq!(map - one, whole(&row["head_parameters"]));

        let probabilistic = &row["probabilistic"];
        let latent = whole(&probabilistic["latent"]) as usize;
        let branches = Branches::probabilistic(latent);
        let total = whole(&probabilistic["total"]);
        assert_eq!(count(&spec, branches.clone()), total);
        // A chosen latent's share is in the bias, and its columns are left out.
        let columns = whole(&probabilistic["comb_channels"]) * latent as u64;
        let adapted = count(&spec, Branches::new(ExpertLayers::Comb, 1));
        assert_eq!(adapted + columns, whole(&probabilistic["adapted"]));

        let made = |branches: Branches| {
            let seed = Seed::new(0);
            UNet::init(&spec, branches, &seed, &Device::Cpu).unwrap()
        };
        let (plain, net) = (made(Branches::from(1)), made(branches));
        let expected = &row["forward_macs_per_image"];
        let multiplications = |of: &str| work(&net, side, of).0;
        for part in ["prior", "posterior", "comb"] {
            let name = format!("latent.{part}.");
            assert_eq!(
                work(&net, side, &name).1,
                whole(&probabilistic[part]),
                "{part}"
            );
            assert_eq!(multiplications(&name), whole(&expected[part]), "{part}");
        }
        let unet = work(&plain, side, "").0;
        assert_eq!(unet, whole(&expected["unet"]));
        let training = multiplications("");
        assert_eq!(training, whole(&expected["probabilistic_training"]));
        let ratio = training as f64 / unet as f64;
        close(
            &[ratio],
            &[expected["ratio_to_unet"].as_f64().unwrap()],
            1e-12,
        );
    }
}

#[test]
fn heads_of_several_experts_begin_as_one_would() {
    let vectors = vectors();
    for row in vectors["initial"]["rows"].as_array().unwrap() {
        let spec = NetworkSpec {
            width: row["width"].as_u64().unwrap() as usize,
            ..NetworkSpec::default()
        };
        let heads = Branches::of(ExpertLayers::Head, &[1, 2, 3]);
        let net = UNet::init(&spec, heads, &Seed::new(0), &Device::Cpu).unwrap();
        let heads = net.parameters().iter();
        let heads = heads.filter(|parameter| {
            parameter.name.starts_with("segmentation_head") && parameter.var.dims().len() == 4
        });
        let largest = heads
            .map(|parameter| {
                let values = parameter.var.to_dtype(DType::F64).unwrap();
                let values = flat(&values);
                assert_eq!(values.len() * 4, 9 * spec.width);
                values
                    .iter()
                    .fold(0.0, |most: f64, value| most.max(value.abs()))
            })
            .fold((0, 0.0), |(count, most): (usize, f64), of| {
                (count + 1, most.max(of))
            });
        let [bound, of_one_tensor] = [0, 1].map(|place| {
            let layer = &row["layers"][place];
            layer["bound"].as_f64().unwrap()
        });
        assert_eq!(largest.0, 3);
        assert!(
            largest.1 <= bound && largest.1 > of_one_tensor,
            "{largest:?}"
        );
    }
}

#[test]
fn staple_agrees_with_simpleitk_and_with_an_em_of_patterns() {
    let vectors = vectors();
    let cases = vectors["staple"]["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 15);
    for case in cases {
        let masks = case["masks"].as_array().unwrap().iter().map(|mask| Mask {
            height: 12,
            width: 12,
            pixels: mask
                .as_str()
                .unwrap()
                .chars()
                .map(|pixel| pixel == '1')
                .collect(),
        });
        let masks: Vec<Mask> = masks.collect();
        let borrowed: Vec<&Mask> = masks.iter().collect();
        let fused = fuse(&borrowed, Rule::Staple(FusionRegion::Slice)).unwrap();
        let size = |mask: &Mask| mask.pixels.iter().filter(|inside| **inside).count() as u64;
        assert_eq!(
            size(&fused.mask),
            case["fused_size"].as_u64().unwrap(),
            "{case}"
        );
        let majority = fuse(&borrowed, Rule::Majority).unwrap();
        assert_eq!(
            size(&majority.mask),
            case["votes_over_half"].as_u64().unwrap()
        );
        if !case["degenerate"].is_null() {
            assert_eq!(fused.rounds, None);
            continue;
        }
        for by in [case, &case["simpleitk"]] {
            let found = fused.performances.iter();
            let sensitivity: Vec<f64> = found.clone().map(|of| of.sensitivity.unwrap()).collect();
            let specificity: Vec<f64> = found.map(|of| of.specificity.unwrap()).collect();
            close(&sensitivity, &numbers(&by["sensitivity"]), 1e-6);
            close(&specificity, &numbers(&by["specificity"]), 1e-6);
        }
        for pattern in case["patterns"].as_array().unwrap() {
            let votes: Vec<bool> = pattern["votes"]
                .as_str()
                .unwrap()
                .chars()
                .map(|v| v == '1')
                .collect();
            let pixels = (0..144).filter(|pixel| {
                let each = masks.iter().map(|mask| mask.pixels[*pixel]);
                each.eq(votes.iter().copied())
            });
            let inside: Vec<bool> = pixels.map(|pixel| fused.mask.pixels[pixel]).collect();
            assert_eq!(inside.len() as u64, pattern["pixels"].as_u64().unwrap());
            let expected = pattern["inside"].as_bool().unwrap();
            assert!(inside.iter().all(|inside| *inside == expected), "{pattern}");
        }
    }
}

#[test]
fn a_tie_of_votes_is_background() {
    let vectors = vectors();
    for row in vectors["majority"]["rows"].as_array().unwrap() {
        let experts = row["experts"].as_u64().unwrap() as usize;
        let mask = |expert: usize| Mask {
            height: 1,
            width: experts + 1,
            pixels: (0..=experts).map(|votes| expert < votes).collect(),
        };
        let masks: Vec<Mask> = (0..experts).map(mask).collect();
        let fused = fuse(&masks.iter().collect::<Vec<_>>(), Rule::Majority).unwrap();
        let expected = row["inside_by_votes"].as_array().unwrap().iter();
        let expected: Vec<bool> = expected.map(|inside| inside.as_bool().unwrap()).collect();
        assert_eq!(fused.mask.pixels, expected, "{experts}");
    }
}

#[test]
fn matched_results_differ_in_start_annotators_and_pretraining() {
    let path = repository().join("experiments/scenarios-experts.toml");
    let methods = ["grid.methods=[\"customised\"]".to_owned()];
    let read = manifest::read(&[path], "paper", &methods).unwrap();
    let inventory = Inventory::assumed(&read[0].cohort);
    let plan = plan::build(read, &inventory);
    let vectors = vectors();
    for (k, expected) in vectors["matched"].as_object().unwrap() {
        let runs = plan
            .runs
            .iter()
            .filter(|run| run.at.new_expert == 6 && run.at.experts.len().to_string() == *k);
        let found = runs.map(|run| {
            let experts: Vec<String> = run.at.experts.iter().map(u8::to_string).collect();
            (
                run.at.start as u64,
                experts.join("+"),
                run.at.repeat.unwrap_or(0) as u64,
            )
        });
        let mut found: Vec<(u64, String, u64)> = found.collect();
        found.sort();
        let expected = expected.as_array().unwrap().iter().map(|row| {
            let [start, repeat] = ["start", "repeat"].map(|of| row[of].as_u64().unwrap());
            (
                start,
                row["annotators"].as_str().unwrap().to_owned(),
                repeat,
            )
        });
        assert_eq!(found, expected.collect::<Vec<_>>(), "k = {k}");
    }
}
