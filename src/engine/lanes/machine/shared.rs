//! A slice that several tasks write at the same time, each its own part.

#![expect(
    unsafe_code,
    reason = "disjoint parts of one slice are written at a time"
)]

use std::marker::PhantomData;

/// A slice of which concurrent tasks write disjoint parts.
#[derive(Clone, Copy)]
pub struct Shared<'a> {
    start: *mut f32,
    len: usize,
    life: PhantomData<&'a mut [f32]>,
}

// SAFETY: parts are handed out only by `part`, whose callers promise that they are disjoint.
unsafe impl Send for Shared<'_> {}
// SAFETY: as above.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    /// Shares a whole slice, which stays borrowed.
    pub fn new(slice: &'a mut [f32]) -> Self {
        Self {
            start: slice.as_mut_ptr(),
            len: slice.len(),
            life: PhantomData,
        }
    }

    /// The `len` floats from `start` on.
    ///
    /// # Safety
    /// No two live parts overlap.
    pub unsafe fn part(self, start: usize, len: usize) -> &'a mut [f32] {
        assert!(
            start + len <= self.len,
            "part {start}+{len} of {}",
            self.len
        );
        // SAFETY: inside the slice, and disjoint from other parts by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), len) }
    }

    /// Floats.
    pub fn len(self) -> usize {
        self.len
    }

    /// The first float, for kernels that write scattered parts. The kernel asserts the bounds.
    pub fn pointer(self) -> *mut f32 {
        self.start
    }
}
