//! A scripted executor and scripted claims, which check every call that a schedule makes.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt, iter,
    path::Path,
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use expertgrid::{
    event::{Counts, Ended, Event, Step},
    key::{Digest, Keyed},
    manifest,
    plan::{self, Inventory, Kind, Plan, Spec, Stage, StageId},
    schedule::{
        Executor, Heard, LeaseReply, Leases, Message, Nature, News, Policy, Release, Schedule,
        Share, StageFailure, State,
    },
};

use crate::support::common::TINY;

/// The stages of the grid.
pub const STAGES: usize = 14;

/// The kinds of stage that a slot takes.
pub type Slot = &'static [Kind];

pub const EVERYTHING: Slot = &Kind::ALL;
pub const TRAININGS: Slot = &[Kind::Pretrain, Kind::Finetune, Kind::Scratch];
pub const EVALUATIONS: Slot = &[Kind::Evaluate];

/// The kinds in the order in which they begin.
const ORDER: [Kind; 4] = [
    Kind::Evaluate,
    Kind::Pretrain,
    Kind::Scratch,
    Kind::Finetune,
];

/// A plan whose stages have short names: a letter for the kind and a number in the plan's order.
///
/// In this order, `P1 P2 F1 E1 F2 E2 F3 E3 F4 E4 S1 E5 S2 E6`: an evaluation stands behind its
/// training; F1 and F2 need P1, F3 and F4 need P2.
pub struct Grid {
    pub plan: Plan,
    names: Vec<String>,
    keep: &'static str,
}

impl fmt::Debug for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "keep = {:?}", self.keep)
    }
}

impl Grid {
    /// The plan as it is, and that of the manifest that keeps every network's weights.
    pub fn get(keep: &'static str) -> &'static Self {
        static PRETRAINED: OnceLock<Grid> = OnceLock::new();
        static ALL: OnceLock<Grid> = OnceLock::new();
        let place = match keep {
            "all" => &ALL,
            _ => &PRETRAINED,
        };
        place.get_or_init(|| Self::new(keep))
    }

    fn new(keep: &'static str) -> Self {
        let overrides = [
            "grid.annotators.choose=1".to_owned(),
            format!("keep={keep:?}"),
        ];
        let path = Path::new("tiny.toml");
        let experiment = manifest::parse(path, TINY, "paper", &overrides).unwrap();
        let inventory = Inventory::assumed(&experiment.cohort);
        let plan = plan::build(vec![experiment], &inventory);
        assert_eq!(plan.stages.len(), STAGES);
        let mut seen = BTreeMap::new();
        let names = plan.stages.iter().map(|stage| {
            let letter = match stage.spec.kind() {
                Kind::Pretrain => 'P',
                Kind::Finetune => 'F',
                Kind::Scratch => 'S',
                Kind::Serve => 'V',
                Kind::Agree => 'A',
                Kind::Evaluate => 'E',
            };
            let number = seen.entry(letter).or_insert(0);
            *number += 1;
            format!("{letter}{number}")
        });
        let names = names.collect();
        Self { plan, names, keep }
    }

    pub fn ids(&self) -> impl Iterator<Item = StageId> + '_ {
        self.plan.ids().map(|(id, _)| id)
    }

    pub fn id(&self, name: &str) -> StageId {
        let found = self.ids().find(|id| self.name(*id) == name);
        found.unwrap_or_else(|| panic!("no stage {name}"))
    }

    fn name(&self, id: StageId) -> &str {
        &self.names[id.index()]
    }

    fn by_digest(&self, digest: Digest) -> StageId {
        let mut ids = self.plan.ids();
        let found = ids.find(|(_, stage)| stage.digest == digest);
        found.expect("a stage of the plan").0
    }

    fn upstream(&self, id: StageId) -> Option<StageId> {
        self.plan.stage(id).upstream
    }

    fn kind(&self, id: StageId) -> Kind {
        self.plan.stage(id).spec.kind()
    }
}

pub fn accident() -> News {
    failure("lost", Nature::Accident)
}

pub fn mistake() -> News {
    failure("wrong", Nature::Deterministic)
}

pub fn no_space() -> News {
    failure("full", Nature::NoSpace)
}

fn failure(reason: &str, nature: Nature) -> News {
    let reason = reason.to_owned();
    News::Failed(StageFailure { reason, nature })
}

