//! One thread for each card trains all networks there: whatever steps are asked for at a moment, by
//! any thread, are done in one launch for all networks of one plan.
//!
//! The rule: a network's numbers do not depend on its company. Networks share nothing but the table
//! of places in use; so trainings join and leave between any two steps.

use std::{
    collections::HashMap,
    rc::Rc,
    sync::{Arc, mpsc},
    thread,
};

use super::{
    machine::{
        Cards, CudaError, Device, Graph, Memory, Pinned,
        launch::{FEED_HEAD, Gathered, Launch, Networks},
    },
    plan::StepPlan,
};

/// Networks of one launch.
const MOST: usize = FEED_HEAD;

type CardAnswer<T> = mpsc::SyncSender<Result<T, CudaError>>;

/// What a thread asks for.
enum Ask {
    /// A place of so many floats.
    Join(usize, CardAnswer<SeatPlace>),
    /// A larger place, with what was in the one before.
    Move(SeatPlace, usize, CardAnswer<SeatPlace>),
    Write(SeatPlace, u64, Vec<f32>, CardAnswer<()>),
    Read(SeatPlace, u64, usize, CardAnswer<Vec<f32>>),
    /// The number of a plan.
    Plan(Box<StepPlan>, CardAnswer<usize>),
    /// A plan that one network less needs.
    Forget(usize),
    Step(StepAsked),
    Leave(SeatPlace),
}

/// A step of one network.
struct StepAsked {
    place: SeatPlace,
    plan: usize,
    words: Vec<u32>,
    answer: CardAnswer<Vec<f32>>,
}

/// A place among the networks of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SeatPlace {
    floats: usize,
    number: usize,
}

/// The thread of a card.
#[derive(Debug)]
pub struct Conductor {
    asks: mpsc::Sender<Ask>,
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
        Ok(Self { asks })
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
    place: SeatPlace,
}

impl Seat {
    /// A place of so many floats.
    ///
    /// # Errors
    /// The card's memory is full.
    pub fn new(conductor: Arc<Conductor>, floats: usize) -> Result<Self, CudaError> {
        let place = conductor.ask(|answer| Ask::Join(floats, answer))?;
        Ok(Self { conductor, place })
    }

    /// Makes room for so many floats; what is there stays.
    ///
    /// # Errors
    /// The card's memory is full.
    pub fn grow(&mut self, floats: usize) -> Result<(), CudaError> {
        if floats > self.place.floats {
            self.place = self
                .conductor
                .ask(|answer| Ask::Move(self.place, floats, answer))?;
        }
        Ok(())
    }

    /// Writes floats from an offset on.
    ///
    /// # Errors
    /// The driver reports one.
    pub fn write(&self, at: u64, values: Vec<f32>) -> Result<(), CudaError> {
        self.conductor
            .ask(|answer| Ask::Write(self.place, at, values, answer))
    }

