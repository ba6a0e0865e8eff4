//! Between the usual layout `[B, C, H, W]` and the engine's `[G, C, H, W, 16]`, sample `16 g + l` in lane `l` of group `g`.

use super::isa::Kernels;
use super::threads::Shared;
use super::{LANES, check};

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

    /// The plain planes that lie in the lanes of packed plane `p`.
    fn lanes(&self, p: usize) -> impl Iterator<Item = usize> {
        let (first, channel) = (p / self.channels * LANES, p % self.channels);
        let (batch, channels) = (self.batch, self.channels);
        (first..(first + LANES).min(batch)).map(move |sample| sample * channels + channel)
    }
}

/// Packs `[B, C, P]` into lanes. Overwrites `packed` `[G, C, P, 16]`, lanes without a sample with zeros.
///
/// # Panics
/// When a slice's length is not the shape's.
pub fn pack(kernels: &Kernels, images: &Images, plain: &[f32], packed: &mut [f32]) {
    check("plain", plain.len(), images.plain_len());
    check("packed", packed.len(), images.packed_len());
    let (pixels, packed) = (images.pixels, Shared::new(packed));
    kernels
        .threads()
        .run(images.groups() * images.channels, |p| {
            // SAFETY: planes are disjoint.
            let to = unsafe { packed.part(p * pixels * LANES, pixels * LANES) };
            let mut from: [&[f32]; LANES] = [&[]; LANES];
            let mut filled = 0;
            for plane in images.lanes(p) {
                from[filled] = &plain[plane * pixels..][..pixels];
                filled += 1;
            }
            for (pixel, lanes) in to.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                for (lane, from) in lanes.iter_mut().zip(&from[..filled]) {
                    *lane = from[pixel];
                }
                lanes[filled..].fill(0.0);
            }
        });
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
        .run(images.groups() * images.channels, |p| {
            let from = packed[p * pixels * LANES..][..pixels * LANES]
                .as_chunks::<LANES>()
                .0;
            for (lane, plane) in images.lanes(p).enumerate() {
                // SAFETY: each plain plane is one lane of one packed plane.
                let to = unsafe { plain.part(plane * pixels, pixels) };
                for (to, lanes) in to.iter_mut().zip(from) {
                    *to = lanes[lane];
                }
            }
        });
}
