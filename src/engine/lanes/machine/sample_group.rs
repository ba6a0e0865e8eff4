//! The unit that all layouts and loops are made of: a group of samples.

/// Samples in a group: the innermost dimension of every activation.
pub const LANES: usize = 16;

/// The sum over a group's samples, in the same order on every machine: the second half is added to
/// the first until one number is left.
#[inline(always)]
pub fn lane_sum(lanes: &[f32; LANES]) -> f32 {
    let eight: [f32; 8] = std::array::from_fn(|i| lanes[i] + lanes[i + 8]);
    let four: [f32; 4] = std::array::from_fn(|i| eight[i] + eight[i + 4]);
    (four[0] + four[2]) + (four[1] + four[3])
}

/// Floats from one matrix or channel to the next: `len` rounded up to an odd number of cache lines.
/// Places that are a power of two apart would share a few sets of the cache.
pub fn odd_lines(len: usize) -> usize {
    (len.div_ceil(LANES) | 1) * LANES
}
