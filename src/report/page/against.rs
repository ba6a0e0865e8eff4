//! The results against the paper: its claims with their verdicts, its values beside ours.

use itertools::Itertools;
use maud::{Markup, html};

use super::{
    super::{CheckOutcome, Claim, DataOrigin, Verdict, claim::are_ours, document::Document},
    PageSection, markup,
};

/// The claims as sentences with their verdicts; folded below each, its checks.
pub(super) fn claims(claims: &[Claim], provenance: &DataOrigin) -> Markup {
    let count = |verdict| {
        claims
            .iter()
            .filter(|claim| claim.verdict() == verdict)
            .count()
    };
    let counts = [
        (count(Verdict::Holds), ["holds", "hold"]),
        (
            count(Verdict::DoesNotHold),
            ["does not hold", "do not hold"],
        ),
        (count(Verdict::Undecided), ["is undecided", "are undecided"]),
    ];
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    let counts = counts.map(|(count, [one, several])| match count {
        1 => format!("1 {one}"),
        count => format!("{count} {several}"),
    });
    html! {
        h3 { @if are_ours(claims) { "Claims of our own" } @else { "The paper’s claims" } }
        p.hint {
            "Tested on " (provenance.dataset) ": of " (claims.len()) ", " (counts.format(", ")) ". "
            "A claim is checked in every metric and pair of cells that it is about. It holds where "
            "all of its checks do, does not hold where one fails, and is undecided where the "
            "numbers are compatible with both or runs are missing. In the checks k is the number "
            "of annotation experts and n that of annotated samples. "
            span.screen { "Unfold a claim for its numbers." }
        }
        ul.claims { @for claim in claims { li { (one(claim)) } } }
    }
}

fn one(claim: &Claim) -> Markup {
    let verdict = claim.verdict();
    let class = match verdict {
        Verdict::Holds => "holds",
        Verdict::DoesNotHold => "fails",
        Verdict::Undecided => "open",
    };
    html! {
        details {
            summary {
                strong.verdict.(class) { (verdict.words()) }
                " " (claim.statement) " "
                @if !are_ours(std::slice::from_ref(claim)) {
                    span.source { "(" (claim.section) ")" }
                }
            }
            @for (outcome, words) in [
                (CheckOutcome::No, "Failing"),
                (CheckOutcome::Unknown, "Open"),
                (CheckOutcome::Yes, "Holding"),
            ] {
                @let checks = claim.checks.iter().filter(|check| check.outcome == outcome);
                @let checks = checks.collect_vec();
                @if !checks.is_empty() {
                    p { (words) ", " (checks.len()) " of " (claim.checks.len()) ":" }
                    ul { @for check in checks { li { (check.numbers) } } }
                }
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
