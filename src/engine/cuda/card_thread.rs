//! The thread of a card, which trains all networks there: whatever steps are asked for at a moment,
//! by any thread, are done in one launch for all networks of one plan.
//!
//! The rule: a network's numbers do not depend on its company. Each has memory of its own; networks
//! share nothing but the table of their addresses. So trainings join and leave between any two
//! steps.
//!
//! A launch waits a little for networks that did a step a moment ago and will ask again soon: else
//! they would take turns. A network that finds the card's memory full waits until others leave.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    rc::Rc,
    sync::mpsc,
    time::{Duration, Instant},
};

use super::{
    machine::{
        CudaError, Device, Graph, Memory, Pinned,
        launch::{FEED_HEAD, Gathered, Launch, MOST_NETWORKS, Networks, feed_head},
    },
    plan::StepPlan,
};

/// The part of a card's memory that stays free for what networks compute beside trainings, where
/// several are trained.
const SPARE: usize = 8;

/// The part of the time of the last launches that the next ones may wait for other networks.
const WORTH_WAITING: u32 = 4;

pub(super) type CardAnswer<T> = mpsc::SyncSender<Result<T, CudaError>>;

/// A network's number on the card.
pub(super) type SeatNumber = usize;

/// What a thread asks for.
pub(super) enum Ask {
    /// A place of so many floats.
    Join(usize, CardAnswer<SeatNumber>),
    /// More floats, with what was there before.
    Grow(SeatNumber, usize, CardAnswer<()>),
    Write(SeatNumber, u64, Vec<f32>, CardAnswer<()>),
    Read(SeatNumber, u64, usize, CardAnswer<Vec<f32>>),
    /// The number of a plan.
    Plan(Box<StepPlan>, CardAnswer<usize>),
    /// A plan that one network less needs.
    Forget(usize),
    Step(StepAsked),
    Leave(SeatNumber),
    /// Tell a network that finds the memory full, instead of letting it wait.
    NeverWait,
    Nothing,
}

/// A step of one network.
pub(super) struct StepAsked {
    pub seat: SeatNumber,
    pub plan: usize,
    pub words: Vec<u32>,
    pub answer: CardAnswer<Vec<f32>>,
}

/// A network that waits for memory.
enum Waiting {
    Join(usize, CardAnswer<SeatNumber>),
    Grow(SeatNumber, usize, CardAnswer<()>),
}

/// The card, in its thread.
pub(super) struct CardThread {
    device: Rc<Device>,
    /// The networks' memory.
    seats: HashMap<SeatNumber, Memory>,
    /// The number of the next network.
    next: SeatNumber,
    /// Those that wait for memory: networks that are there already come first.
    waiting: VecDeque<Waiting>,
    /// Whether anyone waits at all.
    is_patient: bool,
    /// By their numbers; none where nobody needs it any more.
    programs: Vec<Option<Program>>,
    /// Networks that will ask for another step soon, with those that have asked for one.
    stepping: HashSet<SeatNumber>,
    /// How long the last launches took.
    took: Duration,
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
    /// By the number of networks.
    graphs: HashMap<usize, Graph>,
}

impl CardThread {
    pub fn new(device: Rc<Device>) -> Self {
        Self {
            device,
            seats: HashMap::new(),
            next: 0,
            waiting: VecDeque::new(),
            is_patient: true,
            programs: Vec::new(),
            stepping: HashSet::new(),
            took: Duration::ZERO,
        }
    }

    /// Answers until nobody can ask any more.
    pub fn serve(mut self, asks: &mpsc::Receiver<Ask>) {
        while let Ok(first) = asks.recv() {
            let mut steps: Vec<StepAsked> = Vec::new();
            self.take(first, &mut steps);
            while let Ok(more) = asks.try_recv() {
                self.take(more, &mut steps);
            }
            if steps.is_empty() {
                continue;
            }
            self.wait_for_others(asks, &mut steps);
            let begun = Instant::now();
            while let Some(first) = steps.first() {
                let plan = first.plan;
                let alike = |step: &mut StepAsked| step.plan == plan;
                let mut together: Vec<StepAsked> = steps.extract_if(.., alike).collect();
                let later = together.split_off(together.len().min(MOST_NETWORKS));
                steps.splice(0..0, later);
                self.step(plan, together);
            }
            self.took = begun.elapsed();
        }
    }

    /// Takes what is asked for until all networks that train at present have asked for a step, for
    /// a part of the time that their steps take.
    fn wait_for_others(&mut self, asks: &mpsc::Receiver<Ask>, steps: &mut Vec<StepAsked>) {
        let until = Instant::now() + self.took / WORTH_WAITING;
        while steps.len() < self.stepping.len() {
            let left = until.saturating_duration_since(Instant::now());
            match asks.recv_timeout(left) {
                Ok(ask) => self.take(ask, steps),
                Err(_) => {
                    // The others do something else.
                    self.stepping = steps.iter().map(|step| step.seat).collect();
                }
            }
        }
    }

