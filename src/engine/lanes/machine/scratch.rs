//! Memory that each thread keeps between operations, lent last in, first out.

#![expect(unsafe_code, reason = "slices of memory that is reached by pointers")]

use std::cell::RefCell;

use super::{
    pages::{LARGE, Pages},
    sample_group::LANES,
};

/// Floats of the smallest scratch memory: a large page.
const LEAST: usize = LARGE / size_of::<f32>();

thread_local! {
    static STACK: RefCell<Stack> = const {
        RefCell::new(Stack {
            slabs: Vec::new(),
            lent: Vec::new(),
        })
    };
}

/// Memory lent last in, first out.
#[derive(Default)]
struct Stack {
    slabs: Vec<Pages>,
    /// For each piece that is lent, its slab and its end.
    lent: Vec<(usize, usize)>,
}

impl Stack {
    /// The first of `len` floats behind those lent last, or in the next slab. `len` is a multiple
    /// of sixteen.
    fn lend(&mut self, len: usize) -> *mut f32 {
        let (mut slab, mut from) = self.lent.last().copied().unwrap_or_default();
        if self
            .slabs
            .get(slab)
            .is_some_and(|pages| pages.len() - from < len)
        {
            (slab, from) = (slab + 1, 0);
        }
        if self.slabs.get(slab).is_none_or(|pages| pages.len() < len) {
            // Nothing is lent from here on.
            self.slabs.truncate(slab);
            self.slabs.push(Pages::new(len.max(LEAST)));
        }
        self.lent.push((slab, from + len));
        self.slabs[slab].start().wrapping_add(from)
    }
}

/// Lends `len` floats from memory the thread keeps: fresh blocks would cost a page fault for every
/// 4 KiB. They are aligned to a cache line and hold any values, finite or not. Calls may nest; what
/// they lend lies close together, in the cache.
pub fn scratch<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    let lent = Lent::new(len.next_multiple_of(LANES));
    // SAFETY: there is room for `len` floats, initialised, and lent only once until `lent` is
    // dropped.
    work(unsafe { std::slice::from_raw_parts_mut(lent.0, len) })
}

/// A piece of the thread's stack, given back when dropped.
struct Lent(*mut f32);

impl Lent {
    fn new(len: usize) -> Self {
        Self(STACK.with_borrow_mut(|stack| stack.lend(len)))
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        STACK.with_borrow_mut(|stack| stack.lent.pop());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_scratch_memory_is_close_together_and_overlaps_nowhere() {
        let place = |floats: &[f32]| floats.as_ptr() as usize;
        let first = scratch(20, |outer| {
            outer.fill(1.0);
            scratch(33, |inner| {
                assert_eq!(place(inner), place(outer) + 32 * size_of::<f32>());
                inner.fill(2.0);
                // More than is left, and more than any slab.
                scratch(2 * LEAST, |large| large.fill(3.0));
                scratch(LEAST - 32, |large| large.fill(4.0));
                assert!(inner.iter().all(|v| *v == 2.0));
            });
            scratch(0, |nothing| assert!(nothing.is_empty()));
            assert!(outer.iter().all(|v| *v == 1.0));
            place(outer)
        });
        scratch(LEAST, |again| assert_eq!(place(again), first));
    }

    #[test]
    fn scratch_memory_comes_back_after_a_panic() {
        let place = || scratch(16, |floats| floats.as_ptr() as usize);
        let before = place();
        let panicked = std::panic::catch_unwind(|| scratch(16, |_| panic!("in a kernel")));
        assert!(panicked.is_err());
        assert_eq!(place(), before);
    }
}
