//! Documents as HTML: paragraphs, lists, and real tables whose numbers open what stands behind them.

use itertools::Itertools;
use maud::{Markup, html};

use super::super::document::{Align, Block, Entry, Grid, Span, Text};

/// Any part of a document; its grids show no cells.
pub(super) fn block(block: &Block) -> Markup {
    match block {
        Block::Paragraph(words) => html! { p { (text(words)) } },
        Block::Heading(heading) => html! { h4 { (heading) } },
        Block::List(items) => html! { ul { @for item in items { li { (text(item)) } } } },
        Block::Grid(rows) => grid(rows, None),
    }
}

/// Words with their marks, and with code where the text has it in backticks.
pub(super) fn text(text: &Text) -> Markup {
    html! { @for span in &text.0 { (marked(span)) } }
}

fn marked(span: &Span) -> Markup {
    let words = html! {
        @for (i, piece) in span.text.split('`').enumerate() {
            @if i % 2 == 0 { (piece) } @else { code { (piece) } }
        }
    };
    match (span.mark.bold(), span.mark.underlined()) {
        (false, false) => words,
        (true, false) => html! { b { (words) } },
        (false, true) => html! { u { (words) } },
        (true, true) => html! { b { u { (words) } } },
    }
}

/// A table. Where it shows cells of an experiment's table, `experiment` is its index in the plan.
pub(super) fn grid(grid: &Grid, experiment: Option<usize>) -> Markup {
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
                        th.words[words] scope="col" rowspan=[two_lines.then_some(2)] { (grid.corner) }
                        @match two_lines {
                            true => @for (i, (over, count)) in groups.iter().enumerate() {
                                @match alone(i) {
                                    true => th.opens[i > 0] scope="col" rowspan="2" { (over) },
                                    false => th.over.opens[i > 0] scope="colgroup" colspan=(count) { span { (over) } },
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
                                @if !column.under.is_empty() { th.(class(i)) scope="col" { (column.under) } }
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

fn shown(entry: &Entry, experiment: Option<usize>) -> Markup {
    let (Some(experiment), Some(cell)) = (experiment, entry.cell) else {
        return text(&entry.text);
    };
    let bold = entry.text.0.iter().any(|span| span.mark.bold());
    let underlined = entry.text.0.iter().any(|span| span.mark.underlined());
    html! {
        button type="button" data-cell=(format!("{experiment}:{cell}")) aria-haspopup="dialog" aria-expanded="false" {
            (text(&entry.text))
            @if bold { span.vh { ", among the best" } }
            @if underlined { span.vh { ", significantly better than without pretraining" } }
        }
    }
}
