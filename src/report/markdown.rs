//! A document as Markdown, with aligned columns so that it can be read as plain text.

use std::fmt::Write;

use itertools::Itertools;

use super::document::{Align, Document, Element, Mark, MarkedText, Tabular};

/// The whole document.
pub fn markdown(document: &Document) -> String {
    let elements = document.elements.iter().map(|element| match element {
        Element::Paragraph(words) => format!("{}\n", text(words)),
        Element::Heading(heading) => format!("## {heading}\n"),
        Element::List(items) => items
            .iter()
            .map(|item| format!("- {}\n", text(item)))
            .collect(),
        Element::Tabular(grid) => format!("## {}\n\n{}", grid.heading, rows(grid)),
    });
    format!("# {}\n\n{}", document.title, elements.format("\n"))
}

fn text(text: &MarkedText) -> String {
    let spans = text.0.iter().map(|span| {
        let mut words = span.text.replace('|', r"\|");
        if span.mark.underlined() {
            words = format!("<u>{words}</u>");
        }
        if span.mark.bold() {
            words = format!("**{words}**");
        }
        match span.mark {
            Mark::Code => format!("`{words}`"),
            _ => words,
        }
    });
    spans.collect()
}

/// A table with padded columns.
fn rows(grid: &Tabular) -> String {
    let head = [grid.corner.clone()]
        .into_iter()
        .chain(grid.columns.iter().map(|column| column.line()));
    let mut lines = vec![head.collect_vec()];
    for row in &grid.rows {
        let entries = row.entries.iter().map(|entry| text(&entry.text));
        lines.push([row.head.clone()].into_iter().chain(entries).collect());
    }
    let aligns: Vec<Align> = [Align::Right]
        .into_iter()
        .chain(grid.columns.iter().map(|column| column.align))
        .collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
    let widths: Vec<usize> = (0..aligns.len())
        .map(|column| width(column).unwrap_or(0).max(3))
        .collect();
    let mut text = String::new();
    for (i, line) in lines.iter().enumerate() {
        let cells = line.iter().zip(&widths).zip(&aligns);
        let cells = cells.map(|((cell, width), align)| match align {
            Align::Left => format!("{cell:<width$}"),
            Align::Right => format!("{cell:>width$}"),
        });
        let _ = writeln!(text, "| {} |", cells.format(" | "));
        if i == 0 {
            let rules = widths
                .iter()
                .zip(&aligns)
                .map(|(width, align)| match align {
                    Align::Left => format!("{:-<width$}", ""),
                    Align::Right => format!("{:->1$}:", "", width - 1),
                });
            let _ = writeln!(text, "| {} |", rules.format(" | "));
        }
    }
    text
}
