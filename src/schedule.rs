//! Which stage runs next: the states of all stages and the loop that moves them on.
//!
//! The rule: a stage's state changes in one place (`Schedule::set`), where the counts change with
//! it. The schedule knows of no tensors, processes or files: an [`Executor`] does the work, and
//! [`Leases`] tell which stages other processes on the same store run.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap, HashSet},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{
    event::{Counts, Ended, Event, Step, Subject},
    key::Digest,
    plan::{Kind, Names, Plan, Run, Spec, Stage, StageId},
};

/// Where stages run: a fixed number of slots, one stage at a time in each.
pub trait Executor {
    /// How many stages can run at once.
    fn slots(&self) -> usize;

    /// Whether stages of this kind run in a slot. For every kind there is a slot where they do.
    fn takes(&self, slot: usize, kind: Kind) -> bool;

    /// Starts a stage in a free slot; [`Executor::wait`] reports what happens to it.
    fn start(&mut self, slot: usize, spec: &Spec);

    /// Waits until something happens, at most this long.
    fn wait(&mut self, at_most: Option<Duration>) -> Option<Heard>;

    /// Asks every running stage to save its progress and stop at its next step.
    fn stop(&mut self);
}

/// What [`Executor::wait`] reports.
#[derive(Clone, Debug)]
pub enum Heard {
    /// Something happened in a slot.
    Stage(Message),
    /// The user interrupted the run.
    Interrupt,
    /// The user has paused the run for so long, and it goes on.
    Continued(Duration),
}

/// The right to run a stage, which one process at a time has among those that share a store.
pub trait Leases {
    /// Claims a stage, so that no other process runs it until it is released.
    fn claim(&mut self, stage: &Stage) -> LeaseReply;

    /// Gives a stage back.
    fn release(&mut self, stage: &Stage, how: &Release);
}

/// The answer to a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseReply {
    /// Granted.
    Ours,
    /// Another process runs it.
    Theirs,
    /// The artefact exists: another process has made it meanwhile.
    Made,
    /// There will be no artefact, and why: another process has given the stage up, or no lease of
    /// it can be had.
    Hopeless(String),
}

/// How a stage ended whose lease is given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Release {
    /// Its artefact is published.
    Finished,
    /// It was asked to stop, and its progress is saved.
    Stopped,
    /// It failed by accident, for this reason, and will be tried again.
    Accident(String),
    /// It is given up, for this reason.
    Failed(String),
}

/// What a run does when stages fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How often a stage is tried again after an accident.
    pub retries: usize,
    /// The number of failed stages after which no other starts; `None` to run all that can run.
    pub most_failures: Option<usize>,
    /// How long to wait with free slots while all that is left runs elsewhere; `None` to wait until
    /// it is done.
    pub idle: Option<Duration>,
}

/// The stages that a process takes first, of all processes on a plan that start together: every
/// one in so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Which one, from 0.
    pub index: usize,
    /// In how many.
    pub of: usize,
    /// Whether no other process runs them, so that they are waited for.
    pub fixed: bool,
}

impl Share {
    /// All stages.
    pub const ALL: Self = Self {
        index: 0,
        of: 1,
        fixed: false,
    };

    /// Whether a stage is one of them.
    pub fn has(self, id: StageId) -> bool {
        id.index() % self.of.max(1) == self.index
    }
}

/// A report on a slot.
#[derive(Clone, Debug)]
pub struct Message {
    /// The slot.
    pub slot: usize,
    /// What happened to the stage in it.
    pub news: News,
}

/// What can happen to a running stage.
#[derive(Clone, Debug)]
pub enum News {
    /// It goes on from progress that was saved after so many steps.
    Resumed(usize),
    /// It completed a step.
    Progress(Step),
    /// Its artefact is published.
    Finished,
    /// There is no artefact.
    Failed(StageFailure),
    /// It was asked to stop, and did.
    Stopped,
}

impl News {
    /// Whether a stage failed since the disk is full.
    fn is_no_space(&self) -> bool {
        matches!(self, Self::Failed(failure) if failure.nature == Nature::NoSpace)
    }
}

/// Why a stage has no artefact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageFailure {
    /// The reason, in words.
    pub reason: String,
    /// Whether another attempt would end the same way.
    pub nature: Nature,
}

