//! Networks that learn from several experts in other ways than by norms: a head for each, one
//! branch for all masks, fused masks.

use std::{num::NonZeroUsize, sync::Arc};

use candle_core::{DType, Device, Tensor};
use expertgrid::{
    artefact::{CHOICE, Choice, PREDICTIONS, WEIGHTS, parse_predictions},
    data::{
        self,
        prepare::{prepare, prepare_mask},
    },
    engine::{DiceOver, Engine, Lanes, Stock},
    event::Step,
    key::Digest,
    manifest::{self, Budget, ExpertBatching, NetworkSpec, Recipe},
    method::{BUILT_IN, Method, Objective, Tuned, Words},
    net::{Branches, Checkpoint, Declaration, ExpertLayers, Parameter, Part, UNet, count},
    plan::{Kind, Plan, Spec},
    seed::Seed,
    stage,
    store::Files,
    train::{Annotated, Training, train},
};

use super::adaptations::{bench, compute, plan_of, pretrain, tensors};
use crate::support::common::{TINY, phantom};

const HEAD: [&str; 2] = ["segmentation_head.0.weight", "segmentation_head.0.bias"];

fn of_words(multitask: &str, branch: &str, adapt: &str) -> Method {
    let words = Words {
        annotation: "every",
        multitask,
        branch,
        adapt,
    };
    Method::from_words("own", &words).unwrap()
}

fn first(plan: &Plan, kind: Kind) -> &Spec {
    let mut specs = plan.stages.iter().map(|stage| &stage.spec);
    specs.find(|spec| spec.kind() == kind).unwrap()
}

fn named(name: &str) -> Method {
    Method::named(name).unwrap()
}

fn branches(files: &Files) -> Vec<String> {
    let parsed = parse_predictions(&files[PREDICTIONS]).unwrap();
    parsed.into_iter().map(|(name, _)| name).collect()
}

fn of_width(width: usize) -> NetworkSpec {
    NetworkSpec {
        width,
        ..NetworkSpec::default()
    }
}

#[test]
fn heads_add_the_last_layer_once_for_each_further_expert() {
    let heads =
        |width, experts| count(&of_width(width), Branches::new(ExpertLayers::Head, experts));
    // Sixteen channels by nine and one bias at width 64; two channels at width 8.
    assert_eq!(heads(64, 1), 14_321_937);
    assert_eq!(heads(64, 3), 14_321_937 + 2 * 145);
    let with_map = |width| count(&of_width(width), Branches::with_map());
    assert_eq!(with_map(64), 14_321_937 + 145);
    assert_eq!(with_map(8), heads(8, 1) + 19);
    assert_eq!(heads(8, 5), 225_407 + 4 * 19);
}

#[test]
fn heads_begin_differently_and_alike_in_every_combination() {
    let net = |experts: &[u8]| {
        let branches = Branches::of(ExpertLayers::Head, experts);
        UNet::init(&of_width(64), branches, &Seed::new(5), &Device::Cpu).unwrap()
    };
    let heads = |net: &UNet| -> Vec<Vec<f32>> {
        let weights = net.parameters().iter().filter(|p| p.name == HEAD[0]);
        let values = |p: &Parameter| p.var.flatten_all().unwrap().to_vec1().unwrap();
        weights.map(values).collect()
    };
    let [first, second] = [net(&[1, 2, 3]), net(&[1, 3])].map(|net| heads(&net));
    assert_eq!((first.len(), second.len()), (3, 2));
    assert_ne!(first[0], first[1]);
    assert_eq!(first[0], second[0], "expert 1");
    assert_eq!(first[2], second[1], "expert 3");
    // The bound of one head, not that of three outputs in one tensor.
    let largest = first
        .concat()
        .into_iter()
        .fold(0.0_f32, |a, b| a.max(b.abs()));
    assert!(largest < 0.198_029_52 && largest > 0.187_4, "{largest}");
    // One head begins as in every other network.
    let alone = UNet::init(&of_width(64), 1, &Seed::new(5), &Device::Cpu).unwrap();
    assert_eq!(heads(&net(&[2])), heads(&alone));
}

