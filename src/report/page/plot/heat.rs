//! Heat maps: the training experts in rows, the test experts in columns.

use std::collections::BTreeSet;

use itertools::Itertools;
use maud::{Markup, html};

use super::{
    super::{
        super::{position::Position, table::Cell},
        PageSection,
    },
    WIDTH,
    frame::framed,
};
use crate::{figure::px, metric::Measure};

const SIDE: f64 = 68.0;
const TOP: f64 = 48.0;
const ROW: f64 = 27.0;

/// One map per metric.
pub(super) fn maps(part: &PageSection<'_>) -> Markup {
    html! {
        figure.panels {
            figcaption { strong { "Trained on one expert, tested against another" } }
            div.row { @for metric in &part.spec.metrics.report { (map(part, *metric)) } }
        }
        p.notes {
            "The stronger the colour, the better: higher Dice, smaller distances, within each map. "
            "An outline marks networks tested against the expert who trained them."
        }
    }
}

fn map(part: &PageSection<'_>, metric: Measure) -> Markup {
    let cells: Vec<(usize, &Cell)> = part
        .table
        .cells
        .iter()
        .enumerate()
        .filter(|(_, cell)| cell.metric == metric)
        .collect();
    let positions = || cells.iter().map(|(_, cell)| &cell.position);
    let trainers: BTreeSet<u8> = positions().filter_map(Position::train_expert).collect();
    let testers: BTreeSet<u8> = positions().filter_map(Position::new_expert).collect();
    let names = &part.spec.grid.names;
    let means = cells.iter().filter_map(|(_, cell)| cell.mean);
    let (low, high) = match means.minmax() {
        itertools::MinMaxResult::MinMax(low, high) => (low, high),
        itertools::MinMaxResult::OneElement(one) => (one, one + 1.0),
        itertools::MinMaxResult::NoElements => (0.0, 1.0),
    };
    // From 0 for the worst to 1 for the best.
    let goodness = |mean: f64| match metric.is_better(high, low) {
        true => (mean - low) / (high - low),
        false => (high - mean) / (high - low),
    };
    let width = (WIDTH - SIDE - 4.0) / testers.len().max(1) as f64;
    let height = TOP + ROW * trainers.len() as f64 + 6.0;
    let in_words = cells.iter().map(|(_, cell)| match cell.mean {
        Some(mean) => format!("{}: {mean:.2}", cell.position),
        None => format!("{}: no result", cell.position),
    });
    let heading = metric.heading(part.spec.distances());
    let says = format!("{heading}. {}.", in_words.format("; "));
    framed(html! {
        svg.plot viewBox=(format!("0 0 {WIDTH} {}", px(height))) role="img" aria-label=(says) {
            text.title x="8" y="13" { (heading) }
            text.label.end x=(px(SIDE - 8.0)) y=(px(TOP - 8.0)) { "trained on" }
            @for (i, tester) in testers.iter().enumerate() {
                text.tick.mid x=(px(SIDE + width * (i as f64 + 0.5))) y=(px(TOP - 8.0)) {
                    "tested on expert " (names.show(*tester))
                }
            }
            @for (j, trainer) in trainers.iter().enumerate() {
                @let y = TOP + ROW * j as f64;
                text.tick.end x=(px(SIDE - 8.0)) y=(px(y + ROW / 2.0)) dy=".34em" {
                    "expert " (names.show(*trainer))
                }
                @for (i, tester) in testers.iter().enumerate() {
                    @let found = cells.iter().find(|(_, cell)| {
                        let at = &cell.position;
                        (at.train_expert(), at.new_expert()) == (Some(*trainer), Some(*tester))
                    });
                    @if let Some((index, cell)) = found {
                        @let x = SIDE + width * i as f64;
                        g data-cell=(format!("{}:{index}", part.anchor())) {
                            @let strength = cell.mean.map_or(0.0, |m| 0.06 + 0.5 * goodness(m));
                            rect.heat.own[trainer == tester] x=(px(x + 1.0)) y=(px(y + 1.0))
                                width=(px(width - 2.0)) height=(px(ROW - 2.0)) rx="2"
                                fill-opacity=(format!("{strength:.2}")) {}
                            text.value.mid x=(px(x + width / 2.0)) y=(px(y + ROW / 2.0))
                                dy=".34em" {
                                (cell.mean.map_or("–".to_owned(), |mean| format!("{mean:.2}")))
                            }
                        }
                    }
                }
            }
        }
    })
}