/// The nature of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Nature {
    /// The stage itself reported it: the same inputs would fail again.
    Deterministic,
    /// A worker died, hung, or could not write.
    Accident,
    /// The disk is full, or a quota used up: every other stage would fail too.
    NoSpace,
}

/// The state of a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// No run needs it: what depends on it is there already.
    Unneeded,
    /// Its artefact was there before, or another process has made it.
    Cached,
    /// Another process runs it.
    Elsewhere,
    /// A stage it needs is not there yet.
    Waiting,
    /// It can start.
    Ready,
    /// It runs in this slot.
    Running(usize),
    /// Its artefact was published.
    Finished,
    /// It has no artefact, and why.
    Failed(String),
    /// It cannot run: a stage it needs has failed.
    Blocked(StageId),
}

/// The count that a state belongs to.
fn count_of<'a>(counts: &'a mut Counts, state: &State) -> Option<&'a mut usize> {
    Some(match state {
        State::Unneeded => return None,
        State::Cached => &mut counts.cached,
        State::Waiting | State::Ready => &mut counts.waiting,
        State::Running(_) => &mut counts.running,
        State::Elsewhere => &mut counts.elsewhere,
        State::Finished => &mut counts.finished,
        State::Failed(_) => &mut counts.failed,
        State::Blocked(_) => &mut counts.blocked,
    })
}

/// The count of trainings that a state belongs to.
fn training_count_of<'a>(counts: &'a mut Counts, state: &State) -> Option<&'a mut usize> {
    match state {
        State::Waiting | State::Ready | State::Running(_) | State::Elsewhere => {
            Some(&mut counts.trainings_left)
        }
        State::Finished => Some(&mut counts.trainings_finished),
        State::Unneeded | State::Cached | State::Failed(_) | State::Blocked(_) => None,
    }
}

/// The states of all stages of a plan.
pub struct Schedule<'a> {
    plan: &'a Plan,
    states: Vec<State>,
    counts: Counts,
    share: Share,
    /// The stages that can start, for each kind of [`ORDER`]: those of the share first, then in the
    /// plan's order.
    ready: [BinaryHeap<Reverse<(bool, StageId)>>; ORDER.len()],
    dependants: HashMap<StageId, Vec<StageId>>,
    /// How often each stage has failed by accident.
    accidents: HashMap<StageId, usize>,
}

/// Time between two checks of the stages that other processes run, at first.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// The longest such time.
const LONGEST: Duration = Duration::from_secs(30);

/// The time until the next check where the last one found nothing new: an eighth of all that was
/// waited so far, so that little is lost by it.
fn longer(pause: Duration) -> Duration {
    (pause + pause / 8).min(LONGEST)
}

impl<'a> Schedule<'a> {
    /// Finds what is to be done: the stages that `wanted` runs need and that are not `intact`.
    /// Stages before a stored artefact are not looked at. Of the stages that can start, those of
    /// the share are the first.
    pub fn new(
        plan: &'a Plan,
        wanted: impl Fn(&Run) -> bool,
        intact: &mut dyn FnMut(&Stage) -> bool,
        share: Share,
    ) -> Self {
        let mut schedule = Self {
            plan,
            states: vec![State::Unneeded; plan.stages.len()],
            counts: Counts::default(),
            share,
            ready: Default::default(),
            dependants: HashMap::new(),
            accidents: HashMap::new(),
        };
        for run in plan.runs.iter().filter(|run| wanted(run)) {
            // A network that is to be kept is needed even where its scores are there.
            let kept = plan.needed(run).filter(|id| plan.stage(*id).spec.is_kept());
            kept.for_each(|id| schedule.need(id, intact));
            run.ends().for_each(|id| schedule.need(id, intact));
        }
        schedule
    }

    /// The state of a stage.
    pub fn state(&self, id: StageId) -> &State {
        &self.states[id.index()]
    }

    /// Why a stage has no artefact, where it or one that it needs has failed.
    pub fn failure(&self, id: StageId) -> Option<String> {
        match self.state(id) {
            State::Failed(reason) => Some(reason.clone()),
            State::Blocked(upstream) => match self.state(*upstream) {
                State::Failed(reason) => Some(reason.clone()),
                _ => Some("a stage it needs failed".to_owned()),
            },
            _ => None,
        }
    }