#[test]
fn a_batch_goes_through_one_head() {
    let branches = Branches::new(ExpertLayers::Head, 2);
    let net = UNet::init(&of_width(4), branches, &Seed::new(5), &Device::Cpu).unwrap();
    let engine = Lanes::new(NonZeroUsize::MIN);
    let x = engine
        .pack(&vec![0.5; 2 * 32 * 32], [2, 1, 32, 32])
        .unwrap();
    assert!(net.forward(&engine, &x, &[1, 1]).is_ok());
    assert!(net.forward(&engine, &x, &[0, 1]).is_err());
    assert!(net.forward(&engine, &x, &[2, 2]).is_err());
}

#[test]
fn a_checkpoint_with_heads_reads_back_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = data::open(phantom()).unwrap();
    let plan = plan_of(&[named("heads")], &dataset, &[]);
    let mut bench = bench(folder.path(), dataset);
    let files = compute(first(&plan, Kind::Pretrain), &mut bench);
    assert_eq!(branches(&files), ["expert1", "expert2"]);
    let read = Checkpoint::read(&files[WEIGHTS]).unwrap();
    let about = read.about().unwrap().clone();
    assert_eq!(
        read.size().unwrap().branches,
        Branches::new(ExpertLayers::Head, 2)
    );
    let net = read.restore(&about.recipe.network, &Device::Cpu).unwrap();
    assert_eq!(net.branches().count, 2);
    let again = Checkpoint::of(&net, about).unwrap().to_bytes();
    assert!(again == files[WEIGHTS]);
    let shapes = tensors(&files[WEIGHTS]);
    assert_eq!(shapes[HEAD[0]].0, [2, 1, 3, 3]);
    assert_eq!(shapes[HEAD[1]].0, [2]);
    assert_eq!(shapes["encoder.bn1.weight"].0, [4]);
}

#[test]
fn a_frozen_head_network_moves_its_head_and_no_bit_of_anything_else() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = data::open(phantom()).unwrap();
    for (branch, adapt) in [
        ("reset", "full"),
        ("reset", "expert-layers"),
        ("inherit", "expert-layers"),
    ] {
        let plan = plan_of(&[of_words("heads", branch, adapt)], &dataset, &[]);
        let mut bench = bench(folder.path(), dataset.clone());
        let before = tensors(&pretrain(&plan, &mut bench));
        let files = compute(first(&plan, Kind::Finetune), &mut bench);
        let after = tensors(&files[WEIGHTS]);
        let kept = after
            .iter()
            .filter(|(name, _)| !HEAD.contains(&name.as_str()));
        let kept: Vec<bool> = kept.map(|(name, tensor)| *tensor == before[name]).collect();
        match adapt {
            "full" => assert!(kept.iter().filter(|kept| !**kept).count() > 40),
            _ => assert!(kept.iter().all(|kept| *kept), "{branch}"),
        }
        assert_eq!(after[HEAD[0]].0, [1, 1, 3, 3]);
        let rows = before[HEAD[0]].1.chunks(4 * 9);
        assert!(
            rows.clone().all(|row| *row != after[HEAD[0]].1),
            "it was trained"
        );
        assert_eq!(files.contains_key(CHOICE), branch == "inherit");
        if branch == "inherit" {
            let choice: Choice = serde_json::from_slice(&files[CHOICE]).unwrap();
            assert_eq!(choice.branches.len(), 2);
        }
    }
}

