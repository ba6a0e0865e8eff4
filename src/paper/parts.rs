//! Claims on what an expert has of its own in a network, all else frozen. They are this program's
//! own: the paper names outputs of each expert among related methods, and compares with none.

use super::check::ClaimCells;
use crate::{
    grid::Axis,
    manifest::Experiment,
    report::{Claim, OURS, Table},
};

/// Methods that train an expert's norms alone, new ones and inherited ones.
pub(super) const NORMS: [&str; 2] = ["customised-frozen", "customised-frozen-inherit"];
/// The same for an expert's head; a manifest names them.
pub(super) const HEADS: [&str; 2] = ["heads-frozen", "heads-frozen-inherit"];

pub(super) fn claims(table: &Table, spec: &Experiment) -> Vec<Claim> {
    let cells = ClaimCells { table, spec };
    let experts = spec.grid.new_experts.iter();
    let claim = |(expert, which): (&u8, usize)| {
        let at = |method: &str, samples: usize| {
            let values = [
                (Axis::NEW_EXPERT, (*expert).into()),
                (Axis::EXPERTS, spec.grid.annotators.choose.iter().sum()),
                (Axis::SAMPLES, samples),
            ];
            cells.at(method, &values)
        };
        let pairs = cells
            .samples()
            .map(|samples| [NORMS[which], HEADS[which]].map(|method| at(method, samples)));
        let (name, what) = match which {
            0 => (
                "new-norms-hold-more-than-a-head",
                ["new norms", "a new head"],
            ),
            _ => (
                "inherited-norms-hold-more-than-a-head",
                ["inherited norms", "an inherited head"],
            ),
        };
        let [norms, head] = what;
        Claim {
            name,
            section: OURS,
            statement: format!(
                "For expert {expert}, all else frozen, {norms} of its own are better than {head} \
                 of its own, with every number of samples, in every metric."
            ),
            experts: vec![*expert],
            checks: cells.better(pairs),
        }
    };
    let both = experts.flat_map(|expert| [(expert, 0), (expert, 1)]);
    both.map(claim).collect()
}
