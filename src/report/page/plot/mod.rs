//! The plots of a table: curves over samples or experts, heat maps of training against test expert.
//!
//! The rule: a plot shows cells that a table holds, computes nothing, and says in words what it
//! shows.

mod curves;
mod frame;
mod heat;
pub(super) mod scale;

use maud::Markup;

pub(super) use frame::{PlotFrame, WIDTH};

use super::PageSection;
use crate::grid::Axis;

/// The plots that suit the table's rows.
pub(super) fn curves(part: &PageSection<'_>) -> Markup {
    let table = &part.spec.table;
    match table.rows == [Axis::TRAIN_EXPERT] && table.panels == [Axis::NEW_EXPERT] {
        true => heat::maps(part),
        false => curves::panels(part),
    }
}
