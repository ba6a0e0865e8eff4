//! What the words of a manifest do to images, networks, trainings and scores.
//!
//! Every expected value is worked out by hand or computed here from its definition.

use std::{collections::BTreeSet, num::NonZeroUsize, sync::Arc};

use candle_core::Device;
use expertgrid::{
    data::{
        Image, Mask,
        augment::sample,
        prepare::{Frame, Plane, Prepared, Region, prepare},
    },
    engine::{Engine, Lanes},
    event::Step,
    manifest::{
        AugmentSpec, Budget, CropAt, ExpertBatching, FieldOfView, FirstConv, ImageSpec, Metrics,
        NetworkSpec, Recipe, Reduction, Translation,
    },
    method::{Objective, Tuned},
    metric::{MaskView, Score, Spacing},
    net::{Part, UNet},
    plan::{self, Inventory, Spec},
    results,
    seed::Seed,
    train::{Annotated, Next, Training, Watch, train},
};

use super::options::experiment;
use crate::{
    support::{
        common::{Metric, csv, run, scores, tiny, tiny_run},
        made_up::{grid, provenance},
    },
    train::course::{network_spec, numbers},
};

/// Pixels that count up from 1 within a box, in an image of background.
fn counting(size: [usize; 2], foreground: Region) -> Image {
    let [height, width] = size;
    let mut pixels = vec![0.0; height * width];
    for y in 0..foreground.size[0] {
        for x in 0..foreground.size[1] {
            let at = (foreground.origin[0] + y) * width + foreground.origin[1] + x;
            pixels[at] = (1 + y * foreground.size[1] + x) as f32;
        }
    }
    Image {
        height,
        width,
        pixels,
    }
}

fn image_spec(crop_at: CropAt, field_of_view: FieldOfView) -> ImageSpec {
    ImageSpec {
        crop: 32,
        reduce: 1,
        crop_at,
        field_of_view,
    }
}

/// Foregrounds in an image of 70 x 100 pixels, with the origins of a crop of 32 x 32 around their
/// centres: half of twice the centre less 32, within the image.
const AROUND: [(Region, [usize; 2]); 3] = [
    // Centre (25, 60): 25 - 16 and 60 - 16.
    (
        Region {
            origin: [20, 50],
            size: [10, 20],
        },
        [9, 44],
    ),
    // Too near the first row and column.
    (
        Region {
            origin: [2, 3],
            size: [5, 4],
        },
        [0, 0],
    ),
    // Too near the last row and column: 70 - 32 and 100 - 32.
    (
        Region {
            origin: [60, 90],
            size: [9, 8],
        },
        [38, 68],
    ),
];

/// The origin of a crop of 32 x 32 in the middle of 70 x 100 pixels: 19 rows and 34 columns remain
/// on either side.
const MIDDLE: [usize; 2] = [19, 34];

#[test]
fn a_test_crop_lies_around_the_foreground_or_in_the_middle_of_the_image() {
    for (foreground, around) in AROUND {
        let prepared = prepare(
            &counting([70, 100], foreground),
            &image_spec(CropAt::Foreground, FieldOfView::Crop),
        );
        assert_eq!(prepared.foreground, foreground);
        for (crop_at, origin) in [(CropAt::Foreground, around), (CropAt::Centre, MIDDLE)] {
            let seen = prepared.view(&image_spec(crop_at, FieldOfView::Crop));
            let expected = Region {
                origin,
                size: [32; 2],
            };
            assert_eq!(seen, expected, "{crop_at:?}, {foreground:?}");
        }
    }
}

#[test]
fn the_full_view_is_the_whole_image_padded_with_background_to_multiples_of_32() {
    let (foreground, _) = AROUND[0];
    for crop_at in [CropAt::Foreground, CropAt::Centre] {
        let spec = image_spec(crop_at, FieldOfView::Full);
        let prepared = prepare(&counting([70, 100], foreground), &spec);
        let seen = prepared.view(&spec);
        let expected = Region {
            origin: [0, 0],
            size: [96, 128],
        };
        assert_eq!(seen, expected);
        let plane = prepared.cut(&seen);
        for y in 0..96 {
            for x in 0..128 {
                let value = plane.values[y * 128 + x];
                let expected = match y < 70 && x < 100 {
                    true => prepared.image.values[y * 100 + x],
                    // What intensity 0 has become: that of the image's first pixel.
                    false => prepared.image.values[0],
                };
                assert_eq!(value, expected, "{y}, {x}");
            }
        }
    }
}

