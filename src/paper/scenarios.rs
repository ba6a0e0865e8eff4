//! Claims on what the original method and the customised one differ in. They are this program's
//! own: the paper compares the two as future work.

use itertools::Itertools;

use super::{
    check::{ClaimCells, lacking, p_value},
    names::{CUSTOMISED, ORIGINAL, paper_measures},
};
use crate::{
    grid::Axis,
    manifest::Experiment,
    metric::Measure,
    report::{
        CheckOutcome, Claim, ClaimCheck, OURS, Position, Table,
        effects::{Effect, Factors},
        signed,
    },
};

/// Methods of the paper's network that differ in one word.
const INHERIT: &str = "customised-inherit";
const FROZEN: &str = "customised-frozen";
const FROZEN_INHERIT: &str = "customised-frozen-inherit";

/// Claims on a grid in which annotation, branch and what is trained vary in all combinations.
pub(super) fn factors(table: &Table, spec: &Experiment, factors: &Factors) -> Vec<Claim> {
    let cells = FactorCells {
        cells: ClaimCells { table, spec },
        factors,
    };
    let experts = spec.grid.new_experts.iter();
    let each = experts.flat_map(|expert| {
        [
            cells.every_experts_masks_help(*expert),
            cells.training_everything_helps(*expert),
            cells.inheriting_helps_what_is_frozen(*expert),
        ]
    });
    each.collect()
}

struct FactorCells<'a> {
    cells: ClaimCells<'a>,
    factors: &'a Factors,
}

impl FactorCells<'_> {
    fn at(&self, method: &str, expert: u8, samples: usize) -> Position {
        let spec = self.cells.spec;
        let values = [
            (Axis::NEW_EXPERT, expert.into()),
            (Axis::EXPERTS, spec.grid.annotators.choose.iter().sum()),
            (Axis::SAMPLES, samples),
        ];
        self.cells.at(method, &values)
    }

    /// The effect of one word in a measure, with a number of samples.
    fn effect(&self, word: &str, expert: u8, samples: usize, measure: Measure) -> Option<Effect> {
        let position = self.at(CUSTOMISED, expert, samples);
        let effects = self.factors.effects(self.cells.table, &position, measure);
        effects.into_iter().find(|effect| effect.words == [word])
    }

    /// Whether a word's first value is better than its second, in every measure and with every
    /// number of samples.
    fn first_is_better(&self, word: &str, expert: u8) -> Vec<ClaimCheck> {
        let alpha = self.cells.spec.statistics.alpha;
        let samples = self.cells.samples().collect_vec();
        let places = paper_measures().into_iter().cartesian_product(samples);
        let check = |(measure, samples): (Measure, usize)| {
            let place = format!("{} expert {expert}, n = {samples}", measure.name());
            let effect = self.effect(word, expert, samples, measure);
            match effect.and_then(|effect| Some((effect.name, effect.test.ok()?))) {
                Some((name, test)) => ClaimCheck {
                    outcome: CheckOutcome::of_means(
                        measure.gain(test.difference, 0.0) > 0.0,
                        test.p,
                        alpha,
                    ),
                    numbers: format!(
                        "{place}, {name}: {}, {}",
                        signed(test.difference),
                        p_value(test.p)
                    ),
                },
                None => ClaimCheck {
                    outcome: CheckOutcome::Unknown,
                    numbers: format!("{place}: runs have no value"),
                },
            }
        };
        places.map(check).collect()
    }

    fn every_experts_masks_help(&self, expert: u8) -> Claim {
        Claim {
            name: "every-experts-masks-help",
            section: OURS,
            statement: format!(
                "For expert {expert}, of the same images those that every annotator has annotated \
                 are better than those that one of them has, with every number of samples, in \
                 every metric."
            ),
            experts: vec![expert],
            checks: self.first_is_better("annotation", expert),
        }
    }

    fn training_everything_helps(&self, expert: u8) -> Claim {
        let mut checks = self.first_is_better("adapt", expert);
        checks.extend(self.grows("adapt", expert));
        Claim {
            name: "training-everything-helps",
            section: OURS,
            statement: format!(
                "For expert {expert} training everything is better than the expert's layers alone, \
                 with every number of samples, in every metric; with the most samples by more than \
                 with the fewest."
            ),
            experts: vec![expert],
            checks,
        }
    }

    /// Whether a word's effect is larger with the most samples than with the fewest: where their
    /// 95 % intervals overlap, it is open.
    fn grows(&self, word: &str, expert: u8) -> Vec<ClaimCheck> {
        let samples = self.cells.samples().minmax().into_option();
        let Some((fewest, most)) = samples.filter(|(fewest, most)| fewest < most) else {
            return lacking("several numbers of samples");
        };
        let check = |measure: Measure| {
            let of = |samples| self.effect(word, expert, samples, measure)?.test.ok();
            let place = format!("{} expert {expert}, {word}", measure.name());
            let Some((few, many)) = of(fewest).zip(of(most)) else {
                return ClaimCheck {
                    outcome: CheckOutcome::Unknown,
                    numbers: format!("{place}: runs have no value"),
                };
            };
            let apart = few.ci95.1 < many.ci95.0 || many.ci95.1 < few.ci95.0;
            let grows = measure.gain(many.difference, few.difference) > 0.0;
            ClaimCheck {
                outcome: match (apart, grows) {
                    (true, grows) => grows.into(),
                    (false, _) => CheckOutcome::Unknown,
                },
                numbers: format!(
                    "{place}: {} with n = {most} against {} with n = {fewest}",
                    signed(many.difference),
                    signed(few.difference)
                ),
            }
        };
        paper_measures().map(check).into()
    }

    fn inheriting_helps_what_is_frozen(&self, expert: u8) -> Claim {
        let pairs = |methods: [&'static str; 2]| {
            let samples = self.cells.samples().collect_vec().into_iter();
            samples.map(move |samples| methods.map(|method| self.at(method, expert, samples)))
        };
        let mut checks = self.cells.better(pairs([FROZEN_INHERIT, FROZEN]));
        checks.extend(self.cells.alike(pairs([INHERIT, CUSTOMISED])));
        Claim {
            name: "inheriting-helps-what-is-frozen",
            section: OURS,
            statement: format!(
                "For expert {expert}, where the expert's layers alone are trained, an inherited \
                 branch is better than one begun anew, with every number of samples, in every \
                 metric; where everything is trained, the two do not differ significantly."
            ),
            experts: vec![expert],
            checks,
        }
    }
}