    /// How many stages are in which state.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Every stage that is to be done and not done yet.
    pub fn outstanding(&self) -> impl Iterator<Item = StageId> + '_ {
        self.plan.ids().map(|(id, _)| id).filter(|id| {
            matches!(
                self.state(*id),
                State::Waiting | State::Ready | State::Running(_) | State::Elsewhere
            )
        })
    }

    fn need(&mut self, id: StageId, intact: &mut dyn FnMut(&Stage) -> bool) {
        if *self.state(id) != State::Unneeded {
            return;
        }
        let stage = self.plan.stage(id);
        if intact(stage) {
            return self.set(id, State::Cached);
        }
        let Some(upstream) = stage.upstream else {
            return self.set(id, State::Ready);
        };
        self.need(upstream, intact);
        match self.state(upstream) {
            State::Cached => self.set(id, State::Ready),
            _ => {
                self.dependants.entry(upstream).or_default().push(id);
                self.set(id, State::Waiting);
            }
        }
    }

    /// The only place where a state or a count changes.
    fn set(&mut self, id: StageId, to: State) {
        let from = std::mem::replace(&mut self.states[id.index()], to.clone());
        if let Some(count) = count_of(&mut self.counts, &from) {
            *count -= 1;
        }
        if let Some(count) = count_of(&mut self.counts, &to) {
            *count += 1;
        }
        let kind = self.plan.stage(id).spec.kind();
        if kind.is_training() {
            if let Some(count) = training_count_of(&mut self.counts, &from) {
                *count -= 1;
            }
            if let Some(count) = training_count_of(&mut self.counts, &to) {
                *count += 1;
            }
        }
        if to == State::Ready {
            let rank = ORDER.iter().position(|k| *k == kind);
            let place = Reverse((!self.share.has(id), id));
            self.ready[rank.expect("every kind has a rank")].push(place);
        }
    }

    fn finish(&mut self, id: StageId, state: State) {
        self.set(id, state);
        for dependant in self.dependants.remove(&id).unwrap_or_default() {
            self.set(dependant, State::Ready);
        }
    }

    /// Marks a stage as failed and all that depend on it as blocked; returns the blocked ones.
    fn fail(&mut self, id: StageId, reason: String) -> Vec<StageId> {
        self.set(id, State::Failed(reason));
        let mut lost = vec![id];
        let mut next = 0;
        while let Some(upstream) = lost.get(next) {
            next += 1;
            for dependant in self.dependants.remove(upstream).unwrap_or_default() {
                self.set(dependant, State::Blocked(id));
                lost.push(dependant);
            }
        }
        lost.split_off(1)
    }

    /// Runs everything that can run. A failure blocks what depends on it; the rest goes on as far
    /// as the policy allows.
    pub fn run(
        &mut self,
        executor: &mut dyn Executor,
        claims: &mut dyn Leases,
        policy: Policy,
        listen: &mut dyn FnMut(&Counts, Event),
    ) -> Ended {
        let mut underway = Underway {
            names: Names::of(self.plan),
            free: (0..executor.slots()).rev().collect(),
            running: BTreeMap::new(),
            elsewhere: Vec::new(),
            told: HashSet::new(),
            looked: Instant::now(),
            pause: BETWEEN_LOOKS,
            busy: Instant::now(),
            listen,
        };
        let mut ending = None;
        loop {
            if ending.is_none() {
                self.fill(&mut underway, executor, claims, policy);
            }
            if self.is_given_up(policy) {
                ending.get_or_insert(Ended::GaveUp);
            }
            if underway.running.is_empty() && (ending.is_some() || underway.elsewhere.is_empty()) {
                return ending.unwrap_or(Ended::Done);
            }
            if !underway.running.is_empty() {
                underway.busy = Instant::now();
            }
            let free_for = underway.busy.elapsed();
            if policy.idle.is_some_and(|idle| free_for >= idle) && !self.waits_for_its_own() {
                return Ended::Idle;
            }
            let at_most = (!underway.elsewhere.is_empty()).then_some(underway.pause);
            match executor.wait(at_most) {
                None => {}
                Some(Heard::Interrupt) => {
                    ending = Some(Ended::Interrupted);
                    executor.stop();
                    (underway.listen)(&self.counts, Event::Interrupted);
                }
                Some(Heard::Continued(paused)) => underway.paused(paused, &self.counts),
                Some(Heard::Stage(mut message)) => {
                    if message.news.is_no_space() {
                        match ending {
                            // One message is enough; these stages have nothing wrong.
                            Some(Ended::DiskFull) => message.news = News::Stopped,
                            Some(Ended::Interrupted) => {}
                            Some(Ended::GaveUp | Ended::Done | Ended::Idle) | None => {
                                ending = Some(Ended::DiskFull);
                                executor.stop();
                            }
                        }
                    }
                    self.heard(message, &mut underway, claims, policy);
                    if self.is_given_up(policy) {
                        ending.get_or_insert(Ended::GaveUp);
                    }
                }
            }
        }
    }

    /// Whether too many stages have failed for another to start.
    fn is_given_up(&self, policy: Policy) -> bool {
        let most = policy.most_failures;
        most.is_some_and(|most| self.counts.failed >= most)
    }

    /// Whether stages are left that no other process runs.
    fn waits_for_its_own(&self) -> bool {
        self.share.fixed && self.outstanding().any(|id| self.share.has(id))
    }

    /// Removes the stage that starts next from those that are ready; with the index of its slot in
    /// `free`.
    fn next(&mut self, free: &[usize], executor: &dyn Executor) -> Option<(usize, StageId)> {
        for (kind, ready) in ORDER.into_iter().zip(&mut self.ready) {
            if let Some(place) = free.iter().rposition(|slot| executor.takes(*slot, kind))
                && let Some(Reverse((_, id))) = ready.pop()
            {
                return Some((place, id));
            }
        }
        None
    }

    /// Starts stages in the free slots.
    fn fill(
        &mut self,
        underway: &mut Underway<'_>,
        executor: &mut dyn Executor,
        claims: &mut dyn Leases,
        policy: Policy,
    ) {
        let mut looked_at = HashSet::new();
        if !underway.elsewhere.is_empty() && underway.looked.elapsed() >= underway.pause {
            underway.looked = Instant::now();
            for id in underway.elsewhere.drain(..) {
                self.set(id, State::Ready);
                looked_at.insert(id);
            }
        }
        while !self.is_given_up(policy)
            && let Some((free, id)) = self.next(&underway.free, executor)
        {
            let stage = self.plan.stage(id);
            let digest = stage.digest;
            match claims.claim(stage) {
                LeaseReply::Ours => {
                    let slot = underway.free.remove(free);
                    self.set(id, State::Running(slot));
                    underway.running.insert(slot, (id, Instant::now()));
                    let subject = underway.subject(id, stage);
                    let started = Event::Started {
                        stage: digest,
                        slot,
                        subject,
                    };
                    (underway.listen)(&self.counts, started);
                    executor.start(slot, &stage.spec);
                    underway.pause = BETWEEN_LOOKS;
                }
                LeaseReply::Hopeless(reason) => {
                    let lost = self.fail(id, reason.clone());
                    let subject = underway.subject(id, stage);
                    let failed = Event::FailedElsewhere {
                        stage: digest,
                        subject,
                        reason,
                    };
                    (underway.listen)(&self.counts, failed);
                    self.tell_blocked(&lost, digest, underway);
                }
                LeaseReply::Theirs => {
                    self.set(id, State::Elsewhere);
                    underway.elsewhere.push(id);
                    if underway.told.insert(id) {
                        (underway.listen)(&self.counts, Event::Elsewhere { stage: digest });
                    }
                }
                LeaseReply::Made => {
                    self.finish(id, State::Cached);
                    let found = Event::Found {
                        stage: digest,
                        cost: stage.spec.work().cost(),
                    };
                    (underway.listen)(&self.counts, found);
                    underway.pause = BETWEEN_LOOKS;
                }
            }
        }
        let unchanged = looked_at.iter().all(|id| underway.elsewhere.contains(id));
        if unchanged && !looked_at.is_empty() {
            underway.pause = longer(underway.pause);
        }
    }

    /// Handles a report on a slot.
    fn heard(
        &mut self,
        message: Message,
        underway: &mut Underway<'_>,
        claims: &mut dyn Leases,
        policy: Policy,
    ) {
        let Message { slot, news } = message;
        let Some((id, since)) = underway.running.get(&slot).copied() else {
            return;
        };
        let stage = self.plan.stage(id);
        let digest = stage.digest;
        let mut blocked = Vec::new();
        let (event, how) = match news {
            News::Resumed(steps) => {
                let stage = digest;
                (underway.listen)(&self.counts, Event::Resumed { stage, slot, steps });
                return;
            }
            News::Progress(step) => {
                let stage = digest;
                (underway.listen)(&self.counts, Event::Progress { stage, slot, step });
                return;
            }
            News::Finished => {
                self.finish(id, State::Finished);
                let event = Event::Finished {
                    stage: digest,
                    slot,
                    seconds: since.elapsed().as_secs_f64(),
                };
                (event, Release::Finished)
            }
            News::Stopped => {
                self.set(id, State::Ready);
                let event = Event::Stopped {
                    stage: digest,
                    slot,
                };
                (event, Release::Stopped)
            }
            News::Failed(StageFailure { reason, nature }) => {
                let accidents = self.accidents.entry(id).or_default();
                if nature == Nature::Accident && *accidents < policy.retries {
                    *accidents += 1;
                    let attempt = *accidents + 1;
                    self.set(id, State::Ready);
                    let how = Release::Accident(reason.clone());
                    let event = Event::Retried {
                        stage: digest,
                        slot,
                        attempt,
                        reason,
                    };
                    (event, how)
                } else {
                    blocked = self.fail(id, reason.clone());
                    let how = match nature {
                        // With more space it would not fail.
                        Nature::NoSpace => Release::Stopped,
                        Nature::Deterministic | Nature::Accident => Release::Failed(reason.clone()),
                    };
                    let event = Event::Failed {
                        stage: digest,
                        slot,
                        subject: underway.subject(id, stage),
                        reason,
                    };
                    (event, how)
                }
            }
        };
        claims.release(stage, &how);
        underway.running.remove(&slot);
        underway.free.push(slot);
        (underway.listen)(&self.counts, event);
        self.tell_blocked(&blocked, digest, underway);
    }

    /// Tells of stages that a failed one blocks.
    fn tell_blocked(&self, blocked: &[StageId], upstream: Digest, underway: &mut Underway<'_>) {
        for lost in blocked {
            let event = Event::Blocked {
                stage: self.plan.stage(*lost).digest,
                upstream,
            };
            (underway.listen)(&self.counts, event);
        }
    }
}

