//! A document as Markdown, with aligned columns so that it can be read as plain text.
//!
//! The rule: a text is shown as it is, whatever it holds: what Markdown or HTML would read as
//! markup is escaped. Signs that mean nothing where they stand are left alone.

use std::fmt::Write;

use itertools::Itertools;

use super::document::{Align, Document, Element, Mark, MarkedText, Tabular};

/// The whole document.
pub fn markdown(document: &Document) -> String {
    let elements = document.elements.iter().map(|element| match element {
        Element::Paragraph(words) => format!("{}\n", text(words)),
        Element::Heading(heading) => format!("## {}\n", escaped(heading)),
        Element::List(items) => items
            .iter()
            .map(|item| format!("- {}\n", text(item)))
            .collect(),
        Element::Tabular(grid) => format!("## {}\n\n{}", escaped(&grid.heading), rows(grid)),
    });
    format!(
        "# {}\n\n{}",
        escaped(&document.title),
        elements.format("\n")
    )
}

fn text(text: &MarkedText) -> String {
    let spans = text.0.iter().map(|span| {
        if span.mark == Mark::Code {
            return code(&span.text);
        }
        let mut words = escaped(&span.text);
        if span.mark.underlined() {
            words = format!("<u>{words}</u>");
        }
        if span.mark.bold() {
            words = format!("**{words}**");
        }
        words
    });
    spans.collect()
}

/// A code span, with more backticks around it than in it.
fn code(text: &str) -> String {
    let text = text.replace('|', r"\|").replace(['\n', '\r'], " ");
    let runs = text.split(|c| c != '`').map(str::len);
    match runs.max() {
        None | Some(0) => format!("`{text}`"),
        Some(most) => {
            let fence = "`".repeat(most + 1);
            format!("{fence} {text} {fence}")
        }
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    let mut before = ' ';
    let mut letters = text.chars().peekable();
    while let Some(c) = letters.next() {
        let after = letters.peek().copied().unwrap_or(' ');
        let markup = match c {
            '|' | '*' | '`' | '\\' | '~' => true,
            // Within a word it is a letter.
            '_' => !(before.is_alphanumeric() && after.is_alphanumeric()),
            '<' => after.is_alphabetic() || "/!?".contains(after),
            '&' => after.is_alphabetic() || after == '#',
            // The end of a link's text.
            ']' => "([:".contains(after),
            _ => false,
        };
        if markup {
            escaped.push('\\');
        }
        escaped.push(match c {
            '\n' | '\r' => ' ',
            c => c,
        });
        before = c;
    }
    escaped
}

/// A table with padded columns.
fn rows(grid: &Tabular) -> String {
    let head = [escaped(&grid.corner)]
        .into_iter()
        .chain(grid.columns.iter().map(|column| escaped(&column.line())));
    let mut lines = vec![head.collect_vec()];
    for row in &grid.rows {
        let entries = row.entries.iter().map(|entry| text(&entry.text));
        lines.push([escaped(&row.head)].into_iter().chain(entries).collect());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_shown_as_it_is() {
        for (text, expected) in [
            (
                "made_up: p < 0.05, n = 5 & 6",
                "made_up: p < 0.05, n = 5 & 6",
            ),
            ("w_1*x + w_2*x", r"w_1\*x + w_2\*x"),
            ("_a_ a `b`, <u>c</u> | d", r"\_a\_ a \`b\`, \<u>c\</u> \| d"),
            (
                "[a](b) [c] ~~d~~ &amp; C:\\x",
                r"[a\](b) [c] \~\~d\~\~ \&amp; C:\\x",
            ),
            ("one\n# two", "one # two"),
        ] {
            assert_eq!(escaped(text), expected);
        }
        assert_eq!(code("a`b"), "`` a`b ``");
        assert_eq!(code("runs.csv"), "`runs.csv`");
    }
}
