//! Memory for values: taken from a pool, given back when dropped.
//!
//! The rule: a training asks for the same sizes at every step, so after the first nothing is
//! allocated, and no page costs a fault a second time. A buffer holds whatever it held before:
//! kernels overwrite their outputs whole.

use std::{
    cell::RefCell,
    collections::HashMap,
    ops::{Deref, DerefMut},
    rc::Rc,
    slice,
};

use super::LANES;

/// One cache line: the values of one pixel. Registers are loaded from lines that start on a line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([f32; LANES]);

type Lines = Vec<Line>;

/// Free buffers by their number of lines.
#[derive(Clone, Debug, Default)]
pub(super) struct Buffers(Rc<RefCell<HashMap<usize, Vec<Lines>>>>);

impl Buffers {
    /// A buffer of `len` floats, a multiple of sixteen.
    pub fn take(&self, len: usize) -> Buffer {
        assert!(len.is_multiple_of(LANES), "floats of a buffer: {len}");
        let lines = len / LANES;
        let free = self.0.borrow_mut().get_mut(&lines).and_then(Vec::pop);
        Buffer {
            lines: free.unwrap_or_else(|| vec![Line([0.0; LANES]); lines]),
            hidden: 0,
            pool: self.clone(),
        }
    }
}

/// Floats that start on a cache line.
#[derive(Debug)]
pub(super) struct Buffer {
    lines: Lines,
    /// Lines that are not shown any more.
    hidden: usize,
    pool: Buffers,
}

impl Buffer {
    /// The same memory without its first `len` floats, a multiple of sixteen.
    pub fn tail(mut self, len: usize) -> Self {
        self.hidden += len / LANES;
        assert!(len.is_multiple_of(LANES) && self.hidden <= self.lines.len());
        self
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        let lines = &self.lines[self.hidden..];
        // SAFETY: a line is sixteen floats without padding, and all lines are initialised.
        unsafe { slice::from_raw_parts(lines.as_ptr().cast(), lines.len() * LANES) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        let lines = &mut self.lines[self.hidden..];
        // SAFETY: as above, and the buffer is borrowed alone.
        unsafe { slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), lines.len() * LANES) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        self.pool
            .0
            .borrow_mut()
            .entry(lines.len())
            .or_default()
            .push(lines);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_and_starts_on_a_line() {
        let pool = Buffers::default();
        let mut first = pool.take(48);
        first.fill(7.0);
        let place = first.as_ptr();
        assert!((place as usize).is_multiple_of(64));
        let second = pool.take(48);
        assert_ne!(second.as_ptr(), place);
        drop(first);
        assert_eq!(pool.take(48).as_ptr(), place);
        assert_eq!(pool.take(64).len(), 64);
        let tail = pool.take(48).tail(16);
        assert_eq!((tail.len(), tail[0]), (32, 7.0));
        drop(tail);
        assert_eq!(pool.take(48).as_ptr(), place);
    }
}
