//! Checks of operands, and whether an output is overwritten or added to.

/// What happens to the values that an output holds before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onto {
    /// They are overwritten.
    Nothing,
    /// They are added to.
    Sums,
}

/// Panics, naming the operand, unless its length in floats is the shape's.
pub fn check(operand: &str, len: usize, expected: usize) {
    assert_eq!(len, expected, "floats in {operand}");
}
