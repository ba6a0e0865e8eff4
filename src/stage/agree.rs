//! The stage that compares the annotation experts' masks with the new expert's and with each
//! other's.

use std::collections::HashMap;

use super::{Library, StageError};
use crate::{
    artefact::AGREEMENT,
    choosing::{Agreement, SupportMasks},
    data::Mask,
    key::Digest,
    plan::Agree,
    store::Files,
};

/// The files of the artefact.
pub(super) fn agree(spec: &Agree, library: &Library) -> Result<Files, StageError> {
    let candidates = &spec.candidates;
    let of_case = |place: usize| {
        let masks = candidates.masks.iter();
        let masks = masks.map(|masks| library.original_mask(&masks[place]));
        masks.collect::<Result<Vec<&Mask>, _>>()
    };
    let training: Vec<Vec<&Mask>> = (0..candidates.images.len())
        .map(of_case)
        .collect::<Result<_, _>>()?;
    let places: HashMap<&Digest, usize> = candidates.images.iter().zip(0..).collect();
    let support = spec
        .support
        .images
        .iter()
        .zip(spec.support.masks.iter().flatten());
    let support = support.map(|(image, mask)| {
        let place = places.get(image).ok_or_else(|| {
            StageError::Data(format!("image {} is not a training image", image.short()))
        })?;
        Ok(SupportMasks {
            image: *image,
            new: library.original_mask(mask)?,
            candidates: training[*place].clone(),
        })
    });
    let support = support.collect::<Result<Vec<_>, StageError>>()?;
    let found = Agreement::of(&candidates.experts, &support, &training, &spec.combinations);
    let found = found.map_err(|error| StageError::Data(error.to_string()))?;
    Ok(Files::from([(AGREEMENT.into(), found.to_bytes())]))
}
