//! What kernels ask of their operands, and do to their outputs.

/// What a kernel does to what its output holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onto {
    /// It is overwritten.
    Nothing,
    /// It is added to.
    Sums,
}

/// Panics, naming the operand, unless its length in floats is the shape's.
pub fn check(operand: &str, len: usize, expected: usize) {
    assert_eq!(len, expected, "floats in {operand}");
}
