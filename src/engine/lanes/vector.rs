//! One register of samples. Kernels are written once over [`Vector`]; a vector value can only come from
//! its unsafe constructors, so its existence proves that the instruction set is switched on.

/// A register of `N` f32 lanes; the sixteen samples of a group are `16 / N` of them.
pub(super) trait Vector: Copy {
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
    fn max(self, b: Self) -> Self;
    fn sqrt(self) -> Self;
    /// `self * b + c`.
    fn fma(self, b: Self, c: Self) -> Self;
    /// `c - self * b`.
    fn fnma(self, b: Self, c: Self) -> Self;
    /// `self > b`, false where either is NaN.
    fn gt(self, b: Self) -> Self::Mask;
    /// `yes` where the mask holds, else `no`.
    fn select(mask: Self::Mask, yes: Self, no: Self) -> Self;
    /// `2^self` for integral lanes in -126..=127.
    fn pow2(self) -> Self;
    /// The sum of the lanes, in a fixed order.
    fn sum(self) -> f32;

    /// Asks for a cache line that will be read soon; any address will do, valid or not.
    #[inline(always)]
    fn prefetch(_: *const f32) {}

    /// Transposes sixteen rows of sixteen floats; rows from `rows` on are not read but zeros.
    ///
    /// # Safety
    /// The instruction set is available; `rows` rows of `from` and sixteen of `to`, `step` floats apart, are valid.
    #[inline(always)]
    unsafe fn transpose(
        from: *const f32,
        from_step: usize,
        rows: usize,
        to: *mut f32,
        to_step: usize,
    ) {
        for row in 0..16 {
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

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Vector;
    use std::arch::x86_64::*;

    /// AVX-512: the whole group in one register.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx512(__m512);

    impl Vector for Avx512 {
        type Mask = __mmask16;
        const N: usize = 16;
        const WIDE: bool = true;

        #[inline(always)]
        fn prefetch(p: *const f32) {
            // SAFETY: every x86-64 has the instruction, and it faults on no address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
        }
        #[inline(always)]
        unsafe fn load(p: *const f32) -> Self {
            // SAFETY: as the trait asks.
            unsafe { Self(_mm512_loadu_ps(p)) }
        }
        #[inline(always)]
        unsafe fn splat(x: f32) -> Self {
            // SAFETY: as the trait asks.
            unsafe { Self(_mm512_set1_ps(x)) }
        }
        #[inline(always)]
        unsafe fn store(self, p: *mut f32) {
            // SAFETY: as the trait asks.
            unsafe { _mm512_storeu_ps(p, self.0) }
        }
        lane_wise! {
            add = _mm512_add_ps(b);
            sub = _mm512_sub_ps(b);
            mul = _mm512_mul_ps(b);
            div = _mm512_div_ps(b);
            max = _mm512_max_ps(b);
            sqrt = _mm512_sqrt_ps();
            fma = _mm512_fmadd_ps(b, c);
            fnma = _mm512_fnmadd_ps(b, c);
        }
        #[inline(always)]
        fn gt(self, b: Self) -> __mmask16 {
            // SAFETY: `self` exists, so AVX-512 is available.
            unsafe { _mm512_cmp_ps_mask::<_CMP_GT_OQ>(self.0, b.0) }
        }
        #[inline(always)]
        fn select(mask: __mmask16, yes: Self, no: Self) -> Self {
            // SAFETY: `yes` exists, so AVX-512 is available.
            unsafe { Self(_mm512_mask_blend_ps(mask, no.0, yes.0)) }
        }
        #[inline(always)]
        fn pow2(self) -> Self {
            // SAFETY: `self` exists, so AVX-512 is available.
            unsafe {
                let exponent = _mm512_add_epi32(_mm512_cvtps_epi32(self.0), _mm512_set1_epi32(127));
                Self(_mm512_castsi512_ps(_mm512_slli_epi32::<23>(exponent)))
            }
        }
        #[inline(always)]
        fn sum(self) -> f32 {
            // SAFETY: `self` exists, so AVX-512 is available.
            unsafe { _mm512_reduce_add_ps(self.0) }
        }
        #[inline(always)]
        unsafe fn transpose(
            from: *const f32,
            from_step: usize,
            rows: usize,
            to: *mut f32,
            to_step: usize,
        ) {
            // SAFETY: as the trait asks.
            unsafe {
                let mut a = [_mm512_setzero_ps(); 16];
                for i in 0..16 {
                    if i < rows {
                        a[i] = _mm512_loadu_ps(from.add(i * from_step));
                    }
                }
                // Pairs, then fours within each 128-bit quarter, then the quarters twice.
                let mut b = a;
                for i in 0..8 {
                    b[2 * i] = _mm512_unpacklo_ps(a[2 * i], a[2 * i + 1]);
                    b[2 * i + 1] = _mm512_unpackhi_ps(a[2 * i], a[2 * i + 1]);
                }
                for i in 0..4 {
                    let pair = |i: usize| _mm512_castps_pd(b[i]);
                    a[4 * i] = _mm512_castpd_ps(_mm512_unpacklo_pd(pair(4 * i), pair(4 * i + 2)));
                    a[4 * i + 1] =
                        _mm512_castpd_ps(_mm512_unpackhi_pd(pair(4 * i), pair(4 * i + 2)));
                    a[4 * i + 2] =
                        _mm512_castpd_ps(_mm512_unpacklo_pd(pair(4 * i + 1), pair(4 * i + 3)));
                    a[4 * i + 3] =
                        _mm512_castpd_ps(_mm512_unpackhi_pd(pair(4 * i + 1), pair(4 * i + 3)));
                }
                for i in 0..4 {
                    b[i] = _mm512_shuffle_f32x4::<0x88>(a[i], a[4 + i]);
                    b[4 + i] = _mm512_shuffle_f32x4::<0xdd>(a[i], a[4 + i]);
                    b[8 + i] = _mm512_shuffle_f32x4::<0x88>(a[8 + i], a[12 + i]);
                    b[12 + i] = _mm512_shuffle_f32x4::<0xdd>(a[8 + i], a[12 + i]);
                }
                for i in 0..8 {
                    let (low, high) = (b[i], b[8 + i]);
                    _mm512_storeu_ps(to.add(i * to_step), _mm512_shuffle_f32x4::<0x88>(low, high));
                    _mm512_storeu_ps(
                        to.add((8 + i) * to_step),
                        _mm512_shuffle_f32x4::<0xdd>(low, high),
                    );
                }
            }
        }
    }

    /// AVX2 with FMA: the group is two registers.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx2(__m256);

    impl Vector for Avx2 {
        type Mask = __m256;
        const N: usize = 8;
        const WIDE: bool = false;

        #[inline(always)]
        fn prefetch(p: *const f32) {
            // SAFETY: every x86-64 has the instruction, and it faults on no address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
        }
        #[inline(always)]
        unsafe fn load(p: *const f32) -> Self {
            // SAFETY: as the trait asks.
            unsafe { Self(_mm256_loadu_ps(p)) }
        }
        #[inline(always)]
        unsafe fn splat(x: f32) -> Self {
            // SAFETY: as the trait asks.
            unsafe { Self(_mm256_set1_ps(x)) }
        }
        #[inline(always)]
        unsafe fn store(self, p: *mut f32) {
            // SAFETY: as the trait asks.
            unsafe { _mm256_storeu_ps(p, self.0) }
        }
        lane_wise! {
            add = _mm256_add_ps(b);
            sub = _mm256_sub_ps(b);
            mul = _mm256_mul_ps(b);
            div = _mm256_div_ps(b);
            max = _mm256_max_ps(b);
            sqrt = _mm256_sqrt_ps();
            fma = _mm256_fmadd_ps(b, c);
            fnma = _mm256_fnmadd_ps(b, c);
        }
        #[inline(always)]
        fn gt(self, b: Self) -> __m256 {
            // SAFETY: `self` exists, so AVX2 is available.
            unsafe { _mm256_cmp_ps::<_CMP_GT_OQ>(self.0, b.0) }
        }
        #[inline(always)]
        fn select(mask: __m256, yes: Self, no: Self) -> Self {
            // SAFETY: `yes` exists, so AVX2 is available.
            unsafe { Self(_mm256_blendv_ps(no.0, yes.0, mask)) }
        }
        #[inline(always)]
        fn pow2(self) -> Self {
            // SAFETY: `self` exists, so AVX2 is available.
            unsafe {
                let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(self.0), _mm256_set1_epi32(127));
                Self(_mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent)))
            }
        }
        #[inline(always)]
        fn sum(self) -> f32 {
            // SAFETY: `self` exists, so AVX2 is available.
            unsafe {
                let four = _mm_add_ps(
                    _mm256_castps256_ps128(self.0),
                    _mm256_extractf128_ps::<1>(self.0),
                );
                let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
                _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
            }
        }
    }
}

#[cfg(target_arch = "aarch64")]
pub(super) use arm::Neon;

#[cfg(target_arch = "aarch64")]
mod arm {
    use super::Vector;
    use std::arch::aarch64::*;

    /// NEON: the group is four registers.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Neon(float32x4_t);

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
            max = vmaxq_f32(b);
            sqrt = vsqrtq_f32();
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
        #[inline(always)]
        fn sum(self) -> f32 {
            // SAFETY: `self` exists, so NEON is available.
            unsafe { vaddvq_f32(self.0) }
        }
    }
}

/// Any machine: four lanes in an array, which compilers turn into what registers there are.
#[derive(Clone, Copy)]
pub(super) struct Portable([f32; 4]);

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
