//! Who marked what: the patterns of votes of an image's pixels, and how many pixels have each.

use std::{collections::BTreeMap, ops::Range};

use crate::data::Mask;

/// The patterns of votes that occur in an image.
pub(super) struct VotePatterns {
    /// Of each pattern, whether each expert marked it; in ascending order.
    patterns: Vec<Vec<bool>>,
    /// Of each pattern, how many pixels have it.
    counts: Vec<usize>,
    /// Of each pixel, its pattern.
    of_pixel: Vec<usize>,
    width: usize,
}

/// Rows and columns of a part of an image.
pub(super) type Window = [Range<usize>; 2];

impl VotePatterns {
    /// # Panics
    /// There is no mask, or they differ in size.
    pub(super) fn of(masks: &[&Mask]) -> Self {
        let pixels = masks[0].pixels.len();
        let votes = |i: usize| -> Vec<bool> { masks.iter().map(|mask| mask.pixels[i]).collect() };
        let mut found: BTreeMap<Vec<bool>, usize> = BTreeMap::new();
        for i in 0..pixels {
            *found.entry(votes(i)).or_default() += 1;
        }
        let (patterns, counts): (Vec<_>, Vec<_>) = found.into_iter().unzip();
        let place = |i| {
            patterns
                .binary_search(&votes(i))
                .expect("every pattern is known")
        };
        Self {
            of_pixel: (0..pixels).map(place).collect(),
            patterns,
            counts,
            width: masks[0].width,
        }
    }

    pub(super) fn patterns(&self) -> &[Vec<bool>] {
        &self.patterns
    }

    pub(super) fn counts(&self) -> &[usize] {
        &self.counts
    }

    /// How many pixels of a part of the image have each pattern.
    pub(super) fn counts_within(&self, [rows, columns]: Window) -> Vec<usize> {
        let mut counts = vec![0; self.patterns.len()];
        for y in rows {
            for pattern in &self.of_pixel[y * self.width..][columns.clone()] {
                counts[*pattern] += 1;
            }
        }
        counts
    }

    /// Of each pattern, whether more than half of the experts are in it.
    pub(super) fn majority(&self) -> Vec<bool> {
        let more = |votes: &Vec<bool>| 2 * count(votes) > votes.len();
        self.patterns.iter().map(more).collect()
    }

    /// A value of each pattern, as one of each pixel.
    pub(super) fn pixels(&self, of_pattern: &[bool]) -> Vec<bool> {
        let value = |pattern: &usize| of_pattern[*pattern];
        self.of_pixel.iter().map(value).collect()
    }
}

/// How many experts are in a pattern.
pub(super) fn count(votes: &[bool]) -> usize {
    votes.iter().filter(|inside| **inside).count()
}

/// The bounding box of all masks together with a margin in pixels, within the image; all of the
/// image where nothing is marked.
pub(super) fn window(masks: &[&Mask], margin: usize) -> Window {
    let Mask { height, width, .. } = *masks[0];
    let marked = masks.iter().flat_map(|mask| {
        let pixels = mask.pixels.iter().enumerate();
        pixels
            .filter(|(_, inside)| **inside)
            .map(|(i, _)| [i / width, i % width])
    });
    let bounds = marked.fold(None, |bounds: Option<[[usize; 2]; 2]>, at| {
        let [rows, columns] = bounds.unwrap_or(at.map(|place| [place, place]));
        let grown = |[low, high]: [usize; 2], place: usize| [low.min(place), high.max(place)];
        Some([grown(rows, at[0]), grown(columns, at[1])])
    });
    match bounds {
        None => [0..height, 0..width],
        Some([rows, columns]) => {
            let part = |[low, high]: [usize; 2], whole: usize| {
                low.saturating_sub(margin)..(high + 1 + margin).min(whole)
            };
            [part(rows, height), part(columns, width)]
        }
    }
}
