//! The trainings of a card, asked for from any thread: places for networks, plans and steps.
//!
//! A thread of its own does what is asked for (`card_thread.rs`).

use std::{
    rc::Rc,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    card_thread::{Ask, CardAnswer, CardThread, SeatNumber, StepAsked},
    machine::{Cards, CudaError},
    plan::StepPlan,
};

/// Engines that compute beside trainings at a time: predictions take little time and much memory.
const BESIDE: usize = 2;

/// How long a network waits for memory that another process may give back.
const OTHERS_MAY_END: Duration = Duration::from_secs(60);

/// The thread of a card.
#[derive(Debug)]
pub struct Conductor {
    asks: mpsc::Sender<Ask>,
    /// Networks that have a place, or wait for one.
    networks: AtomicUsize,
    is_patient: AtomicBool,
    /// Engines that may compute beside trainings at present.
    permits: Mutex<usize>,
    returned: Condvar,
}

impl Conductor {
    /// Opens a card in a thread of its own, which ends when nobody can ask any more.
    ///
    /// # Errors
    /// The card cannot be opened.
    pub fn new(cards: Cards, number: usize) -> Result<Self, CudaError> {
        let (asks, asked) = mpsc::channel();
        let (opened, told) = mpsc::sync_channel(1);
        thread::spawn(move || match cards.open(number) {
            Ok(device) => {
                let _ = opened.send(Ok(()));
                CardThread::new(Rc::new(device)).serve(&asked);
            }
            Err(error) => {
                let _ = opened.send(Err(error));
            }
        });
        told.recv().unwrap_or_else(|_| Err(gone()))?;
        Ok(Self {
            asks,
            networks: AtomicUsize::new(0),
            is_patient: AtomicBool::new(true),
            permits: Mutex::new(BESIDE),
            returned: Condvar::new(),
        })
    }

    /// Whether its thread still answers.
    pub fn is_alive(&self) -> bool {
        self.asks.send(Ask::Nothing).is_ok()
    }

    /// From now on a network that finds the card's memory full is told so, instead of waiting until
    /// others leave: for networks that wait for each other.
    pub fn never_wait(&self) {
        self.is_patient.store(false, Ordering::Relaxed);
        // The thread may have ended before.
        let _ = self.asks.send(Ask::NeverWait);
    }

    /// Leave to compute beside trainings, in memory of one's own: waits until others have given
    /// theirs back.
    pub(super) fn permit(self: &Arc<Self>) -> Permit {
        let permits = self.permits.lock().unwrap_or_else(PoisonError::into_inner);
        let permits = self.returned.wait_while(permits, |left| *left == 0);
        *permits.unwrap_or_else(PoisonError::into_inner) -= 1;
        Permit(self.clone())
    }

    /// The number of networks that are trained at present.
    pub fn networks(&self) -> usize {
        self.networks.load(Ordering::Relaxed)
    }

    fn ask<T>(&self, ask: impl FnOnce(CardAnswer<T>) -> Ask) -> Result<T, CudaError> {
        let (answer, told) = mpsc::sync_channel(1);
        self.asks.send(ask(answer)).map_err(|_| gone())?;
        told.recv().unwrap_or_else(|_| Err(gone()))
    }
}

fn gone() -> CudaError {
    CudaError::Driver {
        doing: "computing on the card",
        text: "its thread has ended".to_owned(),
    }
}

/// Leave to compute beside trainings, given back when dropped.
#[derive(Debug)]
pub(super) struct Permit(Arc<Conductor>);

impl Drop for Permit {
    fn drop(&mut self) {
        *self
            .0
            .permits
            .lock()
            .unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.returned.notify_one();
    }
}

/// A plan on a card, given back when dropped.
#[derive(Debug)]
pub struct SeatPlan {
    conductor: Arc<Conductor>,
    number: usize,
    words: usize,
    floats: usize,
}

/// A network's place on a card, given back when dropped.
#[derive(Debug)]
pub struct Seat {
    conductor: Arc<Conductor>,
    number: SeatNumber,
    floats: usize,
}

impl Seat {
    /// A place of so many floats, once the card's memory has room for it.
    ///
    /// # Errors
    /// The card's memory is too small.
    pub fn new(conductor: Arc<Conductor>, floats: usize) -> Result<Self, CudaError> {
        conductor.networks.fetch_add(1, Ordering::Relaxed);
        let until = Instant::now() + OTHERS_MAY_END;
        let number = loop {
            let number = conductor.ask(|answer| Ask::Join(floats, answer));
            match &number {
                // The rest is another process's, or computed beside trainings.
                Err(CudaError::OutOfMemory { asked, total, .. })
                    if asked < total
                        && conductor.is_patient.load(Ordering::Relaxed)
                        && Instant::now() < until =>
                {
                    thread::sleep(Duration::from_millis(500));
                }
                _ => break number,
            }
        };
        if number.is_err() {
            conductor.networks.fetch_sub(1, Ordering::Relaxed);
        }
        Ok(Self {
            number: number?,
            conductor,
            floats,
        })
    }

    /// Makes room for so many floats; what is there stays.
    ///
    /// # Errors
    /// The card's memory is too small, or full of networks that all wait for more.
    pub fn grow(&mut self, floats: usize) -> Result<(), CudaError> {
        if floats > self.floats {
            self.conductor
                .ask(|answer| Ask::Grow(self.number, floats, answer))?;
            self.floats = floats;
        }
        Ok(())
    }

    /// Writes floats from an offset on.
    ///
    /// # Errors
    /// The driver reports one.
    pub fn write(&self, at: u64, values: Vec<f32>) -> Result<(), CudaError> {
        self.conductor
            .ask(|answer| Ask::Write(self.number, at, values, answer))
    }

    /// Reads so many floats from an offset on.
    ///
    /// # Errors
    /// The driver reports one.
    pub fn read(&self, at: u64, len: usize) -> Result<Vec<f32>, CudaError> {
        self.conductor
            .ask(|answer| Ask::Read(self.number, at, len, answer))
    }

    /// Brings a plan to the card, whose steps it may do together with those of equal plans.
    ///
    /// # Errors
    /// The card's memory is full.
    pub fn plan(&self, plan: &StepPlan) -> Result<SeatPlan, CudaError> {
        let number = self
            .conductor
            .ask(|answer| Ask::Plan(Box::new(plan.clone()), answer))?;
        Ok(SeatPlan {
            conductor: self.conductor.clone(),
            number,
            words: plan.feed,
            floats: plan.floats,
        })
    }

    /// Does a step with what the processor gives; the numbers that the step gives.
    ///
    /// # Errors
    /// The driver reports one.
    ///
    /// # Panics
    /// Where the words are not as many as the plan reads, or the place is too small for it.
    pub fn step(&self, plan: &SeatPlan, words: Vec<u32>) -> Result<Vec<f32>, CudaError> {
        assert_eq!(words.len(), plan.words, "the words that the step reads");
        assert!(plan.floats <= self.floats, "the step's memory");
        self.conductor.ask(|answer| {
            Ask::Step(StepAsked {
                seat: self.number,
                plan: plan.number,
                words,
                answer,
            })
        })
    }
}

impl Drop for SeatPlan {
    fn drop(&mut self) {
        let _ = self.conductor.asks.send(Ask::Forget(self.number));
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.conductor.networks.fetch_sub(1, Ordering::Relaxed);
        // The thread may have ended before.
        let _ = self.conductor.asks.send(Ask::Leave(self.number));
    }
}