    /// Reads so many floats from an offset on.
    ///
    /// # Errors
    /// The driver reports one.
    pub fn read(&self, at: u64, len: usize) -> Result<Vec<f32>, CudaError> {
        self.conductor
            .ask(|answer| Ask::Read(self.place, at, len, answer))
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
        assert!(plan.floats <= self.place.floats, "the step's memory");
        self.conductor.ask(|answer| {
            Ask::Step(StepAsked {
                place: self.place,
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
        // The thread may have ended before.
        let _ = self.conductor.asks.send(Ask::Leave(self.place));
    }
}

/// The card, in its thread.
struct CardThread {
    device: Rc<Device>,
    /// Networks by the floats of each.
    fleets: HashMap<usize, Fleet>,
    /// By their numbers; none where nobody needs it any more.
    programs: Vec<Option<Program>>,
}

/// Networks of one size, one behind the other.
#[derive(Default)]
struct Fleet {
    memory: Option<Memory>,
    used: Vec<bool>,
}

/// A plan on the card.
struct Program {
    plan: StepPlan,
    /// Networks that need it.
    users: usize,
    constants: Memory,
    /// Room for so many networks: their words, and the numbers that they give.
    room: usize,
    pinned: Pinned,
    feed: Memory,
    outputs: Memory,
    /// By the number of networks and the floats of each, with the address of their memory: memory
    /// that is given back may come again for networks of another size.
    graphs: HashMap<[usize; 2], (u64, Graph)>,
}

impl CardThread {
    fn new(device: Rc<Device>) -> Self {
        Self {
            device,
            fleets: HashMap::new(),
            programs: Vec::new(),
        }
    }

    /// Answers until nobody can ask any more.
    fn serve(mut self, asks: &mpsc::Receiver<Ask>) {
        while let Ok(first) = asks.recv() {
            let mut steps: Vec<StepAsked> = Vec::new();
            self.take(first, &mut steps);
            while let Ok(more) = asks.try_recv() {
                self.take(more, &mut steps);
            }
            while let Some(first) = steps.first() {
                let (plan, floats) = (first.plan, first.place.floats);
                let alike = |step: &mut StepAsked| step.place.floats == floats && step.plan == plan;
                let mut together: Vec<StepAsked> = steps.extract_if(.., alike).collect();
                let later = together.split_off(together.len().min(MOST));
                steps.splice(0..0, later);
                self.step(plan, together);
            }
        }
    }

    fn take(&mut self, ask: Ask, steps: &mut Vec<StepAsked>) {
        // A thread that has stopped waiting is told nothing.
        match ask {
            Ask::Join(floats, answer) => {
                let _ = answer.send(self.join(floats));
            }
            Ask::Move(place, floats, answer) => {
                let _ = answer.send(self.relocate(place, floats));
            }
            Ask::Write(place, at, values, answer) => {
                let written = self.memory(place).write(bytes_at(place, at), &values);
                let _ = answer.send(written);
            }
            Ask::Read(place, at, len, answer) => {
                let mut values = vec![0.0; len];
                let read = self.memory(place).read(bytes_at(place, at), &mut values);
                let _ = answer.send(read.map(|()| values));
            }
            Ask::Plan(plan, answer) => {
                let _ = answer.send(self.program(*plan));
            }
            Ask::Forget(number) => {
                if let Some(program) = &mut self.programs[number] {
                    program.users -= 1;
                    if program.users == 0 {
                        self.programs[number] = None;
                    }
                }
            }
            Ask::Step(step) => steps.push(step),
            Ask::Leave(place) => {
                if let Some(fleet) = self.fleets.get_mut(&place.floats) {
                    fleet.used[place.number] = false;
                    if !fleet.used.contains(&true) {
                        self.fleets.remove(&place.floats);
                    }
                }
            }
        }
    }

    /// The number of a plan, brought to the card where there is no equal one.
    fn program(&mut self, plan: StepPlan) -> Result<usize, CudaError> {
        let mut known = self.programs.iter_mut().enumerate();
        let known = known.find_map(|(number, program)| {
            let program = program.as_mut().filter(|program| program.plan == plan)?;
            program.users += 1;
            Some(number)
        });
        if let Some(number) = known {
            return Ok(number);
        }
        let program = Some(Program::new(&self.device, plan, 1)?);
        match self.programs.iter().position(Option::is_none) {
            Some(free) => {
                self.programs[free] = program;
                Ok(free)
            }
            None => {
                self.programs.push(program);
                Ok(self.programs.len() - 1)
            }
        }
    }

    fn memory(&self, place: SeatPlace) -> &Memory {
        let fleet = &self.fleets[&place.floats];
        fleet.memory.as_ref().expect("a place has memory")
    }

    fn join(&mut self, floats: usize) -> Result<SeatPlace, CudaError> {
        let fleet = self.fleets.entry(floats).or_default();
        let free = fleet.used.iter().position(|used| !used);
        let number = match free {
            Some(number) => number,
            None => {
                let before = fleet.used.len();
                // Twice as many, or one more where that does not fit.
                let places = [(2 * before).max(1), before + 1];
                let allocate = |places: usize| {
                    let memory = self.device.allocate(places * floats * size_of::<f32>())?;
                    Ok::<_, CudaError>((places, memory))
                };
                let made = allocate(places[0]).or_else(|_| allocate(places[1]));
                let (places, memory) = match made {
                    Ok(made) => made,
                    Err(error) => {
                        if before == 0 {
                            self.fleets.remove(&floats);
                        }
                        return Err(error);
                    }
                };
                if let Some(before) = &fleet.memory {
                    memory.copy_from(0, before, 0, before.bytes())?;
                    self.device.wait()?;
                }
                fleet.memory = Some(memory);
                fleet.used.resize(places, false);
                before
            }
        };
        fleet.used[number] = true;
        Ok(SeatPlace { floats, number })
    }

    fn relocate(&mut self, place: SeatPlace, floats: usize) -> Result<SeatPlace, CudaError> {
        let to = self.join(floats)?;
        let bytes = place.floats * size_of::<f32>();
        let from = self.memory(place);
        let at = [to, place].map(|place| bytes_at(place, 0));
        self.memory(to).copy_from(at[0], from, at[1], bytes)?;
        self.device.wait()?;
        self.take(Ask::Leave(place), &mut Vec::new());
        Ok(to)
    }

    /// Does one step of some networks, and tells each what it gives.
    fn step(&mut self, plan: usize, steps: Vec<StepAsked>) {
        let given = self.launch(plan, &steps);
        let program = self.programs[plan].as_ref();
        let count = program.expect("a network needs it").plan.outputs.len();
        for (i, step) in steps.into_iter().enumerate() {
            let own = |all: &Vec<f32>| all[i * count..][..count].to_vec();
            let _ = step
                .answer
                .send(given.as_ref().map(own).map_err(Clone::clone));
        }
    }

    fn launch(&mut self, plan: usize, steps: &[StepAsked]) -> Result<Vec<f32>, CudaError> {
        let device = &self.device;
        let count = steps.len().next_power_of_two();
        let floats = steps[0].place.floats;
        let arena = self.fleets[&floats].memory.as_ref();
        let arena = arena.expect("a place has memory").address();
        let program = self.programs[plan].as_mut().expect("a network needs it");
        if program.room < count {
            *program = Program {
                users: program.users,
                ..Program::new(device, program.plan.clone(), count)?
            };
        }
        let plan = &program.plan;
        let feed = plan.feed.next_multiple_of(4);
        let words: &mut [u32] = bytemuck::cast_slice_mut(program.pinned.floats());
        words[..FEED_HEAD].fill(u32::MAX);
        for (i, step) in steps.iter().enumerate() {
            words[i] = step.place.number as u32;
            words[FEED_HEAD + i * feed..][..plan.feed].copy_from_slice(&step.words);
        }
        let bytes = (FEED_HEAD + steps.len() * feed) * size_of::<u32>();
        program.feed.write_pinned(&program.pinned, bytes)?;
        let key = [count, floats];
        let graph = match program.graphs.get(&key) {
            Some((address, graph)) if *address == arena => graph,
            _ => {
                let graph = program.graph(device, key, arena)?;
                &program
                    .graphs
                    .entry(key)
                    .insert_entry((arena, graph))
                    .into_mut()
                    .1
            }
        };
        graph.launch()?;
        let mut given = vec![0.0; steps.len() * plan.outputs.len()];
        program.outputs.read(0, &mut given)?;
        Ok(given)
    }
}

/// Where an offset of a place is.
fn bytes_at(place: SeatPlace, at: u64) -> usize {
    (place.number * place.floats + at as usize) * size_of::<f32>()
}

impl Program {
    fn new(device: &Rc<Device>, plan: StepPlan, room: usize) -> Result<Self, CudaError> {
        let feed = (FEED_HEAD + room * plan.feed.next_multiple_of(4)) * size_of::<u32>();
        let table: Vec<u64> = plan
            .constants
            .iter()
            .chain(&plan.outputs)
            .copied()
            .collect();
        let constants = device.allocate(table.len() * size_of::<u64>())?;
        constants.write(0, &table)?;
        Ok(Self {
            outputs: device.allocate(room * plan.outputs.len() * size_of::<f32>())?,
            plan,
            users: 1,
            constants,
            room,
            pinned: Pinned::new(device, feed)?,
            feed: device.allocate(feed)?,
            graphs: HashMap::new(),
        })
    }

    /// The launches for so many networks of so many floats.
    fn graph(
        &self,
        device: &Rc<Device>,
        [count, floats]: [usize; 2],
        arena: u64,
    ) -> Result<Graph, CudaError> {
        let plan = &self.plan;
        let networks = Networks {
            arena,
            feed: self.feed.address(),
            constants: self.constants.address(),
            stride: floats as u64,
            feed_stride: plan.feed.next_multiple_of(4) as u64,
            groups: 1,
            unused: 0,
        };
        let gathered = Gathered {
            table: plan.constants.len() as u64,
            count: plan.outputs.len() as u64,
            output: self.outputs.address(),
        };
        let gather = Launch::each("gather", plan.outputs.len(), 1, gathered);
        let launches = || plan.launches.iter().chain([&gather]);
        // Functions are looked up before the capture, in which nothing else may be done.
        for launch in launches() {
            device.prepare(launch)?;
        }
        device.graph(|| launches().try_for_each(|launch| device.launch(launch, networks, count)))
    }
}
