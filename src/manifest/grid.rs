//! The grid of an experiment: its axes, and the runs that they make.

use std::{collections::BTreeSet, sync::Arc};

use itertools::Itertools;

use super::{choices::Pairing, swept::Swept};
use crate::{
    grid::{Address, Axis, Chosen, ExpertNames, Value},
    method::{Method, TrainedOn},
};

/// A grid beyond this is a mistake, and would not fit into memory.
pub(super) const MOST_RUNS: f64 = 2e7;

/// The axes; every combination of their values is a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Experts to be adapted to, and tested against.
    pub new_experts: Vec<u8>,
    /// The ways of getting a network for them.
    pub methods: Vec<Arc<Chosen>>,
    /// Who annotates for pretraining.
    pub annotators: Annotators,
    /// Whose masks train the networks of method `single`.
    pub train_experts: Vec<u8>,
    /// What experts are called.
    pub names: ExpertNames,
    /// How many annotated samples; with 0, a pretrained network is tested as it is.
    pub samples: Vec<usize>,
    /// First case of each way of sampling, from 1.
    pub starts: Vec<usize>,
    /// Which combinations of annotation experts meet which ways of sampling.
    pub pairing: Pairing,
    /// Pretrainings of each combination of annotation experts; with [`Pairing::Matched`] rounds of
    /// the ways of sampling.
    pub repeats: usize,
}

/// Numbers of samples with the first case of each.
pub type Samplings = Arc<[(usize, usize)]>;

/// A network before its adaptation to a new expert, and the ways of sampling it is adapted with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// The experts whose masks train it; empty where all masks are the new expert's.
    pub experts: Arc<[u8]>,
    /// Which pretraining of these experts, from 0; none where there is one or none.
    pub repeat: Option<usize>,
    /// First case of each of its ways of sampling, from 1.
    pub starts: Arc<[usize]>,
}

impl Grid {
    /// How many runs the grid has; a real number, as combinations may overflow whole numbers.
    pub fn runs(&self) -> f64 {
        let starts = self.starts.len() as f64;
        let choose = self.annotators.choose.iter();
        let none = self.samples.contains(&0);
        let some = self.samples.iter().filter(|samples| **samples > 0).count() as f64;
        // Networks, and with how many ways of sampling each meets a number of samples.
        let networks = |method: &Arc<Chosen>| match Sources::of(&method.method) {
            Sources::Annotators => match self.pairing {
                Pairing::Crossed => {
                    let combinations = choose.clone().map(|k| self.combinations(*k));
                    (combinations.sum::<f64>() * self.repeats as f64, starts)
                }
                Pairing::Matched => {
                    let networks = choose.len() * self.repeats * self.starts.len();
                    (networks as f64, 1.0)
                }
            },
            Sources::NewExpert => (1.0, starts),
            Sources::AnotherExpert => (self.train_experts.len() as f64, starts),
        };
        let runs = self.methods.iter().map(|method| {
            let (networks, ways) = networks(method);
            let as_it_is = none && method.method.is_pretrained();
            networks * (some * ways + f64::from(u8::from(as_it_is)))
        });
        runs.sum::<f64>() * self.new_experts.len() as f64
    }

    /// The pairs (number of samples, first case) that a network is adapted with: those without
    /// samples, then all others. First cases count from 1; `starts` are the network's.
    ///
    /// Without samples all ways of sampling are one, whose first case is 0 where `starts` has
    /// several.
    pub fn samplings(&self, method: &Method, starts: &[usize]) -> (Samplings, Samplings) {
        let none = self.samples.contains(&0) && method.is_pretrained();
        let none = match (none, starts) {
            (false, _) => Vec::new(),
            (true, [only]) => vec![(0, *only)],
            (true, _) => vec![(0, 0)],
        };
        let some = self.samples.iter().filter(|samples| **samples > 0);
        let some = some.copied().cartesian_product(starts.iter().copied());
        (Arc::from(none), some.collect())
    }

    /// How many combinations of `k` annotation experts there are.
    fn combinations(&self, k: usize) -> f64 {
        binomial(self.annotators.from.len(), k)
    }

    /// The networks of a method before their adaptation to a new expert.
    pub fn networks(&self, method: &Method) -> Vec<Network> {
        self.some_networks(method, usize::MAX)
    }

    /// As [`Grid::networks`], with at most `of_a_size` combinations of each size where each of
    /// them meets every way of sampling.
    pub(super) fn some_networks(&self, method: &Method, of_a_size: usize) -> Vec<Network> {
        let starts: Arc<[usize]> = Arc::from(&self.starts[..]);
        let once = |experts: Vec<u8>| Network {
            experts: Arc::from(experts),
            repeat: None,
            starts: starts.clone(),
        };
        match Sources::of(method) {
            Sources::NewExpert => vec![once(Vec::new())],
            Sources::AnotherExpert => {
                let trainers = self.train_experts.iter();
                trainers.map(|expert| once(vec![*expert])).collect()
            }
            Sources::Annotators => {
                let mut from = self.annotators.from.clone();
                from.sort_unstable();
                let sizes = self.annotators.choose.iter();
                let of_size = |k: &usize| {
                    let combinations = from.iter().copied().combinations(*k);
                    match self.pairing {
                        Pairing::Crossed => self.crossed(combinations.take(of_a_size)),
                        Pairing::Matched => self.matched(&combinations.collect_vec()),
                    }
                };
                sizes.flat_map(of_size).collect()
            }
        }
    }

