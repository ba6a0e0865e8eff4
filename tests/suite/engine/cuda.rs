//! The engine of cards, on an emulated one: the program's own kernels, run by a processor.

use candle_core::DType;
use expertgrid::engine::{DiceOver, Stock, cuda::Precision};

use super::{
    engines,
    operations::{Case, OPERATIONS, distance},
};
use crate::support::emulated_card::EmulatedCard;

/// Batches of one group and of several; sizes and channels follow.
const BATCHES: [usize; 6] = [1, 3, 5, 14, 16, 23];

#[test]
fn every_operation_agrees_with_stock() {
    let Some(card) = EmulatedCard::new() else {
        return;
    };
    let cuda = card.engine(Precision::F32);
    for operation in OPERATIONS {
        for batch in BATCHES {
            let case = Case::new(operation, batch);
            // As for the lanes engine.
            let off: [Vec<f64>; 2] = [1, 2].map(|seed| {
                let expected = case.run(&Stock::double(), seed, DType::F64).unwrap();
                let found = case.run(&cuda, seed, DType::F32).unwrap();
                let pairs = expected.iter().zip(&found);
                pairs.map(|(a, b)| distance(a, b)).collect()
            });
            let most = |off: &Vec<f64>| off.iter().copied().fold(0.0, f64::max);
            let best = off.iter().map(most).fold(f64::INFINITY, f64::min);
            // Logits, loss, gradients.
            assert!(best < 1e-4, "{case:?}: {off:?}");
        }
    }
}

/// As for the lanes engine: a ReLU or a maximum may fall on the other side than in double precision,
/// so rounding alone must explain the best of some sets of weights.
#[test]
fn a_whole_network_agrees_with_stock_in_double_precision() {
    let Some(card) = EmulatedCard::new() else {
        return;
    };
    let cuda = card.engine(Precision::F32);
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let mut best = f64::INFINITY;
    for seed in [2, 3, 1] {
        let (over, double) = (DiceOver::Image, engines::net(seed, DType::F64));
        let (logits, loss, gradients) = engines::pass(&Stock::double(), &double, 5, 64, over);
        let single = engines::net(seed, DType::F32);
        let (found, found_loss, found_gradients) = engines::pass(&cuda, &single, 5, 64, over);
        let off = |found: &[Vec<f64>]| {
            let pairs = gradients.iter().zip(found);
            pairs
                .map(|(a, b)| engines::distance(a, b))
                .collect::<Vec<_>>()
        };
        let off = off(&found_gradients);
        assert!(
            engines::distance(&logits, &found) < 1e-4,
            "weights {seed}: logits"
        );
        assert!(
            (loss - found_loss).abs() < 1e-5,
            "weights {seed}: {loss} {found_loss}"
        );
        best = best.min(mean(&off));
        if best < 1e-4 {
            return;
        }
    }
    panic!("{best}");
}
