//! The claim on a cohort, every image of which one expert has annotated. It is that of the method
//! which the paper builds on, made for its own annotators; here it is tested on new experts.

use super::check::ClaimCells;
use crate::{
    grid::Axis,
    manifest::Experiment,
    report::{Claim, OURS, Table},
};

/// A branch of the network for each annotator.
pub(super) const BRANCHES: &str = "cohort-full";
/// One for all; a manifest names it.
pub(super) const POOLED: &str = "cohort-pool";

pub(super) fn claims(table: &Table, spec: &Experiment) -> Vec<Claim> {
    let cells = ClaimCells { table, spec };
    let experts = spec.grid.new_experts.iter();
    let claim = |expert: &u8| {
        let at = |method: &str| {
            let values = [
                (Axis::NEW_EXPERT, (*expert).into()),
                (Axis::EXPERTS, spec.grid.annotators.choose.iter().sum()),
                (Axis::SAMPLES, 0),
            ];
            cells.at(method, &values)
        };
        Claim {
            name: "branches-beat-pooled-masks",
            section: OURS,
            statement: format!(
                "Where every image is annotated by one expert, a network with a branch for each of \
                 them is as it is better for expert {expert} than one that pools their masks, in \
                 every metric."
            ),
            experts: vec![*expert],
            checks: cells.better([[BRANCHES, POOLED].map(at)]),
        }
    };
    experts.map(claim).collect()
}
