//! A whole training step (packing, forward, Dice, backward, RAdam) on one thread: the phantom
//! profile's, one twice as wide, a middle one; items are images.

use std::num::NonZeroUsize;

use divan::{Bencher, counter::ItemsCount};
use expertgrid::{
    engine::{Lanes, Stock},
    method::Method,
    train::{Probe, StepShape, Trains},
};

fn main() {
    divan::main();
}

/// Width, size, batch.
type Shape = (usize, usize, usize);

#[divan::bench(args = [(8, 64, 16), (16, 64, 16), (32, 96, 16)])]
fn lanes(bencher: Bencher, shape: Shape) {
    step(bencher, &Lanes::new(NonZeroUsize::MIN), shape);
}

#[divan::bench(args = [(8, 64, 16)], sample_count = 5)]
fn stock(bencher: Bencher, shape: Shape) {
    step(bencher, &Stock::new(candle_core::Device::Cpu), shape);
}

fn step<E: Trains>(bencher: Bencher, engine: &E, (width, size, batch): Shape) {
    let shape = StepShape { width, size, batch };
    let method = Method::named("customised").expect("a built-in method");
    let probe = Probe::new(engine, shape, &method, 1).expect("a network");
    let mut steps = probe.begin().expect("a network");
    bencher
        .counter(ItemsCount::new(batch))
        .bench_local(|| steps.step().expect("a step"));
}
