//! The order of cases: one epoch after the other, each a random permutation of all cases.

use rand::seq::SliceRandom;

use crate::seed::Seed;

/// An endless sequence of batches. A batch may span two epochs.
#[derive(Debug)]
pub(super) struct Batches {
    cases: usize,
    size: usize,
    seed: Seed,
    /// Cases drawn so far.
    drawn: usize,
    epoch: Vec<usize>,
}

impl Batches {
    /// Batches of `size` from `cases` cases, from batch number `batch` on, counted from 0.
    pub fn starting_at(cases: usize, size: usize, seed: Seed, batch: usize) -> Self {
        let drawn = batch * size;
        let mut batches = Self {
            cases,
            size,
            seed,
            drawn,
            epoch: Vec::new(),
        };
        if !drawn.is_multiple_of(cases) {
            batches.shuffle();
        }
        batches
    }

    fn shuffle(&mut self) {
        let mut order: Vec<usize> = (0..self.cases).collect();
        order.shuffle(&mut self.seed.at((self.drawn / self.cases) as u64).rng());
        self.epoch = order;
    }

    /// The indices of the next batch.
    pub fn next(&mut self) -> Vec<usize> {
        (0..self.size)
            .map(|_| {
                let position = self.drawn % self.cases;
                if position == 0 {
                    self.shuffle();
                }
                self.drawn += 1;
                self.epoch[position]
            })
            .collect()
    }
}

/// The cases of a step's batch.
pub(super) fn batch(seed: Seed, cases: usize, size: usize, step: usize) -> Vec<usize> {
    Batches::starting_at(cases, size, seed.fork("shuffle"), step).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_epoch_holds_every_case_once_in_its_own_order() {
        let mut batches = Batches::starting_at(7, 5, Seed::new(1), 0);
        let drawn: Vec<usize> = (0..14).flat_map(|_| batches.next()).collect();
        let epochs: Vec<&[usize]> = drawn.chunks(7).collect();
        for epoch in &epochs {
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3, 4, 5, 6]);
        }
        assert!(epochs.windows(2).any(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn a_batch_larger_than_the_set_repeats_cases_evenly() {
        let batch = Batches::starting_at(5, 16, Seed::new(1), 0).next();
        for case in 0..5 {
            let times = batch.iter().filter(|c| **c == case).count();
            assert!((3..=4).contains(&times));
        }
    }

    #[test]
    fn a_sequence_can_be_entered_anywhere() {
        for (cases, size) in [(7, 5), (5, 16), (3, 3)] {
            let mut whole = Batches::starting_at(cases, size, Seed::new(2), 0);
            for step in 0..9 {
                let mut entered = Batches::starting_at(cases, size, Seed::new(2), step);
                assert_eq!(
                    entered.next(),
                    whole.next(),
                    "step {step} of {cases} by {size}"
                );
            }
        }
    }
}