#[test]
fn the_loss_of_a_step_is_the_mean_over_all_masks_whatever_the_form() {
    // At the first step the branches by norms are still alike, so that they have the loss of one
    // branch for all masks; heads begin differently.
    let folder = tempfile::tempdir().unwrap();
    let dataset = data::open(phantom()).unwrap();
    let loss = |method: &Method, more: &[&str]| {
        let plan = plan_of(std::slice::from_ref(method), &dataset, more);
        let mut bench = bench(folder.path(), dataset.clone());
        let mut losses = Vec::new();
        let mut watch = |step: Step| losses.push(step.loss);
        stage::compute(first(&plan, Kind::Pretrain), &mut bench, &mut watch).unwrap();
        losses[0]
    };
    for more in [&[][..], &["pretrain.expert_batching=one_per_image"][..]] {
        let [norms, pool, heads] = ["customised", "pool", "heads"].map(|m| loss(&named(m), more));
        assert_eq!(norms, pool, "{more:?}");
        assert_ne!(norms, heads, "{more:?}");
        assert!((norms - heads).abs() < 0.2, "{norms} {heads}");
    }
    let cohort = Words {
        annotation: "cohort",
        ..named("pool").words().unwrap()
    };
    let pool = Method::from_words("naive", &cohort).unwrap();
    assert_eq!(loss(&pool, &[]), loss(&named("cohort-full"), &[]));
}

#[test]
fn heads_in_a_mixed_batch_each_learn_from_their_own_images() {
    // One step that moves nothing, over images that come as they are: its loss is the mean over the
    // images, each through the head of its expert.
    let dataset = data::open(phantom()).unwrap();
    let recipe = still();
    let experts = [1, 2];
    let branches = Branches::of(ExpertLayers::Head, &experts);
    let net = UNet::init(&recipe.network, branches, &Seed::new(2), &Device::Cpu).unwrap();
    let engine = Lanes::new(NonZeroUsize::MIN);
    let dealt = [0, 1, 1];
    let cases = std::iter::zip(&dataset.training, dealt);
    let cases: Vec<Annotated> = cases
        .map(|(case, place)| Annotated {
            image: Arc::new(prepare(&case.image, &recipe.image)),
            masks: vec![Arc::new(prepare_mask(
                case.mask(experts[place]).unwrap(),
                &recipe.image,
            ))],
        })
        .collect();
    let loss = |cases: &[Annotated], dealt: &[usize], batch: usize| {
        let mut recipe = recipe;
        recipe.training.batch = batch;
        let training = Training {
            net: &net,
            engine: &engine,
            cases,
            recipe: &recipe,
            budget: Budget {
                steps: 1,
                lr: 1e-30,
                ..Budget::FINETUNE
            },
            rate_key: String::new(),
            batching: ExpertBatching::All,
            dealt: Some(dealt),
            objective: Objective::Dice,
            beta: 1.0,
            tuned: Tuned::Everything,
            seed: Seed::new(4),
        };
        f64::from(train(&training, &mut |_: Step| {}).unwrap()[0].loss)
    };
    let mixed = loss(&cases, &dealt, 3);
    let each = (0..3).map(|i| loss(&cases[i..=i], &dealt[i..=i], 1));
    let each: Vec<f64> = each.collect();
    let mean = each.iter().sum::<f64>() / 3.0;
    assert!((mixed - mean).abs() < 1e-6, "{mixed} {each:?}");
    assert!(
        each.iter().any(|loss| (loss - mean).abs() > 1e-3),
        "{each:?}"
    );
}

/// The tiny grid's recipe, without any change of images.
fn still() -> Recipe {
    let off = ["rotation", "zoom", "noise", "blur", "brightness"];
    let mut overrides: Vec<String> = off.iter().map(|key| format!("augment.{key}=0")).collect();
    overrides.push("augment.translation=none".to_owned());
    let path = std::path::Path::new("tiny.toml");
    *manifest::parse(path, TINY, "paper", &overrides)
        .unwrap()
        .recipe
}

