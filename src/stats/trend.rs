//! A trend over ordered conditions.

use std::collections::BTreeMap;

use itertools::Itertools;

use super::{Undefined, rank::ranks};

/// The most conditions whose orders are enumerated.
const MOST_CONDITIONS: usize = 7;

/// Page's test: whether results rise with an ordered condition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    /// Page's L: over all blocks, the sum of each result's rank in its block times the place of its
    /// condition, from 1.
    pub l: f64,
    /// The exact one-sided p of a rise: the share of all orders within the blocks whose L is at
    /// least as large.
    pub p_rise: f64,
    /// The same of a fall.
    pub p_fall: f64,
}

/// Page's test for ordered alternatives (Page 1963) on blocks of results, one result for each
/// condition in their order. Equal results of a block share the mean of their ranks.
///
/// # Errors
/// Fewer than two blocks or conditions, or blocks of different lengths; more than seven conditions;
/// a value that is not finite.
pub fn page(blocks: &[Vec<f64>]) -> Result<Trend, Undefined> {
    let conditions = blocks.first().map_or(0, Vec::len);
    if blocks.len() < 2 || conditions < 2 || blocks.iter().any(|b| b.len() != conditions) {
        return Err(Undefined::TooFew);
    }
    if blocks.iter().flatten().any(|value| !value.is_finite()) {
        return Err(Undefined::UndefinedValue);
    }
    if conditions > MOST_CONDITIONS {
        return Err(Undefined::TooMany);
    }
    // Ranks are whole or end in a half: doubled, they are whole.
    let doubled = blocks.iter().map(|block| {
        let ranks = ranks(block).into_iter();
        ranks.map(|rank| (2.0 * rank) as u64).collect::<Vec<_>>()
    });
    let mut observed = 0;
    let mut chance = BTreeMap::from([(0, 1.0)]);
    for ranks in doubled {
        observed += weighted(&ranks);
        let mut orders = BTreeMap::new();
        for order in ranks.iter().copied().permutations(conditions) {
            *orders.entry(weighted(&order)).or_insert(0) += 1;
        }
        chance = sums(&chance, &orders);
    }
    Ok(Trend {
        l: observed as f64 / 2.0,
        p_rise: chance.range(observed..).map(|(_, share)| share).sum(),
        p_fall: chance.range(..=observed).map(|(_, share)| share).sum(),
    })
}

fn weighted(ranks: &[u64]) -> u64 {
    (1..).zip(ranks).map(|(place, rank)| place * rank).sum()
}

/// The distribution of the sum of two independent numbers, the second by its counts.
fn sums(first: &BTreeMap<u64, f64>, second: &BTreeMap<u64, u32>) -> BTreeMap<u64, f64> {
    let all: u32 = second.values().sum();
    let mut found = BTreeMap::new();
    for (a, share) in first {
        for (b, count) in second {
            *found.entry(a + b).or_insert(0.0) += share * f64::from(*count) / f64::from(all);
        }
    }
    found
}
