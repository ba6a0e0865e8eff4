//! The panel of contours: the image with every expert's, a legend, a detail and a scale bar.

use super::{
    bitmap::{Bitmap, usual_range},
    clip,
    colour::Colour,
    crop::ImageCrop,
    detail, lettering,
    outline::{self, Polyline},
    pen::{self, Pen},
    picture_place::PicturePlace,
    sheet::{Anchor, Area, Shape},
    subject::{CaseFigure, ShownExpert},
    words::{self, NOTE_SIZE, PANEL_SIZE, TEXT_SIZE},
};

/// Width of the legend.
pub const LEGEND: f64 = 222.0;
/// Between the picture and its legend.
pub const GAP: f64 = 18.0;
/// From one row of the legend to the next.
const ROW: f64 = 30.0;
/// The legend's samples of lines.
const SAMPLE: [f64; 2] = [62.0, 20.0];
/// Room for the title of the detail.
const DETAIL_TITLE: f64 = 26.0;
/// What the samples lie on: about as dark as images are.
const SAMPLE_GROUND: Colour = Colour([0x5c, 0x5c, 0x5c]);

/// The panel with its upper left corner at a place, and its height; the picture fits into a square
/// of this side.
pub fn panel(figure: &CaseFigure<'_>, [x, y]: [f64; 2], side: f64) -> (Shape, f64) {
    let top = y + words::PANEL_TITLE;
    let picture = PicturePlace::within(figure, figure.crop, [x, top], side);
    let image = &figure.case.image;
    let range = usual_range(image, &figure.crop);
    let mut shapes = vec![
        Shape::text(
            [x, y + PANEL_SIZE],
            PANEL_SIZE,
            words::contours_title(figure),
        )
        .bold(),
        Shape::Picture {
            area: picture.area,
            bitmap: Bitmap::grey(image, &figure.crop, range),
            has_edges: false,
        },
    ];
    shapes.extend(contours(figure, &picture, 0.0));
    let (bar, bar_height) = scale_bar(figure, &picture);
    shapes.push(bar);
    let right = x + side + GAP;
    let (legend, legend_height) = legend(figure, [right, top]);
    shapes.push(legend);
    let bottom = top + picture.area.height;
    let room = bottom - (top + legend_height + GAP);
    let detail = detail::most_disputed(figure).filter(|_| room >= LEGEND + DETAIL_TITLE);
    if let Some(part) = detail {
        shapes.push(frame(&picture.of_part(&part)));
        shapes.push(detail_of(figure, part, range, [right, bottom - LEGEND]));
    }
    let height = words::PANEL_TITLE + (picture.area.height + bar_height).max(legend_height);
    let panel = Shape::Group {
        class: "panel",
        of: "a".to_owned(),
        says: String::new(),
        shapes,
    };
    (panel, height)
}

/// The part in which experts differ most, enlarged, with its pixels.
fn detail_of(figure: &CaseFigure<'_>, part: ImageCrop, range: [f32; 2], [x, y]: [f64; 2]) -> Shape {
    let place = PicturePlace::within(figure, part, [x, y], LEGEND);
    let title = "Framed: where they differ most";
    let mut shapes = vec![
        Shape::text([x, y - 8.0], NOTE_SIZE, title).coloured(Colour::SOFT),
        Shape::Picture {
            area: place.area,
            bitmap: Bitmap::grey(&figure.case.image, &part, range),
            has_edges: true,
        },
    ];
    shapes.extend(contours(figure, &place, 1.5));
    Shape::Group {
        class: "detail",
        of: String::new(),
        says: String::new(),
        shapes,
    }
}

/// A frame around a part of a picture.
fn frame(area: &Area) -> Shape {
    let (right, bottom) = (area.x + area.width, area.y + area.height);
    let first = [area.x, area.y];
    let lines = vec![vec![
        first,
        [right, area.y],
        [right, bottom],
        [area.x, bottom],
        first,
    ]];
    let line = |pen| Shape::Lines {
        lines: lines.clone(),
        pen,
    };
    Shape::Group {
        class: "frame",
        of: String::new(),
        says: String::new(),
        shapes: vec![line(pen::FRAME.halo()), line(pen::FRAME)],
    }
}

/// The contour of an expert, on the sheet.
struct Contour<'a> {
    expert: &'a ShownExpert<'a>,
    pen: Pen,
    lines: Vec<Polyline>,
}

