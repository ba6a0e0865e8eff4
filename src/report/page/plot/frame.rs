//! The frame of a plot: axes, ticks, title, and the description for screen readers.

use itertools::Itertools;
use maud::{Markup, html};

use super::scale::Scale;
use crate::figure::px;

/// Size of a plot in its own units, which are pixels where there is room.
pub(in super::super) const WIDTH: f64 = 340.0;
const HEIGHT: f64 = 236.0;

const LEFT: f64 = 42.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 38.0;

/// Width of a letter of a tick's label, roughly.
const LETTER: f64 = 5.6;
/// The sine of the angle of labels that would lie over each other.
const TILT: f64 = 0.64;

/// A plot with the button that saves it, which the page's script shows.
pub(super) fn framed(svg: Markup) -> Markup {
    html! {
        div.drawing {
            (svg)
            button.save.screen type="button" hidden { "Save as SVG" }
        }
    }
}

/// Axes around a drawing.
pub(in super::super) struct PlotFrame {
    /// The horizontal scale.
    pub x: Scale,
    /// The vertical scale.
    pub y: Scale,
    /// Values on the horizontal axis that get a tick, with their labels.
    pub marks: Vec<(f64, String)>,
    /// Whether what lies between two of them means anything.
    pub is_ordered: bool,
}

impl PlotFrame {
    /// Axes over ranges of values. The horizontal axis has its ticks at `marks`, or at round
    /// values.
    pub(in super::super) fn new(
        x: [f64; 2],
        y: [f64; 2],
        marks: Option<Vec<(f64, String)>>,
    ) -> Self {
        let x = Scale::new(x, [LEFT + 8.0, WIDTH - RIGHT - 8.0]);
        Self {
            x,
            y: Scale::new(y, [HEIGHT - BOTTOM, TOP + 4.0]),
            marks: marks.unwrap_or_else(|| x.ticks(5)),
            is_ordered: true,
        }
    }

    /// How much room tilted labels need below the usual; none where labels lie side by side.
    fn tilted(&self) -> Option<f64> {
        let widest = self
            .marks
            .iter()
            .map(|(_, name)| name.chars().count())
            .max()?;
        let widest = widest as f64 * LETTER;
        let places = self.marks.iter().map(|(value, _)| self.x.at(*value));
        let narrowest = places
            .tuple_windows()
            .map(|(a, b)| b - a)
            .fold(f64::INFINITY, f64::min);
        (widest > narrowest).then_some(widest * TILT)
    }

    /// The whole plot: `title` above it, `across` below it, `says` for screen readers.
    pub(in super::super) fn plot(
        &self,
        title: &str,
        across: &str,
        says: &str,
        drawing: Markup,
    ) -> Markup {
        let bottom = HEIGHT - BOTTOM;
        let tilted = self.tilted();
        let height = HEIGHT + tilted.unwrap_or(0.0);
        framed(html! {
            svg.plot viewBox=(format!("0 0 {WIDTH} {}", px(height))) role="img" aria-label=(says) {
                text.title x=(px(LEFT - 34.0)) y="13" { (title) }
                @for (value, name) in self.y.ticks(4) {
                    @let y = px(self.y.at(value));
                    line.rule x1=(px(LEFT)) x2=(px(WIDTH - RIGHT)) y1=(y) y2=(y) {}
                    text.tick.end x=(px(LEFT - 7.0)) y=(y) dy=".34em" { (name) }
                }
                line.axis x1=(px(LEFT)) x2=(px(WIDTH - RIGHT)) y1=(px(bottom)) y2=(px(bottom)) {}
                @for (value, name) in &self.marks {
                    @let x = px(self.x.at(*value));
                    line.axis x1=(x) x2=(x) y1=(px(bottom)) y2=(px(bottom + 4.0)) {}
                    @match tilted {
                        None => text.tick.mid x=(x) y=(px(bottom + 16.0)) { (name) },
                        Some(_) => {
                            @let y = px(bottom + 12.0);
                            text.tick.end x=(x) y=(y) transform=(format!("rotate(-40 {x} {y})")) {
                                (name)
                            }
                        },
                    }
                }
                text.label.mid x=(px((LEFT + WIDTH - RIGHT) / 2.0)) y=(px(height - 5.0)) {
                    (across)
                }
                (drawing)
            }
        })
    }

    /// A path through values.
    pub(in super::super) fn path(&self, points: impl Iterator<Item = (f64, f64)>) -> String {
        let mut path = String::new();
        for (i, (x, y)) in points.enumerate() {
            path.push(if i == 0 { 'M' } else { 'L' });
            path.push_str(&px(self.x.at(x)));
            path.push(' ');
            path.push_str(&px(self.y.at(y)));
        }
        path
    }
}
