//! The names in the paper's tables: methods, measures, and the positions of cells.

use crate::{
    grid::{Axis, Value},
    manifest::Experiment,
    metric::Measure,
    report::{Position, Table},
};

/// The measures that the paper reports: Dice, ASSD and 95HD.
pub(super) fn paper_measures() -> [Measure; 3] {
    Measure::standard()
}

/// The methods that the paper's tables hold, by their names.
pub(super) const CUSTOMISED: &str = "customised";
pub(super) const SCRATCH: &str = "scratch";
pub(super) const SINGLE: &str = "single";

/// Related methods that claims are about.
pub(super) const MAJORITY: &str = "majority";
pub(super) const STAPLE: &str = "staple";
pub(super) const POOL: &str = "pool";
pub(super) const HEADS: &str = "heads";
pub(super) const ORIGINAL: &str = "original";
pub(super) const UNCERTAINTY: &str = "uncertainty";
pub(super) const UNCERTAINTY_FULL: &str = "uncertainty-full";
pub(super) const PROBABILISTIC: &str = "probabilistic";
pub(super) const PROBABILISTIC_FULL: &str = "probabilistic-full";

/// A position of a table like one of the paper's: a method, and numbers on other axes.
pub(super) fn position(
    table: &Table,
    spec: &Experiment,
    method: &str,
    values: &[(Axis, usize)],
) -> Position {
    let chosen = spec.grid.methods.iter();
    let chosen = chosen.filter(|chosen| chosen.method.name == method);
    let method = chosen.map(|chosen| Value::Method(chosen.clone())).next();
    let value = |axis: &Axis| match *axis == Axis::METHOD {
        true => method.clone(),
        false => {
            let found = values.iter().find(|(known, _)| known == axis);
            found.map(|(_, number)| match u8::try_from(*number) {
                Ok(expert) if axis.is_of_experts() => Value::expert(expert, &spec.grid.names),
                _ => Value::Whole(*number),
            })
        }
    };
    table
        .axes
        .iter()
        .map(|axis| (axis.clone(), value(axis)))
        .collect()
}
