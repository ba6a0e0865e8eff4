//! The vector of any machine, in plain arithmetic.

#![expect(unsafe_code, reason = "registers are loaded from pointers")]
#![expect(
    clippy::needless_range_loop,
    reason = "lanes and registers are indexed in several arrays at once"
)]

use super::vector::Vector;

/// Any machine: four lanes in an array, which compilers turn into what registers there are.
#[derive(Clone, Copy)]
pub struct Portable([f32; 4]);

/// Implements the lane-wise methods of [`Portable`] by a scalar expression.
macro_rules! scalar {
    ($($name:ident($a:ident $(, $arg:ident)*) = $value:expr;)*) => {$(
        #[inline(always)]
        fn $name(self, $($arg: Self),*) -> Self {
            let mut out = self;
            for i in 0..4 {
                let $a = self.0[i];
                $(let $arg = $arg.0[i];)*
                out.0[i] = $value;
            }
            out
        }
    )*};
}

/// Whether the compiler has an instruction for multiply-adds.
const HARDWARE: bool = cfg!(any(
    target_feature = "fma",
    target_arch = "aarch64",
    target_arch = "riscv64",
    target_arch = "powerpc64",
    target_arch = "s390x",
    target_arch = "loongarch64"
));

/// `a * b + c` lane by lane, rounded once.
#[inline(always)]
fn fused(a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
    if HARDWARE {
        std::array::from_fn(|i| a[i].mul_add(b[i], c[i]))
    } else {
        fused_by_doubles(a, b, c)
    }
}

/// The same without an instruction for it, where the library's function would take a call for each
/// lane.
///
/// A product of two f32 is exact in f64, so the sum in f64 is the exact one, rounded; rounded to
/// f32 it is rounded twice. That is wrong at most where it ends half way between two f32, or where
/// f32 has fewer digits, below its least normal number. Only then is the library's function called.
#[inline(always)]
fn fused_by_doubles(a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
    let mut sums = [0.0f64; 4];
    for i in 0..4 {
        sums[i] = f64::from(a[i]) * f64::from(b[i]) + f64::from(c[i]);
    }
    let mut rounded = [0.0f32; 4];
    for i in 0..4 {
        rounded[i] = sums[i] as f32;
    }
    // The 29 digits that f32 lacks: a one and zeros are half way.
    let mut lost = [0u32; 4];
    for i in 0..4 {
        lost[i] = sums[i].to_bits() as u32 & 0x1fff_ffff;
    }
    let mut doubtful = [0u32; 4];
    for i in 0..4 {
        let half_way = lost[i] == 0x1000_0000;
        let small = rounded[i].abs() <= f32::MIN_POSITIVE && sums[i] != 0.0;
        doubtful[i] = u32::from(half_way) | u32::from(small);
    }
    if doubtful != [0; 4] {
        by_library(a, b, c, &mut rounded);
    }
    rounded
}

#[cold]
#[inline(never)]
fn by_library(a: [f32; 4], b: [f32; 4], c: [f32; 4], sums: &mut [f32; 4]) {
    for i in 0..4 {
        sums[i] = a[i].mul_add(b[i], c[i]);
    }
}

impl Vector for Portable {
    type Mask = [bool; 4];
    const N: usize = 4;
    const WIDE: bool = false;

    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: as the trait asks; an array of floats is aligned like a float.
        unsafe { Self(*p.cast()) }
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Self([x; 4])
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: as the trait asks; an array of floats is aligned like a float.
        unsafe { *p.cast() = self.0 }
    }
    scalar! {
        add(a, b) = a + b;
        sub(a, b) = a - b;
        mul(a, b) = a * b;
        div(a, b) = a / b;
        max(a, b) = if a > b { a } else { b };
        sqrt(a) = a.sqrt();
        pow2(a) = f32::from_bits(((a as i32 + 127) as u32) << 23);
    }
    #[inline(always)]
    fn fma(self, b: Self, c: Self) -> Self {
        Self(fused(self.0, b.0, c.0))
    }
    #[inline(always)]
    fn fnma(self, b: Self, c: Self) -> Self {
        Self(fused(self.0.map(|a| -a), b.0, c.0))
    }
    #[inline(always)]
    fn gt(self, b: Self) -> [bool; 4] {
        let mut mask = [false; 4];
        for i in 0..4 {
            mask[i] = self.0[i] > b.0[i];
        }
        mask
    }
    #[inline(always)]
    fn select(mask: [bool; 4], yes: Self, no: Self) -> Self {
        let mut out = no;
        for i in 0..4 {
            if mask[i] {
                out.0[i] = yes.0[i];
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::fused_by_doubles;

    /// What the library's function, which is right by definition, gives.
    fn library(a: f32, b: f32, c: f32) -> u32 {
        a.mul_add(b, c).to_bits()
    }

    /// Floats of every exponent, with few digits: so sums end half way between two floats often.
    fn short() -> impl Strategy<Value = f32> {
        (any::<bool>(), 0u32..255, 0u32..8, 0u32..24).prop_map(|(sign, exponent, digits, at)| {
            f32::from_bits(u32::from(sign) << 31 | exponent << 23 | (digits << at) & 0x7f_ffff)
        })
    }

    proptest! {
        #[test]
        fn a_multiply_add_is_rounded_once(
            a in prop_oneof![short(), any::<f32>()],
            b in prop_oneof![short(), any::<f32>()],
            c in prop_oneof![short(), any::<f32>()],
        ) {
            let got = fused_by_doubles([a, 1.0, a, 0.0], [b, 1.0, b, 0.0], [c, 1.0, -c, 0.0]);
            let want = library(a, b, c);
            prop_assert!(got[0].to_bits() == want || got[0].is_nan());
            prop_assert_eq!(got[0].is_nan(), f32::from_bits(want).is_nan());
            prop_assert_eq!(got[1], 2.0);
        }

        #[test]
        fn a_sum_that_ends_half_way_is_rounded_once(
            digits in 0x80_0000u32..0x100_0000,
            odd in 0u32..4,
            scale in -40i32..-22,
        ) {
            // 1 + 2^-24 times a whole number is half way between two floats; what is added moves
            // it to one side by less than f64 shows.
            let a = digits as f32;
            let b = 1.0 + 2f32.powi(-23) * odd as f32;
            for c in [2f32.powi(scale), -(2f32.powi(scale)), 2f32.powi(scale - 60)] {
                let got = fused_by_doubles([a; 4], [b; 4], [c; 4]);
                prop_assert_eq!(got.map(f32::to_bits), [library(a, b, c); 4]);
            }
        }
    }
}
