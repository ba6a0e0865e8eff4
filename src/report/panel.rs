//! The panels of a table: one for each place on its axes of panels.

use itertools::Itertools;

use super::position::Position;
use crate::{
    grid::{Axis, Coordinates},
    manifest::{Experiment, TableSpec},
    results::Results,
};

/// A panel of a table.
pub(super) struct Panel {
    /// Its values on the axes of panels.
    pub(super) place: Coordinates,
    /// `(a)`, where there are several.
    pub(super) letter: String,
    /// Those values in words: `expert 6`.
    pub(super) words: String,
}

/// The panels of an experiment, in the order of their first runs.
pub(super) fn panels(results: &Results<'_>, experiment: usize) -> Vec<Panel> {
    let axes = &results.plan.experiments[experiment].table.panels;
    let runs = results.of(experiment).map(|(run, _)| &run.at);
    let places = runs.map(|at| axes.iter().map(|axis| axis.of(at)).collect::<Coordinates>());
    let places = places.unique().collect_vec();
    let letters = 'a'..='z';
    let letters = letters.map(Some).chain(std::iter::repeat(None));
    let panels = places.into_iter().enumerate().zip(letters);
    panels
        .map(|((i, place), letter)| Panel {
            letter: match (axes.is_empty(), letter) {
                (true, _) => String::new(),
                (false, Some(letter)) => format!("({letter})"),
                (false, None) => format!("({})", i + 1),
            },
            words: words(axes, &place),
            place,
        })
        .collect()
}

impl Panel {
    /// `(a) Adapted to expert 6`.
    pub(super) fn heading(&self, spec: &Experiment) -> String {
        let mut methods = spec.grid.methods.iter();
        let to = match &spec.table {
            table if table.panels.first() != Some(&Axis::NEW_EXPERT) => "",
            table if table.rows.contains(&Axis::TRAIN_EXPERT) => "Tested on ",
            // Nothing is adapted where every network is trained on the expert's masks alone.
            _ if methods.all(|chosen| chosen.method.is_alone()) => "Trained on ",
            _ => "Adapted to ",
        };
        format!("{} {to}{}", self.letter, self.words)
            .trim()
            .to_owned()
    }

    /// The expert tested against, where the panel is of one expert.
    pub(super) fn new_expert(&self, spec: &TableSpec) -> Option<u8> {
        let index = spec
            .panels
            .iter()
            .position(|axis| *axis == Axis::NEW_EXPERT)?;
        self.place[index].as_ref()?.whole()?.try_into().ok()
    }

    /// Whether a cell is in it.
    pub(super) fn holds(&self, position: &Position, spec: &TableSpec) -> bool {
        position.on(&spec.panels) == self.place
    }
}

/// The values of a place in words.
fn words(axes: &[Axis], place: &Coordinates) -> String {
    let values = axes.iter().zip(place);
    let values = values.filter_map(|(axis, value)| Some(axis.head(value.as_ref()?)));
    values.filter(|words| !words.is_empty()).join(", ")
}
