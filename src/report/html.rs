//! A document as an HTML fragment: real tables with heads and scopes.
//!
//! The rule: it stands on any page, in any encoding: what is not ASCII is written as a reference.
//! An entry that shows a cell carries its index in `data-cell`; what happens there is the page's
//! business.

use std::fmt::Write;

use itertools::Itertools;

use super::document::{Align, Document, Element, Mark, MarkedText, Tabular};

/// The document as one `<section>`.
pub fn html(document: &Document) -> String {
    let mut text = format!("<section>\n<h2>{}</h2>\n", escaped(&document.title));
    for element in &document.elements {
        text.push_str(&html_element(element));
    }
    text.push_str("</section>\n");
    text
}

/// One part of a document.
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
        Element::Tabular(grid) => table(grid),
    }
}

fn table(grid: &Tabular) -> String {
    let mut text = format!(
        "<table>\n<caption>{}</caption>\n<thead>\n{}</thead>\n<tbody>\n",
        escaped(&grid.heading),
        head(grid),
    );
    for row in &grid.rows {
        let _ = write!(text, "<tr><th scope=\"row\">{}</th>", escaped(&row.head));
        for (entry, column) in row.entries.iter().zip(&grid.columns) {
            let class = match column.align {
                Align::Left => " class=\"words\"",
                Align::Right => "",
            };
            let cell = entry.cell.map(|cell| format!(" data-cell=\"{cell}\""));
            let cell = cell.unwrap_or_default();
            let _ = write!(text, "<td{class}{cell}>{}</td>", html_text(&entry.text));
        }
        text.push_str("</tr>\n");
    }
    text.push_str("</tbody>\n</table>\n");
    text
}

/// One line, or two where columns share what stands over them.
fn head(grid: &Tabular) -> String {
    let th = |name: &str| format!("<th scope=\"col\">{}</th>", escaped(name));
    if grid.columns.iter().all(|column| column.under.is_empty()) {
        let names = grid.columns.iter().map(|column| th(&column.over));
        return format!("<tr>{}{}</tr>\n", th(&grid.corner), names.format(""));
    }
    let groups = grid.columns.iter().chunk_by(|column| &column.over);
    let over = groups.into_iter().map(|(name, columns)| {
        format!(
            "<th scope=\"colgroup\" colspan=\"{}\">{}</th>",
            columns.count(),
            escaped(name)
        )
    });
    let over: String = over.collect();
    let under = grid.columns.iter().map(|column| th(&column.under));
    format!(
        "<tr><th scope=\"col\" rowspan=\"2\">{}</th>{over}</tr>\n<tr>{}</tr>\n",
        escaped(&grid.corner),
        under.format(""),
    )
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

/// Words in which nothing is read as a tag, in ASCII.
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
