//! The results against the paper: its claims with their verdicts, its values beside ours.

use maud::{Markup, html};

use super::{super::document::Block, Part, markup};

/// The verdicts, and behind them the numbers that each stands on.
pub(super) fn claims(part: &Part<'_>) -> Markup {
    let heading = |block: &Block| matches!(block, Block::Heading(_));
    let blocks = &part.claims.blocks;
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

/// The published values, where the manifest names some.
pub(super) fn published(part: &Part<'_>) -> Markup {
    match &part.versus {
        None => html! { p.hole { "The manifest names no published values." } },
        Some(Err(why)) => html! { p.hole { "The published values cannot be had: " (why) } },
        Some(Ok(document)) => {
            // The page has said already what the tables stand on.
            let blocks = document
                .blocks
                .iter()
                .filter(|block| Some(*block) != part.caption());
            html! { div.notes { @for block in blocks { (markup::block(block)) } } }
        }
    }
}
