//! Claims on all ways of learning from several experts, side by side. They are this program's own:
//! the paper names these systems, and compares with none of them.

use super::{
    check::{Tested, TestedAs, compare, lacking},
    names::{
        CUSTOMISED, HEADS, ORIGINAL, POOL, PROBABILISTIC, PROBABILISTIC_FULL, SCRATCH, UNCERTAINTY,
        UNCERTAINTY_FULL, paper_measures, position,
    },
};
use crate::{
    grid::Axis,
    manifest::Experiment,
    method::Method,
    report::{CheckOutcome, Claim, ClaimCheck, OURS, Position, Table},
};

/// The annotated samples at which methods are compared with each other.
const SAMPLES: usize = 10;

/// The new expert who is far from the annotators.
const FAR: u8 = 7;

pub(super) fn claims(table: &Table, spec: &Experiment) -> Vec<Claim> {
    let cells = MethodCells { table, spec };
    let mut claims = Vec::new();
    for expert in &spec.grid.new_experts {
        claims.push(cells.pretrained_beat_scratch(*expert));
        claims.push(cells.customised_is_among_the_best(*expert));
        claims.push(cells.original_beats_scratch(*expert));
        claims.push(cells.customised_beats_original(*expert));
        claims.push(cells.training_beats_choosing(*expert));
        claims.push(cells.heads_are_norms(*expert));
        claims.push(cells.probabilistic_is_pool(*expert));
    }
    claims.push(cells.as_it_is_is_not_enough());
    claims.push(cells.choosing_is_enough_for_the_far());
    claims
}

struct MethodCells<'a> {
    table: &'a Table,
    spec: &'a Experiment,
}

