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
    /// From now on; so far an interrupt ends the program.
    pub fn listen() -> Self {
        let interrupts = Self::default();
        let listening = interrupts.clone();
        let outcome = ctrlc::set_handler(move || match listening.take() {
            Some(interrupt) => interrupt(),
            None => process::exit(130),
        });
        if let Err(error) = outcome {
            eprintln!("warning: Ctrl-C will end at once: {error}");
        }
        interrupts
    }

    /// Lets the next one do this, and the one after it end the program.
    pub fn next(&self, interrupt: impl Fn() + Send + 'static) {
        *self.0.lock().expect("nobody panics with it") = Some(Box::new(interrupt));
    }

    /// Lets the next one end the program again: nothing runs any more.
    pub fn reset(&self) {
        self.take();
    }

    fn take(&self) -> Option<Interrupt> {
        self.0.lock().expect("nobody panics with it").take()
    }
}
