//! Weights in the order the kernels read them: blocks of output channels. One tap of one input
//! channel is a run of as many weights as the block has channels.

/// The weights of a correlation, as a view of the network's weights.
#[derive(Clone, Copy)]
pub struct WeightView<'a> {
    pub weights: &'a [f32],
    /// From one output channel of the correlation to the next.
    pub cout_stride: usize,
    /// From one input channel to the next.
    pub cin_stride: usize,
}

impl<'a> WeightView<'a> {
    /// The forward product's weights `[C_out, C_in, taps]`, of the input channels from `first` on.
    /// `cin` counts all of them.
    pub fn forward(weights: &'a [f32], cin: usize, taps: usize, first: usize) -> Self {
        Self {
            weights: &weights[first * taps..],
            cout_stride: cin * taps,
            cin_stride: taps,
        }
    }

    /// The same weights for the gradient of the input, whose output channels are the input
    /// channels.
    pub fn transposed(self) -> Self {
        Self {
            cout_stride: self.cin_stride,
            cin_stride: self.cout_stride,
            ..self
        }
    }
}

/// Consecutive output channels computed together.
#[derive(Clone, Copy, Debug)]
pub struct ChannelBlock {
    pub first: usize,
    /// 8, 6, 4, 2 or 1.
    pub channels: usize,
}

/// Cuts channels into blocks of the `widest` size, 8, 6 or 4, and what is left into blocks of 4, 2
/// and 1.
pub fn blocks(channels: usize, widest: usize) -> Vec<ChannelBlock> {
    let mut blocks = Vec::with_capacity(channels / widest + 3);
    let mut first = 0;
    while first < channels {
        let channels = match channels - first {
            // Two fours keep more sums in flight than six and two.
            8 if widest == 6 => 4,
            left if left >= widest => widest,
            left => [4, 2, 1]
                .into_iter()
                .find(|size| *size <= left)
                .unwrap_or(1),
        };
        blocks.push(ChannelBlock { first, channels });
        first += channels;
    }
    blocks
}

/// Writes one block as `[C_in, taps, block]`; `taps` are places in the K x K kernel. Overwrites
/// `packed`.
pub fn block(
    source: &WeightView,
    block: ChannelBlock,
    cin: usize,
    taps: &[usize],
    packed: &mut [f32],
) {
    assert_eq!(packed.len(), cin * taps.len() * block.channels);
    match block.channels {
        _ if taps.is_empty() => {}
        8 => run::<8>(source, block.first, cin, taps, packed),
        6 => run::<6>(source, block.first, cin, taps, packed),
        4 => run::<4>(source, block.first, cin, taps, packed),
        2 => run::<2>(source, block.first, cin, taps, packed),
        _ => run::<1>(source, block.first, cin, taps, packed),
    }
}

fn run<const CO: usize>(
    source: &WeightView,
    first: usize,
    cin: usize,
    taps: &[usize],
    packed: &mut [f32],
) {
    let (runs, _) = packed.as_chunks_mut::<CO>();
    // All taps in their order, channel after channel: the forward product reads each kernel
    // contiguously.
    let straight =
        taps.len() == source.cin_stride && taps.iter().enumerate().all(|(i, tap)| i == *tap);
    if straight {
        let kernels: [&[f32]; CO] = std::array::from_fn(|c| {
            &source.weights[(first + c) * source.cout_stride..][..cin * taps.len()]
        });
        for (i, run) in runs.iter_mut().enumerate() {
            *run = std::array::from_fn(|c| kernels[c][i]);
        }
        return;
    }
    for (ci, runs) in runs.chunks_exact_mut(taps.len()).enumerate().take(cin) {
        let kernels: [&[f32]; CO] = std::array::from_fn(|c| {
            &source.weights[(first + c) * source.cout_stride + ci * source.cin_stride..]
        });
        for (run, &tap) in runs.iter_mut().zip(taps) {
            *run = std::array::from_fn(|c| kernels[c][tap]);
        }
    }
}

/// In which order the nine taps of a kernel are applied.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Taps {
    /// As stored: forward.
    Stored,
    /// Rotated by half a turn: the gradient of the input.
    Rotated,
}

/// Writes one block of 3x3 kernels tap by tap: `[C_in, block]` at `at` in each of nine matrices,
/// which are `step` floats apart.
pub fn by_tap(
    source: &WeightView,
    block: ChannelBlock,
    cin: usize,
    taps: Taps,
    step: usize,
    at: usize,
    to: &mut [f32],
) {
    let mut matrices = to.chunks_exact_mut(step);
    let to = std::array::from_fn(|_| {
        let matrix = matrices.next().expect("nine matrices");
        &mut matrix[at..at + cin * block.channels]
    });
    match taps {
        Taps::Stored => runs_by_tap::<false>(source, block, cin, to),
        Taps::Rotated => runs_by_tap::<true>(source, block, cin, to),
    }
}

fn runs_by_tap<const ROTATED: bool>(
    source: &WeightView,
    block: ChannelBlock,
    cin: usize,
    to: [&mut [f32]; 9],
) {
    match block.channels {
        8 => tap_runs::<8, ROTATED>(source, block.first, cin, to),
        6 => tap_runs::<6, ROTATED>(source, block.first, cin, to),
        4 => tap_runs::<4, ROTATED>(source, block.first, cin, to),
        2 => tap_runs::<2, ROTATED>(source, block.first, cin, to),
        _ => tap_runs::<1, ROTATED>(source, block.first, cin, to),
    }
}

fn tap_runs<const CO: usize, const ROTATED: bool>(
    source: &WeightView,
    first: usize,
    cin: usize,
    to: [&mut [f32]; 9],
) {
    let runs = to.map(|matrix| matrix.as_chunks_mut::<CO>().0);
    for ci in 0..cin {
        let kernels: [&[f32; 9]; CO] = std::array::from_fn(|c| {
            let at = (first + c) * source.cout_stride + ci * source.cin_stride;
            source.weights[at..].first_chunk().expect("nine taps")
        });
        for tap in 0..9 {
            let from = if ROTATED { 8 - tap } else { tap };
            runs[tap][ci] = std::array::from_fn(|c| kernels[c][from]);
        }
    }
}