/// No change of any training image, but for where its crop lies.
fn nothing(translation: Translation) -> AugmentSpec {
    AugmentSpec {
        rotation: 0.0,
        zoom: 0.0,
        noise: 0.0,
        blur: 0.0,
        brightness: 0.0,
        translation,
        ..Recipe::default().augment
    }
}

#[test]
fn without_translation_a_training_crop_lies_where_a_test_crop_would() {
    for (foreground, around) in AROUND {
        let image = counting([70, 100], foreground);
        for (crop_at, origin) in [(CropAt::Foreground, around), (CropAt::Centre, MIDDLE)] {
            // A training crop is a crop even where a test sees the whole image.
            for field_of_view in [FieldOfView::Crop, FieldOfView::Full] {
                let spec = image_spec(crop_at, field_of_view);
                let mut prepared = prepare(&image, &spec);
                // Every pixel says where it is.
                prepared.image.values = (0..7000_u16).map(f32::from).collect();
                let seeds = (0..5).map(Seed::new);
                let firsts = seeds.map(|seed| {
                    let plain = nothing(Translation::None);
                    sample(&prepared, &[], &spec, &plain, &seed).image.values[0]
                });
                let found: BTreeSet<usize> = firsts.map(|first| first as usize).collect();
                let expected = origin[0] * 100 + origin[1];
                assert_eq!(
                    found,
                    BTreeSet::from([expected]),
                    "{crop_at:?}, {field_of_view:?}, {foreground:?}"
                );
            }
        }
    }
}

#[test]
fn the_first_convolution_is_initialised_like_a_replaced_layer_or_like_the_rest() {
    let net = |first_conv| {
        let spec = NetworkSpec {
            width: 64,
            norm_eps: 1e-5,
            first_conv,
        };
        UNet::init(&spec, 1, &Seed::new(1), &Device::Cpu).unwrap()
    };
    let [uniform, kaiming] = [FirstConv::Uniform, FirstConv::Kaiming].map(net);
    let values = |net: &UNet, name: &str| -> Vec<f32> {
        let parameter = net.parameters().iter().find(|p| p.name == name).unwrap();
        let flat = parameter.var.as_tensor().flatten_all().unwrap();
        flat.to_vec1().unwrap()
    };
    let sd = |values: &[f32]| {
        let squares = values.iter().map(|v| f64::from(*v).powi(2));
        (squares.sum::<f64>() / values.len() as f64).sqrt()
    };
    let largest = |values: &[f32]| values.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
    let first = "encoder.conv1.weight";
    // Uniform in +-1/7, one over the root of 7 x 7 inputs: its deviation is 1/7 over sqrt(3).
    let drawn = values(&uniform, first);
    let bound = 1.0 / 7.0;
    assert!(largest(&drawn) <= bound as f32);
    assert!((sd(&drawn) / (bound / 3.0_f64.sqrt()) - 1.0).abs() < 0.03);
    // Normal with variance 2 over 64 x 7 x 7 outputs; of 3136 such numbers some lie beyond 3.
    let drawn = values(&kaiming, first);
    let expected = (2.0_f64 / 3136.0).sqrt();
    assert!((sd(&drawn) / expected - 1.0).abs() < 0.05);
    assert!(f64::from(largest(&drawn)) > 3.0 * expected);
    for parameter in uniform.parameters().iter().filter(|p| p.name != first) {
        let name = &parameter.name;
        assert_eq!(values(&uniform, name), values(&kaiming, name), "{name}");
    }
}

const SIDE: usize = 32;

fn plane(values: Vec<f32>) -> Plane {
    Plane {
        height: SIDE,
        width: SIDE,
        values,
    }
}

