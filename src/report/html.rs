//! A document as an HTML fragment: real tables with heads and scopes.
//!
//! The rule: a fragment can be part of any page, in any encoding: what is not ASCII is written as a
//! character reference. A page of this program has the same tables in its own [`TableStyle`].

use std::fmt::Write;

use itertools::Itertools;

use super::document::{Align, Document, Element, Mark, MarkedText, RowEntry, Tabular};

/// The document as one `<section>`.
pub fn html(document: &Document) -> String {
    let mut text = format!("<section>\n<h2>{}</h2>\n", escaped(&document.title));
    for element in &document.elements {
        text.push_str(&html_element(element));
    }
    text.push_str("</section>\n");
    text
}

/// One element of a document.
pub fn html_element(element: &Element) -> String {
    match element {
        Element::Paragraph(words) => format!("<p>{}</p>\n", html_text(words)),
        Element::Heading(heading) => format!("<h3>{}</h3>\n", escaped(heading)),
        Element::List(items) => {
            let items = items
                .iter()
                .map(|item| format!("<li>{}</li>\n", html_text(item)));
            format!("<ul>\n{}</ul>\n", items.format(""))
        }
        Element::Tabular(grid) => {
            format!("<table>\n{}</table>\n", html_table(grid, &Fragment))
        }
    }
}

/// A part of a table that a style may give a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TablePart {
    /// The head over the row heads.
    Corner,
    /// A head over several columns, by the first of them.
    Over(usize),
    /// The head of one column.
    ColumnHead(usize),
    /// The head of a row.
    RowHead,
    /// The entries of a column.
    Entry(usize),
}

/// What differs between the tables of a fragment and those of a page. The structure does not.
pub trait TableStyle {
    /// The classes of a part, separated by spaces; empty for none.
    fn class(&self, grid: &Tabular, part: TablePart) -> String;
    /// The content of a head over several columns.
    fn over(&self, name: &str) -> String;
    /// The attributes of an entry's `<td>` beside its class, and its content.
    fn entry(&self, entry: &RowEntry) -> (String, String);
}

/// The style of a fragment: an entry that shows a cell carries its index in `data-cell`.
struct Fragment;

impl TableStyle for Fragment {
    fn class(&self, grid: &Tabular, part: TablePart) -> String {
        match part {
            TablePart::Entry(column) if grid.columns[column].align == Align::Left => "words".into(),
            _ => String::new(),
        }
    }

    fn over(&self, name: &str) -> String {
        escaped(name)
    }

    fn entry(&self, entry: &RowEntry) -> (String, String) {
        let cell = entry.cell.map(|cell| format!(" data-cell=\"{cell}\""));
        (cell.unwrap_or_default(), html_text(&entry.text))
    }
}

/// The content of a `<table>`: caption, head and body.
pub fn html_table(grid: &Tabular, style: &dyn TableStyle) -> String {
    let class = |part| match style.class(grid, part).as_str() {
        "" => String::new(),
        class => format!(" class=\"{class}\""),
    };
    let mut text = format!(
        "<caption>{}</caption>\n<thead>\n{}</thead>\n<tbody>\n",
        escaped(&grid.heading),
        head(grid, &class, style),
    );
    for row in &grid.rows {
        let row_head = class(TablePart::RowHead);
        let _ = write!(
            text,
            "<tr><th{row_head} scope=\"row\">{}</th>",
            escaped(&row.head)
        );
        for (column, entry) in row.entries.iter().enumerate() {
            let (attributes, content) = style.entry(entry);
            let class = class(TablePart::Entry(column));
            let _ = write!(text, "<td{class}{attributes}>{content}</td>");
        }
        text.push_str("</tr>\n");
    }
    text.push_str("</tbody>\n");
    text
}

/// The head: one line, or two where a column has an upper and a lower head. A column without a
/// lower one, and without neighbours of the same upper one, takes both lines.
fn head(grid: &Tabular, class: &dyn Fn(TablePart) -> String, style: &dyn TableStyle) -> String {
    let two_lines = grid.columns.iter().any(|column| !column.under.is_empty());
    let th = |part, lines: usize, name: &str| {
        let class = class(part);
        let lines = match lines {
            1 => String::new(),
            lines => format!(" rowspan=\"{lines}\""),
        };
        format!("<th{class} scope=\"col\"{lines}>{}</th>", escaped(name))
    };
    let corner = th(TablePart::Corner, 1 + usize::from(two_lines), &grid.corner);
    let columns = grid.columns.iter().enumerate();
    if !two_lines {
        let names = columns.map(|(i, column)| th(TablePart::ColumnHead(i), 1, &column.over));
        return format!("<tr>{corner}{}</tr>\n", names.format(""));
    }
    let (mut over, mut under) = (String::new(), String::new());
    for (name, columns) in &columns.chunk_by(|(_, column)| &column.over) {
        let columns = columns.collect_vec();
        let (first, alone) = (columns[0].0, columns.len() == 1);
        if alone && columns[0].1.under.is_empty() {
            over.push_str(&th(TablePart::ColumnHead(first), 2, name));
            continue;
        }
        let class = class(TablePart::Over(first));
        let _ = write!(
            over,
            "<th{class} scope=\"colgroup\" colspan=\"{}\">{}</th>",
            columns.len(),
            style.over(name)
        );
        let heads = columns
            .iter()
            .map(|(i, column)| th(TablePart::ColumnHead(*i), 1, &column.under));
        under.extend(heads);
    }
    format!("<tr>{corner}{over}</tr>\n<tr>{under}</tr>\n")
}

/// Words with their marks.
pub fn html_text(text: &MarkedText) -> String {
    let spans = text.0.iter().map(|span| {
        let words = escaped(&span.text);
        match span.mark {
            Mark::Plain => words,
            Mark::Bold => format!("<b>{words}</b>"),
            Mark::Underlined => format!("<u>{words}</u>"),
            Mark::Both => format!("<b><u>{words}</u></b>"),
            Mark::Code => format!("<code>{words}</code>"),
        }
    });
    spans.collect()
}

/// A text in ASCII, with character references for what is not, and for what HTML reads as markup.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if c.is_ascii() => escaped.push(c),
            other => {
                let _ = write!(escaped, "&#{};", u32::from(other));
            }
        }
    }
    escaped
}
