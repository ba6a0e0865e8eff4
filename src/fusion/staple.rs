//! STAPLE: the experts' performance and the probability of the inside, by expectation and
//! maximisation.
//!
//! As ITK's filter computes it, with a prior that stays what it is at the start, but over the
//! patterns of votes: pixels with the same votes have the same probability.

use super::{
    fused::{FusionError, MOST_ROUNDS, Performance},
    votes::{VotePatterns, count},
};

/// The estimation ends once no sensitivity and no specificity changed by more, squared.
const LEAST_CHANGE_SQUARED: f64 = 1e-14;
/// Probabilities this near to one half are a tie: with two experts rounding alone tells them from
/// it.
const TIE: f64 = 1e-9;

/// What was estimated.
pub(super) struct StapleEstimate {
    /// Of each pattern of votes, the probability of the inside.
    probability: Vec<f64>,
    /// Of each expert.
    sensitivity: Vec<f64>,
    /// Of each expert.
    specificity: Vec<f64>,
    pub(super) rounds: usize,
}

impl StapleEstimate {
    /// Estimates from `within`, how many pixels have each pattern of votes. None where no expert
    /// marked any of them, or all experts marked all.
    pub(super) fn of(votes: &VotePatterns, within: &[usize]) -> Result<Option<Self>, FusionError> {
        let patterns = votes.patterns();
        let experts = patterns[0].len();
        let pixels: Vec<f64> = within.iter().map(|count| *count as f64).collect();
        let share = |votes: &Vec<bool>| count(votes) as f64 / experts as f64;
        let probability: Vec<f64> = patterns.iter().map(share).collect();
        let inside = sum(&pixels, |i| probability[i]);
        let all: f64 = pixels.iter().sum();
        if inside == 0.0 || inside == all {
            return Ok(None);
        }
        let prior = inside / all;
        let mut estimate = Self {
            probability,
            sensitivity: vec![0.0; experts],
            specificity: vec![0.0; experts],
            rounds: 0,
        };
        for round in 0..MOST_ROUNDS {
            estimate.rounds = round;
            let settled = !estimate.maximise(patterns, &pixels);
            estimate.expect(patterns, prior);
            if settled && round > 0 {
                return Ok(Some(estimate));
            }
        }
        Err(FusionError::Unsettled)
    }

    /// The experts' performance from the probabilities; whether one of them changed.
    fn maximise(&mut self, patterns: &[Vec<bool>], pixels: &[f64]) -> bool {
        let inside = sum(pixels, |i| self.probability[i]);
        let outside = sum(pixels, |i| 1.0 - self.probability[i]);
        let mut changed = false;
        let mut change = |known: &mut f64, part: f64, whole: f64| {
            // Where numbers leave nothing inside or nothing outside, there is no more to learn.
            if whole > 0.0 {
                let new = part / whole;
                changed |= (new - *known) * (new - *known) > LEAST_CHANGE_SQUARED;
                *known = new;
            }
        };
        for (expert, sensitivity) in self.sensitivity.iter_mut().enumerate() {
            let hit = |i: usize| match patterns[i][expert] {
                true => self.probability[i],
                false => 0.0,
            };
            change(sensitivity, sum(pixels, hit), inside);
        }
        for (expert, specificity) in self.specificity.iter_mut().enumerate() {
            let left = |i: usize| match patterns[i][expert] {
                true => 0.0,
                false => 1.0 - self.probability[i],
            };
            change(specificity, sum(pixels, left), outside);
        }
        changed
    }

    /// The probabilities from the experts' performance.
    fn expect(&mut self, patterns: &[Vec<bool>], prior: f64) {
        for (probability, votes) in self.probability.iter_mut().zip(patterns) {
            let (mut inside, mut outside) = (prior, 1.0 - prior);
            let performances = self.sensitivity.iter().zip(&self.specificity);
            for (marked, (sensitivity, specificity)) in votes.iter().zip(performances) {
                inside *= if *marked {
                    *sensitivity
                } else {
                    1.0 - sensitivity
                };
                outside *= if *marked {
                    1.0 - specificity
                } else {
                    *specificity
                };
            }
            // Votes that are impossible either way, as far as numbers tell, tell nothing.
            *probability = match inside + outside {
                0.0 => 0.5,
                either => inside / either,
            };
        }
    }

    /// Of each pattern of votes, whether it is inside.
    pub(super) fn inside(&self) -> Vec<bool> {
        let inside = |probability: &f64| *probability > 0.5 + TIE;
        self.probability.iter().map(inside).collect()
    }

    pub(super) fn performances(&self) -> Vec<Performance> {
        std::iter::zip(&self.sensitivity, &self.specificity)
            .map(|(sensitivity, specificity)| Performance {
                sensitivity: Some(*sensitivity),
                specificity: Some(*specificity),
            })
            .collect()
    }
}

/// The sum over pixels of a value of each pattern.
fn sum(pixels: &[f64], of_pattern: impl Fn(usize) -> f64) -> f64 {
    let terms = pixels.iter().enumerate();
    terms.map(|(i, count)| count * of_pattern(i)).sum()
}
