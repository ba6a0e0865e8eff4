//! Between the usual layout `[B, C, H, W]` and the engine's `[G, C, H, W, 16]`, which has sample
//! `16 g + l` in lane `l` of group `g`.

#![expect(unsafe_code, reason = "register code, and slices shared by tasks")]

use super::operand::check;
use crate::engine::lanes::machine::{Kernels, LANES, Shared, Vector, multiversion};

/// The images to move, `[B, C, P]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Images {
    /// Samples.
    pub batch: usize,
    /// Channels.
    pub channels: usize,
    /// Pixels of a plane, height times width.
    pub pixels: usize,
}

impl Images {
    /// Groups of sixteen samples, the last perhaps not full.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.batch.div_ceil(LANES)
    }

    /// Floats in `[B, C, P]`.
    #[must_use]
    pub fn plain_len(&self) -> usize {
        self.batch * self.channels * self.pixels
    }

    /// Floats in `[G, C, P, 16]`.
    #[must_use]
    pub fn packed_len(&self) -> usize {
        self.groups() * self.channels * self.pixels * LANES
    }

    /// Which plain planes lie in the lanes of packed plane `p`: the first, planes from one to the
    /// next, how many.
    fn lanes(&self, p: usize) -> (usize, usize, usize) {
        let (sample, channel) = (p / self.channels * LANES, p % self.channels);
        let samples = LANES.min(self.batch - sample);
        (sample * self.channels + channel, self.channels, samples)
    }
}

/// Packs `[B, C, P]` into lanes. Overwrites `packed` `[G, C, P, 16]`, lanes without a sample with
/// zeros.
///
/// # Panics
/// When a slice's length is not the shape's.
pub fn pack(kernels: &Kernels, images: &Images, plain: &[f32], packed: &mut [f32]) {
    check("plain", plain.len(), images.plain_len());
    check("packed", packed.len(), images.packed_len());
    let (pixels, packed) = (images.pixels, Shared::new(packed));
    kernels
        .threads()
        .run(images.groups() * images.channels, 4 * pixels, |p| {
            // SAFETY: planes are disjoint.
            let to = unsafe { packed.part(p * pixels * LANES, pixels * LANES) };
            let (first, step, samples) = images.lanes(p);
            // SAFETY: the instruction set is the kernels'.
            unsafe {
                pack_plane(
                    kernels.isa(),
                    &plain[first * pixels..],
                    step * pixels,
                    samples,
                    to,
                )
            };
        });
}

multiversion! {
    /// Writes `[P, 16]` from planes `step` floats apart, one for each of the first `samples` lanes.
    ///
    /// # Safety
    /// None beyond the instruction set.
    fn pack_plane = pack_plane_body(plain: &[f32], step: usize, samples: usize, to: &mut [f32])
}

#[inline(always)]
unsafe fn pack_plane_body<V: Vector>(plain: &[f32], step: usize, samples: usize, to: &mut [f32]) {
    let pixels = to.len() / LANES;
    assert!((1..=LANES).contains(&samples) && plain.len() >= (samples - 1) * step + pixels);
    let whole = pixels / LANES * LANES;
    for pixel in (0..whole).step_by(LANES) {
        // SAFETY: sixteen pixels of every plane, and of `to`, are left.
        unsafe {
            V::transpose(
                plain.as_ptr().add(pixel),
                step,
                samples,
                to.as_mut_ptr().add(pixel * LANES),
                LANES,
                LANES,
            )
        };
    }
    for (pixel, lanes) in to
        .as_chunks_mut::<LANES>()
        .0
        .iter_mut()
        .enumerate()
        .skip(whole)
    {
        *lanes = std::array::from_fn(|lane| match lane < samples {
            true => plain[lane * step + pixel],
            false => 0.0,
        });
    }
}

/// Unpacks lanes into `[B, C, P]`. Overwrites `plain`; lanes without a sample are left out.
///
/// # Panics
/// When a slice's length is not the shape's.
pub fn unpack(kernels: &Kernels, images: &Images, packed: &[f32], plain: &mut [f32]) {
    check("plain", plain.len(), images.plain_len());
    check("packed", packed.len(), images.packed_len());
    let (pixels, plain) = (images.pixels, Shared::new(plain));
    kernels
        .threads()
        .run(images.groups() * images.channels, 4 * pixels, |p| {
            let from = packed[p * pixels * LANES..][..pixels * LANES]
                .as_chunks::<LANES>()
                .0;
            let (first, step, samples) = images.lanes(p);
            for lane in 0..samples {
                // SAFETY: each plain plane is one lane of one packed plane.
                let to = unsafe { plain.part((first + lane * step) * pixels, pixels) };
                for (to, lanes) in to.iter_mut().zip(from) {
                    *to = lanes[lane];
                }
            }
        });
}