/// An image with the masks of some experts, different for each case.
fn annotated(case: u64, experts: u64) -> Annotated {
    let stream = 100 * case;
    let size = [SIDE; 2];
    Annotated {
        image: Arc::new(Prepared {
            image: plane(numbers(SIDE * SIDE, stream).collect()),
            background: 0.0,
            foreground: Region {
                origin: [0; 2],
                size,
            },
            frame: Frame {
                original: size,
                reduce: 1,
            },
        }),
        masks: (1..=experts)
            .map(|expert| {
                // Larger from case to case.
                let rows = (case as usize + 1) * 5 * SIDE;
                let noise = numbers(SIDE * SIDE, stream + expert).enumerate();
                let inside = |(at, v): (usize, f32)| f32::from(u8::from(at < rows && v > -0.5));
                Arc::new(plane(noise.map(inside).collect()))
            })
            .collect(),
    }
}

fn recipe(batch: usize) -> Recipe {
    let mut recipe = Recipe {
        image: image_spec(CropAt::Foreground, FieldOfView::Crop),
        network: network_spec(4),
        augment: nothing(Translation::None),
        ..Recipe::default()
    };
    recipe.training.batch = batch;
    recipe
}

/// A network of several experts whose branches differ.
fn branched(experts: usize) -> UNet {
    let spec = network_spec(4);
    let net = UNet::init(&spec, experts, &Seed::new(3), &Device::Cpu).unwrap();
    for (stream, parameter) in net.parameters().iter().enumerate() {
        if let Part::Expert(_) = parameter.part {
            let value = parameter.var.as_tensor();
            let noise = numbers(value.elem_count(), stream as u64).map(|v| 0.3 * v);
            let noise = candle_core::Tensor::from_iter(noise, &Device::Cpu).unwrap();
            let noise = noise.reshape(value.shape()).unwrap();
            parameter.var.set(&(value + noise).unwrap()).unwrap();
        }
    }
    net
}

/// The Dice loss of the network for images of cases through a branch, by its definition: one minus
/// twice the overlap over the sum of sizes, of groups of so many images, on average.
fn dice_loss(net: &UNet, cases: &[&Annotated], branch: usize, group: usize) -> f64 {
    let engine = Lanes::new(NonZeroUsize::MIN);
    let images = cases.iter().flat_map(|case| &case.image.image.values);
    let images: Vec<f32> = images.copied().collect();
    let x = engine.pack(&images, [cases.len(), 1, SIDE, SIDE]).unwrap();
    let logits = net
        .forward(&engine, &x, &vec![branch; cases.len()])
        .unwrap();
    let logits = engine.unpack(&logits, cases.len()).unwrap();
    let logits: Vec<f32> = logits.flatten_all().unwrap().to_vec1().unwrap();
    let masks = cases.iter().flat_map(|case| &case.masks[branch].values);
    let pairs: Vec<(f64, f64)> = logits
        .iter()
        .zip(masks)
        .map(|(logit, y)| (1.0 / (1.0 + (-f64::from(*logit)).exp()), f64::from(*y)))
        .collect();
    let groups = pairs.chunks(group * SIDE * SIDE);
    let count = groups.len() as f64;
    let losses = groups.map(|pixels| {
        let both: f64 = pixels.iter().map(|(p, y)| p * y).sum();
        let sizes: f64 = pixels.iter().map(|(p, y)| p + y).sum();
        1.0 - 2.0 * both / sizes
    });
    losses.sum::<f64>() / count
}

fn trained(
    net: &UNet,
    cases: &[Annotated],
    recipe: &Recipe,
    batching: ExpertBatching,
    budget: Budget,
) -> Vec<f64> {
    trained_by(net, cases, recipe, (batching, None), budget)
}