pub fn progress() -> News {
    News::Progress(Step {
        step: 7,
        lr: 0.1,
        loss: 0.5,
        latent: None,
    })
}

/// What is going to happen. What is left out ends well: claims are granted, stages finish, in the
/// order in which they were started.
#[derive(Clone, Debug)]
pub struct Script {
    pub grid: &'static Grid,
    pub policy: Policy,
    pub slots: Vec<Slot>,
    /// For each stage, whether its artefact is there before.
    pub intact: Vec<bool>,
    /// For each evaluation, whether its run is left out.
    pub unwanted: Vec<bool>,
    /// For each stage, the first answers to claims.
    pub answers: Vec<VecDeque<LeaseReply>>,
    /// For each stage, the first news of it; once the executor is to stop, the rest is `Stopped`.
    pub news: Vec<VecDeque<News>>,
    /// Stages that end where no other is running.
    pub slow: Vec<bool>,
    /// Which of the running stages is heard of next, as a number modulo theirs.
    pub turns: VecDeque<usize>,
    /// What is told first of all.
    pub stray: VecDeque<Message>,
    /// The waits that are interrupted, from 0.
    pub interrupts: Vec<usize>,
    /// The stages that are taken first.
    pub share: Share,
}

impl Script {
    /// All goes well, in so many slots.
    pub fn with_slots(count: usize) -> Self {
        Self {
            grid: Grid::get("pretrained"),
            policy: Policy {
                retries: 2,
                most_failures: None,
                idle: None,
            },
            share: Share::ALL,
            slots: vec![EVERYTHING; count],
            intact: vec![false; STAGES],
            unwanted: vec![false; STAGES],
            answers: vec![VecDeque::new(); STAGES],
            news: vec![VecDeque::new(); STAGES],
            slow: vec![false; STAGES],
            turns: VecDeque::new(),
            stray: VecDeque::new(),
            interrupts: Vec::new(),
        }
    }

    fn mark(&self, names: &str) -> Vec<bool> {
        let marked: BTreeSet<_> = names.split(' ').map(|name| self.grid.id(name)).collect();
        self.grid.ids().map(|id| marked.contains(&id)).collect()
    }

    pub fn intact(mut self, names: &str) -> Self {
        self.intact = self.mark(names);
        self
    }

    pub fn unwanted(mut self, names: &str) -> Self {
        self.unwanted = self.mark(names);
        self
    }

    pub fn slow(mut self, names: &str) -> Self {
        self.slow = self.mark(names);
        self
    }

    pub fn answers(mut self, names: &str, answers: &[LeaseReply]) -> Self {
        for name in names.split(' ') {
            self.answers[self.grid.id(name).index()] = answers.iter().cloned().collect();
        }
        self
    }

    pub fn news<const N: usize>(mut self, name: &str, news: [News; N]) -> Self {
        self.news[self.grid.id(name).index()] = news.into();
        self
    }

    pub fn turns<const N: usize>(mut self, turns: [usize; N]) -> Self {
        self.turns = turns.into();
        self
    }

    pub fn interrupted_at(mut self, wait: usize) -> Self {
        self.interrupts = vec![wait];
        self
    }

    pub fn retries(mut self, retries: usize) -> Self {
        self.policy.retries = retries;
        self
    }

    pub fn most_failures(mut self, most: usize) -> Self {
        self.policy.most_failures = Some(most);
        self
    }

    pub fn idle(mut self, idle: Duration) -> Self {
        self.policy.idle = Some(idle);
        self
    }

    pub fn share(mut self, index: usize, of: usize, fixed: bool) -> Self {
        self.share = Share { index, of, fixed };
        self
    }

    /// Runs a schedule by it, with all checks of the calls, the counts and the end.
    pub fn play(self) -> Played {
        let (grid, policy) = (self.grid, self.policy);
        let wanted = |run: &plan::Run| !self.unwanted[run.evaluation.index()];
        let mut looked = Vec::new();
        let mut intact = |stage: &Stage| {
            let id = grid.by_digest(stage.digest);
            looked.push(grid.name(id).to_owned());
            self.intact[id.index()]
        };
        let mut schedule = Schedule::new(&grid.plan, wanted, &mut intact, self.share);
        for id in grid.ids() {
            let state = schedule.state(id);
            assert_eq!(*state, self.first_state(id), "{} first", grid.name(id));
        }
        assert_eq!(schedule.counts(), recount(&schedule, grid));

        let simulation = RefCell::new(Simulation::new(self, &schedule));
        let (mut executor, mut claims) = (Shared(&simulation), Shared(&simulation));
        let mut listen =
            |counts: &Counts, event: Event| simulation.borrow_mut().hear(*counts, event);
        let ended = schedule.run(&mut executor, &mut claims, policy, &mut listen);

        let simulation = simulation.into_inner();
        simulation.check_end(&schedule, ended);
        Played {
            ended,
            counts: of_stages(schedule.counts()),
            states: grid.ids().map(|id| schedule.state(id).clone()).collect(),
            looked,
            grid,
            trace: simulation.trace,
        }
    }

