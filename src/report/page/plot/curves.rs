//! Metrics against the rows of a table: means with intervals, the results one by one as faint
//! lines.

use std::collections::BTreeSet;

use itertools::Itertools;
use maud::{Markup, html};

use super::{
    super::{
        super::{
            document::{Element, Tabular},
            layout::row_head,
            table::Cell,
        },
        PageSection,
    },
    PlotFrame,
    scale::range,
};
use crate::{
    figure::px,
    grid::{Axis, Coordinates},
    manifest::Experiment,
    method::Method,
    metric::Measure,
};

/// One line of a plot: the cells of a column.
struct Series<'a> {
    name: String,
    /// Its CSS class: `with`, `without`, or a further one.
    class: &'static str,
    points: Vec<CurvePoint<'a>>,
}

impl Series<'_> {
    /// The points between which a line means something: a network without pretraining is of
    /// another method than those beside it.
    fn of_one_method(&self) -> impl Iterator<Item = &[CurvePoint<'_>]> {
        let is_alone = |point: &CurvePoint<'_>| {
            let method = point.cell.position.method();
            method.is_some_and(Method::is_alone)
        };
        self.points
            .chunk_by(move |one, next| is_alone(one) == is_alone(next))
    }
}

struct CurvePoint<'a> {
    x: f64,
    cell: &'a Cell,
    index: usize,
}

/// For every new expert a row of plots, one per metric.
pub(super) fn panels(part: &PageSection<'_>) -> Markup {
    let grids = part
        .laid_out
        .elements
        .iter()
        .filter_map(|element| match element {
            Element::Tabular(grid) => Some(grid),
            Element::Paragraph(_) | Element::Heading(_) | Element::List(_) => None,
        });
    // Tables of effects and of rules show no cells.
    let grids = grids.filter(|grid| {
        let mut entries = grid.rows.iter().flat_map(|row| &row.entries);
        entries.any(|entry| entry.cell.is_some())
    });
    let rows = &part.spec.table.rows;
    let is_row = |axis: Axis| *rows == [axis];
    let across = match rows.as_slice() {
        [axis] if *axis == Axis::SAMPLES => "annotated samples".to_owned(),
        [axis] if *axis == Axis::EXPERTS => "experts in pretraining".to_owned(),
        rows => rows.iter().map(Axis::word).join(", "),
    };
    let told = part.spec.table.results.iter().map(Axis::all).join(" and ");
    let one = part.spec.table.results.iter().map(Axis::one).join(" and ");
    let means =
        format!("Dots are means over the {told}, bars their 95 % intervals (t distribution). ");
    html! {
        @for grid in grids {
            figure.panels {
                figcaption {
                    strong { (grid.heading) }
                    @if let Some(first) = part.spec.metrics.report.first() {
                        (legend(&series(part, grid, *first), &one))
                    }
                }
                div.row {
                    @for metric in part.spec.metrics.report.iter().copied() {
                        (panel(part, grid, metric, &across))
                    }
                }
            }
        }
        p.notes {
            (means)
            @if is_row(Axis::EXPERTS) && part.spec.grid.trains_alone() {
                "Zero experts: another method, training from random initialisation; no line joins "
                "it to the others. "
            }
            "Scales do not begin at zero. Colours from the Okabe–Ito palette, which colour-blind "
            "people can tell apart; shapes differ too."
        }
    }
}

/// The horizontal value of a cell's row: its number where the axis is numeric; otherwise rows are
/// evenly spaced.
fn across(part: &PageSection<'_>, cell: &Cell) -> f64 {
    let rows = &part.spec.table.rows;
    match rows.as_slice() {
        [axis @ Axis::Grid(_)] if axis.is_numeric() == Some(true) => {
            let value = cell.position.get(axis).and_then(|value| value.number());
            value.unwrap_or_default()
        }
        rows => {
            let all = part.table.cells.iter().map(|cell| cell.position.on(rows));
            let all: BTreeSet<Coordinates> = all.collect();
            let own = cell.position.on(rows);
            let index = all.iter().position(|place| *place == own);
            index.unwrap_or_default() as f64
        }
    }
}

/// The label of a cell's row on the horizontal axis.
fn name(spec: &Experiment, cell: &Cell) -> String {
    let rows = &spec.table.rows;
    row_head(rows, &cell.position.on(rows))
}

fn series<'a>(part: &'a PageSection<'_>, grid: &Tabular, metric: Measure) -> Vec<Series<'a>> {
    let further = ["third", "fourth", "fifth", "sixth"];
    let mut seen = BTreeSet::new();
    let heading = metric.heading(part.spec.distances());
    let columns = (0..grid.columns.len()).filter(|i| grid.columns[*i].over == heading);
    columns
        .map(|column| {
            let points = grid.rows.iter().filter_map(|row| {
                let index = row.entries[column].cell?;
                let cell = &part.table.cells[index];
                Some(CurvePoint {
                    x: across(part, cell),
                    cell,
                    index,
                })
            });
            let points = points.collect_vec();
            let methods = points.iter().map(|point| point.cell.position.method());
            // Where rows are methods, a line is of none of them.
            let method = methods.dedup().exactly_one().ok().flatten();
            let own = match method.is_some_and(Method::is_alone) {
                true => "without",
                false => "with",
            };
            let class = match seen.insert(own) {
                true => own,
                false => further[seen.len().saturating_sub(1) % further.len()],
            };
            seen.insert(class);
            Series {
                name: match (grid.columns[column].under.as_str(), method) {
                    ("", _) | (_, None) => grid.columns[column].under.clone(),
                    (under, Some(method)) if method.is_pretrained() => {
                        format!("{under}: with pretraining")
                    }
                    (under, Some(method)) if method.is_alone() => {
                        format!("{under}: from random initialisation")
                    }
                    (under, Some(_)) => under.to_owned(),
                },
                class,
                points,
            }
        })
        .collect()
}