fn trained_by(
    net: &UNet,
    cases: &[Annotated],
    recipe: &Recipe,
    (batching, dealt): (ExpertBatching, Option<&[usize]>),
    budget: Budget,
) -> Vec<f64> {
    let training = Training {
        net,
        engine: &Lanes::new(NonZeroUsize::MIN),
        cases,
        recipe,
        budget,
        batching,
        dealt,
        objective: Objective::Dice,
        beta: 1.0,
        rate_key: "pretrain.lr".to_owned(),
        tuned: Tuned::Everything,
        seed: Seed::new(4),
    };
    let curve = train(&training, &mut |_| {}).unwrap();
    curve.iter().map(|step| f64::from(step.loss)).collect()
}

/// At a rate of nothing the network stays what it is.
fn still(steps: usize) -> Budget {
    Budget {
        steps,
        lr: 0.0,
        ..Budget::FINETUNE
    }
}

fn assert_close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 2e-5, "{found} for {expected}");
    }
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

#[test]
fn one_expert_per_image_is_one_branch_for_each_slot_and_all_experts_in_turn() {
    let net = branched(3);
    let case = annotated(1, 3);
    let of_branch: Vec<f64> = (0..3).map(|b| dice_loss(&net, &[&case], b, 1)).collect();
    let spread = sorted(of_branch.clone());
    assert!(spread[1] - spread[0] > 1e-3 && spread[2] - spread[1] > 1e-3);
    let cases = [case];
    let losses =
        |batch, batching, steps| trained(&net, &cases, &recipe(batch), batching, still(steps));
    // Batches of one: each step has the loss of one expert, each three steps those of all three.
    let alone = losses(1, ExpertBatching::OnePerImage, 12);
    let rounds: Vec<&[f64]> = alone.chunks(3).collect();
    for round in &rounds {
        assert_close(&sorted(round.to_vec()), &spread);
    }
    assert!(
        rounds.iter().any(|round| round != &rounds[0]),
        "experts come in an order of chance"
    );
    // Batches of two: three steps pass twice through each branch.
    let pairs = losses(2, ExpertBatching::OnePerImage, 12);
    let mean = of_branch.iter().sum::<f64>() / 3.0;
    for three in pairs.chunks(3) {
        assert_close(&[three.iter().sum::<f64>() / 3.0], &[mean]);
    }
    // A batch of three is a round; all experts for each image is that, at three times the cost.
    assert_close(&losses(3, ExpertBatching::OnePerImage, 4), &[mean; 4]);
    for batch in [1, 2, 3] {
        assert_close(&losses(batch, ExpertBatching::All, 4), &[mean; 4]);
    }
}

#[test]
fn a_step_changes_the_branches_that_it_passes_through_and_no_other() {
    let changed = |batching, steps: usize| -> usize {
        let net = branched(3);
        let bits = |net: &UNet, expert: usize| -> Vec<f32> {
            let own = net.parameters().iter();
            let own = own.filter(|p| p.part == Part::Expert(expert));
            own.flat_map(|p| {
                let flat = p.var.as_tensor().flatten_all().unwrap();
                flat.to_vec1::<f32>().unwrap()
            })
            .collect()
        };
        let before: Vec<Vec<f32>> = (0..3).map(|expert| bits(&net, expert)).collect();
        let budget = Budget {
            steps,
            lr: 1e-2,
            ..Budget::FINETUNE
        };
        trained(&net, &[annotated(1, 3)], &recipe(1), batching, budget);
        (0..3).filter(|e| bits(&net, *e) != before[*e]).count()
    };
    assert_eq!(changed(ExpertBatching::All, 1), 3);
    for steps in [1, 2, 3] {
        assert_eq!(changed(ExpertBatching::OnePerImage, steps), steps);
    }
}

/// Cases of which each keeps the mask of one branch.
fn dealt(branches: &[usize]) -> (Vec<Annotated>, Vec<Annotated>) {
    let whole: Vec<Annotated> = (0..branches.len())
        .map(|case| annotated(case as u64, 3))
        .collect();
    let one = whole.iter().zip(branches).map(|(case, branch)| Annotated {
        image: case.image.clone(),
        masks: vec![case.masks[*branch].clone()],
    });
    let one = one.collect();
    (whole, one)
}

