//! One register of samples. Kernels are written once over [`Vector`]. A vector value can only come
//! from its unsafe constructors, so its existence proves that the instruction set is switched on.

#![expect(unsafe_code, reason = "registers are loaded from pointers")]

/// A register of `N` f32 lanes; the sixteen samples of a group are `16 / N` of them.
pub trait Vector: Copy {
    /// The outcome of a lane-wise comparison.
    type Mask: Copy;
    /// Lanes in one register; divides 16.
    const N: usize;
    /// Whether there are 32 registers (24 accumulators fit) rather than 16 (12 fit).
    const WIDE: bool;

    /// # Safety
    /// The instruction set is available and `p` is valid for reading `N` floats.
    unsafe fn load(p: *const f32) -> Self;
    /// # Safety
    /// The instruction set is available.
    unsafe fn splat(x: f32) -> Self;
    /// # Safety
    /// `p` is valid for writing `N` floats.
    unsafe fn store(self, p: *mut f32);
    fn add(self, b: Self) -> Self;
    fn sub(self, b: Self) -> Self;
    fn mul(self, b: Self) -> Self;
    fn div(self, b: Self) -> Self;
    /// The larger one; `b` where they are equal or either is NaN.
    fn max(self, b: Self) -> Self;
    fn sqrt(self) -> Self;
    /// `self * b + c`, rounded once.
    fn fma(self, b: Self, c: Self) -> Self;
    /// `c - self * b`, rounded once.
    fn fnma(self, b: Self, c: Self) -> Self;
    /// `self > b`, false where either is NaN.
    fn gt(self, b: Self) -> Self::Mask;
    /// `yes` where the mask holds, else `no`.
    fn select(mask: Self::Mask, yes: Self, no: Self) -> Self;
    /// `2^self` for integral lanes in -126..=127.
    fn pow2(self) -> Self;

    /// Prefetches a cache line. The address need not be valid.
    #[inline(always)]
    fn prefetch(_: *const f32) {}

    /// The same into the second level of the cache only.
    #[inline(always)]
    fn prefetch_l2(_: *const f32) {}

    /// Transposes sixteen rows of sixteen floats. Rows from `rows` on are taken as zeros and not
    /// read. Of the sixteen rows of results the first `width` columns are written, in whole
    /// registers.
    ///
    /// # Safety
    /// The instruction set is available. `rows` rows of `from` and sixteen of `to`, their steps
    /// apart, are valid.
    #[inline(always)]
    unsafe fn transpose(
        from: *const f32,
        from_step: usize,
        rows: usize,
        to: *mut f32,
        to_step: usize,
        width: usize,
    ) {
        for row in 0..width {
            for column in 0..16 {
                // SAFETY: the caller's promise.
                unsafe {
                    let value = if row < rows {
                        *from.add(row * from_step + column)
                    } else {
                        0.0
                    };
                    *to.add(column * to_step + row) = value;
                }
            }
        }
    }
}

/// Implements the lane-wise methods of [`Vector`] by intrinsics of the same signature.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! lane_wise {
    ($($name:ident = $intrinsic:ident($($arg:ident),*);)*) => {$(
        #[inline(always)]
        fn $name(self, $($arg: Self),*) -> Self {
            // SAFETY: `self` exists, so the instruction set is available.
            unsafe { Self($intrinsic(self.0, $($arg.0),*)) }
        }
    )*};
}
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) use lane_wise;
