//! The unit that all layouts and loops are made of: a group of samples.

/// Samples in a group: the innermost dimension of every activation.
pub const LANES: usize = 16;

/// Floats from one matrix or channel to the next: `len` rounded up to an odd number of cache lines.
/// Places that are a power of two apart would share a few sets of the cache.
pub fn odd_lines(len: usize) -> usize {
    (len.div_ceil(LANES) | 1) * LANES
}