    /// The state before anything runs.
    fn first_state(&self, id: StageId) -> State {
        let grid = self.grid;
        match grid.upstream(id) {
            _ if !self.is_needed(id) => State::Unneeded,
            _ if self.intact[id.index()] => State::Cached,
            Some(upstream) if !self.intact[upstream.index()] => State::Waiting,
            _ => State::Ready,
        }
    }

    /// Whether some wanted run ends in it, or keeps it, or has nothing intact between it and such a
    /// stage.
    fn is_needed(&self, id: StageId) -> bool {
        let plan = &self.grid.plan;
        let runs = plan.runs.iter();
        let mut wanted = runs.filter(|run| !self.unwanted[run.evaluation.index()]);
        wanted.any(|run| {
            let wants =
                |stage: StageId| stage == run.evaluation || plan.stage(stage).spec.is_kept();
            let mut behind = plan.needed(run).skip_while(|stage| *stage != id);
            let Some(first) = behind.next() else {
                return false;
            };
            let missing = behind.take_while(|stage| !self.intact[stage.index()]);
            wants(first) || missing.into_iter().any(wants)
        })
    }
}

/// What has happened.
pub struct Played {
    pub ended: Ended,
    pub counts: Counts,
    pub states: Vec<State>,
    /// The stages that were asked for an artefact.
    pub looked: Vec<String>,
    grid: &'static Grid,
    pub trace: Trace,
}

impl Played {
    /// The stages in the order of their starts, with a bar where something was waited for.
    pub fn starts(&self) -> String {
        let rounds = self.trace.rounds.iter();
        let rounds = rounds.filter(|round| !round.is_empty());
        rounds
            .map(|round| round.join(" "))
            .collect::<Vec<_>>()
            .join(" | ")
    }

    pub fn told(&self) -> Vec<String> {
        let events = self.trace.told.iter();
        events.map(|event| tell(self.grid, event)).collect()
    }

    /// What was told of a stage.
    pub fn told_of(&self, name: &str) -> Vec<String> {
        let digest = self.grid.plan.stage(self.grid.id(name)).digest;
        let events = self.trace.told.iter();
        let of_stage = events.filter(|event| event.stage() == Some(digest));
        of_stage.map(|event| tell(self.grid, event)).collect()
    }

    /// The stages in a state, in the plan's order.
    pub fn which(&self, state: &State) -> String {
        let ids = self.grid.ids();
        let there = ids.filter(|id| self.states[id.index()] == *state);
        let names: Vec<_> = there.map(|id| self.grid.name(id)).collect();
        names.join(" ")
    }

    /// The stages that were blocked by one.
    pub fn blocked_by(&self, name: &str) -> String {
        self.which(&State::Blocked(self.grid.id(name)))
    }
}

/// An event in words.
fn tell(grid: &Grid, event: &Event) -> String {
    let name = |digest: &Digest| grid.name(grid.by_digest(*digest));
    match event {
        Event::Started { stage, slot, .. } => format!("started {} in {slot}", name(stage)),
        Event::Resumed { stage, slot, steps } => {
            format!("resumed {} after {steps} in {slot}", name(stage))
        }
        Event::Progress { stage, slot, step } => {
            format!("step {} of {} in {slot}", step.step, name(stage))
        }
        Event::Finished { stage, slot, .. } => format!("finished {} in {slot}", name(stage)),
        Event::Found { stage, .. } => format!("found {}", name(stage)),
        Event::Elsewhere { stage } => format!("elsewhere {}", name(stage)),
        Event::Retried {
            stage,
            slot,
            attempt,
            reason,
        } => format!(
            "retried {} in {slot}, attempt {attempt}: {reason}",
            name(stage)
        ),
        Event::Stopped { stage, slot } => format!("stopped {} in {slot}", name(stage)),
        Event::Failed {
            stage,
            slot,
            reason,
            ..
        } => format!("failed {} in {slot}: {reason}", name(stage)),
        Event::FailedElsewhere { stage, reason, .. } => {
            format!("failed elsewhere {}: {reason}", name(stage))
        }
        Event::Blocked { stage, upstream } => {
            format!("blocked {} by {}", name(stage), name(upstream))
        }
        Event::Interrupted => "interrupted".to_owned(),
        Event::Continued { seconds } => format!("continued after {seconds} s"),
        Event::Began { .. } | Event::Ended { .. } => panic!("a schedule does not tell {event:?}"),
    }
}

