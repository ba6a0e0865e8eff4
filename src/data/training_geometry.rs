//! What the headers of training images say of their pixels, and how other images differ.
//!
//! The rule: a network sees pixels and nothing is resampled for it, so a size or an orientation of
//! pixels that no training image had is told. Sizes are those of the stored image, before
//! `image.reduce`. What a header does not say is not compared.

use std::{
    collections::BTreeSet,
    fmt::{self, Display},
};

use itertools::Itertools;
use serde::{Deserialize, Serialize};

use super::{
    nifti::{Header, SpacingMm, rounded, same_spacing},
    problem::some_of,
};

/// What the headers of some images say of their pixels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainingGeometry {
    /// The sizes of a pixel; `None` where no header says one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spacing_mm: Option<SpacingRange>,
    /// The orientations: where x and y lead, as two of the letters R, L, A, P, S, I. `RA` leads to
    /// the patient's right and to anterior. Empty where no header says one.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub orientations: BTreeSet<String>,
}

/// Smallest and largest size of a pixel, in millimetres.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpacingRange {
    /// Along x (NIfTI's first axis).
    pub x: [f64; 2],
    /// Along y.
    pub y: [f64; 2],
}

impl TrainingGeometry {
    /// What these headers say.
    pub fn of<'a>(headers: impl IntoIterator<Item = &'a Header>) -> Self {
        let mut all = Self::default();
        for header in headers {
            let geometry = header.geometry();
            if let Some(spacing) = geometry.stated_spacing() {
                let one = SpacingRange::of(spacing);
                all.spacing_mm = Some(all.spacing_mm.map_or(one, |range| range.with(one)));
            }
            all.orientations.extend(geometry.orientation());
        }
        all
    }

    /// Whether the headers say nothing.
    pub fn is_silent(&self) -> bool {
        let Self {
            spacing_mm,
            orientations,
        } = self;
        spacing_mm.is_none() && orientations.is_empty()
    }

    /// The same, with what is not said taken from the images of an earlier training.
    pub fn or(self, earlier: Option<&Self>) -> Self {
        let Some(earlier) = earlier else {
            return self;
        };
        Self {
            spacing_mm: self.spacing_mm.or(earlier.spacing_mm),
            orientations: match self.orientations.is_empty() {
                true => earlier.orientations.clone(),
                false => self.orientations,
            },
        }
    }

    /// How named images differ from these: at most a line for the sizes and one for the
    /// orientations.
    pub fn differences<'a, T: Display>(
        &self,
        images: impl IntoIterator<Item = (T, &'a Header)>,
    ) -> Vec<String> {
        let (mut resized, mut turned) = (Vec::new(), Vec::new());
        for (name, header) in images {
            let geometry = header.geometry();
            let spacing = geometry.stated_spacing();
            if let (Some(range), Some(spacing)) = (self.spacing_mm, spacing)
                && !range.holds(spacing)
            {
                resized.push((name.to_string(), header));
            }
            let known = &self.orientations;
            let orientation = geometry.orientation();
            if orientation.is_some_and(|it| !known.is_empty() && !known.contains(&it)) {
                turned.push((name.to_string(), header));
            }
        }
        let found = |images: &[(String, &'a Header)]| {
            let names = some_of(images.iter().map(|(name, _)| name));
            (names, Self::of(images.iter().map(|(_, header)| *header)))
        };
        let mut lines = Vec::new();
        if let Some(known) = self.spacing_mm
            && let (
                names,
                Self {
                    spacing_mm: Some(range),
                    ..
                },
            ) = found(&resized)
        {
            lines.push(format!(
                "{names}: pixels of {range} by the header, and the network was trained on pixels \
                 of {known}; resample to that size if the network is to see structures as large \
                 as it knows them"
            ));
        }
        if !turned.is_empty() {
            let (names, Self { orientations, .. }) = found(&turned);
            lines.push(format!(
                "{names}: orientation {} (where x and y lead) by the header, and the network was \
                 trained on {}; store it in that orientation if the network is to see it the way \
                 round that it knows",
                orientations.iter().format(", "),
                self.orientations.iter().format(", ")
            ));
        }
        lines
    }
}

impl SpacingRange {
    fn of(SpacingMm { x_mm, y_mm }: SpacingMm) -> Self {
        Self {
            x: [x_mm; 2],
            y: [y_mm; 2],
        }
    }

    /// The range of both.
    fn with(self, other: Self) -> Self {
        let widened = |a: [f64; 2], b: [f64; 2]| [a[0].min(b[0]), a[1].max(b[1])];
        Self {
            x: widened(self.x, other.x),
            y: widened(self.y, other.y),
        }
    }

    /// Whether a size lies within, but for rounding.
    fn holds(&self, spacing: SpacingMm) -> bool {
        let nearest = SpacingMm {
            x_mm: spacing.x_mm.max(self.x[0]).min(self.x[1]),
            y_mm: spacing.y_mm.max(self.y[0]).min(self.y[1]),
        };
        same_spacing(spacing, nearest)
    }
}

/// `0.5 x 0.8 mm`, `0.5 to 0.6 x 0.8 mm`.
impl fmt::Display for SpacingRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let axis = |[low, high]: [f64; 2]| match [low, high].map(rounded) {
            [low, high] if low == high => low.to_string(),
            [low, high] => format!("{low} to {high}"),
        };
        write!(f, "{} x {} mm", axis(self.x), axis(self.y))
    }
}

/// `pixels of 0.5 x 0.8 mm, orientation RA`.
impl fmt::Display for TrainingGeometry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.spacing_mm.map(|range| format!("pixels of {range}"));
        let orientations = (!self.orientations.is_empty())
            .then(|| format!("orientation {}", self.orientations.iter().format(", ")));
        let said = size.into_iter().chain(orientations).join(", ");
        f.write_str(match said.is_empty() {
            true => "nothing of size and orientation",
            false => &said,
        })
    }
}
