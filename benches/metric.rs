//! The time to score one full-size pair: Dice, ASSD and 95HD of masks of 256x256.

use divan::{Bencher, black_box};
use expertgrid::metric::{Compared, Definition, MaskView, Measure, Score, Spacing};

fn main() {
    divan::main();
}

const SIDE: usize = 256;

fn ring(cy: f64, cx: f64, inner: f64, outer: f64) -> Vec<bool> {
    let inside = |place: usize| {
        let (y, x) = ((place / SIDE) as f64 - cy, (place % SIDE) as f64 - cx);
        (inner..outer).contains(&y.hypot(x))
    };
    (0..SIDE * SIDE).map(inside).collect()
}

/// The pair that the comparison with MedPy scores too.
#[divan::bench]
fn two_rings(bencher: Bencher) {
    score(
        bencher,
        &ring(128.0, 128.0, 42.0, 56.0),
        &ring(131.0, 126.0, 40.0, 53.0),
    );
}

#[divan::bench]
fn two_rings_that_fill_the_frame(bencher: Bencher) {
    score(
        bencher,
        &ring(128.0, 128.0, 90.0, 127.0),
        &ring(131.0, 126.0, 88.0, 124.0),
    );
}

/// Every other pixel of the lower half, which an untrained network may predict, against a disc.
#[divan::bench]
fn noise_far_from_the_reference(bencher: Bencher) {
    let set = |place: usize| place / SIDE > SIDE / 2 && (place / SIDE + place).is_multiple_of(2);
    let noise: Vec<bool> = (0..SIDE * SIDE).map(set).collect();
    score(bencher, &noise, &ring(0.0, 128.0, 0.0, 40.0));
}

fn score(bencher: Bencher, prediction: &[bool], reference: &[bool]) {
    let [a, b] = [prediction, reference].map(|m| MaskView::new(SIDE, SIDE, m).expect("256x256"));
    bencher.bench(|| {
        let (a, b) = (black_box(a), black_box(b));
        let pair = Compared::new(a, b, Spacing::default(), Definition::default());
        let pair = pair.expect("comparable");
        Measure::standard().map(|measure| measure.of(&pair)) as [Score; 3]
    });
}
