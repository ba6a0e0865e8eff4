//! Memory for values: taken from a pool, given back when dropped.
//!
//! The rule: a training asks for the same sizes at every step, so after the first nothing is
//! allocated, and no page costs a fault a second time. A buffer holds whatever it held before:
//! kernels overwrite their outputs whole.

use std::{
    cell::RefCell,
    collections::HashMap,
    ops::{Deref, DerefMut},
    ptr::NonNull,
    rc::Rc,
    slice,
};

use super::{
    LANES,
    pages::{LARGE, Pages},
};

/// Floats that are asked of the system at once, if a buffer does not want more.
const SLAB: usize = 2 * LARGE / size_of::<f32>();

/// Buffers that are free, and the memory that all are cut from.
#[derive(Clone, Debug, Default)]
pub(super) struct Buffers(Rc<RefCell<Pool>>);

#[derive(Debug, Default)]
struct Pool {
    /// Free buffers by their number of floats.
    free: HashMap<usize, Vec<NonNull<f32>>>,
    slabs: Vec<Slab>,
}

/// Memory, and how many floats of it are given out.
#[derive(Debug)]
struct Slab {
    pages: Pages,
    used: usize,
}

impl Pool {
    /// Memory never given out before.
    fn cut(&mut self, len: usize) -> NonNull<f32> {
        let fits = |slab: &Slab| slab.pages.len() - slab.used >= len;
        let at = self.slabs.iter().position(fits).unwrap_or_else(|| {
            self.slabs.push(Slab {
                pages: Pages::new(len.max(SLAB)),
                used: 0,
            });
            self.slabs.len() - 1
        });
        let slab = &mut self.slabs[at];
        // SAFETY: `len` floats from there on are inside the slab.
        let start = unsafe { slab.pages.start().add(slab.used) };
        slab.used += len;
        NonNull::new(start).expect("memory has an address")
    }
}

impl Buffers {
    /// A buffer of `len` floats, a multiple of sixteen.
    pub fn take(&self, len: usize) -> Buffer {
        assert!(len.is_multiple_of(LANES), "floats of a buffer: {len}");
        let mut pool = self.0.borrow_mut();
        let free = pool.free.get_mut(&len).and_then(Vec::pop);
        Buffer {
            start: free.unwrap_or_else(|| pool.cut(len)),
            len,
            pool: self.clone(),
        }
    }
}

/// Floats that start on a cache line: registers are loaded from lines.
#[derive(Debug)]
pub(super) struct Buffer {
    start: NonNull<f32>,
    len: usize,
    /// Keeps the memory.
    pool: Buffers,
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: the pool gave these floats, initialised, to this buffer alone, and lives as long.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above, and the buffer is borrowed alone.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut pool = self.pool.0.borrow_mut();
        pool.free.entry(self.len).or_default().push(self.start);
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
    }

    #[test]
    fn buffers_do_not_overlap_and_outlive_the_pool() {
        let pool = Buffers::default();
        let sizes = [16, SLAB - 32, 48, SLAB + 16, 16];
        let mut buffers: Vec<Buffer> = sizes.iter().map(|len| pool.take(*len)).collect();
        drop(pool);
        for (i, buffer) in buffers.iter_mut().enumerate() {
            buffer.fill(i as f32);
        }
        for (i, buffer) in buffers.iter().enumerate() {
            assert!(buffer.iter().all(|value| *value == i as f32));
        }
    }
}
