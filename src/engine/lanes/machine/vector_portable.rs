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
    // Multiply, then add: a fused multiply-add without hardware is a slow library call.
    scalar! {
        add(a, b) = a + b;
        sub(a, b) = a - b;
        mul(a, b) = a * b;
        div(a, b) = a / b;
        max(a, b) = if a > b { a } else { b };
        sqrt(a) = a.sqrt();
        fma(a, b, c) = a * b + c;
        fnma(a, b, c) = c - a * b;
        pow2(a) = f32::from_bits(((a as i32 + 127) as u32) << 23);
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
    #[inline(always)]
    fn sum(self) -> f32 {
        (self.0[0] + self.0[1]) + (self.0[2] + self.0[3])
    }
}