#[test]
fn a_dealt_image_goes_through_the_branch_of_its_expert() {
    let net = branched(3);
    let branches = [2, 0, 1, 1];
    let (whole, one) = dealt(&branches);
    let losses = branches.iter().enumerate();
    let losses = losses.map(|(case, branch)| dice_loss(&net, &[&whole[case]], *branch, 1));
    let losses: Vec<f64> = losses.collect();
    // A batch of all four, in whatever order; whatever the manifest says of batches.
    for batching in [ExpertBatching::All, ExpertBatching::OnePerImage] {
        let how = (batching, Some(&branches[..]));
        let found = trained_by(&net, &one, &recipe(4), how, still(3));
        assert_close(&found, &[losses.iter().sum::<f64>() / 4.0; 3]);
        // One at a time: an epoch has the loss of each.
        let found = trained_by(&net, &one, &recipe(1), how, still(8));
        for epoch in found.chunks(4) {
            assert_close(&sorted(epoch.to_vec()), &sorted(losses.clone()));
        }
    }
}

#[test]
fn an_expert_without_an_image_in_a_batch_does_not_move() {
    let net = branched(3);
    let branches = [1, 1];
    let (_, one) = dealt(&branches);
    let own = |expert: usize| -> Vec<f32> {
        let parameters = net.parameters().iter();
        let own = parameters.filter(|p| p.part == Part::Expert(expert));
        own.flat_map(|p| {
            let flat = p.var.as_tensor().flatten_all().unwrap();
            flat.to_vec1::<f32>().unwrap()
        })
        .collect()
    };
    let before: Vec<_> = (0..3).map(own).collect();
    let budget = Budget {
        steps: 8,
        lr: 1e-2,
        ..Budget::FINETUNE
    };
    let how = (ExpertBatching::All, Some(&branches[..]));
    trained_by(&net, &one, &recipe(2), how, budget);
    let moved: Vec<bool> = (0..3).map(|expert| own(expert) != before[expert]).collect();
    assert_eq!(moved, [false, true, false]);
}

#[test]
fn the_experts_own_parameters_can_learn_at_a_rate_of_their_own() {
    // The parameters after a first step, which is the rate times the gradient.
    let after = |factor: f64, lr: f64| -> Vec<(Part, Vec<f32>)> {
        let net = branched(2);
        let budget = Budget {
            steps: 1,
            lr,
            expert_lr_factor: factor,
            ..Budget::FINETUNE
        };
        let cases = [annotated(1, 2)];
        trained(&net, &cases, &recipe(1), ExpertBatching::All, budget);
        let parameters = net.parameters().iter();
        parameters
            .map(|p| {
                let flat = p.var.as_tensor().flatten_all().unwrap();
                (p.part, flat.to_vec1::<f32>().unwrap())
            })
            .collect()
    };
    let (start, once, thrice) = (after(1.0, 0.0), after(1.0, 1e-2), after(3.0, 1e-2));
    let mut moved = 0;
    for (((part, start), (_, once)), (_, thrice)) in start.iter().zip(&once).zip(&thrice) {
        if *part == Part::Shared {
            assert_eq!(once, thrice);
            continue;
        }
        for ((start, once), thrice) in start.iter().zip(once).zip(thrice) {
            assert!((3.0 * (once - start) - (thrice - start)).abs() < 1e-6);
            moved += usize::from(start != once);
        }
    }
    assert!(moved > 100);
}

/// Stops a training after some steps, and keeps its state.
struct StopAfter {
    steps: usize,
    state: Option<Vec<u8>>,
}

impl Watch for StopAfter {
    fn kept(&mut self) -> Option<Vec<u8>> {
        self.state.take()
    }

    fn step(&mut self, step: Step) -> Next {
        match step.step == self.steps {
            true => Next::Stop,
            false => Next::GoOn,
        }
    }

    fn keep(&mut self, state: Vec<u8>) {
        self.state = Some(state);
    }
}

