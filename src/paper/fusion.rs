//! Claims on label fusion against a branch for each expert. They are this program's own: the paper
//! names label fusion among related methods, and compares with none of them.

use super::{
    check::{ClaimCells, Tested},
    names::{CUSTOMISED, MAJORITY, POOL, STAPLE},
};
use crate::{
    grid::Axis,
    manifest::Experiment,
    report::{CheckOutcome, Claim, OURS, Position, Table},
};

/// The annotated samples at which adapted networks are compared.
const SAMPLES: usize = 10;

/// The new expert who is near to the annotators, and the one who is far: larger masks.
const NEAR: u8 = 6;
const FAR: u8 = 7;

pub(super) fn claims(table: &Table, spec: &Experiment) -> Vec<Claim> {
    let cells = FusionCells {
        cells: ClaimCells { table, spec },
        spec,
    };
    let mut claims = vec![cells.near_and_far()];
    let experts = &spec.grid.new_experts;
    claims.extend(experts.iter().map(|expert| cells.adapted_alike(*expert)));
    claims.push(cells.staple_for_the_far());
    claims.extend(experts.iter().map(|expert| cells.pool_is_majority(*expert)));
    claims
}

struct FusionCells<'a> {
    cells: ClaimCells<'a>,
    spec: &'a Experiment,
}

impl FusionCells<'_> {
    fn at(&self, method: &str, new_expert: u8, experts: usize, samples: usize) -> Position {
        let values = [
            (Axis::NEW_EXPERT, new_expert.into()),
            (Axis::EXPERTS, experts),
            (Axis::SAMPLES, samples),
        ];
        self.cells.at(method, &values)
    }

    fn numbers(&self) -> &[usize] {
        &self.spec.grid.annotators.choose
    }

    fn alpha(&self) -> f64 {
        self.spec.statistics.alpha
    }

    fn near_and_far(&self) -> Claim {
        let both = [MAJORITY, STAPLE].into_iter();
        let pairs = both.flat_map(|method| {
            let each = self.numbers().iter();
            each.map(move |k| [self.at(method, FAR, *k, 0), self.at(method, NEAR, *k, 0)])
        });
        let so = |tested: &Tested<'_>| {
            CheckOutcome::of_means(tested.gain() < 0.0, tested.test.p, self.alpha())
        };
        Claim {
            name: "fusion-suits-the-near-expert",
            section: OURS,
            statement: format!(
                "As it is, a network of fused masks is worse for expert {FAR} than for expert \
                 {NEAR}: a worse mean in every metric."
            ),
            experts: vec![NEAR, FAR],
            checks: self.cells.each(pairs, so),
        }
    }

    fn adapted_alike(&self, expert: u8) -> Claim {
        let both = [MAJORITY, STAPLE].into_iter();
        let pairs = both.flat_map(|method| {
            let at = move |method, k| self.at(method, expert, k, SAMPLES);
            let each = self.numbers().iter();
            each.map(move |k| [at(method, *k), at(CUSTOMISED, *k)])
        });
        Claim {
            name: "fusion-adapts-as-well",
            section: OURS,
            statement: format!(
                "Adapted with {SAMPLES} samples of expert {expert}, networks of fused masks do not \
                 differ significantly from those with a branch for each expert, in any metric."
            ),
            experts: vec![expert],
            checks: self.cells.alike(pairs),
        }
    }

    fn staple_for_the_far(&self) -> Claim {
        let most = self.numbers().iter().copied().max().filter(|k| *k > 3);
        let pair = |k| [self.at(STAPLE, FAR, k, 0), self.at(MAJORITY, FAR, k, 0)];
        let so = |tested: &Tested<'_>| {
            CheckOutcome::of_means(tested.gain() > 0.0, tested.test.p, self.alpha())
        };
        Claim {
            name: "staple-suits-the-far-expert",
            section: OURS,
            statement: format!(
                "As it is, STAPLE's larger masks of all experts suit expert {FAR}, who marks more, \
                 better than the majority's: a better mean in every metric."
            ),
            experts: vec![FAR],
            checks: self.cells.each(most.map(pair), so),
        }
    }

    fn pool_is_majority(&self, expert: u8) -> Claim {
        let pair = |k: &usize| {
            let at = |method| self.at(method, expert, *k, 0);
            [at(POOL), at(MAJORITY)]
        };
        Claim {
            name: "pool-is-a-majority",
            section: OURS,
            statement: format!(
                "As it is, a branch that learns the masks of all experts does not differ \
                 significantly from one that learns their majority for expert {expert}, in any \
                 metric."
            ),
            experts: vec![expert],
            checks: self.cells.alike(self.numbers().iter().map(pair)),
        }
    }
}
