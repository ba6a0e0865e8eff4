//! Pooling and the layouts against plain loops.

use super::plain::{L, all, close, random, same_bytes, triples};
use expertgrid::engine::lanes::layout::{self, Images};
use expertgrid::engine::lanes::pool::{self, Pool};
use expertgrid::engine::lanes::{Features, Onto};

fn ones(len: usize) -> Vec<f64> {
    vec![1.0; len]
}

/// The plane of one lane.
fn lane(values: &[f32], plane: usize, pixels: usize, lane: usize) -> Vec<f32> {
    (0..pixels)
        .map(|i| values[(plane * pixels + i) * L + lane])
        .collect()
}

/// For each output pixel its value and where the first maximum is, by the definition.
fn plain_pool(x: &[f32], height: usize, width: usize) -> Vec<(f32, usize)> {
    let mut out = Vec::new();
    for (oy, ox, _) in triples(height.div_ceil(2), width.div_ceil(2), 1) {
        let mut best: Option<(f32, usize)> = None;
        for (ky, kx, _) in triples(3, 3, 1) {
            let (iy, ix) = ((2 * oy + ky).wrapping_sub(1), (2 * ox + kx).wrapping_sub(1));
            if iy < height && ix < width && best.is_none_or(|(most, _)| x[iy * width + ix] > most) {
                best = Some((x[iy * width + ix], iy * width + ix));
            }
        }
        out.extend(best);
    }
    out
}

#[test]
fn pooling_takes_the_first_maximum_and_returns_its_gradient() {
    for kernels in all() {
        for (height, width) in [
            (1, 1),
            (2, 2),
            (3, 3),
            (5, 3),
            (4, 6),
            (7, 7),
            (8, 8),
            (1, 6),
        ] {
            let pool = Pool {
                planes: 3,
                height,
                width,
            };
            let (from, to) = (height * width, pool.out_height() * pool.out_width());
            // Few distinct values, so ties are everywhere, and all negative: padding must not win.
            let x: Vec<f32> = random(3 * from * L, 7)
                .iter()
                .map(|v| (v * 2.0).round() - 4.0)
                .collect();
            let dy = random(3 * to * L, 8);
            let (mut y, mut dx) = (vec![f32::NAN; 3 * to * L], vec![f32::NAN; 3 * from * L]);
            pool::forward(&kernels, &pool, Features::Stored(&x), &mut y);
            let features = Features::Stored(&x);
            pool::backward(&kernels, &pool, features, &dy, &mut dx, Onto::Nothing);
            let before = random(3 * from * L, 9);
            let mut sum = before.clone();
            pool::backward(&kernels, &pool, features, &dy, &mut sum, Onto::Sums);
            let apart: Vec<f32> = before
                .iter()
                .zip(&dx)
                .map(|(sum, more)| sum + more)
                .collect();
            assert_eq!(sum, apart);
            for (plane, l, _) in triples(3, L, 1) {
                let want = plain_pool(&lane(&x, plane, from, l), height, width);
                let values: Vec<f32> = want.iter().map(|(value, _)| *value).collect();
                assert_eq!(
                    lane(&y, plane, to, l),
                    values,
                    "{} {height}x{width}",
                    kernels.isa()
                );
                let mut gradient = vec![0.0f64; from];
                for ((_, at), dy) in want.iter().zip(lane(&dy, plane, to, l)) {
                    gradient[*at] += f64::from(dy);
                }
                close(
                    "dx",
                    &lane(&dx, plane, from, l),
                    &gradient,
                    &ones(from),
                    1e-6,
                );
            }
        }
    }
}

#[test]
fn pooling_gives_the_same_bytes_either_way() {
    let pool = Pool {
        planes: 3,
        height: 7,
        width: 6,
    };
    let (from, to) = (7 * 6, 4 * 3);
    // Ties, and zeros of both signs.
    let x: Vec<f32> = random(3 * from * L, 7)
        .iter()
        .map(|v| (v * 2.0).round())
        .collect();
    let dy = random(3 * to * L, 8);
    same_bytes("pool", |kernels| {
        let features = Features::Stored(&x);
        let (mut y, mut dx) = (vec![0.0; 3 * to * L], vec![0.0; 3 * from * L]);
        pool::forward(kernels, &pool, features, &mut y);
        pool::backward(kernels, &pool, features, &dy, &mut dx, Onto::Nothing);
        [y, dx].concat()
    });
}

#[test]
fn packing_puts_samples_in_lanes_and_unpacking_takes_them_out() {
    for kernels in all() {
        for batch in [1, 5, 16, 17, 40] {
            let images = Images {
                batch,
                channels: 3,
                pixels: 7,
            };
            let plain = random(images.plain_len(), 1);
            let mut packed = vec![f32::NAN; images.packed_len()];
            layout::pack(&kernels, &images, &plain, &mut packed);
            for (sample, channel, pixel) in triples(images.groups() * L, 3, 7) {
                let at = (((sample / L) * 3 + channel) * 7 + pixel) * L + sample % L;
                let want = if sample < batch {
                    plain[(sample * 3 + channel) * 7 + pixel]
                } else {
                    0.0
                };
                assert_eq!(packed[at], want);
            }
            let mut back = vec![f32::NAN; plain.len()];
            layout::unpack(&kernels, &images, &packed, &mut back);
            assert_eq!(back, plain);
        }
    }
}
