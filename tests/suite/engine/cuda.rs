//! The engine of cards, on an emulated one: the program's own kernels, run by a processor.

use std::num::NonZeroUsize;

use candle_core::DType;
use expertgrid::engine::{
    DiceOver, Lanes, Stock,
    cuda::Precision,
    lanes::{Kernels, Threads},
};

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

#[test]
fn a_whole_network_agrees_with_lanes() {
    let Some(card) = EmulatedCard::new() else {
        return;
    };
    let lanes = Lanes::with_kernels(Kernels::new(Threads::new(NonZeroUsize::MIN)));
    let cuda = card.engine(Precision::F32);
    let net = engines::net(1, DType::F32);
    let (logits, loss, gradients) = engines::pass(&lanes, &net, 5, 64, DiceOver::Image);
    let (found, found_loss, found_gradients) =
        engines::pass(&cuda, &net, 5, 64, DiceOver::Image);
    let off = engines::distance(&logits, &found);
    assert!(off < 1e-4, "{off}");
    assert!((loss - found_loss).abs() < 1e-5, "{loss} {found_loss}");
    let off: Vec<f64> = gradients.iter().zip(&found_gradients)
        .map(|(expected, found)| engines::distance(expected, found)).collect();
    assert!(off.iter().all(|off| *off < 1e-3), "{off:?}");
}
