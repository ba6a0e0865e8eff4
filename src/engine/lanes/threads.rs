//! Tasks over threads, and memory that threads share or keep. The order of every sum follows from shapes alone, never from
//! the number of threads or from how work is cut into tasks, and each task writes what no other task touches: hence the same bytes on any number.

use super::LANES;
use super::pages::{LARGE, Pages};
use rayon::{ThreadPool, prelude::*};
use std::cell::RefCell;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Work below which no thread is woken, in operations on a register: that takes some ten microseconds.
const WORTH_A_THREAD: usize = 30_000;

/// Floats of the smallest scratch memory: a large page.
const LEAST: usize = LARGE / size_of::<f32>();

/// The threads kernels may use. Clones share them.
#[derive(Clone, Debug)]
pub enum Threads {
    /// The caller's own thread; no synchronisation at all.
    Caller,
    /// As many as were asked for last.
    Adjustable(Arc<Adjustable>),
}

/// A number of threads that may be changed at any time, in the middle of a step too: no result depends on it.
#[derive(Debug)]
pub struct Adjustable {
    wanted: AtomicUsize,
    /// Work below which no other thread is woken.
    worth: usize,
    pool: Mutex<Option<Arc<ThreadPool>>>,
}

impl Threads {
    /// `count` threads to begin with; they are started when there is work for them.
    #[must_use]
    pub fn new(count: NonZeroUsize) -> Self {
        Self::waking(count, WORTH_A_THREAD)
    }

    /// As [`Self::new`], but the work is shared out however little it is: to see that it changes nothing.
    #[must_use]
    pub fn eager(count: NonZeroUsize) -> Self {
        Self::waking(count, 0)
    }

    fn waking(count: NonZeroUsize, worth: usize) -> Self {
        Self::Adjustable(Arc::new(Adjustable {
            wanted: AtomicUsize::new(count.get()),
            worth,
            pool: Mutex::new(None),
        }))
    }

    /// Asks for another number of threads, from the next operation on. The caller's own thread stays alone.
    pub fn adjust(&self, count: NonZeroUsize) {
        if let Self::Adjustable(adjustable) = self {
            adjustable.wanted.store(count.get(), Ordering::Relaxed);
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::Caller => 1,
            Self::Adjustable(adjustable) => adjustable.wanted.load(Ordering::Relaxed),
        }
    }

    /// Runs `task(0)` to `task(tasks - 1)`, in any order; `each` is about how many operations on a register one takes.
    pub(super) fn run(&self, tasks: usize, each: usize, task: impl Fn(usize) + Sync + Send) {
        let pool = match self {
            Self::Adjustable(adjustable) if tasks > 1 && tasks * each >= adjustable.worth => {
                adjustable.pool()
            }
            _ => None,
        };
        match pool {
            Some(pool) => {
                pool.install(|| (0..tasks).into_par_iter().with_max_len(1).for_each(task));
            }
            None => (0..tasks).for_each(task),
        }
    }
}

impl Adjustable {
    /// The pool, of the size wanted; nothing for one thread, or where the system refuses to start more.
    fn pool(&self) -> Option<Arc<ThreadPool>> {
        let wanted = self.wanted.load(Ordering::Relaxed);
        if wanted == 1 {
            return None;
        }
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if pool
            .as_ref()
            .is_none_or(|pool| pool.current_num_threads() != wanted)
        {
            let built = rayon::ThreadPoolBuilder::new().num_threads(wanted).build();
            *pool = built.ok().map(Arc::new);
        }
        pool.clone()
    }
}

/// A slice of which concurrent tasks write disjoint parts.
#[derive(Clone, Copy)]
pub(super) struct Shared<'a> {
    start: *mut f32,
    len: usize,
    life: PhantomData<&'a mut [f32]>,
}

// SAFETY: parts are handed out by `part` alone, whose callers promise that they are disjoint.
unsafe impl Send for Shared<'_> {}
// SAFETY: as above.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    pub(super) fn new(slice: &'a mut [f32]) -> Self {
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
    pub(super) unsafe fn part(self, start: usize, len: usize) -> &'a mut [f32] {
        assert!(
            start + len <= self.len,
            "part {start}+{len} of {}",
            self.len
        );
        // SAFETY: inside the slice, and disjoint from other parts by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), len) }
    }

    pub(super) fn len(self) -> usize {
        self.len
    }

    /// The first float, for kernels that write scattered parts; bounds are theirs to assert.
    pub(super) fn pointer(self) -> *mut f32 {
        self.start
    }
}

thread_local! {
    static STACK: RefCell<Stack> = const { RefCell::new(Stack { slabs: Vec::new(), lent: Vec::new() }) };
}

/// Memory lent last in, first out.
#[derive(Default)]
struct Stack {
    slabs: Vec<Pages>,
    /// For each piece that is lent its slab, and where it ends.
    lent: Vec<(usize, usize)>,
}

impl Stack {
    /// The first of `len` floats, a multiple of sixteen, behind those lent last, or in the next slab.
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

/// Lends `len` floats, aligned to a cache line and holding anything finite or not, from memory the thread keeps:
/// fresh blocks would cost a page fault for every 4 KiB. Calls may nest; what they lend lies close together, in the cache.
pub(super) fn scratch<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    let lent = Lent::new(len.next_multiple_of(LANES));
    // SAFETY: there is room for `len` floats, initialised, and lent to nobody else until `lent` is dropped.
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
