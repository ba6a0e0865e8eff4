//! From experiments to the runs of their grids and the stages these runs share.
//!
//! The rule: sharing has no special cases. Every run asks for its stages by content key, and two
//! that ask for the same key, in one manifest or in several, get the same stage. The plan knows
//! no disk, no devices and no tensors.

mod deal;
mod fusion;
mod inventory;
mod names;
mod picks;
mod run_group;
mod spec;
mod stage_id;
mod summary;
mod supports;
mod work;

use std::{collections::HashMap, sync::Arc};

use hashbrown::{HashTable, hash_table::Entry};
use itertools::Itertools;

use crate::{
    grid::{Address, ExpertNames, Setting},
    key::{Digest, Memo},
    manifest::{Experiment, ExpertBatching, LatentSpec, Network, Recipe, SpacingFrom, Start},
    method::{Annotation, BudgetFrom, Method, NetworkForm, Objective, TrainedOn},
    seed::Seed,
};

pub use deal::deal;
pub use fusion::Fusion;
pub use inventory::{CaseDigests, FusedDigests, Inventory, subset};
pub use names::Names;
pub use picks::{Fields, Picking};
pub use spec::{
    Agree, Evaluate, Kind, Origin, Reference, Serve, Spec, Support, TestImages, Train, Way,
};
pub use stage_id::StageId;
pub use summary::{Count, Summary, grouped};
pub use work::{Size, Work};

use deal::first_dealt;
use run_group::{Budgeted, Ending, KeyedSpec, RunGroup, Sampling, with_key};
use supports::{SomeCases, Supports};

/// All runs and the stages they share.
#[derive(Debug)]
pub struct Plan {
    /// The experiments, in the order given.
    pub experiments: Vec<Experiment>,
    /// The distinct stages; each comes after the one it depends on.
    pub stages: Vec<Stage>,
    /// The runs, experiment by experiment.
    pub runs: Vec<Run>,
}

/// A distinct piece of work.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Its content key.
    pub digest: Digest,
    /// What it computes.
    pub spec: Spec,
    /// The stage it needs.
    pub upstream: Option<StageId>,
}

/// A network for one new expert, made and tested: one result of a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Index of its experiment.
    pub experiment: usize,
    /// Its position in its grid.
    pub at: Address,
    /// The stage whose predictions are tested: a training, or a pretrained network as it is.
    pub network: StageId,
    /// The stage that scores them.
    pub evaluation: StageId,
    /// The stage that compares masks, where its manifest names a rule that chooses by them.
    pub agreement: Option<StageId>,
    /// The stage that says how the branches of a network of all candidates fit the new expert's
    /// cases, where its manifest names the rule that chooses by them.
    pub branches: Option<StageId>,
}

impl Run {
    /// The method that gives its network.
    pub fn method(&self) -> &Method {
        &self.at.method.method
    }

    /// The stages that it is there for; all others that it needs come before these.
    pub fn ends(&self) -> impl Iterator<Item = StageId> + use<> {
        [self.evaluation]
            .into_iter()
            .chain(self.agreement)
            .chain(self.branches)
    }
}

impl Plan {
    /// The stage behind an id.
    pub fn stage(&self, id: StageId) -> &Stage {
        &self.stages[id.index()]
    }

    /// The stages that a run needs, in their order.
    pub fn needed(&self, run: &Run) -> impl Iterator<Item = StageId> + use<> {
        let (network, upstream) = (run.network, |id: StageId| self.stage(id).upstream);
        let pretraining = upstream(network);
        let of_all = run.branches.and_then(upstream);
        pretraining
            .into_iter()
            .chain([network])
            .chain(of_all.filter(|id| pretraining != Some(*id)))
            .chain(run.ends().filter(move |id| *id != network))
    }

    /// A stage, after all that it needs.
    pub fn chain(&self, id: StageId) -> Vec<StageId> {
        let mut chain = vec![id];
        while let Some(upstream) = chain.last().and_then(|id| self.stage(*id).upstream) {
            chain.push(upstream);
        }
        chain.reverse();
        chain
    }

    /// For every stage, how many of the wanted runs need it.
    pub fn demand(&self, wanted: impl Fn(&Run) -> bool) -> Vec<usize> {
        let mut demand = vec![0; self.stages.len()];
        for run in self.runs.iter().filter(|run| wanted(run)) {
            self.needed(run).for_each(|id| demand[id.index()] += 1);
        }
        demand
    }

