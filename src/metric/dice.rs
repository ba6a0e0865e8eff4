//! The Dice coefficient, the overlap of two masks.
//!
//! The rule: it is always a number; two empty masks agree perfectly.

use super::mask::{MaskError, MaskView};

/// Dice = 2 |A and B| / (|A| + |B|) of two `[H, W]` masks, in [0, 1]: 1 when both are empty, 0 when
/// one is (Dice, 1945).
///
/// # Errors
/// The masks differ in shape.
pub fn dice(prediction: MaskView, reference: MaskView) -> Result<f64, MaskError> {
    prediction.same_shape(&reference)?;
    let (mut both, mut sizes) = (0usize, 0usize);
    for row in 0..prediction.height() {
        let (row_both, row_sizes) = count(prediction.row(row), reference.row(row));
        both += row_both as usize;
        sizes += row_sizes as usize;
    }
    if sizes == 0 {
        return Ok(1.0);
    }
    Ok(2.0 * both as f64 / sizes as f64)
}

// 32-bit counters over one row let the compiler count many pixels per instruction.
fn count(prediction: &[bool], reference: &[bool]) -> (u32, u32) {
    let (mut both, mut sizes) = (0u32, 0u32);
    for (&p, &r) in prediction.iter().zip(reference) {
        both += u32::from(p & r);
        sizes += u32::from(p) + u32::from(r);
    }
    (both, sizes)
}
