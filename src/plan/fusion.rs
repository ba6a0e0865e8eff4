//! Which experts' masks become one, and by which rule: what a method asks for, and the mask of a
//! case.

use serde::{Deserialize, Serialize};

use crate::{
    data::{Case, Mask},
    fusion::{Rule, fuse},
    method::{FusionRegion, Masks, Method},
};

/// Masks of several experts that became one for each image.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fusion {
    /// How.
    pub rule: Rule,
    /// Whose.
    pub experts: Vec<u8>,
}

impl Fusion {
    /// What a method makes of some experts' masks; none where each is a target of its own, as is
    /// that of a single expert.
    pub fn wanted(method: &Method, region: FusionRegion, experts: &[u8]) -> Option<Self> {
        let rule = match method.masks {
            _ if experts.len() < 2 => return None,
            Masks::Each | Masks::Mean => return None,
            Masks::Majority => Rule::Majority,
            Masks::Staple => Rule::Staple(region),
        };
        Some(Self {
            rule,
            experts: experts.to_vec(),
        })
    }

    /// The fused mask of a case.
    ///
    /// # Errors
    /// An expert has no mask of it, or the masks cannot be fused.
    pub fn of(&self, case: &Case) -> Result<Mask, String> {
        let masks = self.experts.iter().map(|expert| {
            let mask = case.mask(*expert);
            mask.ok_or_else(|| format!("{} has no mask of expert {expert}", case.name))
        });
        let masks: Vec<&Mask> = masks.collect::<Result<_, _>>()?;
        let fused = fuse(&masks, self.rule);
        let fused = fused.map_err(|error| format!("{}: {error}", case.name))?;
        Ok(fused.mask)
    }
}
