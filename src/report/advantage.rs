//! The gain of a cell over its base: the shape of a table, whatever the level of its values.
//!
//! The rule: positive is better, for every metric. The base of a cell is the one that its table
//! compares it with; of a network trained on another's masks, that trained on the new expert's own.

use super::position::Position;
use crate::{
    grid::{Axis, Value},
    metric::Measure,
};

/// The base of a position, where there is one; never the position itself.
pub fn base(position: &Position, compare: &[(Axis, Value)]) -> Option<Position> {
    match (position.train_expert(), position.new_expert()) {
        (Some(trainer), Some(own)) => (trainer != own).then(|| {
            let own = position.get(&Axis::NEW_EXPERT).cloned();
            position.with(&[(Axis::TRAIN_EXPERT, own)])
        }),
        _ => position.counterpart(compare),
    }
}

/// How much better `value` is than `base`, in the metric's unit.
pub fn gain(metric: Measure, value: f64, base: f64) -> f64 {
    metric.gain(value, base)
}

/// A share of the first gain that counts as little: a gap is closed, and a gain is marginal, below
/// it.
pub const MARGINAL: f64 = 0.2;

/// Gains by number of samples: the number from which on none is more than a fifth of the first,
/// where there is one.
pub fn closes(gains: &[(usize, f64)]) -> Option<usize> {
    let (_, first) = *gains.first()?;
    let open = gains.iter().rposition(|(_, gain)| *gain > MARGINAL * first);
    let from = open.map_or(0, |last| last + 1);
    gains.get(from).map(|(samples, _)| *samples)
}