/// The state of a run beside those of its stages.
struct Underway<'a> {
    names: Names<'a>,
    /// The slots without a stage.
    free: Vec<usize>,
    /// The stage of every other slot, and since when.
    running: BTreeMap<usize, (StageId, Instant)>,
    /// The stages that other processes run.
    elsewhere: Vec<StageId>,
    /// Those of them that listeners know of.
    told: HashSet<StageId>,
    /// When the stages of other processes were last checked.
    looked: Instant,
    /// How long until the next look.
    pause: Duration,
    /// When a stage ran last.
    busy: Instant,
    listen: &'a mut dyn FnMut(&Counts, Event),
}

impl Underway<'_> {
    /// Takes a pause out of the time of every stage.
    fn paused(&mut self, paused: Duration, counts: &Counts) {
        for (_, since) in self.running.values_mut() {
            *since += paused;
        }
        let seconds = paused.as_secs_f64();
        (self.listen)(counts, Event::Continued { seconds });
    }

    fn subject(&self, id: StageId, stage: &Stage) -> Subject {
        Subject {
            kind: stage.spec.kind(),
            name: self.names.name(id),
            work: stage.spec.work(),
        }
    }
}

/// Which kinds start first: scores, which are quick; then what other stages wait for; then long
/// stages, so that none is left for the end.
const ORDER: [Kind; Kind::ALL.len()] = [
    Kind::Evaluate,
    Kind::Agree,
    Kind::Serve,
    Kind::Pretrain,
    Kind::Scratch,
    Kind::Finetune,
];
