//! The results against the paper: its claims with their verdicts, its values beside ours.

use maud::{Markup, html};

use super::{
    super::document::{Block, Document},
    Part, markup,
};

/// The verdicts, and behind them the numbers that each stands on.
pub(super) fn claims(claims: &Document) -> Markup {
    let heading = |block: &Block| matches!(block, Block::Heading(_));
    let blocks = &claims.blocks;
    let (verdicts, numbers) =
        blocks.split_at(blocks.iter().position(heading).unwrap_or(blocks.len()));
    html! {
        div.notes { @for block in verdicts { (markup::block(block)) } }
        @if !numbers.is_empty() {
            details {
                summary { "The numbers behind the verdicts" }
                div.notes { @for block in numbers { (markup::block(block)) } }
            }
        }
    }
}

/// The published values beside these, or why they cannot be had.
pub(super) fn published(part: &Part<'_>, versus: &Result<Document, String>) -> Markup {
    match versus {
        Err(why) => html! { p.hole { "The published values cannot be had: " (why) } },
        Ok(document) => {
            // The page has said already what the tables stand on.
            let blocks = document
                .blocks
                .iter()
                .filter(|block| Some(*block) != part.caption());
            html! { div.notes { @for block in blocks { (markup::block(block)) } } }
        }
    }
}
