//! An allocator that keeps its pages. Tensors come and go at every step in the same sizes; handing large blocks back to the
//! system costs a page fault for every 4 KiB when they are next written, more than many kernels take. Blocks it hands out
//! also start on a cache line, so that no register straddles two.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;
use std::sync::Mutex;

/// Smaller blocks are the system's: they share pages, which it keeps.
const SMALLEST: usize = 1024;
/// Size classes: four to each doubling, from `SMALLEST` to 2^39 bytes.
const CLASSES: usize = 4 * 30;
/// Bytes of a cache line.
const LINE: usize = 64;

/// A global allocator for programs that train: `#[global_allocator] static MEMORY: KeepPages = KeepPages::new();`
///
/// Memory grows to the sum over size classes of the most blocks ever in use at once, at most a quarter more than their
/// sizes, and is never handed back. Safe to share between threads.
pub struct KeepPages {
    /// For each class the first free block; each block's first word points to the next.
    free: [Mutex<Chain>; CLASSES],
}

struct Chain(*mut u8);

// SAFETY: free blocks belong to nobody else.
unsafe impl Send for Chain {}

impl KeepPages {
    /// An allocator that keeps nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            free: [const { Mutex::new(Chain(ptr::null_mut())) }; CLASSES],
        }
    }

    /// The class of a block and the bytes of its blocks, or none where the system serves it.
    fn class(layout: Layout) -> Option<(usize, Layout)> {
        if layout.size() < SMALLEST || layout.align() > LINE {
            return None;
        }
        // Sizes above `octave` and up to twice it, in quarters.
        let octave = (layout.size() - 1).ilog2();
        let quarter = 1usize << (octave - 2);
        let steps = (layout.size() - (1 << octave)).div_ceil(quarter).max(1);
        let class = 4 * (octave - (SMALLEST - 1).ilog2()) as usize + steps - 1;
        let layout = Layout::from_size_align((1 << octave) + steps * quarter, LINE).ok()?;
        (class < CLASSES).then_some((class, layout))
    }

    fn take(&self, class: usize) -> Option<*mut u8> {
        let mut chain = self.free[class]
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let first = chain.0;
        (!first.is_null()).then(|| {
            // SAFETY: a free block starts with the pointer to the next.
            chain.0 = unsafe { first.cast::<*mut u8>().read() };
            first
        })
    }
}

impl Default for KeepPages {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: a block is either the system's or at least as large and as aligned as asked for, and is in use or in one chain.
unsafe impl GlobalAlloc for KeepPages {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some((class, whole)) = Self::class(layout) else {
            // SAFETY: the caller's layout is not empty.
            return unsafe { System.alloc(layout) };
        };
        match self.take(class) {
            Some(block) => block,
            // SAFETY: the class's layout is not empty.
            None => unsafe { System.alloc(whole) },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let Some((class, whole)) = Self::class(layout) else {
            // SAFETY: the caller's layout is not empty.
            return unsafe { System.alloc_zeroed(layout) };
        };
        match self.take(class) {
            // SAFETY: the class's layout is not empty. Fresh pages are zero already.
            None => unsafe { System.alloc_zeroed(whole) },
            Some(block) => {
                // SAFETY: the block is at least as long as the layout.
                unsafe { block.write_bytes(0, layout.size()) };
                block
            }
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some((class, _)) = Self::class(layout) else {
            // SAFETY: the block came from the system with this layout.
            return unsafe { System.dealloc(block, layout) };
        };
        let mut chain = self.free[class]
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        // SAFETY: the block is no longer in use, and a line is longer than a pointer.
        unsafe { block.cast::<*mut u8>().write(chain.0) };
        chain.0 = block;
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's size is not zero and does not overflow when rounded up to the alignment.
        unsafe {
            let wanted = Layout::from_size_align_unchecked(size, layout.align());
            match (Self::class(layout), Self::class(wanted)) {
                (None, None) => System.realloc(block, layout, size),
                (Some((from, _)), Some((to, _))) if from == to => block,
                _ => {
                    let moved = self.alloc(wanted);
                    if !moved.is_null() {
                        ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
                        self.dealloc(block, layout);
                    }
                    moved
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CLASSES, KeepPages, LINE, SMALLEST};
    use std::alloc::{GlobalAlloc, Layout};

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 4).expect("a small size")
    }

    #[test]
    fn classes_hold_their_sizes_and_waste_a_quarter_at_most() {
        let mut last = 0;
        for size in (SMALLEST..1 << 16).chain([(1 << 30) - 1, 1 << 30, (1 << 30) + 1]) {
            let (class, whole) = KeepPages::class(layout(size)).expect("a class");
            assert!(
                whole.size() >= size && whole.size() <= size + size / 4 + LINE,
                "{size}: {}",
                whole.size()
            );
            assert!(
                class >= last && class < CLASSES,
                "{size}: class {class} after {last}"
            );
            last = class;
        }
        assert!(KeepPages::class(layout(SMALLEST - 1)).is_none());
    }

    #[test]
    fn blocks_come_back_aligned_and_zeroed_on_request() {
        let memory = KeepPages::new();
        // SAFETY: layouts are not empty, and each block is freed once with its own.
        unsafe {
            let block = memory.alloc(layout(5000));
            assert!((block as usize).is_multiple_of(LINE));
            block.write_bytes(7, 5000);
            memory.dealloc(block, layout(5000));
            let again = memory.alloc_zeroed(layout(5100));
            assert_eq!(again, block, "the same class, so the same pages");
            assert!(
                std::slice::from_raw_parts(again, 5100)
                    .iter()
                    .all(|&byte| byte == 0)
            );
            again.write_bytes(9, 5100);
            let moved = memory.realloc(again, layout(5100), 90_000);
            assert!(
                std::slice::from_raw_parts(moved, 5100)
                    .iter()
                    .all(|&byte| byte == 9)
            );
            let small = memory.realloc(moved, layout(90_000), 10);
            assert!(
                std::slice::from_raw_parts(small, 10)
                    .iter()
                    .all(|&byte| byte == 9)
            );
            memory.dealloc(small, layout(10));
        }
    }
}