/// The counts by the states.
fn recount(schedule: &Schedule<'_>, grid: &Grid) -> Counts {
    let mut counts = Counts::default();
    for id in grid.ids() {
        match schedule.state(id) {
            State::Unneeded => {}
            State::Cached => counts.cached += 1,
            State::Elsewhere => counts.elsewhere += 1,
            State::Waiting | State::Ready => counts.waiting += 1,
            State::Running(_) => counts.running += 1,
            State::Finished => counts.finished += 1,
            State::Failed(_) => counts.failed += 1,
            State::Blocked(_) => counts.blocked += 1,
        }
        if TRAININGS.contains(&grid.kind(id)) {
            match schedule.state(id) {
                State::Elsewhere | State::Waiting | State::Ready | State::Running(_) => {
                    counts.trainings_left += 1;
                }
                State::Finished => counts.trainings_finished += 1,
                State::Unneeded | State::Cached | State::Failed(_) | State::Blocked(_) => {}
            }
        }
    }
    counts
}

/// The counts of all stages, without those of trainings.
fn of_stages(counts: Counts) -> Counts {
    Counts {
        trainings_finished: 0,
        trainings_left: 0,
        ..counts
    }
}

fn sum(counts: &Counts) -> usize {
    let Counts {
        cached,
        waiting,
        running,
        elsewhere,
        finished,
        failed,
        blocked,
        trainings_finished: _,
        trainings_left: _,
    } = counts;
    cached + waiting + running + elsewhere + finished + failed + blocked
}

/// The calls and the events.
#[derive(Default)]
pub struct Trace {
    /// The starts between one wait and the next.
    pub rounds: Vec<Vec<String>>,
    pub told: Vec<Event>,
    pub claimed: Vec<(StageId, LeaseReply, Instant)>,
    pub released: Vec<(StageId, Release)>,
    pub waits: Vec<Option<Duration>>,
    pub stops: usize,
}

impl Trace {
    /// The stages whose claims were granted, in that order.
    pub fn granted(&self) -> Vec<StageId> {
        let claims = self.claimed.iter();
        let ours = claims.filter(|(_, claim, _)| *claim == LeaseReply::Ours);
        ours.map(|(id, ..)| *id).collect()
    }
}

/// A script in progress, and where all stages stand by what the script alone has said.
struct Simulation {
    script: Script,
    trace: Trace,
    /// The stages that were outstanding at first.
    outstanding: BTreeSet<StageId>,
    running: Vec<(usize, StageId)>,
    /// The claims that were granted and not released.
    held: BTreeSet<StageId>,
    /// The stages whose last claim was answered with `Theirs`.
    elsewhere: BTreeSet<StageId>,
    finished: BTreeSet<StageId>,
    /// There before, or made by others.
    cached: BTreeSet<StageId>,
    failed: BTreeSet<StageId>,
    accidents: BTreeMap<StageId, usize>,
    interrupted: bool,
    /// Whether there was no space before it was interrupted.
    full: bool,
    /// How often nothing was running and the time went by.
    idle: usize,
    /// The counts by the events.
    told: Counts,
    needed: usize,
}

impl Simulation {
    fn new(script: Script, schedule: &Schedule<'_>) -> Self {
        let grid = script.grid;
        let cached: BTreeSet<_> = grid
            .ids()
            .filter(|id| *schedule.state(*id) == State::Cached)
            .collect();
        Self {
            trace: Trace::default(),
            outstanding: schedule.outstanding().collect(),
            running: Vec::new(),
            held: BTreeSet::new(),
            elsewhere: BTreeSet::new(),
            finished: BTreeSet::new(),
            told: Counts {
                cached: cached.len(),
                ..Counts::default()
            },
            cached,
            failed: BTreeSet::new(),
            accidents: BTreeMap::new(),
            interrupted: false,
            full: false,
            idle: 0,
            needed: sum(&schedule.counts()),
            script,
        }
    }