    /// Every stage with its id.
    pub fn ids(&self) -> impl Iterator<Item = (StageId, &Stage)> {
        (0..).map(StageId::new).zip(&self.stages)
    }
}

/// Expands the grids of all experiments over one data set, for every point of their sweeps.
///
/// The inventory must hold the cases and experts that the grids name, the files they import and the
/// masks they fuse; see [`crate::data::Dataset`] and [`Inventory::assumed`].
pub fn build(experiments: Vec<Experiment>, inventory: &Inventory) -> Plan {
    let mut builder = Builder {
        inventory,
        test: Arc::new(Memo::new(TestImages {
            names: inventory
                .test
                .iter()
                .map(|case| case.name.clone())
                .collect(),
            images: inventory.test.iter().map(|case| case.image).collect(),
        })),
        supports: Supports::default(),
        references: HashMap::new(),
        known: HashTable::new(),
        stages: Vec::new(),
        runs: Vec::new(),
        names: ExpertNames::default(),
    };
    for (index, experiment) in experiments.iter().enumerate() {
        for point in experiment.points() {
            builder.expand(index, &point.experiment, point.settings(experiment));
        }
    }
    let Builder { stages, runs, .. } = builder;
    Plan {
        experiments,
        stages,
        runs,
    }
}

/// The experts whose masks a network is trained on, and its numbers of samples with the first case
/// of each.
type SamplingsKey = (Arc<[u8]>, Arc<[(usize, usize)]>);

struct Builder<'a> {
    inventory: &'a Inventory,
    test: Arc<Memo<TestImages>>,
    supports: Supports,
    references: HashMap<(u8, SpacingFrom), Arc<Memo<Reference>>>,
    /// The stages by their keys.
    known: HashTable<StageId>,
    stages: Vec<Stage>,
    runs: Vec<Run>,
    /// What the experts of the experiment at hand are called.
    names: ExpertNames,
}