impl MethodCells<'_> {
    fn at(&self, method: &str, new_expert: u8, samples: usize) -> Position {
        // Without a pretraining there are none.
        let pretrained = self.pretrained().any(|known| known.name == method);
        let experts = self.spec.grid.annotators.choose.iter().copied();
        let experts = experts.filter(|_| pretrained).sum();
        let values = [
            (Axis::NEW_EXPERT, new_expert.into()),
            (Axis::EXPERTS, experts),
            (Axis::SAMPLES, samples),
        ];
        position(self.table, self.spec, method, &values)
    }

    fn methods(&self) -> impl Iterator<Item = &Method> {
        self.spec.grid.methods.iter().map(|chosen| &chosen.method)
    }

    /// The methods whose networks are pretrained.
    fn pretrained(&self) -> impl Iterator<Item = &Method> {
        self.methods().filter(|method| method.is_pretrained())
    }

    /// The numbers of samples, but none.
    fn samples(&self) -> impl Iterator<Item = usize> {
        let samples = self.spec.grid.samples.iter().copied();
        samples.filter(|samples| *samples > 0)
    }

    /// Every pair in every measure.
    fn each(
        &self,
        pairs: impl IntoIterator<Item = [Position; 2]>,
        so: impl Fn(&Tested<'_>) -> CheckOutcome + Copy,
    ) -> Vec<ClaimCheck> {
        let pairs: Vec<[Position; 2]> = pairs.into_iter().collect();
        if pairs.is_empty() {
            return lacking("cells that it is about");
        }
        let checks = paper_measures().into_iter().flat_map(|metric| {
            let pairs = pairs.iter().cloned();
            let both = (self.table, self.spec);
            pairs.map(move |pair| compare(both, metric, pair, TestedAs::Pairs, so))
        });
        checks.collect()
    }

    /// Every first cell has the better mean.
    fn better(&self, pairs: impl IntoIterator<Item = [Position; 2]>) -> Vec<ClaimCheck> {
        let alpha = self.spec.statistics.alpha;
        self.each(pairs, |tested| {
            CheckOutcome::of_means(tested.gain() > 0.0, tested.test.p, alpha)
        })
    }

    /// No pair differs significantly.
    fn alike(&self, pairs: impl IntoIterator<Item = [Position; 2]>) -> Vec<ClaimCheck> {
        let alpha = self.spec.statistics.alpha;
        self.each(pairs, |tested| (tested.test.p >= alpha).into())
    }

    fn pretrained_beat_scratch(&self, expert: u8) -> Claim {
        let fewest = self.samples().min().unwrap_or(0);
        let trained = self.pretrained().filter(|method| method.tuned.is_some());
        let pairs = trained.map(|method| {
            [
                self.at(&method.name, expert, fewest),
                self.at(SCRATCH, expert, fewest),
            ]
        });
        Claim {
            name: "every-pretraining-helps",
            section: OURS,
            statement: format!(
                "With the fewest samples of expert {expert}, every network that is pretrained and \
                 trained on has better means than one without pretraining, in every metric."
            ),
            experts: vec![expert],
            checks: self.better(pairs),
        }
    }

    fn customised_is_among_the_best(&self, expert: u8) -> Claim {
        let alpha = self.spec.statistics.alpha;
        let others: Vec<&Method> = self
            .methods()
            .filter(|method| method.name != CUSTOMISED)
            .collect();
        let pairs = self.samples().flat_map(|samples| {
            let customised = self.at(CUSTOMISED, expert, samples);
            others
                .iter()
                .map(move |method| [customised.clone(), self.at(&method.name, expert, samples)])
        });
        Claim {
            name: "customised-is-among-the-best",
            section: OURS,
            statement: format!(
                "For expert {expert} no method is significantly better than the customised one, \
                 with any number of samples, in any metric."
            ),
            experts: vec![expert],
            checks: self.each(pairs, |tested| {
                (tested.gain() >= 0.0 || tested.test.p >= alpha).into()
            }),
        }
    }

    fn original_beats_scratch(&self, expert: u8) -> Claim {
        let few = self.samples().filter(|samples| *samples <= SAMPLES);
        let pairs =
            few.map(|samples| [ORIGINAL, SCRATCH].map(|method| self.at(method, expert, samples)));
        Claim {
            name: "original-helps-with-few-samples",
            section: OURS,
            statement: format!(
                "With at most {SAMPLES} samples of expert {expert}, the original method has better \
                 means than no pretraining, in every metric."
            ),
            experts: vec![expert],
            checks: self.better(pairs),
        }
    }

    fn customised_beats_original(&self, expert: u8) -> Claim {
        let pairs = self
            .samples()
            .map(|samples| [CUSTOMISED, ORIGINAL].map(|method| self.at(method, expert, samples)));
        Claim {
            name: "customised-beats-original",
            section: OURS,
            statement: format!(
                "For expert {expert} the customised method has better means than the original one \
                 from the same images, with every number of samples, in every metric."
            ),
            experts: vec![expert],
            checks: self.better(pairs),
        }
    }

    fn training_beats_choosing(&self, expert: u8) -> Claim {
        let both = [
            [UNCERTAINTY_FULL, UNCERTAINTY],
            [PROBABILISTIC_FULL, PROBABILISTIC],
        ];
        let pairs = both.map(|pair| pair.map(|method| self.at(method, expert, SAMPLES)));
        Claim {
            name: "training-beats-choosing",
            section: OURS,
            statement: format!(
                "With {SAMPLES} samples of expert {expert}, to train a network further gives \
                 better means than to choose a threshold or a latent, in every metric."
            ),
            experts: vec![expert],
            checks: self.better(pairs),
        }
    }

    fn heads_are_norms(&self, expert: u8) -> Claim {
        let pair = [HEADS, CUSTOMISED].map(|method| self.at(method, expert, SAMPLES));
        Claim {
            name: "heads-adapt-as-well",
            section: OURS,
            statement: format!(
                "Adapted with {SAMPLES} samples of expert {expert}, networks with heads and with \
                 norms of each expert do not differ significantly, in any metric."
            ),
            experts: vec![expert],
            checks: self.alike([pair]),
        }
    }

    fn probabilistic_is_pool(&self, expert: u8) -> Claim {
        let pair = [PROBABILISTIC_FULL, POOL].map(|method| self.at(method, expert, SAMPLES));
        Claim {
            name: "a-latent-adapts-as-one-branch-does",
            section: OURS,
            statement: format!(
                "Adapted with {SAMPLES} samples of expert {expert}, a probabilistic network and \
                 one branch for all masks do not differ significantly, in any metric."
            ),
            experts: vec![expert],
            checks: self.alike([pair]),
        }
    }

    fn as_it_is_is_not_enough(&self) -> Claim {
        let fewest = self.samples().min().unwrap_or(0);
        let pairs = self
            .pretrained()
            .map(|method| [fewest, 0].map(|samples| self.at(&method.name, FAR, samples)));
        Claim {
            name: "as-it-is-is-not-enough-for-the-far-expert",
            section: OURS,
            statement: format!(
                "For expert {FAR} no network as it is reaches what it becomes with the fewest \
                 samples: worse means in every metric."
            ),
            experts: vec![FAR],
            checks: self.better(pairs),
        }
    }

    fn choosing_is_enough_for_the_far(&self) -> Claim {
        let methods = [UNCERTAINTY, PROBABILISTIC];
        let pairs = methods.map(|method| [SAMPLES, 0].map(|samples| self.at(method, FAR, samples)));
        Claim {
            name: "choosing-helps-the-far-expert",
            section: OURS,
            statement: format!(
                "For expert {FAR} a threshold or a latent chosen by {SAMPLES} samples, with no \
                 step of training, gives better means than the network as it is, in every metric."
            ),
            experts: vec![FAR],
            checks: self.better(pairs),
        }
    }
}