/// The halos of all contours within a picture, then the contours, of those experts who have one
/// there. Lines end at an inset from the picture's edge.
fn contours(figure: &CaseFigure<'_>, place: &PicturePlace, inset: f64) -> Vec<Shape> {
    let within = place.area.inset(inset);
    let experts = figure.experts.iter().enumerate();
    let drawn = experts.map(|(i, expert)| {
        let rings = outline::rings(expert.mask).into_iter();
        let parts = rings.flat_map(|ring| {
            let placed = outline::corners(&ring).into_iter();
            let placed: Polyline = placed.map(|at| place.of(at)).collect();
            clip::within(&within, &placed)
        });
        Contour {
            expert,
            pen: pen::of_expert(i),
            lines: parts.collect(),
        }
    });
    let drawn: Vec<Contour> = drawn.filter(|contour| !contour.lines.is_empty()).collect();
    let halos = drawn.iter().map(|contour| Shape::Lines {
        lines: contour.lines.clone(),
        pen: contour.pen.halo(),
    });
    let halos = Shape::Group {
        class: "halos",
        of: String::new(),
        says: String::new(),
        shapes: halos.collect(),
    };
    let contours = drawn.into_iter().map(|contour| {
        let Contour { expert, pen, lines } = contour;
        Shape::Group {
            class: "contour",
            of: expert.number.to_string(),
            says: expert.name.clone(),
            shapes: vec![Shape::Lines { lines, pen }],
        }
    });
    std::iter::once(halos).chain(contours).collect()
}

/// The experts with their pens and areas, then who is absent; and the height.
fn legend(figure: &CaseFigure<'_>, [x, y]: [f64; 2]) -> (Shape, f64) {
    let experts = figure.experts.iter().enumerate();
    let rows = experts.map(|(i, expert)| {
        let at = [x, y + ROW * i as f64];
        legend_row(expert, pen::of_expert(i), at)
    });
    let mut shapes: Vec<Shape> = rows.collect();
    let mut height = ROW * shapes.len() as f64;
    if let Some(text) = words::absent(figure) {
        for line in lettering::lines(&text, NOTE_SIZE, LEGEND) {
            height += NOTE_SIZE + 4.0;
            let note = Shape::text([x, y + height - 4.0], NOTE_SIZE, line);
            shapes.push(note.coloured(Colour::SOFT));
        }
    }
    let legend = Shape::Group {
        class: "experts",
        of: String::new(),
        says: String::new(),
        shapes,
    };
    (legend, height)
}

fn legend_row(expert: &ShownExpert<'_>, pen: Pen, [x, y]: [f64; 2]) -> Shape {
    let [width, height] = SAMPLE;
    let middle = y + height / 2.0;
    let line = vec![vec![[x + 5.0, middle], [x + width - 5.0, middle]]];
    let sample = |pen| Shape::Lines {
        lines: line.clone(),
        pen,
    };
    let area = words::area(expert.area_px);
    let left = x + width + 10.0;
    let room = LEGEND - width - 20.0 - lettering::width(&area, NOTE_SIZE);
    let base = middle + 0.36 * TEXT_SIZE;
    Shape::Group {
        class: "expert",
        of: expert.number.to_string(),
        says: format!("{}: {area}", expert.name),
        shapes: vec![
            Shape::Filled {
                area: Area {
                    x,
                    y,
                    width,
                    height,
                },
                colour: SAMPLE_GROUND,
            },
            sample(pen.halo()),
            sample(pen),
            Shape::text(
                [left, base],
                TEXT_SIZE,
                lettering::shortened(&expert.name, TEXT_SIZE, room),
            ),
            Shape::text([x + LEGEND, base], NOTE_SIZE, area)
                .anchored(Anchor::End)
                .coloured(Colour::SOFT),
        ],
    }
}

/// A bar below the picture of about a quarter of its width, and how much room it takes.
fn scale_bar(figure: &CaseFigure<'_>, picture: &PicturePlace) -> (Shape, f64) {
    let (unit, per_unit) = match figure.spacing {
        Some(spacing) => ("mm", picture.pixel_width() / spacing.x_mm),
        None => ("px", picture.pixel_width()),
    };
    let length = words::round_length(0.3 * picture.area.width / per_unit);
    let (x, y) = (picture.area.x, picture.area.y + picture.area.height + 9.0);
    let width = length * per_unit;
    let shapes = vec![
        Shape::Filled {
            area: Area {
                x,
                y,
                width,
                height: 4.0,
            },
            colour: Colour::INK,
        },
        Shape::text(
            [x + width + 8.0, y + 7.0],
            NOTE_SIZE,
            format!("{} {unit}", words::number(length)),
        ),
    ];
    let bar = Shape::Group {
        class: "scale",
        of: String::new(),
        says: String::new(),
        shapes,
    };
    (bar, 18.0)
}
