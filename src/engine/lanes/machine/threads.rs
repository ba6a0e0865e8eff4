//! Tasks over threads.
//!
//! The order of every sum follows from shapes only, never from the number of threads or from how
//! work is cut into tasks. Each task writes what no other task touches. Hence any number of threads
//! gives the same bytes.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use rayon::{ThreadPool, prelude::*};

/// Work below which no thread is woken, in operations on a register. Waking one takes some ten
/// microseconds.
const WORTH_A_THREAD: usize = 30_000;

/// The threads kernels may use. Clones share them.
#[derive(Clone, Debug)]
pub enum Threads {
    /// The caller's own thread; no synchronisation at all.
    Caller,
    /// The number asked for last.
    Adjustable(Arc<Adjustable>),
}

/// A number of threads that may be changed at any time, also in the middle of a step: no result
/// depends on it.
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

    /// As [`Self::new`], but the work is shared out however little it is. For tests that threads
    /// change no result.
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

    /// Asks for another number of threads, from the next operation on. [`Self::Caller`] stays one
    /// thread.
    pub fn adjust(&self, count: NonZeroUsize) {
        if let Self::Adjustable(adjustable) = self {
            adjustable.wanted.store(count.get(), Ordering::Relaxed);
        }
    }

    /// The number of threads.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::Caller => 1,
            Self::Adjustable(adjustable) => adjustable.wanted.load(Ordering::Relaxed),
        }
    }

    /// Runs `task(0)` to `task(tasks - 1)`, in any order. `each` is the approximate work of one
    /// task, in operations on a register.
    pub(in crate::engine::lanes) fn run(
        &self,
        tasks: usize,
        each: usize,
        task: impl Fn(usize) + Sync + Send,
    ) {
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
    /// The pool, of the size wanted. `None` for one thread, or where no more can be started.
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