    fn name(&self, id: StageId) -> &'static str {
        self.script.grid.name(id)
    }

    /// Whether nothing more may begin.
    fn is_ending(&self) -> bool {
        let most = self.script.policy.most_failures;
        self.interrupted || self.full || most.is_some_and(|most| self.failed.len() >= most)
    }

    fn is_done(&self, id: StageId) -> bool {
        self.finished.contains(&id) || self.cached.contains(&id)
    }

    fn is_running(&self, id: StageId) -> bool {
        self.running.iter().any(|(_, running)| *running == id)
    }

    fn is_free(&self, slot: usize) -> bool {
        self.running.iter().all(|(busy, _)| *busy != slot)
    }

    fn upstream_is_done(&self, id: StageId) -> bool {
        let upstream = self.script.grid.upstream(id);
        upstream.is_none_or(|upstream| self.is_done(upstream))
    }

    /// Whether it is to be done, and nothing but a slot and a claim is missing.
    fn can_begin(&self, id: StageId) -> bool {
        self.outstanding.contains(&id)
            && !self.is_done(id)
            && !self.failed.contains(&id)
            && !self.is_running(id)
            && self.upstream_is_done(id)
    }

    /// A free slot that takes it.
    fn slot_for(&self, id: StageId) -> Option<usize> {
        let kind = self.script.grid.kind(id);
        let mut slots = 0..self.script.slots.len();
        slots.find(|slot| self.is_free(*slot) && self.script.slots[*slot].contains(&kind))
    }

    /// The stage that goes before all others, among those that nobody else was found to run.
    fn next_in_order(&self) -> Option<StageId> {
        let ids = self.script.grid.ids();
        let ready = ids.filter(|id| {
            self.can_begin(*id) && !self.elsewhere.contains(id) && self.slot_for(*id).is_some()
        });
        ready.min_by_key(|id| {
            let kind = self.script.grid.kind(*id);
            let foreign = !self.script.share.has(*id);
            (ORDER.iter().position(|other| *other == kind), foreign, *id)
        })
    }

    /// The failed stage that it waits for in vain.
    fn blocked_by(&self, id: StageId) -> Option<StageId> {
        let upstream = |id: &StageId| {
            let upstream = self.script.grid.upstream(*id);
            upstream.filter(|upstream| !self.is_done(*upstream))
        };
        let mut behind = iter::successors(upstream(&id), upstream);
        behind.find(|id| self.failed.contains(id))
    }

    fn claim(&mut self, id: StageId) -> LeaseReply {
        let name = self.name(id);
        assert!(!self.is_ending(), "{name} is claimed after the end");
        assert!(self.can_begin(id), "{name} is claimed and cannot begin");
        assert!(!self.held.contains(&id), "{name} is claimed twice");
        assert!(
            self.slot_for(id).is_some(),
            "{name} is claimed without a slot"
        );
        // What others were found to run may go before the rest again, or not yet.
        if !self.elsewhere.contains(&id) {
            let next = self.next_in_order().map(|next| self.name(next));
            assert_eq!(next, Some(name), "the first in order is claimed");
        }
        let answer = self.script.answers[id.index()].pop_front();
        let answer = answer.unwrap_or(LeaseReply::Ours);
        self.trace
            .claimed
            .push((id, answer.clone(), Instant::now()));
        self.elsewhere.remove(&id);
        match &answer {
            LeaseReply::Ours => assert!(self.held.insert(id)),
            LeaseReply::Theirs => assert!(self.elsewhere.insert(id)),
            LeaseReply::Made => assert!(self.cached.insert(id)),
            LeaseReply::Hopeless(_) => assert!(self.failed.insert(id)),
        }
        answer
    }

    fn release(&mut self, id: StageId, how: Release) {
        let name = self.name(id);
        assert!(
            self.held.remove(&id),
            "{name} is released and was not claimed"
        );
        assert!(!self.is_running(id), "{name} is released while it runs");
        self.trace.released.push((id, how));
    }

    fn start(&mut self, slot: usize, id: StageId) {
        let name = self.name(id);
        assert!(!self.is_ending(), "{name} begins after the end");
        assert!(self.can_begin(id), "{name} cannot begin");
        assert!(self.held.contains(&id), "{name} begins without a claim");
        assert!(self.is_free(slot), "{name} begins in a slot at work");
        let kind = self.script.grid.kind(id);
        assert!(
            self.script.slots[slot].contains(&kind),
            "slot {slot} does not take {name}"
        );
        self.running.push((slot, id));
        if self.trace.rounds.is_empty() {
            self.trace.rounds.push(Vec::new());
        }
        let round = self.trace.rounds.last_mut();
        round.expect("there is one by now").push(name.to_owned());
    }

    fn wait(&mut self, at_most: Option<Duration>) -> Option<Heard> {
        let wait = self.trace.waits.len();
        assert!(wait < 1000 && self.idle < 20, "the run does not end");
        self.trace.waits.push(at_most);
        self.trace.rounds.push(Vec::new());
        self.check_slots();
        assert!(
            at_most.is_none() || !self.elsewhere.is_empty(),
            "nobody else is to be waited for"
        );
        if self.script.interrupts.contains(&wait) {
            self.interrupted = true;
            return Some(Heard::Interrupt);
        }
        if let Some(message) = self.script.stray.pop_front() {
            return Some(Heard::Stage(message));
        }
        let Some(place) = self.turn() else {
            assert!(!self.is_ending(), "there is nothing left to wait for");
            self.idle += 1;
            thread::sleep(at_most.expect("nothing runs, and others are not looked at"));
            return None;
        };
        Some(Heard::Stage(self.next_news(place)))
    }

    /// Nothing can begin in any slot, unless the run is ending.
    fn check_slots(&self) {
        if self.is_ending() {
            return;
        }
        let next = self.next_in_order().map(|next| self.name(next));
        assert_eq!(next, None, "a slot is free for it");
    }

    /// The place of the running stage that is heard of next.
    fn turn(&mut self) -> Option<usize> {
        if self.running.is_empty() {
            return None;
        }
        if let Some(turn) = self.script.turns.pop_front() {
            return Some(turn % self.running.len());
        }
        let mut running = self.running.iter();
        let quick = running.position(|(_, id)| !self.script.slow[id.index()]);
        Some(quick.unwrap_or(0))
    }

    fn next_news(&mut self, place: usize) -> Message {
        let (slot, id) = self.running[place];
        let default = match self.trace.stops {
            0 => News::Finished,
            _ => News::Stopped,
        };
        let news = self.script.news[id.index()].pop_front();
        let news = news.unwrap_or(default);
        if !matches!(news, News::Progress(_) | News::Resumed(_)) {
            self.running.remove(place);
        }
        match &news {
            News::Resumed(_) | News::Progress(_) | News::Stopped => {}
            // What ends for want of space after the first is left for later.
            News::Failed(failure) if failure.nature == Nature::NoSpace => {
                if self.interrupted || !self.full {
                    assert!(self.failed.insert(id));
                }
                self.full |= !self.interrupted;
            }
            News::Finished => assert!(self.finished.insert(id)),
            News::Failed(failure) => {
                let accidents = self.accidents.entry(id).or_default();
                *accidents += 1;
                let again =
                    failure.nature == Nature::Accident && *accidents <= self.script.policy.retries;
                if !again {
                    assert!(self.failed.insert(id));
                }
            }
        }
        Message { slot, news }
    }

    fn hear(&mut self, counts: Counts, event: Event) {
        self.check_subject(&event);
        let told = &mut self.told;
        match &event {
            Event::Started { .. } => told.running += 1,
            Event::Found { .. } => told.cached += 1,
            Event::Finished { .. } => {
                (told.running, told.finished) = (told.running - 1, told.finished + 1)
            }
            Event::Failed { .. } => {
                (told.running, told.failed) = (told.running - 1, told.failed + 1)
            }
            Event::FailedElsewhere { .. } => told.failed += 1,
            Event::Retried { .. } | Event::Stopped { .. } => told.running -= 1,
            _ => {}
        }
        let outstanding = self.outstanding.iter();
        let blocked = outstanding.filter(|id| self.blocked_by(**id).is_some());
        let expected = Counts {
            blocked: blocked.count(),
            // What others run is looked at without an event, and waits in between.
            elsewhere: counts.elsewhere,
            waiting: counts.waiting,
            ..self.told
        };
        assert_eq!(of_stages(counts), expected, "{event:?}");
        assert_eq!(sum(&counts), self.needed, "{event:?}");
        assert!(counts.elsewhere <= self.elsewhere.len(), "{event:?}");
        self.trace.told.push(event);
    }

    /// What an event says of a stage is what the plan says.
    fn check_subject(&self, event: &Event) {
        let Some(digest) = event.stage() else {
            return;
        };
        let grid = self.script.grid;
        let spec = &grid.plan.stage(grid.by_digest(digest)).spec;
        match event {
            Event::Started { subject, .. }
            | Event::Failed { subject, .. }
            | Event::FailedElsewhere { subject, .. } => {
                assert_eq!((subject.kind, subject.work), (spec.kind(), spec.work()));
            }
            Event::Found { cost, .. } => assert_eq!(*cost, spec.work().cost()),
            _ => {}
        }
    }

    fn check_end(&self, schedule: &Schedule<'_>, ended: Ended) {
        let expected = match self.is_ending() {
            true if self.interrupted => Ended::Interrupted,
            true if self.full => Ended::DiskFull,
            true => Ended::GaveUp,
            false if !self.elsewhere.is_empty() && self.script.policy.idle.is_some() => Ended::Idle,
            false => Ended::Done,
        };
        assert_eq!(ended, expected);
        assert_eq!(self.trace.stops > 0, self.interrupted || self.full);
        assert!(self.running.is_empty(), "running: {:?}", self.running);
        assert!(self.held.is_empty(), "not released: {:?}", self.held);
        assert_eq!(schedule.counts(), recount(schedule, self.script.grid));
        let first: Vec<_> = schedule.outstanding().collect();
        let left = |id: &StageId| !self.is_over(*id);
        assert!(
            first
                .into_iter()
                .eq(self.outstanding.iter().copied().filter(left))
        );
        for id in &self.outstanding {
            self.check_state(*id, schedule.state(*id), ended);
        }
    }

    /// Whether nothing more can become of it.
    fn is_over(&self, id: StageId) -> bool {
        self.is_done(id) || self.failed.contains(&id) || self.blocked_by(id).is_some()
    }

    fn check_state(&self, id: StageId, state: &State, ended: Ended) {
        let right = match state {
            State::Finished => self.finished.contains(&id),
            State::Cached => self.cached.contains(&id),
            State::Failed(_) => self.failed.contains(&id),
            State::Blocked(upstream) => self.blocked_by(id) == Some(*upstream),
            State::Elsewhere => self.elsewhere.contains(&id) && ended != Ended::Done,
            State::Ready => self.can_begin(id) && ended != Ended::Done,
            State::Waiting => {
                !self.upstream_is_done(id) && !self.is_over(id) && ended != Ended::Done
            }
            State::Unneeded | State::Running(_) => false,
        };
        assert!(right, "{} is {state:?} after {ended:?}", self.name(id));
    }
}

