//! The panel of mutual Dice: a matrix of every two experts.

use itertools::Itertools;

use super::{
    colour::{self, Colour},
    lettering,
    sheet::{Anchor, Area, Shape},
    subject::CaseFigure,
    words::{self, NOTE_SIZE, PANEL_SIZE, TEXT_SIZE},
};
use crate::metric::dice;

/// The least and the largest width of a cell.
pub const CELL: [f64; 2] = [44.0, 60.0];
/// The most room for the heads of rows.
pub const HEADS: f64 = 100.0;
/// Height of a cell.
const ROW: f64 = 34.0;
/// Room for the heads of columns.
const TOP: f64 = 22.0;
/// Size of the numbers.
const NUMBER: f64 = 15.0;

/// How the experts' names head the matrix.
struct Heads {
    rows: Vec<String>,
    columns: Vec<String>,
}

impl Heads {
    /// Names on both sides; where they are too wide for a column, numbers before the names in rows
    /// and alone over columns.
    fn of(figure: &CaseFigure<'_>, cell: f64) -> Self {
        let short = || figure.experts.iter().map(|expert| expert.short.clone());
        let fit = short().all(|name| lettering::width(&name, TEXT_SIZE) <= cell - 4.0);
        if fit {
            return Self {
                rows: short().collect(),
                columns: short().collect(),
            };
        }
        let experts = figure.experts.iter();
        let row = experts.map(|expert| {
            let head = format!("{} {}", expert.number, expert.short);
            lettering::shortened(&head, TEXT_SIZE, HEADS)
        });
        let experts = figure.experts.iter();
        Self {
            rows: row.collect(),
            columns: experts.map(|expert| expert.number.to_string()).collect(),
        }
    }

    /// Width of the heads of rows, with the space after them.
    fn width(&self) -> f64 {
        let widths = self.rows.iter();
        let widths = widths.map(|head| lettering::width(head, TEXT_SIZE));
        widths.fold(0.0, f64::max) + 10.0
    }
}

/// The panel with its upper left corner at a place, within a width, and its height.
pub fn panel(figure: &CaseFigure<'_>, [x, y]: [f64; 2], width: f64) -> (Shape, f64) {
    let title = Shape::text([x, y + PANEL_SIZE], PANEL_SIZE, "(c) Mutual Dice (%)").bold();
    let top = y + words::PANEL_TITLE;
    let (shapes, height) = match figure.experts.len() {
        0 | 1 => {
            let none = "No two experts annotated this case.";
            (
                vec![title, Shape::text([x, top + NOTE_SIZE], NOTE_SIZE, none)],
                20.0,
            )
        }
        experts => {
            let (cells, height) = matrix(figure, [x, top], width, experts);
            (std::iter::once(title).chain(cells).collect(), height)
        }
    };
    let panel = Shape::Group {
        class: "panel",
        of: "c".to_owned(),
        says: String::new(),
        shapes,
    };
    (panel, words::PANEL_TITLE + height)
}

fn matrix(
    figure: &CaseFigure<'_>,
    [x, y]: [f64; 2],
    width: f64,
    experts: usize,
) -> (Vec<Shape>, f64) {
    let [least, most] = CELL;
    let heads = Heads::of(figure, least);
    let left = x + heads.width();
    let cell = ((width - heads.width()) / experts as f64).clamp(least, most);
    let rows = y + TOP;
    let pairs: Vec<([usize; 2], f64)> = (0..experts)
        .array_combinations()
        .map(|pair: [usize; 2]| {
            let [a, b] = pair.map(|i| figure.experts[i].mask.view());
            (pair, dice(a, b).expect("masks have the image's shape"))
        })
        .collect();
    let values = pairs.iter().map(|(_, dice)| *dice);
    let [low, high] = values.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], dice| {
        [low.min(dice), high.max(dice)]
    });
    let share = |dice: f64| match high > low {
        true => (dice - low) / (high - low),
        false => 0.5,
    };
    let area = |row: usize, column: usize| Area {
        x: left + cell * column as f64 + 0.5,
        y: rows + ROW * row as f64 + 0.5,
        width: cell - 1.0,
        height: ROW - 1.0,
    };
    let middle = |row: usize| rows + ROW * (row as f64 + 0.5) + 0.36 * NUMBER;
    let mut shapes = Vec::new();
    for i in 0..experts {
        let column = [left + cell * (i as f64 + 0.5), rows - 7.0];
        let (row, head) = (&heads.rows[i], &heads.columns[i]);
        shapes.push(Shape::text(column, TEXT_SIZE, head).anchored(Anchor::Middle));
        shapes.push(Shape::text([left - 8.0, middle(i)], TEXT_SIZE, row).anchored(Anchor::End));
        shapes.push(Shape::Filled {
            area: area(i, i),
            colour: Colour::EMPTY,
        });
    }
    shapes.extend(pairs.iter().map(|([a, b], dice)| {
        let ground = colour::of_share(share(*dice));
        let cells = [[*a, *b], [*b, *a]].into_iter().flat_map(|[row, column]| {
            let at = [left + cell * (column as f64 + 0.5), middle(row)];
            let number = Shape::text(at, NUMBER, format!("{:.1}", 100.0 * dice));
            [
                Shape::Filled {
                    area: area(row, column),
                    colour: ground,
                },
                number.anchored(Anchor::Middle).coloured(ground.text()),
            ]
        });
        let [a, b] = [a, b].map(|i| &figure.experts[*i]);
        Shape::Group {
            class: "dice",
            of: format!("{} {}", a.number, b.number),
            says: format!("{} and {}: {:.1} %", a.name, b.name, 100.0 * dice),
            shapes: cells.collect(),
        }
    }));
    let mean = pairs.iter().map(|(_, dice)| dice).sum::<f64>() / pairs.len() as f64;
    let below = rows + ROW * experts as f64 + 18.0;
    let summary = words::dice_summary(mean, [low, high], pairs.len());
    shapes.extend(
        summary
            .map(|summary| Shape::text([left, below], NOTE_SIZE, summary).coloured(Colour::SOFT)),
    );
    (shapes, TOP + ROW * experts as f64 + 24.0)
}
