//! Stages that adapt a pretrained network, on the phantom: what stays to the bit, which branch is
//! inherited, what an interruption leaves.

use std::{collections::BTreeMap, fs, num::NonZeroUsize, path::Path, sync::Arc};

use candle_core::{DType, Device};
use expertgrid::{
    adaptation::{SupportCase, dice_by_branch, first_of_largest, mean},
    artefact::{CHOICE, Choice, WEIGHTS},
    data::{
        self, Image, Mask,
        prepare::{Prepared, prepare},
    },
    engine::{AnyEngine, Lanes},
    event::Step,
    fused_masks,
    key::{Digest, Keyed},
    manifest::{self, Recipe},
    method::{BUILT_IN, Method},
    net::{Checkpoint, Declaration, Part, UNet},
    plan::{self, Inventory, Kind, Plan, Spec, Stage},
    stage::{self, Bench, Library, Stages},
    store::{Files, Found, MadeBy, Store, Unpublished},
    train::{Next, Watch, predict},
};
use safetensors::SafeTensors;
use serde_json::Value;

use crate::support::common::{TINY, chosen, phantom, repository};

/// A plan of the tiny grid, weights kept, over the phantom.
pub fn plan_of(methods: &[Method], dataset: &data::Dataset, overrides: &[&str]) -> Plan {
    let mut all = vec!["keep=all".to_owned(), "pretrain.steps=12".to_owned()];
    all.extend(overrides.iter().map(|o| (*o).to_owned()));
    let mut experiment = manifest::parse(Path::new("tiny.toml"), TINY, "paper", &all).unwrap();
    experiment.grid.methods = chosen(methods);
    let experiments = vec![experiment];
    let inventory = Inventory {
        fused: fused_masks::fused(&experiments, dataset).unwrap().digests,
        ..Inventory::of(dataset)
    };
    plan::build(experiments, &inventory)
}

pub fn bench(results: &Path, dataset: data::Dataset) -> Bench {
    let store = Store::within(results);
    Bench {
        library: Library::new(Arc::new(dataset), Vec::new()),
        scratch: Arc::new(store.scratch().unwrap()),
        store,
        engine: AnyEngine::Lanes(Lanes::new(NonZeroUsize::MIN)),
        made_by: MadeBy {
            version: "test".into(),
            device: "cpu".into(),
            engine: "lanes".into(),
        },
    }
}

/// The pretraining of a plan, in the store; its weights.
pub fn pretrain(plan: &Plan, bench: &mut Bench) -> Vec<u8> {
    let spec = &pretraining(plan).spec;
    stage::run(spec, &Stages, bench, &mut |_: Step| {}).unwrap();
    weights(bench, &spec.digest())
}

fn pretraining(plan: &Plan) -> &Stage {
    let mut stages = plan.stages.iter();
    stages.find(|s| s.spec.kind() == Kind::Pretrain).unwrap()
}

fn weights(bench: &Bench, digest: &Digest) -> Vec<u8> {
    match bench.store.read(Kind::Pretrain, digest, &[WEIGHTS]) {
        Found::Intact(mut artefact) => artefact.files.remove(WEIGHTS).unwrap(),
        _ => panic!("no pretraining"),
    }
}

/// The first fine-tuning of a method.
fn finetuning<'a>(plan: &'a Plan, method: &str) -> &'a Spec {
    let mut runs = plan.runs.iter();
    let run = runs.find(|run| run.method().name == method).unwrap();
    &plan.stage(run.network).spec
}

pub fn compute(spec: &Spec, bench: &mut Bench) -> Files {
    stage::compute(spec, bench, &mut |_: Step| {}).unwrap()
}

/// Shape and bytes of every tensor.
pub fn tensors(bytes: &[u8]) -> BTreeMap<String, (Vec<usize>, Vec<u8>)> {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let tensors = file.tensors().into_iter();
    tensors
        .map(|(name, view)| (name, (view.shape().to_vec(), view.data().to_vec())))
        .collect()
}

/// The digests of a network's tensors that all experts share: those which are no norm of two
/// branches before.
fn shared(
    tensors: &BTreeMap<String, (Vec<usize>, Vec<u8>)>,
    before: &BTreeMap<String, (Vec<usize>, Vec<u8>)>,
) -> BTreeMap<String, Digest> {
    let shared = tensors.iter().filter(|(name, _)| !is_norm(name, before));
    shared
        .map(|(name, (_, bytes))| (name.clone(), Digest::of_bytes(bytes)))
        .collect()
}

fn is_norm(name: &str, before: &BTreeMap<String, (Vec<usize>, Vec<u8>)>) -> bool {
    before[name].0.len() == 2
}

