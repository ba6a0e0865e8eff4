//! The vectors of x86-64. Every method is one or a few intrinsics.

#![expect(unsafe_code, reason = "intrinsics")]
#![expect(
    clippy::needless_range_loop,
    reason = "lanes and registers are indexed in several arrays at once"
)]

use super::vector::{Vector, lane_wise};
use std::arch::x86_64::*;

/// AVX-512: the whole group in one register.
#[derive(Clone, Copy)]
pub struct Avx512(__m512);

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
    fn prefetch_l2(p: *const f32) {
        // SAFETY: as above.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(p.cast()) }
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
    unsafe fn transpose(
        from: *const f32,
        from_step: usize,
        rows: usize,
        to: *mut f32,
        to_step: usize,
        _: usize,
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
                a[4 * i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(pair(4 * i), pair(4 * i + 2)));
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
pub struct Avx2(__m256);

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
    fn prefetch_l2(p: *const f32) {
        // SAFETY: as above.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(p.cast()) }
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
    unsafe fn transpose(
        from: *const f32,
        from_step: usize,
        rows: usize,
        to: *mut f32,
        to_step: usize,
        width: usize,
    ) {
        for (first, columns) in [(0, 0), (0, 8), (8, 0), (8, 8)] {
            if first >= width {
                break;
            }
            // SAFETY: as the trait asks.
            unsafe {
                let mut a = [_mm256_setzero_ps(); 8];
                for i in 0..8 {
                    if first + i < rows {
                        a[i] = _mm256_loadu_ps(from.add((first + i) * from_step + columns));
                    }
                }
                // Pairs, then fours within each half, then the halves.
                let mut b = a;
                for i in 0..4 {
                    b[2 * i] = _mm256_unpacklo_ps(a[2 * i], a[2 * i + 1]);
                    b[2 * i + 1] = _mm256_unpackhi_ps(a[2 * i], a[2 * i + 1]);
                }
                for i in 0..2 {
                    let pair = |i: usize| _mm256_castps_pd(b[i]);
                    for j in 0..2 {
                        let (low, high) = (pair(4 * i + j), pair(4 * i + j + 2));
                        a[4 * i + 2 * j] = _mm256_castpd_ps(_mm256_unpacklo_pd(low, high));
                        a[4 * i + 2 * j + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(low, high));
                    }
                }
                for i in 0..4 {
                    let (low, high) = (a[i], a[4 + i]);
                    let to = to.add((columns + i) * to_step + first);
                    _mm256_storeu_ps(to, _mm256_permute2f128_ps::<0x20>(low, high));
                    let to = to.add(4 * to_step);
                    _mm256_storeu_ps(to, _mm256_permute2f128_ps::<0x31>(low, high));
                }
            }
        }
    }
}
