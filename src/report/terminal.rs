//! A document for a terminal: aligned columns, wrapped paragraphs.
//!
//! The rule: marks can be read without escape sequences too: `*bold*`, `_underlined_`.

use std::fmt::Write;

use itertools::Itertools;

use super::document::{Align, Document, Element, Mark, MarkedText, Tabular};

/// How marks are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// By escape sequences.
    Escapes,
    /// By characters around the words.
    Characters,
}

/// The whole document; paragraphs are wrapped after so many characters.
pub fn terminal(document: &Document, style: Style, columns: usize) -> String {
    let mut text = line(&MarkedText::default().bold(&document.title), style);
    text.push('\n');
    for element in &document.elements {
        text.push('\n');
        match element {
            Element::Paragraph(words) => text.push_str(&wrapped(words, style, "", columns)),
            Element::Heading(heading) => {
                text.push_str(&line(&MarkedText::default().bold(heading), style));
                text.push('\n');
            }
            Element::List(items) => {
                for item in items {
                    let item = MarkedText::from("- ").then(item.clone());
                    text.push_str(&wrapped(&item, style, "  ", columns));
                }
            }
            Element::Tabular(grid) => text.push_str(&rows(grid, style)),
        }
    }
    text
}

/// Wraps a text. A word is a sequence of spans without space; its width is that of what is visible.
fn wrapped(text: &MarkedText, style: Style, indent: &str, columns: usize) -> String {
    let mut words: Vec<MarkedText> = Vec::new();
    let mut open = false;
    for span in &text.0 {
        // Marked words stay together, so that their marks do.
        let parts: Vec<&str> = match span.mark {
            Mark::Plain | Mark::Code => span.text.split(' ').collect(),
            Mark::Bold | Mark::Underlined | Mark::Both => vec![&span.text],
        };
        for (i, part) in parts.into_iter().enumerate() {
            if !open || i > 0 {
                words.push(MarkedText::default());
            }
            open = true;
            if let Some(word) = words.last_mut() {
                word.push(part, span.mark);
            }
        }
    }
    let (mut shown, mut column) = (String::new(), 0);
    for word in words.iter().filter(|word| !word.is_empty()) {
        let width = width(word, style);
        if column > 0 && column + 1 + width > columns {
            let _ = write!(shown, "\n{indent}");
            column = indent.len();
        } else if column > 0 {
            shown.push(' ');
            column += 1;
        }
        shown.push_str(&line(word, style));
        column += width;
    }
    shown.push('\n');
    shown
}

fn rows(grid: &Tabular, style: Style) -> String {
    let aligns: Vec<Align> = [Align::Right]
        .into_iter()
        .chain(grid.columns.iter().map(|column| column.align))
        .collect();
    let mut lines: Vec<Vec<MarkedText>> = Vec::new();
    let head = |corner: &str, name: &dyn Fn(usize) -> String| -> Vec<MarkedText> {
        let names = (0..grid.columns.len()).map(|i| name(i).into());
        [corner.into()].into_iter().chain(names).collect()
    };
    let double = grid.columns.iter().any(|column| !column.under.is_empty());
    if double {
        // An upper head that neighbours share is written over the first of them.
        let over = |i: usize| match i > 0 && grid.columns[i - 1].over == grid.columns[i].over {
            true => String::new(),
            false => grid.columns[i].over.clone(),
        };
        lines.push(head("", &over));
        lines.push(head(&grid.corner, &|i| grid.columns[i].under.clone()));
    } else {
        lines.push(head(&grid.corner, &|i| grid.columns[i].over.clone()));
    }
    let heads = lines.len();
    for row in &grid.rows {
        let entries = row.entries.iter().map(|entry| entry.text.clone());
        lines.push(
            [row.head.as_str().into()]
                .into_iter()
                .chain(entries)
                .collect(),
        );
    }
    // Digits stand under digits, whatever marks follow them.
    let trails: Vec<usize> = (0..aligns.len())
        .map(|i| {
            let all = lines.iter().map(|line| trail(&line[i], style));
            all.max().unwrap_or(0)
        })
        .collect();
    let widths: Vec<usize> = (0..aligns.len())
        .map(|i| {
            let all = lines
                .iter()
                .map(|line| width(&line[i], style) + trails[i] - trail(&line[i], style));
            all.max().unwrap_or(0)
        })
        .collect();
    let mut text = line(&MarkedText::default().bold(&grid.heading), style) + "\n";
    for (i, cells) in lines.iter().enumerate() {
        let padded = cells.iter().enumerate().map(|(column, cell)| {
            let shown = line(cell, style);
            let seen = width(cell, style) + trails[column] - trail(cell, style);
            let pad = " ".repeat(widths[column] - seen);
            match aligns[column] {
                Align::Left => shown + &pad,
                Align::Right => pad + &shown + &" ".repeat(trails[column] - trail(cell, style)),
            }
        });
        let _ = writeln!(text, "{}", padded.collect_vec().join("  ").trim_end());
        if i + 1 == heads {
            let rules = widths.iter().map(|width| "-".repeat(*width));
            let _ = writeln!(text, "{}", rules.collect_vec().join("  "));
        }
    }
    text
}

/// The number of visible characters.
fn width(text: &MarkedText, style: Style) -> usize {
    let around = |mark| match style {
        Style::Escapes => 0,
        Style::Characters => 2 * characters(mark).len(),
    };
    let spans = text.0.iter();
    spans
        .map(|span| span.text.chars().count() + around(span.mark))
        .sum()
}

/// The number of characters of a mark at the end.
fn trail(text: &MarkedText, style: Style) -> usize {
    match (style, text.0.last()) {
        (Style::Characters, Some(last)) => characters(last.mark).len(),
        _ => 0,
    }
}

/// The characters before marked words; mirrored, they follow them.
fn characters(mark: Mark) -> &'static str {
    match mark {
        Mark::Plain | Mark::Code => "",
        Mark::Bold => "*",
        Mark::Underlined => "_",
        Mark::Both => "*_",
    }
}

fn line(text: &MarkedText, style: Style) -> String {
    let spans = text.0.iter().map(|span| {
        let words = &span.text;
        match style {
            Style::Characters => {
                let before = characters(span.mark);
                let behind: String = before.chars().rev().collect();
                format!("{before}{words}{behind}")
            }
            Style::Escapes => match span.mark {
                Mark::Plain | Mark::Code => words.clone(),
                Mark::Bold => format!("\x1b[1m{words}\x1b[0m"),
                Mark::Underlined => format!("\x1b[4m{words}\x1b[0m"),
                Mark::Both => format!("\x1b[1;4m{words}\x1b[0m"),
            },
        }
    });
    spans.collect()
}
