//! The grid of an experiment: its axes, and the runs that they make.

use std::{collections::BTreeSet, sync::Arc};

use itertools::Itertools;

use super::swept::Swept;
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
    /// How many annotated samples.
    pub samples: Vec<usize>,
    /// First case of each way of sampling, from 1.
    pub starts: Vec<usize>,
    /// Pretrainings of each combination of annotation experts.
    pub repeats: usize,
}

impl Grid {
    /// How many runs the grid has; a real number, as combinations may overflow whole numbers.
    pub fn runs(&self) -> f64 {
        let sources = |method: &Arc<Chosen>| match Sources::of(&method.method) {
            Sources::Annotators => {
                let choose = self.annotators.choose.iter();
                let combinations = choose.map(|k| binomial(self.annotators.from.len(), *k));
                combinations.sum::<f64>() * self.repeats as f64
            }
            Sources::NewExpert => 1.0,
            Sources::AnotherExpert => self.train_experts.len() as f64,
        };
        let cells = self.new_experts.len() * self.samples.len() * self.starts.len();
        self.methods.iter().map(sources).sum::<f64>() * cells as f64
    }

    /// For each network of a method before its adaptation to a new expert: the experts whose masks
    /// train it; empty where all masks are the new expert's.
    pub fn sources(&self, method: &Method) -> Vec<Arc<[u8]>> {
        self.some_sources(method, usize::MAX)
    }

    /// As [`Grid::sources`], with at most `of_a_size` combinations of each size.
    pub(super) fn some_sources(&self, method: &Method, of_a_size: usize) -> Vec<Arc<[u8]>> {
        match Sources::of(method) {
            Sources::Annotators => {
                let mut from = self.annotators.from.clone();
                from.sort_unstable();
                let choose = self.annotators.choose.iter();
                choose
                    .flat_map(|k| from.iter().copied().combinations(*k).take(of_a_size))
                    .map(Arc::from)
                    .collect()
            }
            Sources::NewExpert => vec![Arc::from([])],
            Sources::AnotherExpert => {
                let trainers = self.train_experts.iter();
                trainers.map(|expert| Arc::from([*expert])).collect()
            }
        }
    }

    /// Whether a combination of annotation experts is pretrained on more than once.
    pub fn is_repeated(&self) -> bool {
        self.repeats > 1 && self.pretrains()
    }

    /// The repeats of a method's pretrainings, from 0; a single none where nothing is repeated.
    pub fn repeats(&self, method: &Method) -> Vec<Option<usize>> {
        match method.is_pretrained() && self.repeats > 1 {
            true => (0..self.repeats).map(Some).collect(),
            false => vec![None],
        }
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
            for experts in self.some_sources(&method.method, of_a_size) {
                let repeats = self.repeats(&method.method);
                // Axes whose many values tell nothing of each other's stand still.
                let first = |values: &[usize]| values.iter().copied().take(1).collect_vec();
                let starts = match *axis == Axis::START {
                    true => self.starts.clone(),
                    false => first(&self.starts),
                };
                let samples = match *axis == Axis::SAMPLES {
                    true => self.samples.clone(),
                    false => first(&self.samples),
                };
                let repeats = match *axis == Axis::REPEAT {
                    true => &repeats[..],
                    false => &repeats[..1],
                };
                let ways = samples.iter().cartesian_product(&starts);
                for ((samples, start), (repeat, new_expert)) in
                    ways.cartesian_product(repeats.iter().cartesian_product(&self.new_experts))
                {
                    values.extend(axis.of(&Address {
                        new_expert: *new_expert,
                        method: method.clone(),
                        experts: experts.clone(),
                        names: self.names.clone(),
                        samples: *samples,
                        start: *start,
                        repeat: *repeat,
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
