//! Scores of masks: against references, for any masks, and as a manifest reports them.

mod properties;
mod reference;
mod surface_dice;
mod measures;
