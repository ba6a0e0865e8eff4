//! The time to score one full-size pair: Dice, ASSD and 95HD of two rings in 256x256.

use std::hint::black_box;
use std::time::Instant;

use expertgrid::metric::{Definition, MaskView, Spacing, scores};

const SIDE: usize = 256;
const ROUNDS: u32 = 1000;

fn ring(cy: f64, cx: f64, inner: f64, outer: f64) -> Vec<bool> {
    let inside = |place: usize| {
        let (y, x) = ((place / SIDE) as f64 - cy, (place % SIDE) as f64 - cx);
        (inner..outer).contains(&y.hypot(x))
    };
    (0..SIDE * SIDE).map(inside).collect()
}

/// Every other pixel of the lower half: what an untrained network may predict.
fn noise() -> Vec<bool> {
    let set = |place: usize| place / SIDE > SIDE / 2 && (place / SIDE + place).is_multiple_of(2);
    (0..SIDE * SIDE).map(set).collect()
}

fn main() {
    time(
        "ring",
        ring(128.0, 128.0, 42.0, 56.0),
        ring(131.0, 126.0, 40.0, 53.0),
    );
    time(
        "frame-filling ring",
        ring(128.0, 128.0, 90.0, 127.0),
        ring(131.0, 126.0, 88.0, 124.0),
    );
    time(
        "noise far from the reference",
        noise(),
        ring(0.0, 128.0, 0.0, 40.0),
    );
}

fn time(name: &str, prediction: Vec<bool>, reference: Vec<bool>) {
    let [a, b] = [&prediction, &reference].map(|m| MaskView::new(SIDE, SIDE, m).expect("256x256"));
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let found = scores(
            black_box(a),
            black_box(b),
            Spacing::default(),
            Definition::default(),
        );
        black_box(found).expect("comparable");
        times.push(start.elapsed());
    }
    times.sort();
    let ms = |time: std::time::Duration| time.as_secs_f64() * 1e3;
    println!(
        "{name}: {:.4} ms a pair, fastest {:.4} ms",
        ms(times[times.len() / 2]),
        ms(times[0])
    );
}
