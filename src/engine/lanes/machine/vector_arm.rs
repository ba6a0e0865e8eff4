//! The vector of AArch64. Every method is one or a few intrinsics.

#![expect(unsafe_code, reason = "intrinsics")]

use super::vector::{Vector, lane_wise};
use std::arch::aarch64::*;

/// NEON: the group is four registers.
#[derive(Clone, Copy)]
pub struct Neon(float32x4_t);

impl Vector for Neon {
    type Mask = uint32x4_t;
    const N: usize = 4;
    const WIDE: bool = true;

    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: as the trait asks.
        unsafe { Self(vld1q_f32(p)) }
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: as the trait asks.
        unsafe { Self(vdupq_n_f32(x)) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: as the trait asks.
        unsafe { vst1q_f32(p, self.0) }
    }
    lane_wise! {
        add = vaddq_f32(b);
        sub = vsubq_f32(b);
        mul = vmulq_f32(b);
        div = vdivq_f32(b);
        sqrt = vsqrtq_f32();
    }
    // `vmaxq_f32` answers for zeros of two signs, and for NaN, what other machines do not.
    #[inline(always)]
    fn max(self, b: Self) -> Self {
        Self::select(self.gt(b), self, b)
    }
    #[inline(always)]
    fn fma(self, b: Self, c: Self) -> Self {
        // SAFETY: `self` exists, so NEON is available.
        unsafe { Self(vfmaq_f32(c.0, self.0, b.0)) }
    }
    #[inline(always)]
    fn fnma(self, b: Self, c: Self) -> Self {
        // SAFETY: `self` exists, so NEON is available.
        unsafe { Self(vfmsq_f32(c.0, self.0, b.0)) }
    }
    #[inline(always)]
    fn gt(self, b: Self) -> uint32x4_t {
        // SAFETY: `self` exists, so NEON is available.
        unsafe { vcgtq_f32(self.0, b.0) }
    }
    #[inline(always)]
    fn select(mask: uint32x4_t, yes: Self, no: Self) -> Self {
        // SAFETY: `yes` exists, so NEON is available.
        unsafe { Self(vbslq_f32(mask, yes.0, no.0)) }
    }
    #[inline(always)]
    fn pow2(self) -> Self {
        // SAFETY: `self` exists, so NEON is available.
        unsafe {
            let exponent = vaddq_s32(vcvtnq_s32_f32(self.0), vdupq_n_s32(127));
            Self(vreinterpretq_f32_s32(vshlq_n_s32::<23>(exponent)))
        }
    }
}
