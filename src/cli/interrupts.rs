//! Ctrl-C, and requests to terminate.
//!
//! The rule: the first one lets a run end at its next steps; the second, or one that comes before
//! anything runs, ends the program at once. Workers end when their parent is gone.

use std::{
    process,
    sync::{Arc, Mutex},
};

use crate::sweep::Interrupt;

/// What the next interrupt does.
#[derive(Clone, Default)]
pub(super) struct Interrupts(Arc<Mutex<Option<Interrupt>>>);

impl Interrupts {
    /// Handles interrupts from now on. Until [`Interrupts::next`] is called, one ends the program.
    pub fn listen() -> Self {
        let interrupts = Self::default();
        let listening = interrupts.clone();
        let outcome = ctrlc::set_handler(move || match listening.take() {
            Some(interrupt) => interrupt(),
            None => process::exit(130),
        });
        if let Err(error) = outcome {
            eprintln!(
                "warning: Ctrl-C will end the program at once, without saving progress: {error}"
            );
        }
        interrupts
    }

    /// Sets what the next interrupt does. The one after it ends the program.
    pub fn next(&self, interrupt: impl Fn() + Send + 'static) {
        *self
            .0
            .lock()
            .expect("no thread panics while it holds the lock") = Some(Box::new(interrupt));
    }

    /// Lets the next interrupt end the program, since nothing runs any more.
    pub fn reset(&self) {
        self.take();
    }

    fn take(&self) -> Option<Interrupt> {
        self.0
            .lock()
            .expect("no thread panics while it holds the lock")
            .take()
    }
}
