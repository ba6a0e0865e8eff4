//! A pair of masks, and what several measures need of it.

use std::cell::OnceCell;

use super::{Definition, Directed, MaskError, MaskView, Reason, Score, Spacing, directed};

/// A prediction against its reference, both `[H, W]`. What several measures need is computed once.
#[derive(Debug)]
pub struct Compared<'a> {
    /// The predicted mask.
    pub prediction: MaskView<'a>,
    /// The mask that counts as correct.
    pub reference: MaskView<'a>,
    /// Distances between rows and between columns, in the unit of all distances.
    pub spacing: Spacing,
    /// Which of the literature's definitions are followed.
    pub definition: Definition,
    surfaces: OnceCell<Result<Directed, Reason>>,
}

impl<'a> Compared<'a> {
    /// Two masks of one shape.
    ///
    /// # Errors
    /// The masks differ in shape, or a spacing is not positive and finite.
    pub fn new(
        prediction: MaskView<'a>,
        reference: MaskView<'a>,
        spacing: Spacing,
        definition: Definition,
    ) -> Result<Self, MaskError> {
        prediction.same_shape(&reference)?;
        spacing.check()?;
        Ok(Self {
            prediction,
            reference,
            spacing,
            definition,
            surfaces: OnceCell::new(),
        })
    }

    /// The distances between the surfaces of the two masks, or why there are none.
    fn surfaces(&self) -> &Result<Directed, Reason> {
        self.surfaces.get_or_init(|| {
            directed(self.prediction, self.reference, self.spacing)
                .expect("shapes and spacing were checked")
        })
    }

    /// A score computed from the surface distances; undefined where there are none.
    pub(super) fn distance(&self, of: impl Fn(&Directed) -> f64) -> Score {
        match self.surfaces() {
            Ok(distances) => Score::Value(of(distances)),
            Err(reason) => Score::Undefined(*reason),
        }
    }
}
