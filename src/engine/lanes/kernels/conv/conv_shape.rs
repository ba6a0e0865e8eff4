//! The shape of a convolution.

use crate::engine::lanes::machine::LANES;

/// A convolution's shape: square kernel, the same stride and zero padding both ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv {
    /// Groups of sixteen samples.
    pub groups: usize,
    /// Input channels.
    pub cin: usize,
    /// Output channels.
    pub cout: usize,
    /// Input height in pixels.
    pub height: usize,
    /// Input width in pixels.
    pub width: usize,
    /// Kernel height and width, at most 7.
    pub kernel: usize,
    /// Stride, 1 or 2.
    pub stride: usize,
    /// Rows and columns of zeros around the input, less than the kernel.
    pub padding: usize,
}

impl Conv {
    /// Output height in pixels.
    #[must_use]
    pub fn out_height(&self) -> usize {
        (self.height + 2 * self.padding - self.kernel) / self.stride + 1
    }

    /// Output width in pixels.
    #[must_use]
    pub fn out_width(&self) -> usize {
        (self.width + 2 * self.padding - self.kernel) / self.stride + 1
    }

    /// Floats in the input `[G, C_in, H, W, 16]`.
    #[must_use]
    pub fn input_len(&self) -> usize {
        self.groups * self.cin * self.height * self.width * LANES
    }

    /// Floats in the output `[G, C_out, H', W', 16]`.
    #[must_use]
    pub fn output_len(&self) -> usize {
        self.groups * self.cout * self.out_height() * self.out_width() * LANES
    }

    /// Floats in the weight `[C_out, C_in, K, K]`.
    #[must_use]
    pub fn weight_len(&self) -> usize {
        self.cout * self.cin * self.kernel * self.kernel
    }

    /// Whether Winograd's transforms apply: 3x3, stride 1, padding 1.
    pub(super) fn has_transform(&self) -> bool {
        (self.kernel, self.stride, self.padding) == (3, 1, 1)
    }

    /// The correlation that computes the gradient of the input.
    pub(super) fn transposed(&self) -> Self {
        Self {
            cin: self.cout,
            cout: self.cin,
            ..*self
        }
    }

    /// Panics unless the kernels support the shape.
    pub(super) fn check(&self) {
        assert!(
            (1..=7).contains(&self.kernel)
                && (1..=2).contains(&self.stride)
                && self.padding < self.kernel,
            "{self:?}"
        );
        assert!(
            self.height + 2 * self.padding >= self.kernel
                && self.width + 2 * self.padding >= self.kernel,
            "{self:?}"
        );
        assert!(
            self.groups > 0 && self.cin > 0 && self.cout > 0 && self.height > 0 && self.width > 0,
            "{self:?}"
        );
    }
}