#[test]
fn a_share_of_the_last_steps_can_be_averaged_also_over_an_interruption() {
    let values = |net: &UNet| -> Vec<f32> {
        let parameters = net.parameters().iter();
        let flat = parameters.map(|p| p.var.as_tensor().flatten_all().unwrap());
        flat.flat_map(|tensor| tensor.to_vec1::<f32>().unwrap())
            .collect()
    };
    let cases = [annotated(1, 2)];
    let recipe = recipe(1);
    // After each step, and in the end; stopped on the way where `stops` says so.
    let course = |average: f64, stops: Option<usize>| {
        let net = branched(2);
        let mut after = Vec::new();
        let training = Training {
            net: &net,
            engine: &Lanes::new(NonZeroUsize::MIN),
            cases: &cases,
            recipe: &recipe,
            budget: Budget {
                steps: 4,
                lr: 1e-2,
                average,
                ..Budget::FINETUNE
            },
            batching: ExpertBatching::All,
            dealt: None,
            objective: Objective::Dice,
            beta: 1.0,
            rate_key: "finetune.lr".to_owned(),
            tuned: Tuned::Everything,
            seed: Seed::new(4),
        };
        match stops {
            None => drop(train(&training, &mut |_| after.push(values(&net))).unwrap()),
            Some(steps) => {
                let mut watch = StopAfter { steps, state: None };
                assert!(train(&training, &mut watch).is_err());
                watch.steps = 0;
                train(&training, &mut watch).unwrap();
            }
        }
        (after, values(&net))
    };
    let (after, last) = course(0.0, None);
    assert_eq!(after[3], last);
    let (seen, averaged) = course(0.5, None);
    assert_eq!(seen, after, "the course is the same");
    assert_ne!(averaged, last);
    for ((third, fourth), averaged) in after[2].iter().zip(&after[3]).zip(&averaged) {
        assert!(((third + fourth) / 2.0 - averaged).abs() < 1e-6);
    }
    // Before the first step that counts, and between two that do.
    for steps in [1, 3] {
        assert_eq!(course(0.5, Some(steps)).1, averaged);
    }
}

#[test]
fn a_grid_pretrained_with_one_expert_per_image_has_other_networks_and_the_same_without() {
    let rows = |word: &str| {
        let folder = tiny();
        let set = format!("pretrain.expert_batching=\"{word}\"");
        run(folder.path(), &tiny_run(&["--set", &set]), 0);
        let variant = format!("paper+pretrain.expert_batching={word}");
        csv(&folder
            .path()
            .join("results/tiny")
            .join(variant)
            .join("runs.csv"))
    };
    let (all, one) = (rows("all"), rows("one_per_image"));
    assert_eq!(all.len(), one.len());
    for (all, one) in all.iter().zip(&one) {
        assert_eq!(one["reason"], all["reason"]);
        match &*all["method"] {
            "w/o" => assert_eq!(one, all),
            _ => {
                for column in ["pretraining", "training", "evaluation"] {
                    assert_ne!(one[column], all[column]);
                }
                let scores = |row: &std::collections::BTreeMap<String, String>| {
                    ["dice_percent", "assd", "hd95"].map(|column| row[column].clone())
                };
                assert_ne!(scores(one), scores(all));
            }
        }
    }
}

#[test]
fn the_loss_is_taken_over_each_image_or_over_the_pixels_of_the_batch() {
    let net = branched(1);
    let cases = [annotated(0, 1), annotated(3, 1)];
    let both: Vec<&Annotated> = cases.iter().collect();
    let loss = |reduction| {
        let mut recipe = recipe(2);
        recipe.training.reduction = reduction;
        recipe.training.smooth = 0.0;
        trained(&net, &cases, &recipe, ExpertBatching::All, still(3))
    };
    let (image, batch) = (dice_loss(&net, &both, 0, 1), dice_loss(&net, &both, 0, 2));
    assert!((image - batch).abs() > 0.01, "{image} and {batch}");
    assert_close(&loss(Reduction::Image), &[image; 3]);
    assert_close(&loss(Reduction::Batch), &[batch; 3]);
}

/// The metrics that a manifest names.
fn metrics(overrides: &[&str]) -> Metrics {
    let overrides: Vec<String> = overrides.iter().map(|o| (*o).to_owned()).collect();
    (*experiment(&overrides).metrics).clone()
}

