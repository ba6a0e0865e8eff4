//! `expertgrid store gc`: removes the stages that no manifest needs.
//!
//! The rule: only stages of the named data set are removed, only when that is confirmed, and never
//! all of them: whoever keeps nothing has most likely named other manifests or data than were run.
//! Nothing is removed while a process works on the store, which may need what is finished. What is
//! removed is gone: it can be computed again to the same bytes, and is named before.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    iter,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use itertools::Itertools;
use rayon::prelude::*;

use super::{
    super::{
        Done, Failure, OpenedSets, Selection, inventory,
        output::{print, size},
    },
    upkeep::StoreArguments,
};
use crate::{
    data::{Dataset, fit},
    key::Digest,
    manifest,
    plan::{self, CaseDigests, Inventory, Kind, Origin, Spec},
    store::{Found, Removal, Store},
};

#[derive(Debug, Args)]
#[command(
    after_help = "The stages of all profiles of a manifest are kept. What was run with `--set` is \
                  kept only if the same `--set` is given here. Stages of other data sets than the \
                  named one are never removed.

Example: expertgrid store gc --keep-manifests experiments/*.toml --dry-run"
)]
pub struct Arguments {
    /// Manifests whose stages are kept.
    #[arg(long, required = true, num_args = 1.., value_name = "MANIFEST")]
    keep_manifests: Vec<PathBuf>,
    /// Overrides whose stages are kept too; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Folder of the data set that the stages were computed on [default: the manifests'
    /// `dataset.path`, or data/phantom].
    #[arg(long, value_name = "DIR")]
    dataset: Option<PathBuf>,
    /// Remove nothing; show what would be removed.
    #[arg(long)]
    dry_run: bool,
    /// Remove the stages; without it, they are only counted.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    place: StoreArguments,
}

/// The stages of a store, by what becomes of them.
#[derive(Default)]
struct StoredStages {
    /// A manifest needs them.
    needed: usize,
    /// No manifest needs them.
    unneeded: Vec<(Kind, Digest)>,
    /// How many are of which other data set.
    foreign: BTreeMap<String, usize>,
    /// Written by another version of the program: which images they are of is not known.
    unknown: usize,
    /// They cannot be read.
    damaged: usize,
}

pub(super) fn run(arguments: &Arguments) -> Result<Done, Failure> {
    let store = Store::within(&arguments.place.results);
    let mut sets = OpenedSets {
        named: arguments.dataset.clone(),
        opened: Vec::new(),
    };
    let kept = needed(arguments, &mut sets)?;
    let datasets: Vec<Arc<Dataset>> = sets.opened.into_iter().map(|(_, set)| set).collect();
    let labels = datasets
        .iter()
        .map(|dataset| dataset.label.as_str())
        .unique();
    let labels = labels.format(", ").to_string();
    let stages = sorted(&store, &datasets, &kept);
    let bytes = |stages: &[(Kind, Digest)]| -> u64 {
        let each = stages.iter();
        each.map(|(kind, digest)| store.size(*kind, digest)).sum()
    };
    let count = stages.unneeded.len();
    if stages.needed == 0 && count > 0 {
        return Err(Failure::refused(format!(
            "none of the {count} stages of {} in {} is one that these manifests need, so all of \
             them would go; name the manifests, the `--set` and the `--dataset` that were run",
            labels,
            store.root().display()
        )));
    }
    if !arguments.yes && !arguments.dry_run && count > 0 {
        return Err(Failure::refused(format!(
            "{count} stages would be removed ({}), {} stay; `--dry-run` names them, `--yes` \
             removes them",
            size(bytes(&stages.unneeded)),
            stages.needed
        )));
    }
    if arguments.yes && !arguments.dry_run && count > 0 && store.is_at_work() {
        return Err(Failure::refused(format!(
            "nothing is removed while a process works on {}, which may need what is finished; \
             wait for its end, or interrupt it: its progress is saved",
            store.root().display()
        )));
    }
    let freed = bytes(&stages.unneeded);
    let removed = match arguments.dry_run {
        true => stages.unneeded.clone(),
        false => remove(&store, &stages.unneeded)?,
    };
    if arguments.place.json {
        print(serde_json::to_string_pretty(&removed).expect("rows are plain data"));
        return Ok(Done::Whole);
    }
    if arguments.dry_run {
        for (kind, digest) in &removed {
            print(format_args!("would be removed: {kind} {digest}"));
        }
    }
    print(format_args!(
        "{} stages {} ({}), {} stay{}",
        removed.len(),
        match arguments.dry_run {
            true => "would be removed",
            false => "removed",
        },
        size(freed),
        stages.needed,
        match count - removed.len() {
            0 => String::new(),
            n => format!(", {n} are in use"),
        }
    ));
    say_others(&stages);
    Ok(Done::Whole)
}

/// Says which stages stay whether a manifest needs them or not.
fn say_others(stages: &StoredStages) {
    for (label, count) in &stages.foreign {
        print(format_args!(
            "{count} stages of another data set stay: {label}"
        ));
    }
    if stages.unknown > 0 {
        print(format_args!(
            "{} stages of another version of the program stay",
            stages.unknown
        ));
    }
    if stages.damaged > 0 {
        print(format_args!(
            "{} damaged stages stay; `expertgrid store verify` names them",
            stages.damaged
        ));
    }
}

/// Removes stages; returns those that no process works on.
fn remove(store: &Store, stages: &[(Kind, Digest)]) -> Result<Vec<(Kind, Digest)>, Failure> {
    let scratch = store.scratch().map_err(Failure::input)?;
    let mut removed = Vec::new();
    for (kind, digest) in stages {
        let outcome = store.remove(&scratch, *kind, digest);
        if outcome.map_err(Failure::work)? == Removal::Removed {
            removed.push((*kind, *digest));
        }
    }
    Ok(removed)
}

/// Sorts what is in the store.
fn sorted(store: &Store, datasets: &[Arc<Dataset>], kept: &BTreeSet<Digest>) -> StoredStages {
    let read = |(kind, digest): (Kind, Digest)| {
        let found = match kept.contains(&digest) {
            true => None,
            false => Some(store.read(kind, &digest, &[])),
        };
        (kind, digest, found)
    };
    let read: Vec<_> = store.list().into_par_iter().map(read).collect();
    let known = |dataset: &Arc<Dataset>| -> HashMap<Digest, StageImages> {
        let content = SetContent::of(dataset);
        let known = read.iter().filter_map(|(_, digest, found)| match found {
            Some(Found::Intact(artefact)) => {
                let spec = serde_json::from_str(artefact.description.spec.get()).ok()?;
                Some((*digest, StageImages::of(&spec, &content)))
            }
            _ => None,
        });
        known.collect()
    };
    let known: Vec<_> = datasets.iter().map(|set| (set, known(set))).collect();
    let mut stages = StoredStages::default();
    for (kind, digest, found) in read {
        match found {
            None => stages.needed += 1,
            Some(Found::Intact(artefact)) => {
                let label = artefact.description.dataset;
                let of_each = known.iter().map(|(set, known)| {
                    let is_of = is_of(digest, known)?;
                    Some(is_of && label == set.label)
                });
                let of_each: Option<Vec<bool>> = of_each.collect();
                match of_each.map(|each| each.contains(&true)) {
                    None => stages.unknown += 1,
                    Some(true) => stages.unneeded.push((kind, digest)),
                    Some(false) => *stages.foreign.entry(label).or_default() += 1,
                }
            }
            Some(Found::Missing) => {}
            Some(Found::Damaged(_)) => stages.damaged += 1,
        }
    }
    stages
}

/// The digests of all images and masks.
struct SetContent {
    training: HashSet<Digest>,
    test: HashSet<Digest>,
}

impl SetContent {
    fn of(dataset: &Dataset) -> Self {
        let inventory = Inventory::of(dataset);
        let digests = |cases: &[CaseDigests]| {
            let each = cases.iter();
            let each = each.flat_map(|case| iter::once(&case.image).chain(case.masks.values()));
            each.copied().collect()
        };
        Self {
            training: digests(&inventory.training),
            test: digests(&inventory.test),
        }
    }
}

/// What a stage was computed on.
struct StageImages {
    /// Whether all its own images and masks are in the data set, and in the same part of it.
    own: bool,
    /// The stage before it.
    upstream: Option<Digest>,
}

impl StageImages {
    fn of(spec: &Spec, content: &SetContent) -> Self {
        let all = |digests: &[Digest], part: &HashSet<Digest>| {
            digests.iter().all(|digest| part.contains(digest))
        };
        match spec {
            Spec::Train(train) => {
                let mut masks = train.support.masks.iter();
                Self {
                    own: all(&train.support.images, &content.training)
                        && (train.support.fused.is_some()
                            || masks.all(|masks| all(masks, &content.training)))
                        && all(&train.test.images, &content.test),
                    upstream: match train.origin {
                        Origin::Pretrained(pretrained) | Origin::Adapted { pretrained, .. } => {
                            Some(pretrained)
                        }
                        Origin::Random
                        | Origin::RandomForExperts(_)
                        | Origin::ImportedForExperts(..) => None,
                    },
                }
            }
            Spec::Serve(serve) => Self {
                own: serve.support.as_ref().is_none_or(|support| {
                    let mut masks = support.masks.iter();
                    all(&support.images, &content.training)
                        && masks.all(|masks| all(masks, &content.training))
                }),
                upstream: Some(serve.pretrained),
            },
            Spec::Agree(agree) => Self {
                own: [&agree.support, &agree.candidates].iter().all(|support| {
                    let mut masks = support.masks.iter();
                    all(&support.images, &content.training)
                        && masks.all(|masks| all(masks, &content.training))
                }),
                upstream: None,
            },
            Spec::Evaluate(evaluate) => Self {
                own: all(&evaluate.reference.masks, &content.test),
                upstream: Some(evaluate.training),
            },
        }
    }
}

/// Whether a stage and all before it were computed on the data set alone: two data sets may share
/// cases, as the folds of one do. `None` where this version cannot read what it was computed on.
fn is_of(stage: Digest, known: &HashMap<Digest, StageImages>) -> Option<bool> {
    let mut images = known.get(&stage)?;
    // A stage before it that is not here is needed by the manifests, or has been removed.
    while let Some(before) = images.upstream.and_then(|before| known.get(&before)) {
        if !images.own {
            return Some(false);
        }
        images = before;
    }
    Some(images.own)
}

/// Every stage that the manifests need, with all their profiles, as they are and with the
/// overrides.
fn needed(arguments: &Arguments, sets: &mut OpenedSets) -> Result<BTreeSet<Digest>, Failure> {
    let mut kept = BTreeSet::new();
    let none: &[String] = &[];
    for path in &arguments.keep_manifests {
        let mut unfit = Vec::new();
        let profiles = manifest::profiles(path).map_err(Failure::input)?;
        for profile in &profiles {
            let mut problems = Vec::new();
            for overrides in [none, &arguments.overrides] {
                match digests(path, profile, overrides, sets)? {
                    Ok(digests) => kept.extend(digests),
                    Err(more) => problems.extend(more),
                }
            }
            if !problems.is_empty() {
                unfit.push((profile, problems.into_iter().unique().join("\n")));
            }
        }
        if unfit.len() == profiles.len() {
            let all = unfit.into_iter().map(|(_, problems)| problems).unique();
            return Err(Failure::refused(all.format("\n").to_string()));
        }
        for (profile, problems) in unfit {
            eprintln!(
                "note: the profile {profile} of {} has no stages on this data set: {problems}",
                path.display()
            );
        }
    }
    Ok(kept)
}

/// The stages of a manifest's profile, or why it cannot be run on the data set.
fn digests(
    path: &Path,
    profile: &str,
    overrides: &[String],
    sets: &mut OpenedSets,
) -> Result<Result<Vec<Digest>, Vec<String>>, Failure> {
    let experiments = manifest::read(&[path], profile, overrides).map_err(Failure::input)?;
    let described = Selection::described(&experiments, sets.named.as_deref())?;
    let dataset = &*sets.get(&described)?;
    let problems = fit::fit_all(dataset, &experiments).problems;
    if !problems.is_empty() {
        return Ok(Err(problems));
    }
    let inventory = inventory(&experiments, dataset)?;
    let plan = plan::build(experiments, &inventory);
    Ok(Ok(plan.stages.iter().map(|stage| stage.digest).collect()))
}
