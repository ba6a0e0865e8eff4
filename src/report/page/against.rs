//! The results against the paper: its claims with their verdicts, its values beside ours.

use maud::{Markup, html};

use super::{
    super::document::{Document, Element},
    PageSection, markup,
};

/// The verdicts, and folded below them the numbers of each.
pub(super) fn claims(claims: &Document) -> Markup {
    let heading = |element: &Element| matches!(element, Element::Heading(_));
    let elements = &claims.elements;
    let (verdicts, numbers) =
        elements.split_at(elements.iter().position(heading).unwrap_or(elements.len()));
    html! {
        div.notes { @for element in verdicts { (markup::element(element)) } }
        @if !numbers.is_empty() {
            details {
                summary { "The numbers behind the verdicts" }
                div.notes { @for element in numbers { (markup::element(element)) } }
            }
        }
    }
}

/// The published values beside these, or why they cannot be read.
pub(super) fn published(part: &PageSection<'_>, versus: &Result<Document, String>) -> Markup {
    match versus {
        Err(why) => html! { p.hole { "The published values cannot be read: " (why) } },
        Ok(document) => {
            // The page has shown the caption already.
            let elements = document
                .elements
                .iter()
                .filter(|element| Some(*element) != part.caption());
            html! { div.notes { @for element in elements { (markup::element(element)) } } }
        }
    }
}