#[test]
fn distances_are_joined_as_the_manifest_says() {
    // A pixel against that pixel and one four columns on: distances 0 there, 0 and 4 back.
    let (prediction, reference) = (
        [true, false, false, false, false],
        [true, false, false, false, true],
    );
    let found = |overrides: &[&str]| {
        let view = |pixels| MaskView::new(1, 5, pixels).unwrap();
        let definition = metrics(overrides).definition();
        let [prediction, reference] = [&prediction, &reference].map(|pixels| view(pixels));
        scores(prediction, reference, Spacing::default(), definition).unwrap()
    };
    let close = |score: Score, expected: f64| {
        let value = score.value().unwrap();
        assert!((value - expected).abs() < 1e-12, "{value} for {expected}");
    };
    // The mean of 0, 0, 4; and the mean of the means 0 and 2.
    close(found(&["metrics.assd=\"pooled\""]).assd, 4.0 / 3.0);
    close(found(&["metrics.assd=\"macro\""]).assd, 1.0);
    // The 95th percentile of 0, 0, 4 lies at 1.9 of 0 to 2; that of 0, 4 at 0.95 of 0 to 1.
    close(found(&["metrics.hd95=\"pooled\""]).hd95, 3.6);
    close(found(&["metrics.hd95=\"max_directed\""]).hd95, 3.8);
}

#[test]
fn distances_are_in_pixels_or_in_the_headers_millimetres() {
    let spacing = |word: &str| -> Vec<[f64; 2]> {
        let experiment = experiment(&[format!("metrics.spacing=\"{word}\"")]);
        let mut inventory = Inventory::assumed(&experiment.cohort);
        for (i, case) in inventory.test.iter_mut().enumerate() {
            case.spacing_mm = Some([2.0, 3.0 + i as f64]);
        }
        let plan = plan::build(vec![experiment], &inventory);
        let references = plan.stages.iter().filter_map(|stage| match &stage.spec {
            Spec::Evaluate(evaluate) => Some(evaluate.reference.spacing.clone()),
            Spec::Train(_) | Spec::Serve(_) | Spec::Agree(_) => None,
        });
        let distinct: Vec<_> = references.collect();
        assert!(distinct.len() > 1 && distinct.iter().all(|s| *s == distinct[0]));
        distinct[0].clone()
    };
    assert_eq!(spacing("unit"), [[1.0; 2]; 5]);
    let header = spacing("header");
    assert_eq!(
        header,
        [3.0, 4.0, 5.0, 6.0, 7.0].map(|columns| [2.0, columns])
    );
    // What a stage makes of it: one pixel two rows and one column on is 4 and 3 mm away.
    let [row, column] = header[0];
    let (mut from, mut to) = ([false; 6], [false; 6]);
    (from[0], to[5]) = (true, true);
    let masks = [from, to].map(|pixels| Mask {
        height: 3,
        width: 2,
        pixels: pixels.to_vec(),
    });
    let found = scores(
        masks[0].view(),
        masks[1].view(),
        Spacing { row, column },
        metrics(&[]).definition(),
    );
    let found = found.unwrap();
    assert_eq!(
        [found.assd.value(), found.hd95.value()],
        [Some(5.0), Some(5.0)]
    );
}

