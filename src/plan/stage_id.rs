//! How stages of a plan are named among themselves.

/// A place in the list of a plan's stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StageId(u32);

impl StageId {
    /// The place of an index.
    ///
    /// # Panics
    /// Beyond 2^32 stages.
    pub(super) fn new(index: usize) -> Self {
        Self(u32::try_from(index).expect("fewer than 2^32 stages"))
    }

    /// As an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}