    /// Every combination with every way of sampling.
    fn crossed(&self, combinations: impl Iterator<Item = Vec<u8>>) -> Vec<Network> {
        let starts: Arc<[usize]> = Arc::from(&self.starts[..]);
        let networks = combinations.cartesian_product(0..self.repeats);
        networks
            .map(|(experts, repeat)| Network {
                experts: Arc::from(experts),
                repeat: self.is_repeated().then_some(repeat),
                starts: starts.clone(),
            })
            .collect()
    }

    /// Every way of sampling with the next combination; once all combinations are used, with a
    /// further pretraining of the first. Every round of the ways has pretrainings of its own.
    fn matched(&self, combinations: &[Vec<u8>]) -> Vec<Network> {
        let count = combinations.len();
        if count == 0 {
            return Vec::new();
        }
        let per_round = self.starts.len().div_ceil(count);
        let mut networks = Vec::new();
        for (first, experts) in combinations.iter().enumerate() {
            for repeat in 0..self.repeats * per_round {
                let way = first + count * (repeat % per_round);
                networks.extend(self.starts.get(way).map(|start| Network {
                    experts: Arc::from(&experts[..]),
                    repeat: self.is_repeated().then_some(repeat),
                    starts: Arc::from([*start]),
                }));
            }
        }
        networks
    }

    /// Whether a combination of annotation experts is pretrained on more than once.
    pub fn is_repeated(&self) -> bool {
        let fewer = |k: &usize| self.combinations(*k) < self.starts.len() as f64;
        let again = match self.pairing {
            Pairing::Crossed => false,
            Pairing::Matched => self.annotators.choose.iter().any(fewer),
        };
        self.pretrains() && (self.repeats > 1 || again)
    }

    /// The values of an axis, in its order.
    pub fn values(&self, axis: &Axis, sweep: &[Swept]) -> Vec<Value> {
        if let Some(swept) = sweep.iter().find(|swept| swept.axis() == *axis) {
            return swept.settings().map(Value::Setting).collect();
        }
        let mut values = BTreeSet::new();
        let of_a_size = match *axis == Axis::ANNOTATORS {
            true => usize::MAX,
            false => 1,
        };
        for method in &self.methods {
            for network in self.some_networks(&method.method, of_a_size) {
                // Axes whose many values tell nothing of each other's stand still.
                let first = |values: &[usize]| values.iter().copied().take(1).collect_vec();
                let starts = match *axis == Axis::START {
                    true => network.starts.to_vec(),
                    false => first(&network.starts),
                };
                let (none, some) = self.samplings(&method.method, &starts);
                let some = some.iter().filter(|(samples, _)| {
                    *axis == Axis::SAMPLES || self.samples.iter().find(|n| **n > 0) == Some(samples)
                });
                let ways = none.iter().chain(some);
                for ((samples, start), new_expert) in ways.cartesian_product(&self.new_experts) {
                    values.extend(axis.of(&Address {
                        new_expert: *new_expert,
                        method: method.clone(),
                        experts: network.experts.clone(),
                        names: self.names.clone(),
                        samples: *samples,
                        start: *start,
                        repeat: network.repeat,
                        swept: Arc::from([]),
                    }));
                }
            }
        }
        values.into_iter().collect()
    }

    /// Whether one of its methods pretrains.
    pub fn pretrains(&self) -> bool {
        self.methods
            .iter()
            .any(|method| method.method.is_pretrained())
    }

    /// Whether one of its methods trains on the new expert's masks alone.
    pub fn trains_alone(&self) -> bool {
        let alone = |method: &Arc<Chosen>| method.method.is_alone();
        self.methods.iter().any(alone)
    }
}

/// Whose masks train the networks of a method, before any adaptation to a new expert.
enum Sources {
    Annotators,
    NewExpert,
    AnotherExpert,
}

impl Sources {
    fn of(method: &Method) -> Self {
        match (method.is_pretrained(), method.trained_on) {
            (true, _) => Self::Annotators,
            (false, TrainedOn::NewExpert) => Self::NewExpert,
            (false, TrainedOn::AnotherExpert) => Self::AnotherExpert,
        }
    }
}

fn binomial(n: usize, k: usize) -> f64 {
    // Where k is too many, one factor is zero.
    (0..k)
        .map(|i| n.saturating_sub(i) as f64 / (i + 1) as f64)
        .product()
}

/// Which experts annotate the pretraining set: every combination of each size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annotators {
    /// The candidates.
    pub from: Vec<u8>,
    /// How many at a time.
    pub choose: Vec<usize>,
}
