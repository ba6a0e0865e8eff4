//! A global allocator that knows the most memory which the current thread has held.
//!
//! The rule: it counts pessimistically. While a block grows, both its old and its new size are
//! held, as they are where it has to move.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    hint::black_box,
};

/// What one thread may hold. Beyond it an allocation fails, and the program with it, before the
/// machine does.
const CEILING: isize = 1 << 30;

thread_local! {
    // Constants without destructors: to read them allocates nothing.
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

/// The most bytes that `work` held at once, beside its result.
pub fn most<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    MOST.set(before);
    let result = work();
    (result, (MOST.get() - before).unsigned_abs())
}

/// Whether `bytes` more may be held; if so they count.
fn take(bytes: usize) -> bool {
    let held = HELD.get().saturating_add_unsigned(bytes);
    if held > CEILING {
        return false;
    }
    HELD.set(held);
    MOST.set(MOST.get().max(held));
    true
}

fn give_back(bytes: usize) {
    // Below zero where a thread frees what another one has made.
    HELD.set(HELD.get().saturating_sub_unsigned(bytes));
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

#[expect(unsafe_code, reason = "an allocator cannot be written without")]
// SAFETY: every block comes from `System` and goes back to it, with the layout it was made with;
// null is what an allocator returns where there is no memory. The counters never allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !take(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promises are `System`'s.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !take(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promises are `System`'s.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        give_back(layout.size());
        // SAFETY: the block is `System`'s, since every block is.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !take(size) {
            return std::ptr::null_mut();
        }
        // SAFETY: the block is `System`'s, since every block is; the rest the caller promises.
        let moved = unsafe { System.realloc(block, layout, size) };
        give_back(if moved.is_null() { size } else { layout.size() });
        moved
    }
}

#[test]
fn the_most_is_what_was_held_at_once() {
    let (kept, most) = most(|| {
        drop(black_box(vec![1_u8; 5000]));
        let mut list = black_box(Vec::with_capacity(1000));
        list.push(1_u8);
        list.reserve_exact(2000);
        black_box(list)
    });
    assert_eq!(kept, [1]);
    assert_eq!(most, 5000);
    let (_, most) = self::most(|| {
        let mut list = black_box(vec![1_u8; 3000]);
        list.reserve_exact(1000);
        black_box(list)
    });
    assert_eq!(most, 3000 + 4000);
}