#[test]
fn the_mean_of_all_masks_is_the_target_of_the_uncertainty_network() {
    // The cross-entropy is linear in its target: that with the mean of two masks is the mean of
    // those with either. Of one mask it is the cross-entropy with that.
    let dataset = data::open(phantom()).unwrap();
    let recipe = still();
    let net = UNet::init(&recipe.network, 1, &Seed::new(2), &Device::Cpu).unwrap();
    let engine = Lanes::new(NonZeroUsize::MIN);
    let loss = |experts: &[u8], objective: Objective| {
        let cases = dataset.training[..3].iter().map(|case| Annotated {
            image: Arc::new(prepare(&case.image, &recipe.image)),
            masks: experts
                .iter()
                .map(|expert| prepare_mask(case.mask(*expert).unwrap(), &recipe.image))
                .map(Arc::new)
                .collect(),
        });
        let mut recipe = recipe;
        recipe.training.batch = 3;
        let training = Training {
            net: &net,
            engine: &engine,
            cases: &cases.collect::<Vec<_>>(),
            recipe: &recipe,
            budget: Budget {
                steps: 1,
                lr: 1e-30,
                ..Budget::FINETUNE
            },
            rate_key: String::new(),
            batching: ExpertBatching::All,
            dealt: None,
            objective,
            beta: 1.0,
            tuned: Tuned::Everything,
            seed: Seed::new(4),
        };
        f64::from(train(&training, &mut |_: Step| {}).unwrap()[0].loss)
    };
    let [both, first, second] =
        [&[1, 3][..], &[1], &[3]].map(|experts| loss(experts, Objective::MeanMask));
    assert!(
        (both - (first + second) / 2.0).abs() < 1e-6,
        "{both} {first} {second}"
    );
    assert!((first - second).abs() > 1e-4, "{first} {second}");
    assert!((both - loss(&[1, 3], Objective::Dice)).abs() > 1e-2);
}

#[test]
fn both_engines_give_the_gradients_of_several_heads_and_of_several_masks() {
    fn gradients<E: Engine>(engine: &E, layers: ExpertLayers, dtype: DType) -> Vec<Vec<f64>> {
        let branches = match layers {
            ExpertLayers::Head => Branches::of(layers, &[1, 2]),
            ExpertLayers::Norms | ExpertLayers::Comb => Branches::new(layers, 1),
        };
        let values = &mut |declared: &Declaration<'_>| Ok(declared.initial_values(&Seed::new(6)));
        let net = UNet::with_values(&of_width(4), branches, &Device::Cpu, dtype, values).unwrap();
        let wave =
            |rate: f32| -> Vec<f32> { (0..3 * 32 * 32).map(|i| (rate * i as f32).sin()).collect() };
        let mask = |rate| wave(rate).into_iter().map(|v| f32::from(u8::from(v > 0.3)));
        let shape = [3, 1, 32, 32];
        let x = engine.pack(&wave(0.013), shape).unwrap();
        let features = net.features(engine, &x, &[0; 3]).unwrap();
        let losses = [0, 1].map(|expert| {
            let head = expert * usize::from(layers == ExpertLayers::Head);
            let logits = net.logits(engine, &features, head).unwrap();
            let target = mask([0.02, 0.05][expert]).collect::<Vec<_>>();
            let target = engine.pack(&target, shape).unwrap();
            let over = DiceOver::Image;
            let loss = engine.dice_loss(&logits, &target, 3, 1e-7, over).unwrap();
            (loss, [0.25, 0.75][expert])
        });
        let loss = engine.sum(&losses).unwrap();
        let value = engine.loss(&loss).unwrap();
        let parameters = net.parameters().iter().map(|p| p.var.as_tensor());
        let parameters: Vec<&Tensor> = parameters.collect();
        let found = engine.gradients(loss, 0.5, &parameters).unwrap();
        let numbers = |gradient: Option<Tensor>| -> Vec<f64> {
            let flat = gradient.unwrap().flatten_all().unwrap();
            flat.to_dtype(DType::F64).unwrap().to_vec1().unwrap()
        };
        let mut all: Vec<Vec<f64>> = found.into_iter().map(numbers).collect();
        all.push(vec![value]);
        all
    }
    for layers in [ExpertLayers::Norms, ExpertLayers::Head, ExpertLayers::Comb] {
        let lanes = gradients(&Lanes::new(NonZeroUsize::MIN), layers, DType::F32);
        let stock = gradients(&Stock::double(), layers, DType::F64);
        assert_eq!(lanes.len(), stock.len());
        for (place, (lanes, stock)) in std::iter::zip(&lanes, &stock).enumerate() {
            let largest = stock.iter().fold(0.0_f64, |a, b| a.max(b.abs()));
            for (lanes, stock) in std::iter::zip(lanes, stock) {
                let error = (lanes - stock).abs();
                assert!(
                    error <= 1e-4 * largest + 1e-7,
                    "{layers:?} {place}: {lanes} {stock}"
                );
            }
        }
    }
}