fn own_words(branch: &str, adapt: &str) -> Method {
    let words = expertgrid::method::Words {
        branch,
        adapt,
        ..BUILT_IN[2].words().unwrap()
    };
    Method::from_words("own", &words).unwrap()
}

#[test]
fn a_frozen_training_moves_the_experts_norms_and_no_bit_of_anything_else() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = data::open(phantom()).unwrap();
    let both = own_words("inherit", "expert-layers");
    let methods = [BUILT_IN.as_slice(), &[both]].concat();
    let plan = plan_of(&methods, &dataset, &[]);
    let mut bench = bench(folder.path(), dataset);
    let before = tensors(&pretrain(&plan, &mut bench));
    for (method, frozen, reset) in [
        ("customised", false, true),
        ("customised-inherit", false, false),
        ("customised-frozen", true, true),
        ("own", true, false),
    ] {
        let files = compute(finetuning(&plan, method), &mut bench);
        let after = tensors(&files[WEIGHTS]);
        assert_eq!(after.len(), before.len());
        let kept = shared(&after, &before) == shared(&before, &before);
        assert_eq!(kept, frozen, "{method}");
        // What the norms were before the first step: 1 and 0, or a pretrained branch's.
        let initial = |name: &str, bytes: &[u8]| -> Vec<Vec<u8>> {
            match reset {
                true => {
                    let value = if name.ends_with(".weight") { 1.0 } else { 0.0 };
                    vec![f32::to_le_bytes(value).repeat(bytes.len() / 4)]
                }
                false => {
                    let rows = before[name].1.chunks(bytes.len());
                    rows.map(<[u8]>::to_vec).collect()
                }
            }
        };
        let norms = after.iter().filter(|(name, _)| is_norm(name, &before));
        let moved = norms.filter(|(name, (shape, bytes))| {
            assert_eq!(shape.len(), 1, "{name}");
            !initial(name, bytes).contains(bytes)
        });
        // The deepest level is one pixel, whose norm is 0 whatever its scale.
        let moved = moved.count();
        assert!(moved > 40, "{method}: {moved} of 60 norms' tensors moved");
        assert_eq!(files.contains_key(CHOICE), !reset, "{method}");
    }
}

/// Publishes a pretraining with the first branch's norms at 0, so that its network sees nothing.
fn with_a_blind_first_branch(plan: &Plan, bench: &mut Bench) -> Vec<u8> {
    let spec = &pretraining(plan).spec;
    let mut files = compute(spec, bench);
    let before = Checkpoint::read(&files[WEIGHTS]).unwrap();
    let about = before.about().unwrap().clone();
    let network = about.recipe.network;
    let net = before.restore(&network, &Device::Cpu).unwrap();
    for parameter in net.parameters() {
        if parameter.part == Part::Expert(0) {
            let var = &parameter.var;
            var.set(&var.zeros_like().unwrap()).unwrap();
        }
    }
    let bytes = Checkpoint::of(&net, about).unwrap().to_bytes();
    files.insert(WEIGHTS.into(), bytes.clone());
    let about = Unpublished {
        kind: spec.kind(),
        digest: spec.digest(),
        inputs: spec.explain(),
        spec: serde_json::value::to_raw_value(spec).unwrap(),
        dataset: "a test".into(),
        geometry: None,
        made_by: bench.made_by.clone(),
    };
    bench.store.publish(&bench.scratch, about, &files).unwrap();
    bytes
}

/// Twice the pixels of both masks by the pixels of each.
fn dice_of(a: &Mask, b: &Mask) -> f64 {
    let view = |mask: &Mask| -> Vec<bool> {
        let view = mask.view();
        (0..view.height())
            .flat_map(|y| view.row(y).to_vec())
            .collect()
    };
    let (a, b) = (view(a), view(b));
    assert_eq!(a.len(), b.len());
    let both = a.iter().zip(&b).filter(|(a, b)| **a && **b).count();
    let sizes = a.iter().chain(&b).filter(|inside| **inside).count();
    match sizes {
        0 => 1.0,
        _ => 2.0 * both as f64 / sizes as f64,
    }
}

