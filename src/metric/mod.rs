//! Segmentation metrics of one prediction against one reference.
//!
//! The rule: a metric without a value is `Score::Undefined` with its reason, never NaN and never a
//! stand-in number. Where the literature has several definitions, `Definition` names the one used.

mod compared;
mod dice;
mod directed;
mod distance;
mod mask;
mod measure;
mod nsd;
mod relative_area;
mod score;
mod surface;

pub use compared::Compared;
pub use dice::dice;
pub use directed::{Assd, Directed, Hd95, percentile};
pub use distance::nearest;
pub use mask::{MaskError, MaskView, Pixel, Spacing};
pub use measure::{Better, Measure, Unit};
pub use score::{Reason, Score};
pub use surface::surface;

/// Which of the literature's definitions the surface metrics follow. The default is MedPy's (0.5).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Definition {
    /// How the two directed means are joined.
    pub assd: Assd,
    /// How the two directed sets of distances give one percentile.
    pub hd95: Hd95,
    /// The largest distance between two borders that NSD accepts, in the unit of the spacing.
    pub nsd_tolerance: f64,
}

impl Default for Definition {
    fn default() -> Self {
        Self {
            assd: Assd::default(),
            hd95: Hd95::default(),
            nsd_tolerance: 1.0,
        }
    }
}

/// The distances between the surfaces of two `[H, W]` masks, or why there are none.
///
/// # Errors
/// The masks differ in shape, or a spacing is not positive and finite.
pub fn directed(
    prediction: MaskView,
    reference: MaskView,
    spacing: Spacing,
) -> Result<Result<Directed, Reason>, MaskError> {
    prediction.same_shape(&reference)?;
    spacing.check()?;
    let predicted = surface(prediction);
    let expected = surface(reference);
    // A mask is empty exactly when its surface is: its outermost pixels are always surface.
    let reason = match (predicted.is_empty(), expected.is_empty()) {
        (true, true) => Reason::BothEmpty,
        (true, false) => Reason::EmptyPrediction,
        (false, true) => Reason::EmptyReference,
        (false, false) => return Ok(Ok(Directed::between(&predicted, &expected, spacing))),
    };
    Ok(Err(reason))
}