/// The simulation as the executor and as the claims of one run.
struct Shared<'a>(&'a RefCell<Simulation>);

impl Executor for Shared<'_> {
    fn slots(&self) -> usize {
        self.0.borrow().script.slots.len()
    }

    fn takes(&self, slot: usize, kind: Kind) -> bool {
        self.0.borrow().script.slots[slot].contains(&kind)
    }

    fn start(&mut self, slot: usize, spec: &Spec) {
        let mut simulation = self.0.borrow_mut();
        let id = simulation.script.grid.by_digest(spec.digest());
        simulation.start(slot, id);
    }

    fn wait(&mut self, at_most: Option<Duration>) -> Option<Heard> {
        self.0.borrow_mut().wait(at_most)
    }

    fn stop(&mut self) {
        self.0.borrow_mut().trace.stops += 1;
    }
}

impl Leases for Shared<'_> {
    fn claim(&mut self, stage: &Stage) -> LeaseReply {
        let mut simulation = self.0.borrow_mut();
        let id = simulation.script.grid.by_digest(stage.digest);
        simulation.claim(id)
    }

    fn release(&mut self, stage: &Stage, how: &Release) {
        let mut simulation = self.0.borrow_mut();
        let id = simulation.script.grid.by_digest(stage.digest);
        simulation.release(id, how.clone());
    }
}
