//! Metrics against the number of samples or experts: means with intervals, the ways of sampling as faint lines.

use std::collections::BTreeSet;

use itertools::Itertools;
use maud::{Markup, html};

use super::{
    super::{
        super::{
            document::{Block, Grid},
            layout::row_of,
            table::Cell,
        },
        Part,
    },
    Frame, px,
    scale::range,
};
use crate::{
    manifest::{Arm, Rows},
    metric::Measure,
};

/// One line of a plot: the cells of a column.
struct Series<'a> {
    name: String,
    /// Its look: `with`, `without`, or a further one.
    class: &'static str,
    points: Vec<Point<'a>>,
}

struct Point<'a> {
    x: f64,
    cell: &'a Cell,
    index: usize,
}

/// For every new expert a row of plots, one per metric.
pub(super) fn panels(part: &Part<'_>) -> Markup {
    let grids = part.laid_out.blocks.iter().filter_map(|block| match block {
        Block::Grid(grid) => Some(grid),
        Block::Paragraph(_) | Block::Heading(_) | Block::List(_) => None,
    });
    let across = match part.spec.rows {
        Rows::Samples => "annotated samples",
        Rows::Experts | Rows::TrainExpert => "experts in pretraining",
    };
    html! {
        @for grid in grids {
            figure.panels {
                figcaption {
                    strong { (grid.heading) }
                    @if let Some(first) = part.spec.metrics.report.first() {
                        (legend(&series(part, grid, *first)))
                    }
                }
                div.row {
                    @for metric in part.spec.metrics.report.iter().copied() {
                        (panel(part, grid, metric, across))
                    }
                }
            }
        }
        p.notes {
            "Dots are means over the ways of sampling, bars their 95 % intervals (t distribution), faint lines the ways of sampling one by one. "
            @if part.spec.rows == Rows::Experts { "Zero experts: trained from random initialisation. " }
            "Scales do not begin at zero. Colours from the Okabe–Ito palette, which colour-blind people can tell apart; shapes differ too."
        }
    }
}

fn series<'a>(part: &'a Part<'_>, grid: &Grid, metric: Measure) -> Vec<Series<'a>> {
    let further = ["third", "fourth", "fifth", "sixth"];
    let mut seen = BTreeSet::new();
    let columns = (0..grid.columns.len()).filter(|i| grid.columns[*i].over == metric.heading());
    columns
        .map(|column| {
            let points = grid.rows.iter().filter_map(|row| {
                let index = row.entries[column].cell?;
                let cell = &part.table.cells[index];
                let x = row_of(&cell.position, part.spec) as f64;
                Some(Point { x, cell, index })
            });
            let points = points.collect_vec();
            let arm = points.last().map(|point| point.cell.position.arm);
            let own = match arm {
                Some(Arm::Without) => "without",
                Some(Arm::With | Arm::Single) | None => "with",
            };
            let class = match seen.insert(own) {
                true => own,
                false => further[seen.len().saturating_sub(1) % further.len()],
            };
            seen.insert(class);
            Series {
                name: match arm {
                    Some(Arm::With) if !grid.columns[column].under.is_empty() => {
                        format!("{}: with pretraining", grid.columns[column].under)
                    }
                    Some(Arm::Without) if !grid.columns[column].under.is_empty() => {
                        format!("{}: from random initialisation", grid.columns[column].under)
                    }
                    _ => grid.columns[column].under.clone(),
                },
                class,
                points,
            }
        })
        .collect()
}

fn legend(series: &[Series<'_>]) -> Markup {
    html! {
        @if series.len() > 1 {
            span.legend {
                @for one in series {
                    span.key {
                        svg.(one.class) viewBox="0 0 26 12" aria-hidden="true" {
                            path.mean d="M1 6H25" {}
                            (dot(one.class, 13.0, 6.0))
                        }
                        (one.name)
                    }
                }
            }
        }
    }
}

fn panel(part: &Part<'_>, grid: &Grid, metric: Measure, across: &str) -> Markup {
    let series = series(part, grid, metric);
    let cells = || series.iter().flat_map(|one| &one.points);
    let values = cells().flat_map(|point| {
        let (low, high) = point.cell.ci95.unzip();
        point.cell.by_start.values().copied().chain(low).chain(high)
    });
    let Some(y) = range(values) else {
        return html! { p.hole { (metric.heading()) ": no results yet" } };
    };
    let places = cells().map(|point| point.x as i64).collect::<BTreeSet<_>>();
    let ends = [places.first(), places.last()].map(|x| x.copied().unwrap_or(0) as f64);
    let marks = places.iter().map(|x| (*x as f64, x.to_string())).collect();
    let frame = Frame::new(ends, y, Some(marks));
    let drawing = html! {
        @for one in &series { g.(one.class) { (ways(&frame, one)) } }
        @for (i, one) in series.iter().enumerate() {
            // Side by side, so that intervals do not hide each other.
            @let aside = (i as f64 - (series.len() - 1) as f64 / 2.0) * 5.0;
            g.(one.class) { (means(&frame, one, aside, &part.anchor())) }
        }
    };
    let says = format!(
        "{} of expert {} against {across}. {}",
        metric.heading(),
        grid.new_expert.map_or_else(String::new, |e| e.to_string()),
        series.iter().map(in_words).format(" ")
    );
    frame.plot(&metric.heading(), across, &says, drawing)
}

/// The ways of sampling, one faint line each.
fn ways(frame: &Frame, series: &Series<'_>) -> Markup {
    let starts: BTreeSet<usize> = series
        .points
        .iter()
        .flat_map(|point| point.cell.by_start.keys().copied())
        .collect();
    let path = |start: &usize| {
        frame.path(
            series
                .points
                .iter()
                .filter_map(|point| Some((point.x, *point.cell.by_start.get(start)?))),
        )
    };
    html! { path.way d=(starts.iter().map(path).collect::<String>()) {} }
}

fn means(frame: &Frame, series: &Series<'_>, aside: f64, experiment: &str) -> Markup {
    let place =
        |point: &Point<'_>| Some((frame.x.at(point.x) + aside, frame.y.at(point.cell.mean?)));
    let line = series.points.iter().filter_map(place).enumerate();
    let line: String = line
        .map(|(i, (x, y))| format!("{}{} {}", if i == 0 { 'M' } else { 'L' }, px(x), px(y)))
        .collect();
    html! {
        path.mean d=(line) {}
        @for point in &series.points {
            @if let Some((x, y)) = place(point) {
                g data-cell=(format!("{experiment}:{}", point.index)) {
                    @if let Some((low, high)) = point.cell.ci95 {
                        path.interval d=(format!("M{} {}V{}", px(x), px(frame.y.at(low)), px(frame.y.at(high)))) {}
                    }
                    (dot(series.class, x, y))
                    circle.target cx=(px(x)) cy=(px(y)) r="9" {}
                }
            }
        }
    }
}

/// Round with pretraining, square without, so that colour is not all that tells them apart.
fn dot(class: &str, x: f64, y: f64) -> Markup {
    match class {
        "without" => html! { rect.dot x=(px(x - 3.0)) y=(px(y - 3.0)) width="6" height="6" {} },
        _ => html! { circle.dot cx=(px(x)) cy=(px(y)) r="3.3" {} },
    }
}

fn in_words(series: &Series<'_>) -> String {
    let points = series.points.iter().map(|point| match point.cell.mean {
        Some(mean) => format!("{mean:.2} at {}", point.x),
        None => format!("no result at {}", point.x),
    });
    match series.name.as_str() {
        "" => format!("{}.", points.format(", ")),
        name => format!("{name}: {}.", points.format(", ")),
    }
}