impl Builder<'_> {
    fn expand(&mut self, index: usize, experiment: &Experiment, swept: Arc<[Setting]>) {
        let grid = &experiment.grid;
        self.names = grid.names.clone();
        let networks = grid.methods.iter();
        let networks = networks.map(|method| (method, grid.networks(&method.method)));
        let networks = networks.collect_vec();
        self.reserve(grid.runs() as usize);
        let recipe = Arc::new(experiment.recipe.clone());
        let root = Seed::new(experiment.seed);
        let finetune = Budgeted::of(experiment.finetune, root.fork("finetune"), grid);
        let scratch = Budgeted::of(experiment.scratch, root.fork("scratch"), grid);
        let metrics = Arc::new(experiment.metrics.clone());
        let served = experiment.latent_served;
        let agreeing = self.agreeing(experiment);
        let mut samplings: HashMap<SamplingsKey, Arc<[Sampling]>> = HashMap::new();
        let mut groups = Vec::new();
        for (chosen, networks) in networks {
            let method = &chosen.method;
            let budget = match method.budget {
                BudgetFrom::Finetune => &finetune,
                BudgetFrom::Scratch => &scratch,
            };
            let of_all = self.of_all_candidates(experiment, &recipe, method, root);
            for (network, new_expert) in networks.iter().cartesian_product(&grid.new_experts) {
                let Network {
                    experts,
                    repeat,
                    starts,
                } = network;
                let pretrained = method.is_pretrained().then(|| {
                    let repeat = repeat.unwrap_or(0);
                    let spec = self.pretraining(experiment, &recipe, method, experts, repeat, root);
                    self.stage(with_key(spec), None)
                });
                let trainer: Arc<[u8]> = match method.trained_on {
                    TrainedOn::NewExpert => Arc::from([*new_expert]),
                    TrainedOn::AnotherExpert => experts.clone(),
                };
                let (none, some) = grid.samplings(method, starts);
                let digest = pretrained.map(|id: StageId| self.stages[id.index()].digest);
                let adapted = Ending::of(method, digest, &self.test, served, || Train {
                    recipe: recipe.clone(),
                    budget: budget.budget.clone(),
                    origin: Origin::Random,
                    network: NetworkForm::Norms,
                    objective: Objective::Dice,
                    latent: LatentSpec::USUAL,
                    support: self.supports.all(self.inventory, &trainer),
                    test: self.test.clone(),
                    seed: root,
                    keep: experiment.keep,
                });
                let as_it_is =
                    digest.map(|digest| Ending::served(method, digest, &self.test, served));
                let endings = [(some, Some(adapted)), (none, as_it_is)];
                for (ways, ending) in endings {
                    let Some(ending) = ending.filter(|_| !ways.is_empty()) else {
                        continue;
                    };
                    let samplings = samplings.entry((trainer.clone(), ways.clone()));
                    let samplings = samplings.or_insert_with(|| {
                        let ways = ways.iter();
                        ways.map(|(samples, start)| Sampling {
                            samples: *samples,
                            start: *start,
                            support: self.supports.some(
                                self.inventory,
                                &trainer,
                                (*start, *samples),
                            ),
                        })
                        .collect()
                    });
                    groups.push(RunGroup {
                        method: chosen.clone(),
                        new_expert: *new_expert,
                        experts: experts.clone(),
                        repeat: *repeat,
                        swept: swept.clone(),
                        pretrained,
                        samplings: samplings.clone(),
                        seeds: &budget.seeds,
                        ending,
                        agreeing: agreeing.clone().filter(|_| method.is_pretrained()),
                        of_all: of_all.get(repeat.unwrap_or(0)).copied(),
                        reference: self.reference(*new_expert, experiment.metrics.spacing),
                        metrics: metrics.clone(),
                    });
                }
            }
        }
        // Keys are most of the work, and independent of each other: those of a group are computed
        // while the stages of the group before are deduplicated.
        let mut keyed = groups.first().map(RunGroup::keyed);
        for (i, group) in groups.iter().enumerate() {
            let these = keyed.take().unwrap_or_default();
            let next = || groups.get(i + 1).map(RunGroup::keyed);
            (_, keyed) = rayon::join(|| self.add(index, group, these), next);
        }
    }

    fn reserve(&mut self, runs: usize) {
        self.runs.reserve(runs);
        self.stages.reserve(2 * runs);
        let stages = &self.stages;
        self.known
            .reserve(2 * runs, |id| stages[id.index()].digest.first_bytes());
    }

    /// Adds the runs of a group, and those of their stages that are new.
    fn add(&mut self, experiment: usize, group: &RunGroup<'_>, keyed: Vec<(KeyedSpec, KeyedSpec)>) {
        for (sampling, (network, evaluate)) in group.samplings.iter().zip(keyed) {
            let network = self.stage(network, group.pretrained);
            let evaluation = self.stage(evaluate, Some(network));
            let agree = group.agreeing.as_ref().map(|agreeing| Agree {
                support: sampling.support.clone(),
                ..agreeing.clone()
            });
            let agreement = agree.map(|agree| self.stage(with_key(Spec::Agree(agree)), None));
            let branches = group.of_all.map(|id| {
                let serve = Serve {
                    pretrained: self.stages[id.index()].digest,
                    way: Way::Branch,
                    support: Some(sampling.support.clone()),
                    test: None,
                };
                self.stage(with_key(Spec::Serve(serve)), Some(id))
            });
            self.runs.push(Run {
                experiment,
                at: Address {
                    new_expert: group.new_expert,
                    method: group.method.clone(),
                    experts: group.experts.clone(),
                    names: self.names.clone(),
                    samples: sampling.samples,
                    start: sampling.start,
                    repeat: group.repeat,
                    swept: group.swept.clone(),
                },
                network,
                evaluation,
                agreement,
                branches,
            });
        }
    }

    /// What rules for choosing annotators compare, all but the new expert's images; none where the
    /// experiment has no such rule.
    fn agreeing(&mut self, experiment: &Experiment) -> Option<Agree> {
        if !experiment.selection.needs_agreement() {
            return None;
        }
        let annotators = &experiment.grid.annotators;
        let candidates = sorted(&annotators.from);
        let sizes = annotators.choose.iter().copied().sorted_unstable();
        let of_size = |k| candidates.iter().copied().combinations(k);
        let all = self.supports.all(self.inventory, &candidates);
        Some(Agree {
            support: all.clone(),
            candidates: all,
            combinations: sizes.flat_map(of_size).collect(),
        })
    }

    /// The pretrainings of all candidates, one for each repeat, where a rule chooses by their
    /// branches.
    fn of_all_candidates(
        &mut self,
        experiment: &Experiment,
        recipe: &Arc<Memo<Recipe>>,
        method: &Method,
        root: Seed,
    ) -> Vec<StageId> {
        if !experiment.selection.needs_branches() || !method.is_pretrained() {
            return Vec::new();
        }
        let all = sorted(&experiment.grid.annotators.from);
        let of_repeat = |repeat| {
            let spec = self.pretraining(experiment, recipe, method, &all, repeat, root);
            self.stage(with_key(spec), None)
        };
        (0..experiment.grid.repeats).map(of_repeat).collect()
    }

    fn pretraining(
        &mut self,
        experiment: &Experiment,
        recipe: &Arc<Memo<Recipe>>,
        method: &Method,
        experts: &Arc<[u8]>,
        repeat: usize,
        root: Seed,
    ) -> Spec {
        let of = |purpose: &str| {
            let seed = root.fork(purpose).fork(&experts.iter().join("+"));
            match repeat {
                0 => seed,
                repeat => seed.at(repeat as u64),
            }
        };
        let batching = experiment.pretrain.batching;
        let fused = Fusion::wanted(method, experiment.fusion_region, experts);
        let objective = method.objective();
        let shared = method.annotation == Annotation::Cohort;
        let all = self.inventory.training.len();
        let count = experiment.pretrain.limit.images(all, experts.len(), shared);
        let cases = SomeCases {
            inventory: self.inventory,
            places: first_dealt(of("cohort"), all, count),
        };
        let (network, support, batching) = match (experts.len(), method.annotation, fused) {
            // All masks of an image make one target.
            _ if matches!(objective, Objective::MeanMask | Objective::MaskAndMap) => {
                (method.network, cases.every(experts), ExpertBatching::All)
            }
            (1, ..) if objective == Objective::Elbo => {
                (method.network, cases.every(experts), ExpertBatching::All)
            }
            // Of a single expert all other methods make the same network from the same masks.
            (1, ..) => (NetworkForm::Norms, cases.every(experts), batching),
            // One mask of each image leaves nothing to choose.
            (_, Annotation::Cohort, _) => {
                let dealt = cases.dealt(experts, of("cohort"));
                (method.network, dealt, ExpertBatching::All)
            }
            (.., Some(fusion)) => (method.network, cases.fused(fusion), ExpertBatching::All),
            (.., None) => (method.network, cases.every(experts), batching),
        };
        let origin = match &experiment.pretrain.start {
            Start::Random => Origin::RandomForExperts(batching),
            Start::File(path) => Origin::ImportedForExperts(batching, self.inventory.imports[path]),
        };
        let mut budget = experiment.pretrain.budget;
        let latent = match objective {
            Objective::Elbo => {
                budget.lr *= experiment.latent_lr_factor;
                experiment.latent
            }
            Objective::Dice | Objective::MeanMask | Objective::MaskAndMap => LatentSpec::USUAL,
        };
        Spec::Train(Train {
            recipe: recipe.clone(),
            budget: Arc::new(Memo::new(budget)),
            origin,
            network,
            objective,
            latent,
            support,
            test: self.test.clone(),
            seed: of("pretrain"),
            keep: experiment.keep,
        })
    }

    /// The stage of a spec, which is made where it is asked for the first time.
    fn stage(&mut self, (digest, spec): (Digest, Spec), upstream: Option<StageId>) -> StageId {
        let next = StageId::new(self.stages.len());
        let stages = &self.stages;
        let same = |id: &StageId| stages[id.index()].digest == digest;
        let hash = |id: &StageId| stages[id.index()].digest.first_bytes();
        match self.known.entry(digest.first_bytes(), same, hash) {
            Entry::Vacant(place) => {
                place.insert(next);
                self.stages.push(Stage {
                    digest,
                    spec,
                    upstream,
                });
                next
            }
            Entry::Occupied(known) => {
                let id = *known.get();
                if spec.keeps_weights() {
                    // One of the manifests that share it keeps its weights.
                    self.stages[id.index()].spec = spec;
                }
                id
            }
        }
    }

    fn reference(&mut self, expert: u8, unit: SpacingFrom) -> Arc<Memo<Reference>> {
        let cases = &self.inventory.test;
        let spacing = |case: &CaseDigests| match unit {
            SpacingFrom::Unit => [1.0; 2],
            SpacingFrom::Header => case
                .spacing_mm
                .expect("the data set was checked for spacing"),
        };
        self.references
            .entry((expert, unit))
            .or_insert_with(|| {
                Arc::new(Memo::new(Reference {
                    expert,
                    masks: cases.iter().map(|case| case.masks[&expert]).collect(),
                    spacing: cases.iter().map(spacing).collect(),
                }))
            })
            .clone()
    }
}

fn sorted(experts: &[u8]) -> Arc<[u8]> {
    experts.iter().copied().sorted_unstable().collect()
}
