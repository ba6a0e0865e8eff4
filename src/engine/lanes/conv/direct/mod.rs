//! Direct convolution: register tiles of output channels by columns, weights broadcast. One kernel serves forward and
//! the gradient of the input, since both are correlations; taps that fall outside the image are skipped, not padded.

mod tile;

use super::super::LANES;
use super::super::isa::Kernels;
use super::super::threads::{Shared, scratch};
use super::Conv;
use super::pack::{self, Block, Source};
use tile::Task;

/// Input floats a task walks over before it turns to the next block of channels: a quarter of a common L2.
const ROWS_IN_CACHE: usize = 64 * 1024;

/// `y[out_step * a + out_origin] = sum over c and taps t of x[c][in_step * a + offset[t]] * w[c][t]`, in both directions of the plane.
struct Correlation {
    groups: usize,
    cin: usize,
    cout: usize,
    in_size: [usize; 2],
    out_size: [usize; 2],
    in_step: usize,
    out_step: usize,
    out_origin: [usize; 2],
    /// Outputs computed, by direction.
    count: [usize; 2],
    /// Offsets of the taps, by direction.
    offsets: [Vec<isize>; 2],
    /// Place of each tap, row by row, in the K x K kernel.
    taps: Vec<usize>,
}

pub(super) fn forward(
    kernels: &Kernels,
    conv: &Conv,
    x: &[f32],
    w: &[f32],
    bias: Option<&[f32]>,
    y: &mut [f32],
) {
    let k = conv.kernel;
    let offsets: Vec<isize> = (0..k)
        .map(|tap| tap as isize - conv.padding as isize)
        .collect();
    let out_size = [conv.out_height(), conv.out_width()];
    let correlation = Correlation {
        groups: conv.groups,
        cin: conv.cin,
        cout: conv.cout,
        in_size: [conv.height, conv.width],
        out_size,
        in_step: conv.stride,
        out_step: 1,
        out_origin: [0, 0],
        count: out_size,
        offsets: [offsets.clone(), offsets],
        taps: (0..k * k).collect(),
    };
    let source = Source {
        weights: w,
        cout_stride: conv.cin * k * k,
        cin_stride: k * k,
    };
    correlation.run(kernels, x, &source, bias, Shared::new(y));
}

/// With stride 2, input pixels of each parity see their own taps: one correlation for each of the four classes.
pub(super) fn grad_input(kernels: &Kernels, conv: &Conv, dy: &[f32], w: &[f32], dx: &mut [f32]) {
    let (k, s) = (conv.kernel, conv.stride);
    let source = Source {
        weights: w,
        cout_stride: k * k,
        cin_stride: conv.cin * k * k,
    };
    let dx = Shared::new(dx);
    for parity in 0..s * s {
        let origin = [parity / s, parity % s];
        // Input pixel s a + o meets output pixel (s a + o + padding - tap) / s.
        let taps = origin.map(|o| {
            (0..k)
                .filter(|tap| (o + conv.padding + s - tap % s).is_multiple_of(s))
                .collect::<Vec<_>>()
        });
        let offset = |o: usize, tap: &usize| {
            (o as isize + conv.padding as isize - *tap as isize) / s as isize
        };
        let correlation = Correlation {
            groups: conv.groups,
            cin: conv.cout,
            cout: conv.cin,
            in_size: [conv.out_height(), conv.out_width()],
            out_size: [conv.height, conv.width],
            in_step: 1,
            out_step: s,
            out_origin: origin,
            count: [
                (conv.height + s - 1 - origin[0]) / s,
                (conv.width + s - 1 - origin[1]) / s,
            ],
            offsets: [0, 1].map(|axis| {
                taps[axis]
                    .iter()
                    .map(|tap| offset(origin[axis], tap))
                    .collect()
            }),
            taps: taps[0]
                .iter()
                .flat_map(|ky| taps[1].iter().map(move |kx| ky * k + kx))
                .collect(),
        };
        correlation.run(kernels, dy, &source, None, dx);
    }
}

impl Correlation {
    fn run(&self, kernels: &Kernels, x: &[f32], source: &Source, bias: Option<&[f32]>, y: Shared) {
        if self.count.contains(&0) {
            return;
        }
        let blocks = pack::blocks(self.cout, kernels.isa().widest_block());
        let run_len = self.cin * self.taps.len();
        let rows = (ROWS_IN_CACHE / (self.cin * self.in_size[1] * LANES * self.in_step))
            .clamp(1, self.count[0]);
        let chunks = self.count[0].div_ceil(rows);
        scratch(self.cout * run_len, |packed| {
            let shared = Shared::new(packed);
            kernels.threads().run(blocks.len(), |b| {
                let Block { first, channels } = blocks[b];
                // SAFETY: blocks are disjoint.
                let part = unsafe { shared.part(first * run_len, channels * run_len) };
                pack::block(source, blocks[b], self.cin, &self.taps, part);
            });
            let packed = &*packed;
            kernels
                .threads()
                .run(self.groups * chunks * blocks.len(), |task| {
                    let (block, rest) = (blocks[task % blocks.len()], task / blocks.len());
                    let first_row = rest % chunks * rows;
                    let task = Task {
                        shape: self,
                        x: &x[rest / chunks
                            * self.cin
                            * self.in_size[0]
                            * self.in_size[1]
                            * LANES..],
                        weights: &packed[block.first * run_len..][..block.channels * run_len],
                        bias: bias.map(|bias| &bias[block.first..][..block.channels]),
                        y,
                        plane: rest / chunks * self.cout + block.first,
                        channels: block.channels,
                        rows: first_row..(first_row + rows).min(self.count[0]),
                    };
                    // SAFETY: the instruction set is the kernels'; tasks write different rows or channels.
                    unsafe { tile::correlate(kernels.isa(), &task) }
                });
        });
    }
}
