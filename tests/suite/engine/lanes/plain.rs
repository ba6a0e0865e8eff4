//! What the kernels should compute, in f64 and one element after the other, and random operands.

use expertgrid::engine::lanes::conv::Conv;
use expertgrid::engine::lanes::{Isa, Kernels, Threads};
use std::num::NonZeroUsize;

pub const L: usize = 16;

/// Uniform numbers in [-1, 1) from a seed (splitmix64).
pub fn random(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (0..len)
        .map(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// The output of a ReLU: no number, zeros of both signs, positive numbers.
pub fn relu_output(len: usize, seed: u64) -> Vec<f32> {
    let mut y: Vec<f32> = random(len, seed).iter().map(|y| y.max(0.0)).collect();
    y[0] = f32::NAN;
    y[1] = -0.0;
    y
}

/// A gradient, where a ReLU with this output lets it through.
pub fn let_through(y: &[f32], gradient: &[f32]) -> Vec<u32> {
    let through = |(y, gradient): (&f32, &f32)| if *y > 0.0 { gradient.to_bits() } else { 0 };
    y.iter().zip(gradient).map(through).collect()
}

/// Kernels on each instruction set, on the caller's thread.
pub fn all() -> Vec<Kernels> {
    Isa::available()
        .into_iter()
        .map(|isa| Kernels::with_isa(isa, Threads::Caller).unwrap())
        .collect()
}

/// Kernels on each instruction set, and the fastest on two and three threads.
pub fn every_way() -> Vec<Kernels> {
    let threads = |n| Threads::eager(NonZeroUsize::new(n).unwrap());
    let threaded = [2, 3].map(|n| Kernels::new(threads(n)));
    all().into_iter().chain(threaded).collect()
}

/// Asserts that results are the same to the last bit, whichever way they were computed.
pub fn same_bytes(what: &str, mut run: impl FnMut(&Kernels) -> Vec<f32>) {
    let every_way = every_way();
    let bits = |values: Vec<f32>| -> Vec<u32> { values.iter().map(|v| v.to_bits()).collect() };
    let first = bits(run(&every_way[0]));
    for kernels in &every_way[1..] {
        let other = bits(run(kernels));
        let differ = first.iter().zip(&other).filter(|(a, b)| a != b).count();
        assert!(
            first == other,
            "{what}: {} on {} threads gives others than {}, {differ} of {}",
            kernels.isa(),
            kernels.threads().count(),
            every_way[0].isa(),
            first.len()
        );
    }
}

/// Asserts `|got - want| <= tolerance * scale`, element by element.
pub fn close(what: &str, got: &[f32], want: &[f64], scale: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (&got, (&want, &scale))) in got.iter().zip(want.iter().zip(scale)).enumerate() {
        let error = (f64::from(got) - want).abs();
        assert!(
            error <= tolerance * scale + 1e-30,
            "{what}[{i}]: {got} for {want}, scale {scale}"
        );
    }
}

/// A result and, for each element, the sum of the magnitudes that were added: what rounding errors
/// are relative to.
pub struct Summed {
    pub value: Vec<f64>,
    pub scale: Vec<f64>,
}

impl Summed {
    fn new(len: usize) -> Self {
        Self {
            value: vec![0.0; len],
            scale: vec![0.0; len],
        }
    }

    fn add(&mut self, at: usize, a: f32, b: f32) {
        let product = f64::from(a) * f64::from(b);
        self.value[at] += product;
        self.scale[at] += product.abs();
    }
}

/// Calls `each(x, w, y)` with the indices of every product in the convolution.
pub fn products(c: &Conv, mut each: impl FnMut(usize, usize, usize)) {
    let (height, width, k) = (c.out_height(), c.out_width(), c.kernel);
    for (g, co, ci) in triples(c.groups, c.cout, c.cin) {
        for (oy, ox, tap) in triples(height, width, k * k) {
            let (iy, ix) = (oy * c.stride + tap / k, ox * c.stride + tap % k);
            if iy < c.padding
                || ix < c.padding
                || iy - c.padding >= c.height
                || ix - c.padding >= c.width
            {
                continue;
            }
            let x = ((g * c.cin + ci) * c.height + iy - c.padding) * c.width + ix - c.padding;
            let y = ((g * c.cout + co) * height + oy) * width + ox;
            for lane in 0..L {
                each(x * L + lane, (co * c.cin + ci) * k * k + tap, y * L + lane);
            }
        }
    }
}

pub fn triples(a: usize, b: usize, c: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..a).flat_map(move |i| (0..b).flat_map(move |j| (0..c).map(move |k| (i, j, k))))
}

pub fn conv_forward(c: &Conv, x: &[f32], w: &[f32], bias: Option<&[f32]>) -> Summed {
    let mut y = Summed::new(c.output_len());
    let plane = c.out_height() * c.out_width() * L;
    if let Some(bias) = bias {
        for i in 0..y.value.len() {
            y.add(i, bias[i / plane % c.cout], 1.0);
        }
    }
    products(c, |i, j, k| y.add(k, x[i], w[j]));
    y
}

pub fn conv_grad_input(c: &Conv, dy: &[f32], w: &[f32]) -> Summed {
    let mut dx = Summed::new(c.input_len());
    products(c, |i, j, k| dx.add(i, dy[k], w[j]));
    dx
}

pub fn conv_grad_weight(c: &Conv, x: &[f32], dy: &[f32]) -> Summed {
    let mut dw = Summed::new(c.weight_len());
    products(c, |i, j, k| dw.add(j, x[i], dy[k]));
    dw
}
