//! Documents on the page: as the fragment has them, but with tables whose numbers are buttons, set
//! apart by metric.

use itertools::Itertools;
use maud::{Markup, PreEscaped, html};

use super::super::{
    document::{Align, Element, MarkedText, RowEntry, Tabular},
    html_element, html_text,
};

/// Any part of a document; its grids show no cells.
pub(super) fn element(element: &Element) -> Markup {
    match element {
        Element::Heading(heading) => html! { h4 { (heading) } },
        Element::Tabular(rows) => grid(rows, None),
        Element::Paragraph(_) | Element::List(_) => PreEscaped(html_element(element)),
    }
}

/// Words with their marks.
pub(super) fn text(text: &MarkedText) -> Markup {
    PreEscaped(html_text(text))
}

/// A table. Where it shows cells of an experiment's table, `experiment` is its name on the page.
pub(super) fn grid(grid: &Tabular, experiment: Option<&str>) -> Markup {
    let two_lines = grid.columns.iter().any(|column| !column.under.is_empty());
    let groups = grid
        .columns
        .iter()
        .chunk_by(|column| &column.over)
        .into_iter()
        .map(|(over, columns)| (over, columns.count()))
        .collect_vec();
    let words = grid
        .rows
        .iter()
        .any(|row| !row.head.starts_with(|c: char| c.is_ascii_digit()));
    // A column that shares its head with no other takes both lines.
    let alone = |group: usize| {
        let (over, count) = groups[group];
        count == 1
            && grid
                .columns
                .iter()
                .any(|c| c.over == *over && c.under.is_empty())
    };
    // The first column of each group but the first, where a thin space sets metrics apart.
    let opens = |i: usize| i > 0 && grid.columns[i].over != grid.columns[i - 1].over;
    let class = |i: usize| match (opens(i), grid.columns[i].align) {
        (true, Align::Right) => "opens",
        (false, Align::Right) => "",
        (true, Align::Left) => "opens words",
        (false, Align::Left) => "words",
    };
    html! {
        div.scroll {
            table.grid {
                caption { (grid.heading) }
                thead {
                    tr {
                        th.words[words] scope="col" rowspan=[two_lines.then_some(2)] {
                            (grid.corner)
                        }
                        @match two_lines {
                            true => @for (i, (over, count)) in groups.iter().enumerate() {
                                @match alone(i) {
                                    true => th.opens[i > 0] scope="col" rowspan="2" { (over) },
                                    false => th.over.opens[i > 0] scope="colgroup" colspan=(count) {
                                        span { (over) }
                                    },
                                }
                            },
                            false => @for (i, column) in grid.columns.iter().enumerate() {
                                th.(class(i)) scope="col" { (column.line()) }
                            },
                        }
                    }
                    @if two_lines {
                        tr {
                            @for (i, column) in grid.columns.iter().enumerate() {
                                @if !column.under.is_empty() {
                                    th.(class(i)) scope="col" { (column.under) }
                                }
                            }
                        }
                    }
                }
                tbody {
                    @for row in &grid.rows {
                        tr {
                            th.words[words] scope="row" { (row.head) }
                            @for (i, entry) in row.entries.iter().enumerate() {
                                td.(class(i)) { (shown(entry, experiment)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn shown(entry: &RowEntry, experiment: Option<&str>) -> Markup {
    let (Some(experiment), Some(cell)) = (experiment, entry.cell) else {
        return text(&entry.text);
    };
    let bold = entry.text.0.iter().any(|span| span.mark.bold());
    let underlined = entry.text.0.iter().any(|span| span.mark.underlined());
    html! {
        button type="button" data-cell=(format!("{experiment}:{cell}"))
            aria-haspopup="dialog" aria-expanded="false" {
            (text(&entry.text))
            @if bold { span.vh { ", among the best" } }
            @if underlined { span.vh { ", significantly better than without pretraining" } }
        }
    }
}
