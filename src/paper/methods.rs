//! Claims on all ways of learning from several experts, side by side. They are this program's own:
//! the paper names these systems, and compares with none of them.

use super::{
    check::{ClaimCells, lacking},
    names::{
        CUSTOMISED, HEADS, ORIGINAL, POOL, PROBABILISTIC, PROBABILISTIC_FULL, SCRATCH, UNCERTAINTY,
        UNCERTAINTY_FULL,
    },
};
use crate::{
    grid::Axis,
    manifest::Experiment,
    method::Method,
    report::{Claim, ClaimCheck, OURS, Position, Table},
    results::Results,
};

/// The annotated samples at which methods are compared with each other.
const SAMPLES: usize = 10;

/// The new expert who is near to the annotators, and the one who is far: larger masks.
const NEAR: u8 = 6;
const FAR: u8 = 7;

/// The share of results in which a claim on each of them has to hold.
const MOST: f64 = 0.8;

/// How far from 1/2 the near expert's thresholds may lie.
const NEAR_HALF: f64 = 0.15;

pub(super) fn claims(table: &Table, results: &Results<'_>, experiment: usize) -> Vec<Claim> {
    let spec = &results.plan.experiments[experiment];
    let cells = MethodCells {
        cells: ClaimCells { table, spec },
        spec,
        results,
        experiment,
    };
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
    claims.extend(cells.thresholds_follow_the_expert());
    claims.push(cells.latents_are_used());
    claims
}

struct MethodCells<'a> {
    cells: ClaimCells<'a>,
    spec: &'a Experiment,
    results: &'a Results<'a>,
    experiment: usize,
}

impl MethodCells<'_> {
    fn at(&self, method: &str, new_expert: u8, samples: usize) -> Position {
        let values = [
            (Axis::NEW_EXPERT, new_expert.into()),
            (Axis::EXPERTS, self.spec.grid.annotators.choose.iter().sum()),
            (Axis::SAMPLES, samples),
        ];
        self.cells.at(method, &values)
    }

    fn methods(&self) -> impl Iterator<Item = &Method> {
        self.spec.grid.methods.iter().map(|chosen| &chosen.method)
    }

    /// The methods whose networks are pretrained.
    fn pretrained(&self) -> impl Iterator<Item = &Method> {
        self.methods().filter(|method| method.is_pretrained())
    }

    fn pretrained_beat_scratch(&self, expert: u8) -> Claim {
        let fewest = self.cells.samples().min().unwrap_or(0);
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
            checks: self.cells.better(pairs),
        }
    }

    fn customised_is_among_the_best(&self, expert: u8) -> Claim {
        let alpha = self.spec.statistics.alpha;
        let others: Vec<&Method> = self
            .methods()
            .filter(|method| method.name != CUSTOMISED)
            .collect();
        let pairs = self.cells.samples().flat_map(|samples| {
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
            checks: self.cells.each(pairs, |tested| {
                (tested.gain() >= 0.0 || tested.test.p >= alpha).into()
            }),
        }
    }

    fn original_beats_scratch(&self, expert: u8) -> Claim {
        let few = self.cells.samples().filter(|samples| *samples <= SAMPLES);
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
            checks: self.cells.better(pairs),
        }
    }

    fn customised_beats_original(&self, expert: u8) -> Claim {
        let pairs = self
            .cells
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
            checks: self.cells.better(pairs),
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
            checks: self.cells.better(pairs),
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
            checks: self.cells.alike([pair]),
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
            checks: self.cells.alike([pair]),
        }
    }

    fn as_it_is_is_not_enough(&self) -> Claim {
        let fewest = self.cells.samples().min().unwrap_or(0);
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
            checks: self.cells.better(pairs),
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
            checks: self.cells.better(pairs),
        }
    }

    /// The thresholds chosen for an expert, as probabilities.
    fn thresholds(&self, expert: u8) -> Vec<f64> {
        let runs = self.results.of(self.experiment).filter(|(run, _)| {
            run.at.new_expert == expert
                && run.at.samples == SAMPLES
                && run.method().name == UNCERTAINTY
        });
        let thresholds = runs.filter_map(|(run, _)| self.results.thresholds.get(&run.network));
        thresholds.copied().collect()
    }

    fn thresholds_follow_the_expert(&self) -> Vec<Claim> {
        let near = |threshold: f64| (threshold - 0.5).abs() <= NEAR_HALF;
        let claim = |name, expert, words: String, is: &dyn Fn(f64) -> bool| Claim {
            name,
            section: OURS,
            statement: format!(
                "With {SAMPLES} samples the threshold chosen for expert {expert} is {words}, in at \
                 least {MOST} of the results."
            ),
            experts: vec![expert],
            checks: share(&self.thresholds(expert), "thresholds", "threshold", is),
        };
        let within = format!("within {NEAR_HALF} of 1/2");
        vec![
            claim("the-near-expert-keeps-the-threshold", NEAR, within, &near),
            claim(
                "the-far-expert-lowers-the-threshold",
                FAR,
                "below 1/2".to_owned(),
                &|threshold| threshold < 0.5,
            ),
        ]
    }

    fn latents_are_used(&self) -> Claim {
        let used = self.results.latents_of(self.experiment);
        let used: Vec<f64> = used.iter().map(|latent| latent.used() as f64).collect();
        Claim {
            name: "latents-are-used",
            section: OURS,
            statement: format!(
                "In at least {MOST} of the probabilistic pretrainings more than one dimension of \
                 the latent is used."
            ),
            experts: self.spec.grid.new_experts.clone(),
            checks: share(&used, "latents", "used dimensions", &|used| used > 1.0),
        }
    }
}

/// A check of numbers of which most have a property.
fn share(values: &[f64], all: &str, what: &str, is: &dyn Fn(f64) -> bool) -> Vec<ClaimCheck> {
    if values.is_empty() {
        return lacking(all);
    }
    let found = values.iter().filter(|value| is(**value)).count();
    let listed = values.iter().map(|value| format!("{value:.2}"));
    let listed: Vec<String> = listed.map(|text| text.replace(".00", "")).collect();
    vec![ClaimCheck {
        outcome: (found as f64 >= MOST * values.len() as f64).into(),
        numbers: format!("{found} of {}; {what} {}", values.len(), listed.join(", ")),
    }]
}