    fn take(&mut self, ask: Ask, steps: &mut Vec<StepAsked>) {
        // A thread that has stopped waiting is told nothing.
        match ask {
            Ask::Join(floats, answer) => {
                self.waiting.push_back(Waiting::Join(floats, answer));
                self.admit();
            }
            Ask::Grow(seat, floats, answer) => {
                self.waiting.push_front(Waiting::Grow(seat, floats, answer));
                self.admit();
            }
            Ask::Write(seat, at, values, answer) => {
                let _ = answer.send(self.seats[&seat].write(bytes_at(at), &values));
            }
            Ask::Read(seat, at, len, answer) => {
                let mut values = vec![0.0; len];
                let read = self.seats[&seat].read(bytes_at(at), &mut values);
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
            Ask::Step(step) => {
                self.stepping.insert(step.seat);
                steps.push(step);
            }
            Ask::NeverWait => {
                self.is_patient = false;
                self.admit();
            }
            Ask::Nothing => {}
            Ask::Leave(seat) => {
                self.stepping.remove(&seat);
                self.seats.remove(&seat);
                self.admit();
            }
        }
    }

    /// Gives memory to those that wait, in their order, as far as it goes. Where none of the others
    /// would ever leave, the first one's error is told.
    fn admit(&mut self) {
        while let Some(first) = self.waiting.pop_front() {
            let growing = self.waiting.iter().filter(|other| other.is_there()).count();
            let others = match self.is_patient {
                true => self.seats.len() - growing - usize::from(first.is_there()),
                false => 0,
            };
            let memory = self.room(first.floats(), others);
            match (memory, first) {
                (Err(CudaError::OutOfMemory { .. }), first) if others > 0 => {
                    self.waiting.push_front(first);
                    return;
                }
                (Ok(memory), Waiting::Join(_, answer)) => {
                    let number = self.next;
                    self.next += 1;
                    self.seats.insert(number, memory);
                    let _ = answer.send(Ok(number));
                }
                (Ok(memory), Waiting::Grow(seat, _, answer)) => {
                    let before = &self.seats[&seat];
                    let moved = memory.copy_from(0, before, 0, before.bytes());
                    let moved = moved.and_then(|()| self.device.wait());
                    self.seats.insert(seat, memory);
                    let _ = answer.send(moved);
                }
                (Err(error), Waiting::Join(_, answer)) => {
                    let _ = answer.send(Err(error));
                }
                (Err(error), Waiting::Grow(_, _, answer)) => {
                    let _ = answer.send(Err(error));
                }
            }
        }
    }

    /// Memory of so many floats; beside others, some of the card's stays free.
    fn room(&self, floats: usize, others: usize) -> Result<Memory, CudaError> {
        let asked = floats * size_of::<f32>();
        if others > 0 {
            let (free, total) = self.device.memory()?;
            if free < asked + total / SPARE {
                return Err(CudaError::OutOfMemory { asked, free, total });
            }
        }
        self.device.allocate(asked)
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
        let memory = steps.iter().map(|step| self.seats[&step.seat].address());
        words[..FEED_HEAD].copy_from_slice(&feed_head(memory));
        for (i, step) in steps.iter().enumerate() {
            words[FEED_HEAD + i * feed..][..plan.feed].copy_from_slice(&step.words);
        }
        let bytes = (FEED_HEAD + steps.len() * feed) * size_of::<u32>();
        program.feed.write_pinned(&program.pinned, bytes)?;
        if !program.graphs.contains_key(&count) {
            let graph = program.graph(device, count)?;
            program.graphs.insert(count, graph);
        }
        let graph = &program.graphs[&count];
        graph.launch()?;
        let mut given = vec![0.0; steps.len() * plan.outputs.len()];
        program.outputs.read(0, &mut given)?;
        Ok(given)
    }
}

/// Where an offset in floats is.
fn bytes_at(at: u64) -> usize {
    at as usize * size_of::<f32>()
}

impl Waiting {
    /// Whether the network has a place already.
    fn is_there(&self) -> bool {
        matches!(self, Self::Grow(..))
    }

    fn floats(&self) -> usize {
        match self {
            Self::Join(floats, _) | Self::Grow(_, floats, _) => *floats,
        }
    }
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

    /// The launches for so many networks.
    fn graph(&self, device: &Rc<Device>, count: usize) -> Result<Graph, CudaError> {
        let plan = &self.plan;
        let networks = Networks {
            feed: self.feed.address(),
            constants: self.constants.address(),
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