/// Claims on a grid of the original and the customised method by the number of annotators.
pub(super) fn numbers(table: &Table, spec: &Experiment) -> Vec<Claim> {
    let cells = NumberCells {
        cells: ClaimCells { table, spec },
    };
    let experts = spec.grid.new_experts.iter();
    let limited = spec.pretrain.limit.annotations > 0;
    let claims = experts.flat_map(|expert| match limited {
        true => vec![
            cells.as_many_masks_are_alike(*expert),
            cells.customised_wins_with_as_many_masks(*expert),
        ],
        false => vec![
            cells.grows_with_annotators(*expert),
            cells.original_does_not_grow(*expert),
        ],
    });
    claims.collect()
}

struct NumberCells<'a> {
    cells: ClaimCells<'a>,
}

impl NumberCells<'_> {
    fn at(&self, method: &str, expert: u8, experts: usize) -> Position {
        let samples = self.cells.samples().next().unwrap_or(0);
        let values = [
            (Axis::NEW_EXPERT, expert.into()),
            (Axis::EXPERTS, experts),
            (Axis::SAMPLES, samples),
        ];
        self.cells.at(method, &values)
    }

    /// A method with the most annotators and with the fewest.
    fn most_and_fewest(&self, method: &str, expert: u8) -> Option<[Position; 2]> {
        let numbers = self.cells.spec.grid.annotators.choose.iter().copied();
        let (fewest, most) = numbers.minmax().into_option()?;
        (fewest < most).then(|| [most, fewest].map(|experts| self.at(method, expert, experts)))
    }

    fn grows_with_annotators(&self, expert: u8) -> Claim {
        Claim {
            name: "customised-improves-with-annotators",
            section: OURS,
            statement: format!(
                "For expert {expert} the customised method has better means with the most \
                 annotators than with the fewest, in every metric."
            ),
            experts: vec![expert],
            checks: self.cells.better(self.most_and_fewest(CUSTOMISED, expert)),
        }
    }

    fn original_does_not_grow(&self, expert: u8) -> Claim {
        Claim {
            name: "original-has-as-many-masks",
            section: OURS,
            statement: format!(
                "For expert {expert} the original method, which has the same number of masks, does \
                 not differ significantly with the most annotators and with the fewest, in any \
                 metric."
            ),
            experts: vec![expert],
            checks: self.cells.alike(self.most_and_fewest(ORIGINAL, expert)),
        }
    }

    fn as_many_masks_are_alike(&self, expert: u8) -> Claim {
        let few = self.cells.spec.grid.annotators.choose.iter().copied();
        let few = few.filter(|experts| [2, 3].contains(experts));
        let pairs = few
            .map(|experts| [CUSTOMISED, ORIGINAL].map(|method| self.at(method, expert, experts)));
        Claim {
            name: "as-many-masks-are-alike",
            section: OURS,
            statement: format!(
                "With the same number of masks in all from two or three annotators, the customised \
                 method and the original one do not differ significantly for expert {expert}, in \
                 any metric."
            ),
            experts: vec![expert],
            checks: self.cells.alike(pairs),
        }
    }

    fn customised_wins_with_as_many_masks(&self, expert: u8) -> Claim {
        let several = self.cells.spec.grid.annotators.choose.iter().copied();
        let pairs = several
            .filter(|experts| *experts > 1)
            .map(|experts| [CUSTOMISED, ORIGINAL].map(|method| self.at(method, expert, experts)));
        Claim {
            name: "customised-beats-original-at-equal-work",
            section: OURS,
            statement: format!(
                "With the same number of masks in all from several annotators, the customised \
                 method has better means than the original one for expert {expert}, in every \
                 metric."
            ),
            experts: vec![expert],
            checks: self.cells.better(pairs),
        }
    }
}