#[test]
fn one_branch_learns_from_all_masks_and_is_taken_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = data::open(phantom()).unwrap();
    for method in [
        "pool",
        "majority",
        "staple",
        "uncertainty-full",
        "uncertainty-map-full",
    ] {
        let plan = plan_of(&[named(method)], &dataset, &["finetune.lr=1e-30"]);
        let mut bench = bench(folder.path(), dataset.clone());
        let files = compute(first(&plan, Kind::Pretrain), &mut bench);
        let with_map = method == "uncertainty-map-full";
        let expected = if with_map {
            &["all", "map"][..]
        } else {
            &["all"]
        };
        assert_eq!(branches(&files), expected, "{method}");
        let mut before = tensors(&pretrain(&plan, &mut bench));
        if with_map {
            // The head of the map is left out.
            let pretrained = Checkpoint::read(&files[WEIGHTS]).unwrap();
            let one = pretrained.without_map().unwrap();
            assert_eq!(one.size().unwrap().branches.count, 1);
            let about = one.about().unwrap().clone();
            let net = one.restore(&about.recipe.network, &Device::Cpu).unwrap();
            before = tensors(&Checkpoint::of(&net, about).unwrap().to_bytes());
        }
        let adapted = compute(first(&plan, Kind::Finetune), &mut bench);
        // Nothing is reset, and there is no branch to choose.
        assert!(tensors(&adapted[WEIGHTS]) == before, "{method}");
        assert!(!adapted.contains_key(CHOICE), "{method}");
        let read = Checkpoint::read(&files[WEIGHTS]).unwrap();
        let about = read.about().unwrap();
        assert!(about.owners().is_empty(), "{method}");
        let fused = ["majority", "staple"].contains(&method);
        let experts: &[u8] = if fused { &[] } else { &[1, 2] };
        assert_eq!(about.experts, experts, "{method}");
    }
}

#[test]
fn fused_masks_are_what_the_key_names_and_equal_ones_make_one_stage() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = data::open(phantom()).unwrap();
    // Of two experts both rules keep what both marked.
    let plan = plan_of(&[named("majority"), named("staple")], &dataset, &[]);
    let of = |plan: &Plan, kind| {
        let stages = plan.stages.iter().filter(|s| s.spec.kind() == kind);
        stages.count()
    };
    assert_eq!(of(&plan, Kind::Pretrain), 1);
    assert_eq!(of(&plan, Kind::Finetune), 2);
    let Spec::Train(train) = first(&plan, Kind::Pretrain) else {
        panic!("a training")
    };
    let [masks] = train.support.masks.as_slice() else {
        panic!("one list")
    };
    for (case, digest) in dataset.training.iter().zip(masks) {
        let mut both = case.mask(1).unwrap().clone();
        let second = case.mask(2).unwrap();
        for (pixel, other) in both.pixels.iter_mut().zip(&second.pixels) {
            *pixel &= other;
        }
        assert_eq!(
            expertgrid::key::Keyed::digest(&both),
            *digest,
            "{}",
            case.name
        );
    }
    // A worker has the specification and the data set alone.
    let text = serde_json::to_string(first(&plan, Kind::Pretrain)).unwrap();
    let spec: Spec = serde_json::from_str(&text).unwrap();
    let mut bench = bench(folder.path(), dataset);
    compute(&spec, &mut bench);
}

