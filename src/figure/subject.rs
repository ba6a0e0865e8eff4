//! What a figure shows: a case, its experts with their masks, and what is known of the data set.

use std::collections::BTreeSet;

use super::crop::ImageCrop;
use crate::{
    data::{Case, Dataset, Expert, Mask, Provenance, nifti::SpacingMm},
    grid::ExpertNames,
};

/// A case with what is said of it.
#[derive(Clone, Debug)]
pub struct CaseFigure<'a> {
    /// The data set's label.
    pub dataset: &'a str,
    /// Where images and masks come from.
    pub provenance: Provenance,
    /// What was done to images and masks on their way from the files.
    pub preparation: Option<&'a str>,
    /// The case.
    pub case: &'a Case,
    /// The experts who annotated it, ascending by their numbers.
    pub experts: Vec<ShownExpert<'a>>,
    /// The names of those who annotated other cases only.
    pub absent: Vec<String>,
    /// The part of the image that is shown.
    pub crop: ImageCrop,
    /// Size of a pixel, where the header states one.
    pub spacing: Option<SpacingMm>,
}

/// An expert and the mask.
#[derive(Clone, Debug)]
pub struct ShownExpert<'a> {
    /// The number.
    pub number: Expert,
    /// The name, or `expert 3`.
    pub name: String,
    /// The name or the number alone.
    pub short: String,
    /// The mask, of the image's shape.
    pub mask: &'a Mask,
    /// Pixels inside.
    pub area_px: usize,
}

impl<'a> CaseFigure<'a> {
    /// Of a case of a data set.
    ///
    /// # Panics
    /// The case has no mask. A data set that opens has no such case.
    pub fn of(dataset: &'a Dataset, case: &'a Case) -> Self {
        let names = ExpertNames::new(&dataset.names);
        let name = |expert: Expert| match names.of(expert.into()) {
            Some(name) => name.to_owned(),
            None => format!("expert {expert}"),
        };
        let annotations = case.annotations.iter();
        let experts: Vec<ShownExpert> = annotations
            .map(|(number, annotation)| ShownExpert {
                number: *number,
                name: name(*number),
                short: names.show(*number),
                area_px: annotation.mask.area_px(),
                mask: &annotation.mask,
            })
            .collect();
        let all = dataset.cases().flat_map(|case| case.annotations.keys());
        let all: BTreeSet<Expert> = all.copied().collect();
        let absent = all
            .into_iter()
            .filter(|expert| case.mask(*expert).is_none());
        let masks: Vec<&Mask> = experts.iter().map(|expert| expert.mask).collect();
        Self {
            dataset: &dataset.label,
            provenance: dataset.provenance,
            preparation: dataset.preparation.as_deref(),
            crop: ImageCrop::around(&masks),
            absent: absent.map(name).collect(),
            spacing: case.header.geometry().stated_spacing(),
            experts,
            case,
        }
    }

    /// What a part of the image measures, `[width, height]`, in the smaller side of a pixel.
    pub fn extent(&self, crop: &ImageCrop) -> [f64; 2] {
        let [x, y] = self.pixel();
        [crop.width as f64 * x, crop.height as f64 * y]
    }

    /// The sides of a pixel, `[x, y]`, in the smaller of them.
    pub fn pixel(&self) -> [f64; 2] {
        match self.spacing {
            Some(SpacingMm { x_mm, y_mm }) => [x_mm, y_mm].map(|side| side / x_mm.min(y_mm)),
            None => [1.0; 2],
        }
    }

    /// How many experts marked each pixel of the image, row-major.
    pub fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.case.image.pixels.len()];
        for expert in &self.experts {
            for (count, inside) in counts.iter_mut().zip(&expert.mask.pixels) {
                *count += usize::from(*inside);
            }
        }
        counts
    }
}