#[test]
fn the_branch_that_fits_the_cases_best_is_inherited_and_the_artefact_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = data::open(phantom()).unwrap();
    // Steps so small that no value moves: the network that is kept is the one that is begun with.
    let still = ["finetune.lr=1e-30", "pretrain.steps=300"];
    let plan = plan_of(&BUILT_IN, &dataset, &still);
    let mut bench = bench(folder.path(), dataset.clone());
    let pretrained = with_a_blind_first_branch(&plan, &mut bench);
    // The tiny grid's second way of sampling begins with case 28: its cases wrap.
    let runs = plan
        .runs
        .iter()
        .filter(|run| run.method().name == "customised-inherit");
    let starts: Vec<usize> = runs.clone().map(|run| run.at.start).collect();
    assert_eq!(starts, [1, 28]);
    for run in runs {
        let spec = &plan.stage(run.network).spec;
        let files = compute(spec, &mut bench);
        let choice: Choice = serde_json::from_slice(&files[CHOICE]).unwrap();
        let sampled = (0..5).map(|i| &dataset.training[(run.at.start - 1 + i) % 34]);
        let cases: Vec<&data::Case> = sampled.collect();
        let digests: Vec<Digest> = cases.iter().map(|case| case.image_digest).collect();
        assert_eq!(choice.images, digests);
        assert_eq!(choice.branches.len(), 2);
        assert_eq!(choice.chosen, 2, "{choice:#?}");

        // The same by way of the whole network's predictions.
        let checkpoint = Checkpoint::read(&pretrained).unwrap();
        let recipe = checkpoint.about().unwrap().recipe;
        let net = checkpoint.restore(&recipe.network, &Device::Cpu).unwrap();
        let engine = Lanes::new(NonZeroUsize::MIN);
        for (branch, fit) in choice.branches.iter().enumerate() {
            assert_eq!(usize::from(fit.expert), branch + 1);
            let expected: Vec<f64> = cases
                .iter()
                .map(|case| {
                    let image = Arc::new(prepare(&case.image, &recipe.image));
                    let images = [(case.name.clone(), image)];
                    let found = predict(&net, &engine, &[branch], &images, &recipe.image);
                    dice_of(&found.unwrap()[0][0].mask(), case.mask(6).unwrap())
                })
                .collect();
            assert_eq!(fit.dice, expected);
            assert_eq!(fit.mean_dice, expected.iter().sum::<f64>() / 5.0);
        }
        let means = choice.branches.iter().map(|fit| fit.mean_dice);
        let means: Vec<f64> = means.collect();
        assert!(means[0] < means[1], "{means:?}");
        assert_eq!(choice.mean_dice(), means[1]);

        // Every norm is the second row of two, everything else as it was.
        let (before, after) = (tensors(&pretrained), tensors(&files[WEIGHTS]));
        for (name, (_, bytes)) in &after {
            let expected = match is_norm(name, &before) {
                true => &before[name].1[bytes.len()..],
                false => &before[name].1[..],
            };
            assert!(bytes == expected, "{name}");
        }
    }
}

/// Keeps the state after a step and stops there, or goes on from a state.
#[derive(Default)]
struct Interruption {
    stop_at: Option<usize>,
    state: Option<Vec<u8>>,
    steps: Vec<usize>,
}

impl Watch for Interruption {
    fn kept(&mut self) -> Option<Vec<u8>> {
        self.state.take()
    }

    fn step(&mut self, step: Step) -> Next {
        self.steps.push(step.step);
        match self.stop_at == Some(step.step) {
            true => Next::Stop,
            false => Next::GoOn,
        }
    }

    fn keep(&mut self, state: Vec<u8>) {
        self.state = Some(state);
    }
}

#[test]
fn an_interrupted_adaptation_goes_on_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = data::open(phantom()).unwrap();
    let both = own_words("inherit", "expert-layers");
    let methods = [BUILT_IN.as_slice(), &[both]].concat();
    let plan = plan_of(&methods, &dataset, &["finetune.steps=5"]);
    let mut bench = bench(folder.path(), dataset.clone());
    pretrain(&plan, &mut bench);
    for method in ["customised-inherit", "customised-frozen", "own"] {
        let spec = finetuning(&plan, method);
        let whole = compute(spec, &mut bench);
        let mut watch = Interruption {
            stop_at: Some(2),
            ..Interruption::default()
        };
        let stopped = stage::compute(spec, &mut bench, &mut watch).unwrap_err();
        assert_eq!(stopped.to_string(), "stopped after 2 steps");
        // Another worker, with nothing in memory.
        let mut other = self::bench(folder.path(), dataset.clone());
        watch.stop_at = None;
        watch.steps.clear();
        let resumed = stage::compute(spec, &mut other, &mut watch).unwrap();
        assert_eq!(watch.steps, [3, 4, 5], "{method}");
        assert!(resumed == whole, "{method}");
    }
}

