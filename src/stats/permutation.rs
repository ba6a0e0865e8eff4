//! The permutation test of choices: whether what was chosen is better than the mean of all that
//! could have been, or than other choices.
//!
//! The rule: which item has which values is permuted, the choices stay. Permutations that cannot be
//! told apart are counted once; where they are too many, a fixed number is drawn by a fixed seed.

use std::iter::zip;

use itertools::Itertools;
use rand::RngExt;

use super::{Undefined, all_finite, rounding};
use crate::seed::Seed;

/// The most assignments of items to the chosen ones that are enumerated.
const MOST: usize = 200_000;

/// How many are drawn where there are more.
const DRAWN: usize = 10_000;

/// What choices gained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChoiceTest {
    /// The mean over the results of the chosen item's value less the mean over all items, or less
    /// the value of the item chosen otherwise.
    pub gain: f64,
    /// The two-sided p: the share of all permutations of the items in which the choices gain or
    /// lose at least as much.
    pub p: f64,
}

/// Tests choices: `values[r][i]` is the value of item `i` in result `r`, and `chosen[r]` the item
/// chosen there; `against` are other choices, without which it is tested against the mean of all.
/// The null hypothesis is that choices know nothing of the items' values; a choice that is always
/// the same inherits the luck of its item, as the items' values move together.
///
/// # Errors
/// There is no result or one item only, or a value is not finite.
///
/// # Panics
/// A chosen item is none of the items.
pub fn choices(
    values: &[Vec<f64>],
    chosen: &[usize],
    against: Option<&[usize]>,
) -> Result<ChoiceTest, Undefined> {
    let items = values.first().map_or(0, Vec::len);
    let lengths = [chosen.len(), against.map_or(chosen.len(), <[usize]>::len)];
    let fit = lengths.iter().all(|length| *length == values.len());
    if items < 2 || !fit || values.iter().any(|row| row.len() != items) {
        return Err(Undefined::TooFew);
    }
    let all = values.iter().flatten().copied().collect_vec();
    all_finite([&all, &[]])?;
    let sides = [(Some(chosen), 1.0), (against, -1.0)];
    let sides = sides
        .into_iter()
        .filter_map(|(side, sign)| Some((side?, sign)));
    let sides = sides.collect_vec();
    let each = sides.iter().flat_map(|(side, _)| side.iter().copied());
    let kinds = each.unique().collect_vec();
    // What each chosen item adds to the gain, by the item whose values it has.
    let results = values.len() as f64;
    let gains = kinds.iter().map(|kind| {
        let mut gains = vec![0.0; items];
        for (side, sign) in &sides {
            for (row, _) in zip(values, *side).filter(|(_, item)| *item == kind) {
                let mean = row.iter().sum::<f64>() / items as f64;
                for (gain, value) in gains.iter_mut().zip(row) {
                    *gain += sign * (value - mean) / results;
                }
            }
        }
        gains
    });
    let gains = gains.collect_vec();
    let gain: f64 = zip(&gains, &kinds).map(|(gains, kind)| gains[*kind]).sum();
    let least = gain.abs() - rounding(&all) * results;
    let of = |assigned: &[usize]| -> f64 {
        zip(&gains, assigned)
            .map(|(gains, item)| gains[*item])
            .sum()
    };
    let extreme = |assigned: &[usize]| of(assigned).abs() >= least;
    let assignments = (0..kinds.len()).try_fold(1usize, |count, taken| {
        count
            .checked_mul(items - taken)
            .filter(|count| *count <= MOST)
    });
    let p = match assignments {
        Some(count) => {
            let each = (0..items).permutations(kinds.len());
            each.filter(|assigned| extreme(assigned)).count() as f64 / count as f64
        }
        None => {
            let mut rng = Seed::new(0).fork("permutation").rng();
            let mut order = (0..items).collect_vec();
            let drawn = (0..DRAWN).filter(|_| {
                for place in 0..kinds.len() {
                    let other = rng.random_range(place as u32..items as u32);
                    order.swap(place, other as usize);
                }
                extreme(&order[..kinds.len()])
            });
            // The choices as they are, are one of them.
            (drawn.count() + 1) as f64 / (DRAWN + 1) as f64
        }
    };
    Ok(ChoiceTest { gain, p })
}
