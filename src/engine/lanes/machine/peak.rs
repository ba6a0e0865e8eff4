//! The peak arithmetic rate of a core, as a reference for benchmarks of kernels: multiply-adds on
//! registers only.

#![expect(unsafe_code, reason = "registers")]

use super::{
    dispatch::{Kernels, multiversion},
    sample_group::{LANES, lane_sum},
    vector::Vector,
};

/// Independent sums: more than latency times units of any core (four or five cycles, two units).
const CHAINS: usize = 12;

/// Does about `flops` floating-point operations, two to a multiply-add, without touching memory, on
/// the caller's thread. The result depends on all of them, so that the compiler omits none.
pub fn multiply_adds(kernels: &Kernels, flops: u64) -> f32 {
    let mut sum = 0.0;
    // SAFETY: the instruction set is the kernels'.
    unsafe { chains(kernels.isa(), flops, &mut sum) };
    sum
}

multiversion! {
    /// # Safety
    /// None beyond the instruction set.
    fn chains = chains_body(flops: u64, sum: &mut f32)
}

#[inline(always)]
unsafe fn chains_body<V: Vector>(flops: u64, sum: &mut f32) {
    // SAFETY: the instruction set is switched on.
    unsafe {
        let (factor, term) = (V::splat(0.5), V::splat(1.0));
        let mut sums = [V::splat(0.0); CHAINS];
        for _ in 0..flops / (2 * CHAINS * V::N) as u64 {
            for chain in &mut sums {
                *chain = chain.fma(factor, term);
            }
        }
        let mut lanes = [0.0; LANES];
        for chain in sums {
            V::load(lanes.as_ptr()).add(chain).store(lanes.as_mut_ptr());
        }
        *sum = lane_sum(&lanes);
    }
}