#[test]
fn the_original_method_trains_the_best_branch_of_a_dealt_pretraining() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = data::open(phantom()).unwrap();
    let original = Method::named("original").unwrap();
    let plan = plan_of(&[original], &dataset, &["pretrain.steps=4"]);
    let mut bench = bench(folder.path(), dataset.clone());
    let before = tensors(&pretrain(&plan, &mut bench));
    let files = compute(finetuning(&plan, "original"), &mut bench);
    let after = tensors(&files[WEIGHTS]);
    assert_eq!(shared(&after, &before), shared(&before, &before));
    assert!(after != before, "the norms are trained");
    assert!(files.contains_key(CHOICE), "the branch that it starts from");
    // Interrupted, the pretraining ends with the same bytes.
    let spec = &pretraining(&plan).spec;
    let whole = compute(spec, &mut bench);
    let mut watch = Interruption {
        stop_at: Some(2),
        ..Interruption::default()
    };
    stage::compute(spec, &mut bench, &mut watch).unwrap_err();
    watch.stop_at = None;
    watch.steps.clear();
    let mut other = self::bench(folder.path(), dataset.clone());
    let resumed = stage::compute(spec, &mut other, &mut watch).unwrap();
    assert_eq!(watch.steps, [3, 4]);
    assert!(resumed == whole);
    // Every annotator's masks of every image train another network.
    let every = Method::named("customised-frozen-inherit").unwrap();
    let plan = plan_of(&[every], &dataset, &["pretrain.steps=4"]);
    assert!(compute(&pretraining(&plan).spec, &mut other) != whole);
}

#[test]
fn a_training_that_diverges_names_the_key_of_its_own_rate() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = data::open(phantom()).unwrap();
    let plan = plan_of(&BUILT_IN, &dataset, &[]);
    let mut bench = bench(folder.path(), dataset.clone());
    pretrain(&plan, &mut bench);
    for section in ["pretrain", "finetune", "scratch"] {
        let wild = [format!("{section}.lr=1e25"), format!("{section}.steps=20")];
        let plan = plan_of(&BUILT_IN, &dataset, &wild.each_ref().map(String::as_str));
        let spec = plan.stages.iter().map(|stage| &stage.spec);
        let spec = spec.into_iter().find(|s| s.kind().word() == section);
        let failed = stage::compute(spec.unwrap(), &mut bench, &mut |_: Step| {}).unwrap_err();
        let said = failed.to_string();
        let remedy = format!("; a lower `{section}.lr` may help");
        assert!(said.starts_with("the training diverged: "), "{said}");
        assert!(said.ends_with(&remedy), "{said}");
        assert!(failed.is_deterministic());
    }
}

#[test]
fn the_largest_mean_is_chosen_and_among_equals_the_first() {
    let path = repository().join("tests/fixtures/branch.json");
    let vectors: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 4);
    for case in cases {
        let means: Vec<f64> = serde_json::from_value(case["mean_dice"].clone()).unwrap();
        let chosen = case["chosen"].as_u64().unwrap() as usize;
        assert_eq!(first_of_largest(&means), chosen, "{means:?}");
    }
}

/// An image of noise, and a mask of a square of it or of nothing.
fn case(empty: bool) -> (Image, Mask) {
    let size = 32;
    let pixels = (0..size * size).map(|i| 1.0 + (i * 7919 % 101) as f32);
    let inside =
        |i: usize| !empty && (8..24).contains(&(i % size)) && (8..24).contains(&(i / size));
    let image = Image {
        height: size,
        width: size,
        pixels: pixels.collect(),
    };
    let mask = Mask {
        height: size,
        width: size,
        pixels: (0..size * size).map(inside).collect(),
    };
    (image, mask)
}

#[test]
fn two_empty_masks_fit_and_one_empty_mask_does_not() {
    let mut recipe = Recipe::default();
    recipe.image.crop = 32;
    recipe.network.width = 4;
    let (whole, nothing) = (case(false), case(true));
    let cases = [&whole, &nothing].map(|(image, mask)| SupportCase {
        digest: Digest::of_bytes(b"an image"),
        image: Arc::<Prepared>::new(prepare(image, &recipe.image)),
        mask,
    });
    let engine = Lanes::new(NonZeroUsize::MIN);
    // The same logit everywhere: that of the last layer's bias.
    for (logit, expected) in [
        (-5.0, [0.0, 1.0]),
        (5.0, [2.0 * 256.0 / (1024.0 + 256.0), 0.0]),
    ] {
        let values = &mut |declared: &Declaration<'_>| {
            let value = if declared.shape == [1] { logit } else { 0.0 };
            Ok(vec![value; declared.len()])
        };
        let net = UNet::with_values(&recipe.network, 2, &Device::Cpu, DType::F32, values).unwrap();
        let found = dice_by_branch(&net, &engine, &cases, &recipe.image).unwrap();
        assert_eq!(found, [expected; 2]);
        assert_eq!(mean(&found[0]), (expected[0] + expected[1]) / 2.0);
    }
}