/// What the lines are; `told` is what each faint one is of.
fn legend(series: &[Series<'_>], told: &str) -> Markup {
    html! {
        span.legend {
            @if series.len() > 1 {
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
            @if series.iter().any(|one| one.of_one_method().count() > 1) {
                span.key {
                    svg.without viewBox="0 0 26 12" aria-hidden="true" {
                        (dot("without", 13.0, 6.0))
                    }
                    "from random initialisation"
                }
            }
            span.key {
                svg.(series.first().map_or("with", |one| one.class)) viewBox="0 0 26 12"
                    aria-hidden="true" {
                    path.way d="M1 9L9 4L17 8L25 3M1 5L9 8L17 3L25 7" {}
                }
                "one " (told)
            }
        }
    }
}

fn panel(part: &PageSection<'_>, grid: &Tabular, metric: Measure, across: &str) -> Markup {
    let series = series(part, grid, metric);
    let cells = || series.iter().flat_map(|one| &one.points);
    let values = cells().flat_map(|point| {
        let (low, high) = point.cell.ci95.unzip();
        point.cell.results.values().copied().chain(low).chain(high)
    });
    let heading = metric.heading(part.spec.distances());
    let Some(y) = range(values) else {
        return html! { p.hole { (heading) ": no results yet" } };
    };
    let places = cells().map(|point| (point.x, name(part.spec, point.cell)));
    let places = places.sorted_by(|a, b| a.0.total_cmp(&b.0)).dedup();
    let marks = places.collect_vec();
    let ends = [marks.first(), marks.last()].map(|mark| mark.map_or(0.0, |(x, _)| *x));
    let frame = PlotFrame {
        is_ordered: part.spec.table.rows.len() == 1,
        ..PlotFrame::new(ends, y, Some(marks))
    };
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
        heading,
        grid.new_expert
            .map_or_else(String::new, |e| part.spec.grid.names.show(e)),
        series
            .iter()
            .map(|one| in_words(part.spec, one))
            .format(" ")
    );
    frame.plot(&heading, across, &says, drawing)
}

/// The results, one faint line each.
fn ways(frame: &PlotFrame, series: &Series<'_>) -> Markup {
    let results: BTreeSet<&Coordinates> = series
        .points
        .iter()
        .flat_map(|point| point.cell.results.keys())
        .collect();
    let path = |result: &&Coordinates| {
        let of_one = series.of_one_method().map(|points| {
            let points = points.iter();
            frame
                .path(points.filter_map(|point| Some((point.x, *point.cell.results.get(*result)?))))
        });
        of_one.collect::<String>()
    };
    html! { path.way d=(results.iter().map(path).collect::<String>()) {} }
}

fn means(frame: &PlotFrame, series: &Series<'_>, aside: f64, experiment: &str) -> Markup {
    let place =
        |point: &CurvePoint<'_>| Some((frame.x.at(point.x) + aside, frame.y.at(point.cell.mean?)));
    let line = series.of_one_method().flat_map(|points| {
        let places = points.iter().filter_map(place).enumerate();
        places.map(|(i, (x, y))| format!("{}{} {}", if i == 0 { 'M' } else { 'L' }, px(x), px(y)))
    });
    let line: String = line.collect();
    // A point without pretraining in a line with it is drawn as such points are everywhere.
    let class = |point: &CurvePoint<'_>| match point.cell.position.method() {
        Some(method) if method.is_alone() && series.class == "with" => "without",
        _ => series.class,
    };
    html! {
        @if frame.is_ordered { path.mean d=(line) {} }
        @for point in &series.points {
            @if let Some((x, y)) = place(point) {
                g.(class(point)) data-cell=(format!("{experiment}:{}", point.index)) {
                    @if let Some((low, high)) = point.cell.ci95 {
                        @let ends = [low, high].map(|end| px(frame.y.at(end)));
                        path.interval d=(format!("M{} {}V{}", px(x), ends[0], ends[1])) {}
                    }
                    (dot(class(point), x, y))
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

fn in_words(spec: &Experiment, series: &Series<'_>) -> String {
    let points = series.points.iter().map(|point| {
        let at = name(spec, point.cell);
        match point.cell.mean {
            Some(mean) => format!("{mean:.2} at {at}"),
            None => format!("no result at {at}"),
        }
    });
    match series.name.as_str() {
        "" => format!("{}.", points.format(", ")),
        name => format!("{name}: {}.", points.format(", ")),
    }
}
