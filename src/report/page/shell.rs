//! What every page is: one file with its style, whose policy forbids to fetch anything.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{
    super::document::{Document, Element},
    markup,
};

const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";

/// A whole page. `head` is what it has there beside the usual.
pub(super) fn shell(title: &str, head: &Markup, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                (head)
                title { (title) " · expertgrid" }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body { (body) }
        }
    }
}

/// A document as a page of its own. `after` gives what follows an element, such as a plot of it.
pub fn document_page(document: &Document, after: &dyn Fn(&Element) -> Markup) -> String {
    let body = html! {
        header.masthead {
            p.eyebrow { "expertgrid" }
            h1 { (document.title) }
        }
        main {
            @for element in &document.elements {
                @match element {
                    Element::Paragraph(_) | Element::List(_) => {
                        div.notes { (markup::element(element)) }
                    },
                    Element::Heading(heading) => h2 { (heading) },
                    Element::Tabular(_) => div.apart { (markup::element(element)) },
                }
                (after(element))
            }
        }
        footer { p { "Made by expertgrid " (env!("CARGO_PKG_VERSION")) "." } }
    };
    shell(&document.title, &html! {}, &body).into_string()
}
