//! Batches drawn ahead: the samples of coming steps are cut and augmented on other threads while a
//! step computes.
//!
//! A batch depends on the seed, its step and its slots alone, so it is the same wherever and
//! whenever it is drawn.

use std::{collections::VecDeque, sync::mpsc};

use rayon::ScopeFifo;

use crate::data::augment::Sample;

/// The batches of a training, in the order of its steps.
pub(super) struct Ahead<'scope, Draw> {
    draw: &'scope Draw,
    /// The next step whose batch is taken.
    next: usize,
    /// One past the last step of the training.
    end: usize,
    /// The batches from `next` on that other threads draw.
    asked: VecDeque<mpsc::Receiver<Vec<Sample>>>,
}

impl<'scope, Draw> Ahead<'scope, Draw>
where
    Draw: Fn(usize) -> Vec<Sample> + Sync,
{
    /// The batches of the steps `next..end`; `draw` makes the batch of a step.
    pub fn new(next: usize, end: usize, draw: &'scope Draw) -> Self {
        Self {
            draw,
            next,
            end,
            asked: VecDeque::new(),
        }
    }

    /// The batch of the next step. Meanwhile up to `depth` later ones are drawn on rayon's threads.
    /// A batch that was not drawn ahead is drawn by the caller.
    pub fn next(&mut self, scope: &ScopeFifo<'scope>, depth: usize) -> Vec<Sample> {
        let step = self.next;
        self.next += 1;
        let taken = self.asked.pop_front();
        let wanted = depth.min(self.end - self.next);
        for behind in self.asked.len()..wanted {
            let (sender, receiver) = mpsc::sync_channel(1);
            let (draw, step) = (self.draw, self.next + behind);
            scope.spawn_fifo(move |_| {
                // The receiver is gone where the training has ended.
                let _ = sender.send(draw(step));
            });
            self.asked.push_back(receiver);
        }
        match taken {
            Some(batch) => batch.recv().expect("drawing a batch does not panic"),
            None => (self.draw)(step),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::data::prepare::Plane;

    /// A batch that says which step it is of.
    fn batch(step: usize) -> Vec<Sample> {
        let mut image = Plane::zeros(1, 1);
        image.values[0] = step as f32;
        vec![Sample {
            image,
            masks: Vec::new(),
        }]
    }

    #[test]
    fn every_batch_comes_once_and_in_its_turn_however_many_are_drawn_ahead() {
        for depths in [[0, 0, 0], [1, 1, 1], [5, 5, 5], [0, 9, 1], [9, 0, 2]] {
            let drawn = AtomicUsize::new(0);
            let draw = |step| {
                drawn.fetch_add(1, Ordering::Relaxed);
                batch(step)
            };
            let mut steps = Vec::new();
            rayon::in_place_scope_fifo(|scope| {
                let mut ahead = Ahead::new(3, 20, &draw);
                for step in 3..20 {
                    let batch = ahead.next(scope, depths[step % 3]);
                    steps.push(batch[0].image.values[0] as usize);
                }
            });
            assert_eq!(steps, (3..20).collect::<Vec<_>>(), "{depths:?}");
            assert_eq!(drawn.into_inner(), 17, "{depths:?}");
        }
    }

    #[test]
    fn no_batch_is_drawn_beyond_the_depth() {
        let drawn = AtomicUsize::new(0);
        let draw = |step| {
            drawn.fetch_add(1, Ordering::Relaxed);
            batch(step)
        };
        rayon::in_place_scope_fifo(|scope| {
            let mut ahead = Ahead::new(0, 100, &draw);
            ahead.next(scope, 4);
            ahead.next(scope, 4);
        });
        assert_eq!(drawn.into_inner(), 6);
    }
}
