//! A comparison as a page: the document, and a plot of the differences of each measure.

use maud::{Markup, html};

use super::cells::{ComparedCell, SideBySide};
use crate::{
    figure::px,
    report::{Scale, document::Element, document_page, signed},
};

const WIDTH: f64 = 720.0;
const ROW: f64 = 20.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 40.0;
const RIGHT: f64 = 14.0;
/// Width of a letter, roughly, and the most that rows' names take.
const LETTER: f64 = 6.2;
const NAMES: f64 = 280.0;

impl SideBySide {
    /// One HTML file that needs no network.
    pub fn page(&self) -> String {
        let plots: Vec<(String, Markup)> = self
            .by_measure()
            .filter_map(|(heading, cells)| {
                Some((
                    heading.clone(),
                    plot(&heading, &self.axis_names().join(" · "), &cells)?,
                ))
            })
            .collect();
        let after = |element: &Element| {
            let Element::Tabular(grid) = element else {
                return html! {};
            };
            let plot = plots.iter().find(|(heading, _)| *heading == grid.heading);
            html! {
                @if let Some((heading, plot)) = plot {
                    figure.scroll tabindex="0" role="group" aria-label=(heading) { (plot) }
                }
            }
        };
        document_page(&self.document(), &after)
    }
}

/// A name with its middle left out where it is longer than there is room.
fn shortened(name: &str) -> String {
    let most = (NAMES / LETTER) as usize - 3;
    let letters: Vec<char> = name.chars().collect();
    match letters.len() > most {
        false => name.to_owned(),
        true => {
            let (head, tail) = (&letters[..most / 2], &letters[letters.len() - most / 2..]);
            format!(
                "{}…{}",
                head.iter().collect::<String>(),
                tail.iter().collect::<String>()
            )
        }
    }
}

/// The differences of the cells with their intervals, a row each; none where no cell has both.
/// `rows` says what rows are told apart by.
fn plot(heading: &str, rows: &str, cells: &[&ComparedCell]) -> Option<Markup> {
    let tested: Vec<(&ComparedCell, (f64, f64))> = cells
        .iter()
        .filter_map(|cell| Some((*cell, cell.test.as_ref().ok()?.ci95)))
        .filter(|(_, (low, high))| low.is_finite() && high.is_finite())
        .collect();
    let names = tested.iter().map(|(cell, _)| cell.line().chars().count());
    let left = (names.max()? as f64 * LETTER + 14.0).min(NAMES);
    let ends = || tested.iter().flat_map(|(_, (low, high))| [*low, *high]);
    let low = ends().fold(0.0, f64::min);
    let high = ends().fold(0.0, f64::max);
    let margin = 0.04 * (high - low);
    let x = Scale::new([low - margin, high + margin], [left, WIDTH - RIGHT]);
    let bottom = TOP + ROW * tested.len() as f64;
    let says = format!(
        "{heading}: the differences B − A of {} cells with their 95 % intervals, as in the table.",
        tested.len()
    );
    let class = |cell: &ComparedCell| match (cell.is_significant(), cell.is_better()) {
        (true, true) => "third",
        (true, false) => "without",
        (false, _) => "plain",
    };
    Some(html! {
        svg.plot.wide viewBox=(format!("0 0 {WIDTH} {}", px(bottom + BOTTOM))) role="img"
            aria-label=(says) {
            text.title x="8" y="13" { (heading) ": B − A, by " (rows) }
            @for (value, name) in x.ticks(6) {
                @let at = px(x.at(value));
                line.rule x1=(at) x2=(at) y1=(px(TOP)) y2=(px(bottom)) {}
                text.tick.mid x=(at) y=(px(bottom + 15.0)) { (name.replace('-', "−")) }
            }
            line.axis x1=(px(x.at(0.0))) x2=(px(x.at(0.0))) y1=(px(TOP)) y2=(px(bottom)) {}
            @for (i, (cell, (low, high))) in tested.iter().enumerate() {
                @let y = TOP + ROW * (i as f64 + 0.5);
                text.tick.end x=(px(left - 10.0)) y=(px(y)) dy=".34em" {
                    (shortened(&cell.line()))
                }
                g.(class(cell)) {
                    @let [from, to] = [*low, *high].map(|end| px(x.at(end)));
                    title {
                        (cell.line()) ": " (signed(cell.difference())) " (" (signed(*low)) " to "
                        (signed(*high)) ")"
                    }
                    path.interval d=(format!("M{from} {}H{to}", px(y))) {}
                    circle.dot cx=(px(x.at(cell.difference()))) cy=(px(y)) r="3.6" {}
                }
            }
            text.label.mid x=(px((left + WIDTH - RIGHT) / 2.0)) y=(px(bottom + 33.0)) {
                @if cells[0].measure.gain(1.0, 0.0) > 0.0 { "B is better to the right" }
                @else { "B is better to the left" }
            }
        }
    })
}
