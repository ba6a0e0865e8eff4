//! The orders in which correlations read weights.

/// An order of a weight's numbers (sums.cu).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Form {
    /// `[inputs][taps][outputs]`.
    Forward = 0,
    /// `[outputs][taps][inputs]`.
    Backward = 1,
    /// `[inputs][4 classes x 2 x 2 taps][outputs]`: 3 x 3 taps on squares of 2 x 2.
    JointForward = 2,
    /// `[outputs][4 x 4 taps][inputs]`: the same, from the output to the input.
    JointBackward = 3,
}

impl Form {
    /// Numbers of a weight with so many outputs, inputs taken, and taps. The innermost channels are
    /// padded to a multiple of four.
    pub fn length(self, [outputs, inputs]: [usize; 2], taps: usize) -> usize {
        let slots = match self {
            Self::Forward | Self::Backward => taps,
            Self::JointForward | Self::JointBackward => 16,
        };
        let [outer, inner] = match self {
            Self::Forward | Self::JointForward => [inputs, outputs],
            Self::Backward | Self::JointBackward => [outputs, inputs],
        };
        outer * slots * inner.next_multiple_of(4)
    }
}
