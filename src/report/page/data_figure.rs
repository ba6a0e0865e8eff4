//! A case of the data set with all experts' contours, on a page.

use maud::{Markup, html};

use crate::{data::Dataset, figure::CaseFigure};

/// The first test case, to be unfolded; nothing where there is none.
pub(super) fn show(dataset: &Dataset) -> Markup {
    let Some(case) = dataset.test.first() else {
        return html! {};
    };
    let sheet = CaseFigure::of(dataset, case).sheet();
    html! {
        details.data-figure {
            summary {
                "The experts on one image: " (case.name) ", the first test case"
            }
            (sheet.inline_svg())
        }
    }
}
