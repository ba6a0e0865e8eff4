//! Documents on a page: as in a fragment, but the tables set metrics apart, and their numbers are
//! buttons.

use itertools::Itertools;
use maud::{Markup, PreEscaped, html};

use super::super::{
    document::{Align, Element, MarkedText, RowEntry, Tabular},
    html::{TablePart, TableStyle, escaped, html_element, html_table, html_text},
};

/// Any element of a document; the entries of its tables are no buttons.
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

/// Columns above which a table is set tighter, so that it fits a page of 1,280 pixels.
const TIGHT: usize = 12;

/// A table. Where it shows cells of an experiment's table, `experiment` is its name on the page.
pub(super) fn grid(grid: &Tabular, experiment: Option<&str>) -> Markup {
    let digit = |c: char| c.is_ascii_digit();
    let style = PageStyle {
        experiment,
        words: grid.rows.iter().any(|row| !row.head.starts_with(digit)),
    };
    let shows_cells = grid.rows.iter().flat_map(|row| &row.entries);
    let shows_cells = shows_cells
        .map(|entry| entry.cell)
        .any(|cell| cell.is_some());
    // Cells are reached by the keyboard; a table without any is scrolled by it.
    let stop = (experiment.is_some() && !shows_cells).then_some(&grid.heading);
    html! {
        div.scroll
            tabindex=[stop.map(|_| "0")]
            role=[stop.map(|_| "group")]
            aria-label=[stop] {
            table.grid.tight[grid.columns.len() > TIGHT] { (PreEscaped(html_table(grid, &style))) }
        }
    }
}

/// The style of a page: metrics are set apart, and numbers that show a cell are buttons.
struct PageStyle<'a> {
    /// The name on the page of the experiment whose cells are shown.
    experiment: Option<&'a str>,
    /// Whether row heads are words, not numbers.
    words: bool,
}

impl TableStyle for PageStyle<'_> {
    fn class(&self, grid: &Tabular, part: TablePart) -> String {
        // The first column of each metric but the first, with space before it.
        let opens = |i: usize| i > 0 && grid.columns[i].over != grid.columns[i - 1].over;
        let classes = match part {
            TablePart::Corner | TablePart::RowHead => vec![("words", self.words)],
            TablePart::Over(first) => vec![("over", true), ("opens", opens(first))],
            TablePart::ColumnHead(i) | TablePart::Entry(i) => {
                let words = grid.columns[i].align == Align::Left;
                vec![("opens", opens(i)), ("words", words)]
            }
        };
        let set = classes.into_iter().filter(|(_, set)| *set);
        set.map(|(class, _)| class).join(" ")
    }

    fn over(&self, name: &str) -> String {
        format!("<span>{}</span>", escaped(name))
    }

    fn entry(&self, entry: &RowEntry) -> (String, String) {
        (String::new(), shown(entry, self.experiment).into_string())
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
