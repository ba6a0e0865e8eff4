//! Memory in large pages where the system has them.
//!
//! A step reads dozens of planes at once. With pages of 4 KiB each access would need an address
//! translation that the processor no longer holds.

use memmap2::{MmapMut, MmapRaw};

/// Size of a large page, in bytes, on the systems that have them.
pub const LARGE: usize = 2 * 1024 * 1024;

/// Memory for floats, zeros at first, on pages of its own. Several holders may use parts of it: it
/// is reached by pointers, never borrowed as a whole.
#[derive(Debug)]
pub struct Pages(MmapRaw);

impl Pages {
    /// Room for `len` floats.
    ///
    /// # Panics
    /// When the system has no memory left.
    pub fn new(len: usize) -> Self {
        let bytes = (len * size_of::<f32>()).max(1);
        let bytes = if bytes < LARGE {
            bytes
        } else {
            bytes.next_multiple_of(LARGE)
        };
        let map = MmapMut::map_anon(bytes)
            .unwrap_or_else(|error| panic!("no memory for {bytes} bytes: {error}"));
        // A hint: without large pages it is only slower.
        #[cfg(target_os = "linux")]
        if bytes >= LARGE {
            let _ = map.advise(memmap2::Advice::HugePage);
        }
        Self(map.into())
    }

    /// Floats there is room for.
    pub fn len(&self) -> usize {
        self.0.len() / size_of::<f32>()
    }

    /// The first float; a page starts there.
    pub fn start(&self) -> *mut f32 {
        self.0.as_mut_ptr().cast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(unsafe_code, reason = "the floats are read where a pointer says")]
    fn pages_start_on_a_line_and_hold_zeros() {
        for len in [0, 1, 5_000, LARGE] {
            let pages = Pages::new(len);
            assert!(pages.len() >= len && (pages.start() as usize).is_multiple_of(64));
            // SAFETY: there are `len` floats, all bytes of them zero.
            let floats = unsafe { std::slice::from_raw_parts(pages.start(), len) };
            assert!(floats.iter().all(|value| *value == 0.0));
        }
    }
}
