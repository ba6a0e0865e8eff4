//! The disk space that stages will take: as much as stored stages of the same kind and size, or
//! else what their specification implies.

use std::collections::{HashMap, HashSet};

use crate::{
    key::Digest,
    net,
    plan::{Kind, Plan, Size, Spec, StageId, Train},
    stage::branches,
    store::{Found, Store},
};

/// How many artefacts of a kind are measured: they differ little.
const SAMPLES: usize = 16;
/// Approximate bytes of an artefact's description, which names every image and mask.
const DESCRIPTION_BYTES: u64 = 8 << 10;
/// Approximate bytes of a step in a training's curve.
const STEP_BYTES: u64 = 30;
/// Approximate bytes of what is said of one combination of experts.
const MAJORITY_BYTES: u64 = 120;
/// Approximate bytes of a served network's predictions.
const SERVED_BYTES: u64 = 100 << 10;
/// Approximate bytes of an image's scores.
const SCORES_BYTES: u64 = 300;

/// The artefacts measured in each class: how many, and their bytes.
type Seen = HashMap<Class, (usize, u64)>;

/// What the size of an artefact depends on: kind, size of batch, whether the weights are kept.
type Class = (Kind, Option<Size>, bool);

fn class(spec: &Spec) -> Class {
    (spec.kind(), spec.work().size, spec.keeps_weights())
}

/// A warning where a store's disk has less space than what is left to run needs.
pub fn shortage(store: &Store, need: u64) -> Option<String> {
    let free = store.free_bytes().filter(|free| *free < need)?;
    Some(format!(
        "the disk of {} has {} free, and what is left to run needs about {}: free some space, or \
         choose another folder with `--results`; where the disk is full a sweep stops, and what is \
         done is kept",
        store.root().display(),
        size(free),
        size(need)
    ))
}

/// Bytes of the stages that are left.
pub fn bytes(plan: &Plan, left: &[StageId], store: &Store, there: &HashSet<Digest>) -> u64 {
    let mut seen = Seen::new();
    for stage in plan.stages.iter().filter(|s| there.contains(&s.digest)) {
        look(class(&stage.spec), &stage.digest, store, &mut seen);
    }
    let wanted: HashSet<Class> = left.iter().map(|id| class(&plan.stage(*id).spec)).collect();
    if wanted.iter().any(|class| !seen.contains_key(class)) {
        others(store, &mut seen);
    }
    let each = left.iter().map(|id| {
        let spec = &plan.stage(*id).spec;
        match seen.get(&class(spec)) {
            Some((count, sum)) => sum / *count as u64,
            None => by_specification(spec),
        }
    });
    each.sum()
}

fn look(class: Class, stage: &Digest, store: &Store, seen: &mut Seen) {
    let (count, sum) = seen.entry(class).or_default();
    if *count < SAMPLES {
        *count += 1;
        *sum += store.size(class.0, stage);
    }
}

/// Measures some artefacts of other plans.
fn others(store: &Store, seen: &mut Seen) {
    let mut left = Kind::ALL.map(|_| SAMPLES);
    for (kind, digest) in store.list() {
        let left = &mut left[kind as usize];
        if *left == 0 {
            continue;
        }
        *left -= 1;
        if let Found::Intact(artefact) = store.read(kind, &digest, &[])
            && let Ok(spec) = serde_json::from_str::<Spec>(artefact.description.spec.get())
        {
            look(class(&spec), &digest, store, seen);
        }
    }
}

fn by_specification(spec: &Spec) -> u64 {
    let files = match spec {
        Spec::Train(train) => {
            let weights = match spec.keeps_weights() {
                true => weights(train),
                false => 0,
            };
            // One byte for each pixel of the network's input, test image and branch.
            let seen = (train.recipe.image.input() as u64).pow(2);
            let branches = branches(train).count;
            let predictions = (train.test.images.len() * branches) as u64 * seen;
            weights + predictions + train.budget.steps as u64 * STEP_BYTES
        }
        Spec::Serve(_) => SERVED_BYTES,
        Spec::Agree(agree) => agree.combinations.len() as u64 * MAJORITY_BYTES,
        Spec::Evaluate(evaluate) => evaluate.reference.masks.len() as u64 * SCORES_BYTES,
    };
    files + DESCRIPTION_BYTES
}

/// Four bytes for every parameter.
fn weights(train: &Train) -> u64 {
    4 * net::count(&train.recipe.network, branches(train))
}

/// `97.1 MB`.
pub fn size(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ => format!("{value:.1} {}", units[unit]),
    }
}
