//! What a layer reads: values in memory, or the output of a norm that is computed where it is read.
//! Computing it costs a multiply-add. Writing it and reading it again would cost two passes over
//! memory.

#![expect(unsafe_code, reason = "register code, and slices shared by tasks")]

use std::ops::Range;

use super::{
    norm::{self, Map, Norm, Saved},
    operand::check,
};
use crate::engine::{
    Activation,
    lanes::machine::{Kernels, LANES, Vector, scratch},
};

/// Features `[G, C, P, 16]`.
#[derive(Clone, Copy, Debug)]
pub enum Features<'a> {
    /// In memory.
    Stored(&'a [f32]),
    /// The output of a norm without residual, yet to be computed.
    Normed {
        /// What was normalised.
        norm: Norm,
        /// Input, statistics and affine tables.
        saved: Saved<'a>,
        /// What follows the affine map.
        activation: Activation,
    },
}

impl<'a> Features<'a> {
    /// Floats.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Stored(values) => values.len(),
            Self::Normed { norm, .. } => norm.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Panics, naming the operand, unless they are so many planes of so many floats.
    pub(super) fn check(&self, operand: &str, planes: usize, floats: usize) {
        check(operand, self.len(), planes * floats);
        if let Self::Normed { norm, saved, .. } = self {
            saved.check(norm);
            check(operand, norm.pixels * LANES, floats);
        }
    }

    /// The floats of room that [`FeaturePlane::read`] needs for so many floats.
    pub(super) fn room(&self, floats: usize) -> usize {
        match self {
            Self::Stored(_) => 0,
            Self::Normed { .. } => floats,
        }
    }

    /// What is in memory: the values, or a norm's input.
    pub(super) fn values(&self) -> &'a [f32] {
        match self {
            Self::Stored(values) => values,
            Self::Normed { saved, .. } => saved.x,
        }
    }

    /// The floats `at`, all of one plane.
    pub(super) fn plane(&self, at: Range<usize>) -> FeaturePlane<'a> {
        match self {
            Self::Stored(values) => FeaturePlane::Stored(&values[at]),
            Self::Normed {
                norm,
                saved,
                activation,
            } => FeaturePlane::Normed(saved.part(norm, at), *activation),
        }
    }

    /// Calls a function with all of them in memory, for kernels that cannot read them plane by
    /// plane.
    pub(super) fn with_all<R>(&self, kernels: &Kernels, work: impl FnOnce(&[f32]) -> R) -> R {
        match self {
            Self::Stored(values) => work(values),
            Self::Normed {
                norm,
                saved,
                activation,
            } => scratch(norm.len(), |all| {
                norm::apply(kernels, norm, *saved, *activation, all);
                work(all)
            }),
        }
    }
}

/// Pixels of one plane.
#[derive(Clone, Copy)]
pub(super) enum FeaturePlane<'a> {
    Stored(&'a [f32]),
    Normed(Saved<'a>, Activation),
}

impl<'a> FeaturePlane<'a> {
    /// The floats `at`: where they are, or computed into `room`.
    pub(super) fn read<'r>(
        &self,
        kernels: &Kernels,
        at: Range<usize>,
        room: &'r mut [f32],
    ) -> &'r [f32]
    where
        'a: 'r,
    {
        match *self {
            Self::Stored(values) => &values[at],
            Self::Normed(saved, activation) => {
                let room = &mut room[..at.len()];
                let saved = Saved {
                    x: &saved.x[at],
                    ..saved
                };
                // SAFETY: the instruction set is the kernels'.
                unsafe { norm::plane_apply(kernels.isa(), saved, None, activation, room) };
                room
            }
        }
    }

    /// Whether a norm's tables are one plane's.
    pub(super) fn is_plane(self) -> bool {
        match self {
            Self::Stored(_) => true,
            Self::Normed(saved, _) => saved.is_plane(),
        }
    }

    /// What is in memory: the pixels, or a norm's input.
    pub(super) fn values(self) -> &'a [f32] {
        match self {
            Self::Stored(values) => values,
            Self::Normed(saved, _) => saved.x,
        }
    }
}

/// From what is in memory to what is read, in registers.
pub(super) trait Read<V>: Copy {
    fn of(self, x: V) -> V;
}

/// Read as it is.
#[derive(Clone, Copy)]
pub(super) struct AsStored;

impl<V: Vector> Read<V> for AsStored {
    #[inline(always)]
    fn of(self, x: V) -> V {
        x
    }
}

/// Some lanes of a plane, read through a norm's affine map.
#[derive(Clone, Copy)]
pub(super) struct Mapped<V, const RELU: bool> {
    map: Map<V>,
    zero: V,
}

impl<V: Vector, const RELU: bool> Mapped<V, RELU> {
    /// The lanes from `at` on.
    ///
    /// # Safety
    /// The instruction set is available; tables hold sixteen lanes.
    #[inline(always)]
    pub(super) unsafe fn new(saved: &Saved, at: usize) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            Self {
                map: Map::new(saved, at),
                zero: V::splat(0.0),
            }
        }
    }
}

impl<V: Vector, const RELU: bool> Read<V> for Mapped<V, RELU> {
    #[inline(always)]
    fn of(self, x: V) -> V {
        let value = self.map.at(x);
        // Zero first: a NaN in the second operand survives.
        if RELU { self.zero.max(value) } else { value }
    }
}
