//! Which expert annotates which image, where each image is annotated by one of them.

use itertools::Itertools;

use crate::seed::Seed;

/// Deals cases out to experts in balance: for each case, the place of its expert in `experts`. The
/// deal depends on the seed, the experts' numbers and the number of cases alone.
pub fn deal(seed: Seed, experts: &[u8], cases: usize) -> Vec<usize> {
    let turns = seed.fork("experts");
    let order = order(seed, cases).into_iter();
    let turn = (0..experts.len()).sorted_by_key(|place| turns.at(u64::from(experts[*place])));
    let mut dealt = vec![0; cases];
    for (case, place) in order.zip(turn.cycle()) {
        dealt[case] = place;
    }
    dealt
}

/// The order in which cases are dealt out.
fn order(seed: Seed, cases: usize) -> Vec<usize> {
    let images = seed.fork("images");
    let order = (0..cases).sorted_by_key(|case| images.at(*case as u64));
    order.collect()
}

/// The first cases to be dealt out, so many of them, in the order of the data set. Whoever takes
/// fewer takes some of those.
pub(super) fn first_dealt(seed: Seed, cases: usize, count: usize) -> Vec<usize> {
    let mut first = order(seed, cases);
    first.truncate(count);
    first.sort_unstable();
    first
}
