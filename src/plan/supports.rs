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

/// Some cases, or all, in the order of the data set.
pub(super) struct SomeCases<'a> {
    pub inventory: &'a Inventory,
    /// Their places.
    pub places: Vec<usize>,
}

impl SomeCases<'_> {
    fn cases(&self) -> impl Iterator<Item = &CaseDigests> {
        self.places
            .iter()
            .map(|place| &self.inventory.training[*place])
    }

    /// With the masks of each expert.
    pub fn every(&self, experts: &[u8]) -> Arc<Memo<Support>> {
        let masks = |expert: &u8| self.cases().map(|case| case.masks[expert]).collect();
        Arc::new(Memo::new(Support {
            experts: experts.to_vec(),
            images: images(self.cases()),
            masks: experts.iter().map(masks).collect(),
            dealt: None,
            fused: None,
        }))
    }

    /// Each with the mask of the expert to whom it is dealt.
    pub fn dealt(&self, experts: &[u8], seed: Seed) -> Arc<Memo<Support>> {
        let dealt = deal(seed, experts, self.inventory.training.len());
        let dealt: Vec<usize> = self.places.iter().map(|place| dealt[*place]).collect();
        let masks = zip(self.cases(), &dealt).map(|(case, place)| case.masks[&experts[*place]]);
        Arc::new(Memo::new(Support {
            experts: experts.to_vec(),
            images: images(self.cases()),
            masks: vec![masks.collect()],
            dealt: Some(dealt),
            fused: None,
        }))
    }

    /// Each with one mask made of several experts'.
    pub fn fused(&self, fusion: Fusion) -> Arc<Memo<Support>> {
        let masks = self.inventory.fused(&fusion);
        let masks = self.places.iter().map(|place| masks[*place]);
        Arc::new(Memo::new(Support {
            experts: Vec::new(),
            images: images(self.cases()),
            masks: vec![masks.collect()],
            dealt: None,
            fused: Some(fusion),
        }))
    }
}

fn images<'a>(cases: impl IntoIterator<Item = &'a CaseDigests>) -> Vec<crate::key::Digest> {
    cases.into_iter().map(|case| case.image).collect()
}
