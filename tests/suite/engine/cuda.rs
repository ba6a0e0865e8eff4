//! The engine of cards, on an emulated one: the program's own kernels, run by a processor. With
//! EXPERTGRID_TEST_CARD set, on a real one.

use candle_core::DType;
use expertgrid::engine::{DiceOver, Stock};

use super::{
    engines,
    operations::{Case, OPERATIONS, distance},
};
use crate::support::emulated_card::{any_card, engine};

/// Batches of one group and of several; sizes and channels follow.
const BATCHES: [usize; 5] = [1, 3, 5, 14, 23];

#[test]
fn every_operation_agrees_with_stock() {
    let Some((cards, _alone)) = any_card() else {
        return;
    };
    let cuda = engine(&cards);
    for operation in OPERATIONS {
        for batch in BATCHES {
            let case = Case::new(operation, batch);
            // As for the lanes engine. Logits, loss, gradients.
            let off = |seed| -> Vec<f64> {
                let expected = case.run(&Stock::double(), seed, DType::F64).unwrap();
                let found = case.run(&cuda, seed, DType::F32).unwrap();
                let pairs = expected.iter().zip(&found);
                pairs.map(|(a, b)| distance(a, b)).collect()
            };
            let agrees = |off: &[f64]| off.iter().all(|off| *off < 1e-4);
            let first = off(1);
            if !agrees(&first) {
                let second = off(2);
                assert!(agrees(&second), "{case:?}: {first:?} {second:?}");
            }
        }
    }
}

/// As for the lanes engine: a ReLU or a maximum may fall on the other side than in double
/// precision, so rounding alone must explain the best of some sets of weights.
#[test]
fn a_whole_network_agrees_with_stock_in_double_precision() {
    let Some((cards, _alone)) = any_card() else {
        return;
    };
    let cuda = engine(&cards);
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
