//! The decoder's joint: nearest-neighbour upsampling by two, then the skip's channels appended.

use super::isa::{Kernels, multiversion};
use super::threads::Shared;
use super::vector::Vector;
use super::{LANES, check};

/// The shapes of one joint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joint {
    /// Groups of sixteen samples.
    pub groups: usize,
    /// Channels to upsample; they come first in the result.
    pub up: usize,
    /// Channels of the skip, 0 without one.
    pub skip: usize,
    /// Height before upsampling, in pixels.
    pub height: usize,
    /// Width before upsampling, in pixels.
    pub width: usize,
}

impl Joint {
    /// Floats of one plane before upsampling.
    fn small(&self) -> usize {
        self.height * self.width * LANES
    }

    /// Floats in what is upsampled, `[G, up, H, W, 16]`.
    #[must_use]
    pub fn up_len(&self) -> usize {
        self.groups * self.up * self.small()
    }

    /// Floats in the skip, `[G, skip, 2H, 2W, 16]`.
    #[must_use]
    pub fn skip_len(&self) -> usize {
        self.groups * self.skip * 4 * self.small()
    }
}

/// Joins: overwrites `y` `[G, up + skip, 2H, 2W, 16]`; `skip` is empty where the joint has none.
///
/// # Panics
/// When a slice's length is not the shape's.
pub fn forward(kernels: &Kernels, joint: &Joint, up: &[f32], skip: &[f32], y: &mut [f32]) {
    check("up", up.len(), joint.up_len());
    check("skip", skip.len(), joint.skip_len());
    check("y", y.len(), 4 * joint.up_len() + joint.skip_len());
    let (small, channels) = (joint.small(), joint.up + joint.skip);
    let y = Shared::new(y);
    let each = 4 * small / LANES;
    kernels.threads().run(joint.groups * channels, each, |p| {
        let (group, channel) = (p / channels, p % channels);
        // SAFETY: planes are disjoint.
        let to = unsafe { y.part(p * 4 * small, 4 * small) };
        if channel < joint.up {
            enlarge(
                joint,
                &up[(group * joint.up + channel) * small..][..small],
                to,
            );
        } else {
            let from = group * joint.skip + channel - joint.up;
            to.copy_from_slice(&skip[from * 4 * small..][..4 * small]);
        }
    });
}

fn enlarge(joint: &Joint, from: &[f32], to: &mut [f32]) {
    let row = joint.width * LANES;
    for (from, to) in from.chunks_exact(row).zip(to.chunks_exact_mut(4 * row)) {
        let (first, second) = to.split_at_mut(2 * row);
        for (pixel, pair) in from
            .as_chunks::<LANES>()
            .0
            .iter()
            .zip(first.as_chunks_mut::<{ 2 * LANES }>().0)
        {
            pair[..LANES].copy_from_slice(pixel);
            pair[LANES..].copy_from_slice(pixel);
        }
        second.copy_from_slice(first);
    }
}

/// The gradient of what was upsampled: overwrites `dup` `[G, up, H, W, 16]` with sums of four.
///
/// # Panics
/// When a slice's length is not the shape's.
pub fn backward_up(kernels: &Kernels, joint: &Joint, dy: &[f32], dup: &mut [f32]) {
    check("dy", dy.len(), 4 * joint.up_len() + joint.skip_len());
    check("dup", dup.len(), joint.up_len());
    let (small, channels) = (joint.small(), joint.up + joint.skip);
    let dup = Shared::new(dup);
    let each = 4 * small / LANES;
    kernels.threads().run(joint.groups * joint.up, each, |p| {
        let from = p / joint.up * channels + p % joint.up;
        let from = &dy[from * 4 * small..][..4 * small];
        // SAFETY: planes are disjoint; the instruction set is the kernels'.
        unsafe { sum_of_four(kernels.isa(), joint.width, from, dup.part(p * small, small)) };
    });
}

/// The gradient of the skip: overwrites `dskip` `[G, skip, 2H, 2W, 16]` with copies.
///
/// # Panics
/// When a slice's length is not the shape's.
pub fn backward_skip(kernels: &Kernels, joint: &Joint, dy: &[f32], dskip: &mut [f32]) {
    check("dy", dy.len(), 4 * joint.up_len() + joint.skip_len());
    check("dskip", dskip.len(), joint.skip_len());
    let (plane, channels) = (4 * joint.small(), joint.up + joint.skip);
    let dskip = Shared::new(dskip);
    let len = joint.skip * plane;
    kernels.threads().run(joint.groups, len / LANES, |group| {
        let from = (group * channels + joint.up) * plane;
        // SAFETY: groups are disjoint.
        let to = unsafe { dskip.part(group * len, len) };
        to.copy_from_slice(&dy[from..from + len]);
    });
}

multiversion! {
    /// # Safety
    /// None beyond the instruction set.
    fn sum_of_four = sum_of_four_body(width: usize, from: &[f32], to: &mut [f32])
}

#[inline(always)]
unsafe fn sum_of_four_body<V: Vector>(width: usize, from: &[f32], to: &mut [f32]) {
    assert!(from.len() == 4 * to.len() && to.len().is_multiple_of(width * LANES));
    let wide = 2 * width * LANES;
    for row in 0..to.len() / (width * LANES) {
        for column in 0..width {
            for at in (0..LANES).step_by(V::N) {
                // SAFETY: lengths asserted: the two by two pixels are inside `from`.
                unsafe {
                    let corner = from.as_ptr().add(2 * row * wide + 2 * column * LANES + at);
                    let top = V::load(corner).add(V::load(corner.add(LANES)));
                    let bottom = V::load(corner.add(wide)).add(V::load(corner.add(wide + LANES)));
                    top.add(bottom)
                        .store(to.as_mut_ptr().add((row * width + column) * LANES + at));
                }
            }
        }
    }
}
