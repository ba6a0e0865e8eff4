//! What each expert contributes to the results of all combinations: the Shapley value.

use itertools::Itertools;

use crate::data::Expert;

/// The most experts whose combinations are enumerated.
const MOST: usize = 12;

/// The Shapley value of each expert, in their order (Shapley 1953): the mean gain of adding the
/// expert, over all orders in which the experts can be added one by one. `value` is the result of a
/// combination in ascending order, that of no expert among them; the contributions add up to the
/// value of all less that of none.
///
/// None where a combination has no value, or there are more than twelve experts.
pub fn contributions(
    experts: &[Expert],
    mut value: impl FnMut(&[Expert]) -> Option<f64>,
) -> Option<Vec<f64>> {
    let count = experts.len();
    if count > MOST {
        return None;
    }
    let values = (0..1usize << count).map(|set| {
        let members = (0..count).filter(|place| set & (1 << place) != 0);
        value(
            &members
                .map(|place| experts[place])
                .sorted_unstable()
                .collect_vec(),
        )
    });
    let values = values.collect::<Option<Vec<f64>>>()?;
    let factorial = |n: usize| (1..=n).map(|factor| factor as f64).product::<f64>();
    let weight = |size: usize| factorial(size) * factorial(count - 1 - size) / factorial(count);
    let of = |place: usize| {
        let added = 1 << place;
        let without = (0..1usize << count).filter(|set| set & added == 0);
        let gains = without
            .map(|set| weight(set.count_ones() as usize) * (values[set | added] - values[set]));
        gains.sum::<f64>()
    };
    Some((0..count).map(of).collect())
}
