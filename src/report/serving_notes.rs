//! Notes on what pretrained networks serve new experts with: latents and thresholds.

use std::collections::BTreeMap;

use itertools::Itertools;

use super::document::MarkedText;
use crate::{artefact::LatentUse, grid::Value, results::Results};

/// How much of their latents the probabilistic networks of an experiment use.
pub(super) fn latents(results: &Results<'_>, experiment: usize) -> MarkedText {
    let uses = results.latents_of(experiment).into_iter();
    let (used, dimensions): (Vec<usize>, Vec<usize>) = uses
        .map(|latent| (latent.used(), latent.divergence.len()))
        .unzip();
    dimensions
        .first()
        .and_then(|dimensions| latent_note(&used, *dimensions))
        .map_or_else(MarkedText::default, MarkedText::from)
}

/// How many of a latent's dimensions networks use, with a warning where one uses none; nothing
/// where there are no networks.
fn latent_note(used: &[usize], dimensions: usize) -> Option<String> {
    let (fewest, most) = (used.iter().min()?, used.iter().max()?);
    let range = match fewest == most {
        true => fewest.to_string(),
        false => format!("{fewest} to {most}"),
    };
    let collapsed = used.iter().filter(|used| **used == 0).count();
    let warning = match collapsed {
        0 => String::new(),
        some => format!(
            " In {some} the latent has collapsed: it says nothing of a mask, and choosing one \
             changes nothing."
        ),
    };
    let pretrainings = match used.len() {
        1 => "the probabilistic network".to_owned(),
        several => format!("the {several} probabilistic networks"),
    };
    Some(format!(
        "Of the {dimensions} dimensions of a latent, {pretrainings} use {range}: their posterior \
         diverges from the prior by more than {} nats on average.{warning}",
        LatentUse::USED
    ))
}

/// The thresholds that were chosen for each new expert.
pub(super) fn thresholds(results: &Results<'_>, experiment: usize) -> MarkedText {
    let mut by_expert: BTreeMap<Value, Vec<f64>> = BTreeMap::new();
    for (run, _) in results.of(experiment) {
        if let Some(threshold) = results.thresholds.get(&run.network) {
            let expert = Value::expert(run.at.new_expert, &run.at.names);
            by_expert.entry(expert).or_default().push(*threshold);
        }
    }
    let each = by_expert.into_iter().map(|(expert, mut thresholds)| {
        thresholds.sort_by(f64::total_cmp);
        let (lowest, highest) = (thresholds[0], thresholds[thresholds.len() - 1]);
        let median = thresholds[thresholds.len() / 2];
        format!("expert {expert}: {median:.2} (median; {lowest:.2} to {highest:.2})")
    });
    match each.collect_vec().as_slice() {
        [] => MarkedText::default(),
        each => MarkedText::from(format!(
            "Where a threshold is chosen, a pixel is inside from this probability on: {}.",
            each.join("; ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::latent_note;

    #[test]
    fn a_latent_that_has_collapsed_is_warned_of() {
        assert_eq!(latent_note(&[], 6), None);
        let note = latent_note(&[5, 6], 6).unwrap();
        assert!(
            note.contains("the 2 probabilistic networks use 5 to 6"),
            "{note}"
        );
        assert!(!note.contains("collapsed"), "{note}");
        let note = latent_note(&[0, 6, 0], 6).unwrap();
        assert!(note.contains("use 0 to 6"), "{note}");
        assert!(note.contains("In 2 the latent has collapsed"), "{note}");
    }
}
