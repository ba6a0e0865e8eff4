//! What is chosen for a new expert where nothing is trained.

use super::LoadedWeights;
use crate::{
    adaptation::{AdaptationError, SupportCase, best_branch, predicted, with_latent_of},
    engine::Engine,
    manifest::Recipe,
    method::NetworkForm,
    net::{ExpertLayers, UNet},
    serving::thresholds,
};

/// A network with what was chosen as a part of it.
pub(super) struct Selected {
    /// Of one branch, which predicts a mask where its probability is at least 1/2.
    pub net: UNet,
    /// What was chosen, in words.
    pub what: String,
}

/// Chooses the branch that fits the cases best; of a network of one branch the threshold, which
/// becomes part of the last layer's bias; of a probabilistic U-Net the latent.
///
/// # Errors
/// The network or a mask does not fit, or a tensor operation fails.
pub(super) fn select<E: Engine>(
    weights: &LoadedWeights,
    cases: &[SupportCase<'_>],
    engine: &E,
) -> Result<Selected, AdaptationError> {
    let Recipe { image, network, .. } = &weights.recipe;
    let pretrained = &weights.checkpoint;
    let device = engine.device();
    match weights.network {
        NetworkForm::Latent | NetworkForm::Comb => {
            let (with_latent, latent) = with_latent_of(pretrained, network, engine, cases, image)?;
            let latent: Vec<String> = latent.iter().map(|z| format!("{z:.3}")).collect();
            let what = format!("the latent {}", latent.join(", "));
            eprintln!("{what} is the posterior's mean over the cases");
            Ok(Selected {
                net: with_latent.inherit(0, network, ExpertLayers::Comb, device)?,
                what,
            })
        }
        NetworkForm::One | NetworkForm::Map => {
            let net = pretrained.restore(network, device)?;
            let predicted = predicted(&net, engine, &[0], cases, image)?;
            let masks: Vec<_> = cases.iter().map(|case| case.mask).collect();
            let (fits, best) = thresholds(&predicted[0], &masks)?;
            let threshold = f64::from(fits[best].threshold) / 256.0;
            eprintln!(
                "a threshold of {threshold} fits the cases best (mean Dice {:.4})",
                fits[best].mean_dice
            );
            let moved = pretrained.with_threshold(threshold)?;
            Ok(Selected {
                net: moved.inherit(0, network, ExpertLayers::Norms, device)?,
                what: format!("the threshold {threshold}"),
            })
        }
        NetworkForm::Norms | NetworkForm::Heads => {
            let all = pretrained.restore(network, device)?;
            let (best, choice) = best_branch(&all, &weights.experts, engine, cases, image)?;
            let what = format!("the branch of expert {}", choice.chosen);
            let dice = choice.mean_dice();
            eprintln!("{what} fits the cases best (mean Dice {dice:.4})");
            let layers = ExpertLayers::from(weights.network);
            Ok(Selected {
                net: pretrained.inherit(best, network, layers, device)?,
                what,
            })
        }
    }
}