#[test]
fn pairs_are_tested_as_independent_or_with_the_variance_of_overlapping_trainings() {
    // The differences are 2, 4, 2, 4: mean 3, variance 4/3. With 10 training and 5 test cases the
    // variance of the mean is (4/3) (1/4 + 1/2) in place of (4/3) / 4.
    let table = |word: &str| {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "[grid]\nnew_experts = [6]\narms = [\"w/\", \"w/o\"]\nannotators = {{ from = [1], \
             choose = 1 }}\nsamples = [10]\nstarts = [1, 4, 7, 10]\n[statistics]\npaired = \
             \"{word}\"\n"
        );
        let (plan, store) = grid(folder.path(), &text, |run| {
            let swing = if run.at.start % 2 == 0 { 0.01 } else { -0.01 };
            let dice = match run.method().is_pretrained() {
                true => 0.83 + swing,
                false => 0.8,
            };
            Some([dice, 1.0, 1.0].map(Score::Value))
        });
        let results = results::collect(&plan, &store, &|_| None);
        let table = expertgrid::report::tabulate(&results, 0);
        let cell = table.cells.iter().find(|cell| {
            let method = cell.position.method();
            method.is_some_and(|m| m.is_pretrained()) && cell.metric == Metric::Dice
        });
        let p = cell.unwrap().against_counterpart.p().unwrap();
        let document = expertgrid::report::lay_out(&table, &results, 0, &provenance());
        (p, expertgrid::report::markdown(&document))
    };
    // The t distribution's closed form for 3 degrees of freedom.
    let p = |variance: f64| {
        let x = 3.0 / variance.sqrt() / 3.0_f64.sqrt();
        1.0 - 2.0 / std::f64::consts::PI * (x / (1.0 + x * x) + x.atan())
    };
    for (word, variance, test, dependence) in [
        (
            "student",
            4.0 / 3.0 / 4.0,
            "(paired t-test, alpha",
            "The ways of sampling overlap and share their test images",
        ),
        (
            "nadeau_bengio",
            4.0 / 3.0 * (1.0 / 4.0 + 5.0 / 10.0),
            "(paired t-test with Nadeau and Bengio's variance, alpha",
            "allows for ways of sampling that overlap. All results share their test images",
        ),
    ] {
        let (found, text_of) = table(word);
        assert!((found - p(variance)).abs() < 1e-9, "{word}: {found}");
        assert!(
            text_of.contains(test) && text_of.contains(dependence),
            "{text_of}"
        );
        // critical(.05, 3) + critical(.4, 3), the quantiles .975 and .8, is 3.1824 + 0.9785.
        let seen = 4.1609 * variance.sqrt();
        let wanted = format!("finds a difference of {seen:.2} in Dice significant with");
        assert!(text_of.contains(&wanted), "{wanted}: {text_of}");
    }
}

#[test]
fn unpaired_results_are_tested_with_one_variance_or_with_two() {
    // 80 four times; 79, 81, 79, 81 less 3: variances 0 and 4/3, so that both tests have
    // t = 3 / sqrt((4/3) / 4) = 3 sqrt(3), Student's at 6 and Welch's at 3 degrees of freedom.
    let p = |word: &str| {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "rows = \"train_expert\"\n[grid]\nnew_experts = [6]\narms = [\"single\"]\n\
             train_experts = [1, 2]\nsamples = [34]\nstarts = [1, 4, 7, 10]\n\
             [statistics]\nunpaired = \"{word}\"\n"
        );
        let (plan, store) = grid(folder.path(), &text, |run| {
            let swing = if run.at.start % 2 == 0 { 0.01 } else { -0.01 };
            let dice = match run.at.experts[..] {
                [1] => 0.8,
                _ => 0.77 + swing,
            };
            Some([dice, 1.0, 1.0].map(Score::Value))
        });
        let results = results::collect(&plan, &store, &|_| None);
        let table = expertgrid::report::tabulate(&results, 0);
        let cell = table
            .cells
            .iter()
            .find(|cell| cell.position.train_expert() == Some(2) && cell.metric == Metric::Dice);
        cell.unwrap().against_best.p().unwrap()
    };
    let t = 3.0 * 3.0_f64.sqrt();
    // The t distribution's closed forms for 6 and for 3 degrees of freedom.
    let angle = (t / 6.0_f64.sqrt()).atan();
    let square = angle.cos().powi(2);
    let student = 1.0 - angle.sin() * (1.0 + square / 2.0 + 3.0 / 8.0 * square * square);
    let x = t / 3.0_f64.sqrt();
    let welch = 1.0 - 2.0 / std::f64::consts::PI * (x / (1.0 + x * x) + x.atan());
    assert!((p("student") - student).abs() < 1e-9, "{student}");
    assert!((p("welch") - welch).abs() < 1e-9, "{welch}");
}
