//! The memory of a network: blocks of floats at offsets, given back when dropped.
//!
//! The rule: everything is launched on one stream, in the order in which it is recorded. So a block
//! may be taken again as soon as the last launch that uses it has been recorded. The same
//! operations in the same order take the same offsets.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

/// Floats to which offsets are aligned: 256 bytes.
const ALIGNMENT: usize = 64;

/// Offsets of one network's memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Arena(Rc<RefCell<Pieces>>);

#[derive(Debug, Default)]
struct Pieces {
    /// The length of each free piece by its offset. Neighbours are joined.
    free: BTreeMap<usize, usize>,
    /// Floats ever taken.
    end: usize,
}

/// A piece of a network's memory.
#[derive(Debug)]
pub(super) struct CardBlock {
    offset: usize,
    len: usize,
    arena: Arena,
}

impl Arena {
    /// Whether nothing of it is taken.
    pub fn is_free(&self) -> bool {
        let pieces = self.0.borrow();
        pieces.free.values().sum::<usize>() == pieces.end
    }

    /// Takes `len` floats: the smallest free piece that is large enough.
    pub fn take(&self, len: usize) -> CardBlock {
        let mut pieces = self.0.borrow_mut();
        let whole = len.max(1).next_multiple_of(ALIGNMENT);
        let fitting = pieces.free.iter().filter(|(_, free)| **free >= whole);
        let best = fitting.min_by_key(|(offset, free)| (**free, **offset));
        let offset = match best.map(|(offset, free)| (*offset, *free)) {
            Some((offset, free)) => {
                pieces.free.remove(&offset);
                if free > whole {
                    pieces.free.insert(offset + whole, free - whole);
                }
                offset
            }
            None => {
                // What is free at the end grows.
                let last = pieces.free.last_key_value();
                let last = last.map(|(offset, free)| (*offset, *free));
                let last = last.filter(|(offset, free)| offset + free == pieces.end);
                let offset = last.map_or(pieces.end, |(offset, _)| offset);
                pieces.free.remove(&offset);
                pieces.end = offset + whole;
                offset
            }
        };
        CardBlock {
            offset,
            len,
            arena: self.clone(),
        }
    }

    /// The floats that a network needs.
    pub fn len(&self) -> usize {
        self.0.borrow().end
    }
}

impl CardBlock {
    /// Where it begins, in floats.
    pub fn at(&self) -> u64 {
        self.offset as u64
    }

    /// Its length in floats.
    pub fn len(&self) -> usize {
        self.len
    }
}

impl Drop for CardBlock {
    fn drop(&mut self) {
        let mut pieces = self.arena.0.borrow_mut();
        let (mut offset, mut len) = (self.offset, self.len.max(1).next_multiple_of(ALIGNMENT));
        len += pieces.free.remove(&(offset + len)).unwrap_or(0);
        let before = pieces.free.range(..offset).next_back();
        if let Some((from, free)) = before.map(|(from, free)| (*from, *free))
            && from + free == offset
        {
            pieces.free.remove(&from);
            (offset, len) = (from, len + free);
        }
        pieces.free.insert(offset, len);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Lengths of blocks to take, and whether one is given back then.
    fn steps() -> impl Strategy<Value = Vec<(usize, bool)>> {
        proptest::collection::vec((1usize..500, any::<bool>()), 1..60)
    }

    proptest! {
        /// Blocks that are held never overlap, and all free memory is one piece at the end.
        #[test]
        fn blocks_are_disjoint(steps in steps()) {
            let arena = Arena::default();
            let mut held: Vec<CardBlock> = Vec::new();
            for (len, drop_one) in steps {
                held.push(arena.take(len));
                let mut spans: Vec<(usize, usize)> =
                    held.iter().map(|b| (b.offset, b.offset + b.len)).collect();
                spans.sort_unstable();
                prop_assert!(spans.windows(2).all(|pair| pair[0].1 <= pair[1].0));
                prop_assert!(spans.last().is_none_or(|span| span.1 <= arena.len()));
                if drop_one {
                    held.remove(len % held.len());
                }
            }
            held.clear();
            let pieces = arena.0.borrow();
            prop_assert_eq!(pieces.free.iter().collect::<Vec<_>>(), vec![(&0, &pieces.end)]);
        }
    }

    #[test]
    fn what_is_given_back_is_taken_again() {
        let arena = Arena::default();
        let (first, second) = (arena.take(100), arena.take(64));
        drop(first);
        let third = arena.take(128);
        assert_eq!((third.at(), second.at(), arena.len()), (0, 128, 192));
    }
}