#[test]
fn the_region_of_staple_is_where_the_key_says() {
    // On the whole image two votes of five are enough, as the background makes all specificities
    // high; around the masks they are not.
    let dataset = data::open(phantom()).unwrap();
    let area = |region: &str| -> usize {
        let overrides = [
            "grid.annotators={ from = [1, 2, 3, 4, 5], choose = 5 }",
            &format!("fusion.region={region}"),
        ];
        let plan = plan_of(&[named("staple")], &dataset, &overrides);
        let Spec::Train(train) = first(&plan, Kind::Pretrain) else {
            panic!("a training")
        };
        let fusion = train.support.fused.as_ref().unwrap();
        let masks = dataset.training.iter().map(|case| fusion.of(case).unwrap());
        masks.map(|mask| mask.area_px()).sum()
    };
    let [slice, within] = ["slice", "box"].map(area);
    assert!(slice as f64 > 1.05 * within as f64, "{slice} {within}");
}

#[test]
fn a_single_experts_masks_make_one_network_whatever_the_method() {
    let dataset = data::open(phantom()).unwrap();
    let digests = |method: &str, kind: Kind| -> Vec<Digest> {
        let one = ["grid.annotators.choose=1"];
        let plan = plan_of(&[named(method)], &dataset, &one);
        let stages = plan.stages.iter().filter(|s| s.spec.kind() == kind);
        stages.map(|stage| stage.digest).collect()
    };
    let pretrained = digests("customised", Kind::Pretrain);
    assert_eq!(pretrained.len(), 2);
    for method in ["heads", "pool", "majority", "staple"] {
        assert_eq!(digests(method, Kind::Pretrain), pretrained, "{method}");
    }
    // What is reset differs: all norms, or the head.
    assert_ne!(
        digests("heads", Kind::Finetune),
        digests("customised", Kind::Finetune)
    );
    // One branch is taken as it is, whichever way its masks became one.
    let inherited = digests("customised-inherit", Kind::Finetune);
    for method in ["pool", "majority", "staple"] {
        assert_eq!(digests(method, Kind::Finetune), inherited, "{method}");
    }
}

#[test]
fn a_step_passes_through_the_network_once_for_each_way_through_its_inner_layers() {
    let dataset = data::open(phantom()).unwrap();
    let cohort = Words {
        annotation: "cohort",
        ..named("heads").words().unwrap()
    };
    let dealt = Method::from_words("dealt-heads", &cohort).unwrap();
    let one_each = &["pretrain.expert_batching=one_per_image"][..];
    for (method, more, passes) in [
        (named("customised"), &[][..], 2),
        (named("customised"), one_each, 1),
        (named("pool"), &[], 1),
        (named("pool"), one_each, 1),
        (named("majority"), &[], 1),
        (named("heads"), &[], 1),
        // Images of one batch that go to different heads do not share a pass.
        (named("heads"), one_each, 2),
        (dealt, &[], 2),
    ] {
        let plan = plan_of(std::slice::from_ref(&method), &dataset, more);
        let work = first(&plan, Kind::Pretrain).work();
        assert_eq!(work.batches, passes, "{} {more:?}", method.name);
    }
}

#[test]
fn every_built_in_method_has_a_form_that_its_words_say() {
    for method in BUILT_IN.iter().filter(|method| method.is_pretrained()) {
        let words = method.words().unwrap();
        assert_eq!(Method::from_words(&method.name, &words).unwrap(), *method);
    }
    let parts = Branches::new(ExpertLayers::Head, 2);
    let net = UNet::init(&of_width(4), parts, &Seed::new(1), &Device::Cpu).unwrap();
    let own = net.parameters().iter().filter(|p| p.part != Part::Shared);
    assert_eq!(own.count(), 4);
}
