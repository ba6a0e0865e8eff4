//! The panel of agreement: how many experts marked each pixel, and its scale.

use super::{
    bitmap::Bitmap,
    colour::{self, Colour},
    lettering,
    picture_place::PicturePlace,
    sheet::{Anchor, Area, Shape},
    subject::CaseFigure,
    words::{self, NOTE_SIZE, PANEL_SIZE, TEXT_SIZE},
};

/// Between the picture and its scale.
pub const GAP: f64 = 12.0;
/// Width of the scale's colours.
const SWATCH: f64 = 22.0;
/// The least and the largest height of one of them.
const ROW: [f64; 2] = [20.0, 32.0];

/// What the scale says of a count, and of how many pixels it is.
type ScaleLabel = (String, Option<String>);

/// The labels of all counts, from none to all.
fn labels(counts: &[usize], all: usize) -> Vec<ScaleLabel> {
    let label = |count: usize| {
        let pixels = counts.iter().filter(|found| **found == count).count();
        match count {
            0 => ("none".to_owned(), None),
            count if count == all => (format!("all {all}"), Some(words::area(pixels))),
            count => (count.to_string(), Some(words::area(pixels))),
        }
    };
    (0..=all).map(label).collect()
}

/// The panel with its upper left corner at a place, within a width, and its height.
pub fn panel(figure: &CaseFigure<'_>, [x, y]: [f64; 2], width: f64) -> (Shape, f64) {
    let all = figure.experts.len();
    let counts = figure.counts();
    let labels = labels(&counts, all);
    let widest = labels.iter().fold([0.0_f64; 2], |widest, (label, pixels)| {
        let pixels = pixels.as_deref().unwrap_or_default();
        [
            widest[0].max(lettering::width(label, TEXT_SIZE)),
            widest[1].max(lettering::width(pixels, NOTE_SIZE)),
        ]
    });
    let scale = SWATCH + 8.0 + widest[0] + 12.0 + widest[1];
    let top = y + words::PANEL_TITLE;
    let place = [x, top];
    let picture = PicturePlace::within(figure, figure.crop, place, width - GAP - scale);
    let shown = figure.crop.of(&counts, figure.case.image.width);
    let bitmap = Bitmap {
        width: figure.crop.width,
        height: figure.crop.height,
        is_coloured: true,
        bytes: shown
            .flat_map(|count| colour::of_count(count, all).0)
            .collect(),
    };
    let [least, most] = ROW;
    let row = (picture.area.height / (all + 1) as f64).clamp(least, most);
    let mut shapes = vec![
        Shape::text(
            [x, y + PANEL_SIZE],
            PANEL_SIZE,
            "(b) How many experts marked a pixel",
        )
        .bold(),
        Shape::Picture {
            area: picture.area,
            bitmap,
            has_edges: true,
        },
    ];
    let left = x + picture.area.width + GAP;
    shapes.extend(labels.into_iter().enumerate().map(|(count, label)| {
        let area = Area {
            x: left,
            // The most experts uppermost.
            y: top + row * (all - count) as f64,
            width: scale,
            height: row,
        };
        scale_row(count, colour::of_count(count, all), label, &area)
    }));
    let panel = Shape::Group {
        class: "panel",
        of: "b".to_owned(),
        says: String::new(),
        shapes,
    };
    let height = picture.area.height.max(row * (all + 1) as f64);
    (panel, words::PANEL_TITLE + height)
}

fn scale_row(count: usize, colour: Colour, (label, pixels): ScaleLabel, area: &Area) -> Shape {
    let base = area.y + area.height / 2.0 + 0.36 * TEXT_SIZE;
    let swatch = Area {
        width: SWATCH,
        ..*area
    };
    let mut shapes = vec![
        Shape::Filled {
            area: swatch,
            colour,
        },
        Shape::text([area.x + SWATCH + 8.0, base], TEXT_SIZE, label),
    ];
    shapes.extend(pixels.map(|pixels| {
        let text = Shape::text([area.x + area.width, base], NOTE_SIZE, pixels);
        text.anchored(Anchor::End).coloured(Colour::SOFT)
    }));
    Shape::Group {
        class: "count",
        of: count.to_string(),
        says: String::new(),
        shapes,
    }
}
