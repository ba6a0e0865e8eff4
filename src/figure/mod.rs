//! The figure of one case: its image with every expert's contour, how many experts marked each
//! pixel, and the experts' mutual Dice.
//!
//! The rule: a figure is composed once, as a [`Sheet`] of shapes, and written as SVG
//! ([`Sheet::svg`]) or PNG ([`Sheet::png`]). The same case gives the same bytes on every machine:
//! no font, locale or clock is asked for. The pictures of pages use the same crops and outlines.

mod agreement;
pub mod bitmap;
mod clip;
pub mod colour;
mod contours;
mod coordinate;
mod crop;
mod detail;
mod lettering;
mod mutual_dice;
pub mod outline;
mod overlay;
pub mod pen;
mod picture_place;
mod pixels;
pub mod sheet;
mod subject;
mod svg;
mod words;

pub use coordinate::px;
pub use crop::ImageCrop;
pub use overlay::overlay;
pub use sheet::Sheet;
pub use subject::{CaseFigure, ShownExpert};

use colour::Colour;
use sheet::Shape;

/// Around everything.
const MARGIN: f64 = 20.0;
/// Width of a figure of up to seven experts.
const WIDTH: f64 = 820.0;
/// Between panels.
const GUTTER: f64 = 24.0;

/// Width of the panel of agreement.
const AGREEMENT: f64 = 396.0;

impl CaseFigure<'_> {
    /// Draws it.
    pub fn sheet(&self) -> Sheet {
        let beside = AGREEMENT + GUTTER;
        let matrix = mutual_dice::HEADS + mutual_dice::CELL[0] * self.experts.len() as f64;
        let width = WIDTH.max(2.0 * MARGIN + beside + matrix);
        let inner = width - 2.0 * MARGIN;
        let mut shapes = Vec::new();
        let mut y = MARGIN;
        y = paragraph(
            &mut shapes,
            &words::title(self),
            words::TITLE_SIZE,
            inner,
            y,
        );
        if let Some(origin) = words::origin(self) {
            y = paragraph(&mut shapes, &origin, words::TEXT_SIZE, inner, y);
        }
        y += 8.0;
        let side = inner - contours::GAP - contours::LEGEND;
        let (panel, height) = contours::panel(self, [MARGIN, y], side);
        shapes.push(panel);
        y += height + 18.0;
        let (panel, height) = agreement::panel(self, [MARGIN, y], AGREEMENT);
        shapes.push(panel);
        let right = [MARGIN + beside, y];
        let (panel, other) = mutual_dice::panel(self, right, inner - beside);
        shapes.push(panel);
        y += height.max(other) + 16.0;
        for line in lettering::lines(&words::notes(self), words::NOTE_SIZE, inner) {
            y += words::NOTE_SIZE;
            let note = Shape::text([MARGIN, y], words::NOTE_SIZE, line);
            shapes.push(note.coloured(Colour::SOFT));
            y += 5.0;
        }
        Sheet {
            width,
            height: (y + MARGIN - 5.0).ceil(),
            says: words::says(self),
            shapes,
        }
    }
}

/// Adds lines of bold text below `y`; returns where they end.
fn paragraph(shapes: &mut Vec<Shape>, text: &str, size: f64, width: f64, mut y: f64) -> f64 {
    let regular = width * lettering::width(text, size) / lettering::bold_width(text, size);
    for line in lettering::lines(text, size, regular) {
        y += size;
        shapes.push(Shape::text([MARGIN, y], size, line).bold());
        y += 6.0;
    }
    y
}
