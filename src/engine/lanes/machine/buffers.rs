//! Memory for values: taken from a pool, given back when dropped.
//!
//! The rule: a training asks for the same sizes in the same order at every step. After the first
//! step nothing is allocated, and no page costs a second fault. Free pieces that touch are joined,
//! so that memory still in the cache serves values of any size. A buffer holds whatever it held
//! before: kernels overwrite their outputs whole.

#![expect(unsafe_code, reason = "slices of memory that is reached by pointers")]

use std::{
    cell::RefCell,
    collections::BTreeMap,
    ops::{Deref, DerefMut},
    ptr::NonNull,
    rc::Rc,
    slice,
};

use super::{
    pages::{LARGE, Pages},
    sample_group::LANES,
};

/// Floats that are allocated at once, unless a buffer is larger.
const SLAB: usize = 2 * LARGE / size_of::<f32>();

/// Memory that values are cut from.
#[derive(Clone, Debug, Default)]
pub struct Buffers(Rc<RefCell<Slabs>>);

#[derive(Debug, Default)]
struct Slabs {
    slabs: Vec<Pages>,
    /// The number of free floats from an offset on. Neighbouring pieces are joined.
    free: BTreeMap<SlabOffset, usize>,
}

/// A position in one of the slabs, in floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct SlabOffset {
    slab: usize,
    at: usize,
}

impl Slabs {
    /// Takes `len` floats from the first piece that is large enough, so that the memory in use
    /// stays close together, in the cache.
    fn take(&mut self, len: usize) -> SlabOffset {
        let mut pieces = self.free.iter().map(|(place, free)| (*place, *free));
        let first = pieces.find(|(_, free)| *free >= len);
        let (place, free) = first.unwrap_or_else(|| self.grow(len));
        self.free.remove(&place);
        if free > len {
            let at = place.at + len;
            self.free.insert(SlabOffset { at, ..place }, free - len);
        }
        place
    }

    /// A new slab with room for `len` floats.
    fn grow(&mut self, len: usize) -> (SlabOffset, usize) {
        let pages = Pages::new(len.max(SLAB));
        let (slab, free) = (self.slabs.len(), pages.len());
        self.slabs.push(pages);
        (SlabOffset { slab, at: 0 }, free)
    }

    /// Takes floats back, and joins them with what is free beside them.
    fn put(&mut self, place: SlabOffset, mut len: usize) {
        let end = SlabOffset {
            at: place.at + len,
            ..place
        };
        len += self.free.remove(&end).unwrap_or(0);
        if let Some((before, free)) = self.free.range_mut(..place).next_back()
            && before.slab == place.slab
            && before.at + *free == place.at
        {
            *free += len;
            return;
        }
        self.free.insert(place, len);
    }
}

impl Buffers {
    /// A buffer of `len` floats, a multiple of sixteen.
    pub fn take(&self, len: usize) -> Buffer {
        assert!(len.is_multiple_of(LANES), "floats of a buffer: {len}");
        let mut pool = self.0.borrow_mut();
        // An empty buffer has a position too.
        let place = pool.take(len.max(LANES));
        let start = pool.slabs[place.slab].start();
        // SAFETY: `len` floats from there on are inside the slab.
        let start = unsafe { start.add(place.at) };
        Buffer {
            start: NonNull::new(start).expect("memory has an address"),
            len,
            place,
            pool: self.clone(),
        }
    }
}

/// Floats that start on a cache line: registers are loaded from lines.
#[derive(Debug)]
pub struct Buffer {
    start: NonNull<f32>,
    len: usize,
    place: SlabOffset,
    /// Keeps the memory alive.
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
        let len = self.len.max(LANES);
        self.pool.0.borrow_mut().put(self.place, len);
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
    fn what_is_free_serves_other_sizes() {
        let pool = Buffers::default();
        let places: Vec<usize> = {
            let buffers: Vec<Buffer> = [32, 0, 48, 16].map(|len| pool.take(len)).into();
            buffers.iter().map(|b| b.as_ptr() as usize).collect()
        };
        assert!(places.is_sorted() && places[0] < places[1]);
        assert_eq!(pool.take(SLAB).as_ptr() as usize, places[0]);
        let (first, second) = (pool.take(32), pool.take(16));
        drop(first);
        let third = pool.take(48);
        assert!(
            third.as_ptr() > second.as_ptr(),
            "the piece of 32 is too small"
        );
        assert_eq!(pool.take(32).as_ptr() as usize, places[0]);
    }

    #[test]
    fn a_step_like_the_one_before_takes_the_same_memory() {
        let pool = Buffers::default();
        let step = || {
            let mut places = Vec::new();
            let mut held = Vec::new();
            for (i, len) in [48, SLAB / 2, 16, SLAB, 3 * SLAB / 4, 32]
                .iter()
                .cycle()
                .take(30)
                .enumerate()
            {
                held.push(pool.take(*len));
                places.push(held[held.len() - 1].as_ptr() as usize);
                if i % 3 == 2 {
                    held.swap_remove(i / 3 % held.len());
                }
            }
            (places, pool.0.borrow().slabs.len())
        };
        // Slabs that the first step added on its way are there from the beginning in the second.
        step();
        assert_eq!(step(), step());
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
