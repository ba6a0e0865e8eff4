//! The annotated images of trainings: all cases or some, with masks of experts, dealt or fused.

use std::{collections::HashMap, iter::zip, sync::Arc};

use itertools::Itertools;

use super::{CaseDigests, Fusion, Inventory, Support, deal, subset};
use crate::{key::Memo, seed::Seed};

/// The experts and cases (start, samples) of annotated images; `None` for all cases.
type SupportKey = (Arc<[u8]>, Option<(usize, usize)>);

/// The annotated images that several trainings share.
#[derive(Default)]
pub(super) struct Supports(HashMap<SupportKey, Arc<Memo<Support>>>);

impl Supports {
    /// All cases, with the masks of each expert.
    pub fn all(&mut self, inventory: &Inventory, experts: &Arc<[u8]>) -> Arc<Memo<Support>> {
        self.of(inventory, experts, None)
    }

    /// The cases of a way of sampling (start, samples), with the masks of each expert.
    pub fn some(
        &mut self,
        inventory: &Inventory,
        experts: &Arc<[u8]>,
        sampling: (usize, usize),
    ) -> Arc<Memo<Support>> {
        self.of(inventory, experts, Some(sampling))
    }

    fn of(
        &mut self,
        inventory: &Inventory,
        experts: &Arc<[u8]>,
        sampling: Option<(usize, usize)>,
    ) -> Arc<Memo<Support>> {
        let cases = &inventory.training;
        let support = || {
            let (start, samples) = sampling.unwrap_or((1, cases.len()));
            // No samples have no start.
            let chosen = subset(start.max(1), samples, cases.len()).map(|i| &cases[i]);
            let chosen = chosen.collect_vec();
            let masks = |expert| chosen.iter().map(|case| case.masks[expert]).collect();
            Arc::new(Memo::new(Support {
                experts: experts.to_vec(),
                images: images(chosen.iter().copied()),
                masks: experts.iter().map(masks).collect(),
                dealt: None,
                fused: None,
            }))
        };
        let key = (experts.clone(), sampling);
        self.0.entry(key).or_insert_with(support).clone()
    }
}

/// All cases, each with the mask of the expert to whom it is dealt.
pub(super) fn dealt(inventory: &Inventory, experts: &[u8], seed: Seed) -> Arc<Memo<Support>> {
    let cases = &inventory.training;
    let dealt = deal(seed, experts, cases.len());
    let masks = zip(cases, &dealt).map(|(case, place)| case.masks[&experts[*place]]);
    Arc::new(Memo::new(Support {
        experts: experts.to_vec(),
        images: images(cases),
        masks: vec![masks.collect()],
        dealt: Some(dealt),
        fused: None,
    }))
}

/// All cases, each with one mask made of several experts'.
pub(super) fn fused(inventory: &Inventory, fusion: Fusion) -> Arc<Memo<Support>> {
    Arc::new(Memo::new(Support {
        experts: Vec::new(),
        images: images(&inventory.training),
        masks: vec![inventory.fused(&fusion)],
        dealt: None,
        fused: Some(fusion),
    }))
}

fn images<'a>(cases: impl IntoIterator<Item = &'a CaseDigests>) -> Vec<crate::key::Digest> {
    cases.into_iter().map(|case| case.image).collect()
}
