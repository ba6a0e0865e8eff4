//! Runs that differ in their way of sampling only: how their networks come about, and the keys of
//! their stages.

use std::{collections::HashMap, sync::Arc};

use rayon::prelude::*;

use super::{
    Agree, Evaluate, Origin, Reference, Serve, Spec, StageId, Support, TestImages, Train, Way,
};
use crate::{
    grid::{Chosen, Setting},
    key::{Digest, Keyed, Memo},
    manifest::{Budget, Grid, LatentServed, Metrics},
    method::{Method, NetworkForm},
    seed::Seed,
};

/// A way of sampling with a number of samples, and the annotated images that it gives.
pub(super) struct Sampling {
    pub samples: usize,
    /// 0 for no samples, where this is the only way.
    pub start: usize,
    pub support: Arc<Memo<Support>>,
}

/// How a network for the new expert comes about.
pub(super) enum Ending {
    /// By a training, alike in all but the annotated images and the seed.
    Trained(Box<Train>),
    /// From a pretrained network as it is.
    Served {
        pretrained: Digest,
        /// By the samples, where there are any.
        way: Way,
        test: Arc<Memo<TestImages>>,
    },
}

/// A spec with its key.
pub(super) type KeyedSpec = (Digest, Spec);

pub(super) fn with_key(spec: Spec) -> KeyedSpec {
    (spec.digest(), spec)
}

/// Runs that differ in their way of sampling only.
pub(super) struct RunGroup<'a> {
    pub method: Arc<Chosen>,
    pub new_expert: u8,
    pub experts: Arc<[u8]>,
    pub repeat: Option<usize>,
    pub swept: Arc<[Setting]>,
    pub pretrained: Option<StageId>,
    pub samplings: Arc<[Sampling]>,
    /// The seed of each start.
    pub seeds: &'a HashMap<usize, Seed>,
    pub ending: Ending,
    /// What rules for choosing annotators compare, all but the new expert's images.
    pub agreeing: Option<Agree>,
    /// The pretraining of all candidates, where a rule chooses by its branches.
    pub of_all: Option<StageId>,
    pub reference: Arc<Memo<Reference>>,
    pub metrics: Arc<Memo<Metrics>>,
}

impl RunGroup<'_> {
    /// The network and the evaluation of each way, with their keys.
    pub fn keyed(&self) -> Vec<(KeyedSpec, KeyedSpec)> {
        let keyed = self.samplings.par_iter().map(|sampling| {
            let network = self.ending.spec(sampling, self.seeds);
            let training_kind = network.kind();
            let network = with_key(network);
            let evaluate = Evaluate {
                training: network.0,
                training_kind,
                reference: self.reference.clone(),
                metrics: self.metrics.clone(),
            };
            (network, with_key(Spec::Evaluate(evaluate)))
        });
        keyed.collect()
    }
}

impl Ending {
    /// That of a method with samples; without a pretraining a training from random initialisation,
    /// which `train` gives.
    pub fn of(
        method: &Method,
        pretrained: Option<Digest>,
        test: &Arc<Memo<TestImages>>,
        latent: LatentServed,
        train: impl FnOnce() -> Train,
    ) -> Self {
        match (pretrained, method.tuned) {
            (Some(pretrained), Some(tuned)) => Self::Trained(Box::new(Train {
                origin: Origin::adapted(pretrained, method.branch, tuned),
                network: method.network.adapted(),
                ..train()
            })),
            (Some(pretrained), None) => Self::served(method, pretrained, test, latent),
            (None, _) => Self::Trained(Box::new(train())),
        }
    }

    /// That of a method without training; `served` is which latent serves where there is one.
    pub fn served(
        method: &Method,
        pretrained: Digest,
        test: &Arc<Memo<TestImages>>,
        served: LatentServed,
    ) -> Self {
        Self::Served {
            pretrained,
            test: test.clone(),
            way: match method.network {
                NetworkForm::Norms | NetworkForm::Heads => Way::Branch,
                NetworkForm::One => Way::Threshold,
                NetworkForm::Map => Way::Map,
                NetworkForm::Latent | NetworkForm::Comb => match served {
                    LatentServed::Posterior => Way::Latent,
                    LatentServed::Relative => Way::Relative,
                },
            },
        }
    }

    fn spec(&self, sampling: &Sampling, seeds: &HashMap<usize, Seed>) -> Spec {
        let Sampling {
            samples,
            start,
            support,
        } = sampling;
        match self {
            Self::Trained(train) => Spec::Train(Train {
                support: support.clone(),
                seed: seeds[start],
                ..(**train).clone()
            }),
            Self::Served {
                pretrained,
                way,
                test,
            } => {
                let way = match samples {
                    0 => Way::Consensus,
                    _ => *way,
                };
                Spec::Serve(Serve {
                    pretrained: *pretrained,
                    way,
                    support: (*samples > 0).then(|| support.clone()),
                    test: matches!(way, Way::Latent | Way::Relative).then(|| test.clone()),
                })
            }
        }
    }
}

/// What the trainings of one section of a manifest have in common: `[finetune]`, `[scratch]`.
pub(super) struct Budgeted {
    pub budget: Arc<Memo<Budget>>,
    /// By start. With all cases, every way of sampling gives the same images, and only the seeds
    /// differ.
    pub seeds: HashMap<usize, Seed>,
}

impl Budgeted {
    pub fn of(budget: Budget, seed: Seed, grid: &Grid) -> Self {
        let starts = grid.starts.iter();
        Self {
            budget: Arc::new(Memo::new(budget)),
            seeds: starts.map(|s| (*s, seed.at(*s as u64))).collect(),
        }
    }
}
