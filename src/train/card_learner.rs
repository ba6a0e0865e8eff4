//! Parameters on a card: a step is recorded once for each form that it has, and done from then on
//! with what the processor gives.

use std::sync::Arc;

use candle_core::{Result, Tensor};

use super::{
    Training,
    learner::{Learner, StepLoss},
    pass::{PassForm, TermTensors, TrainingPass, forward, passes},
    radam::{Moment, RAdam, Rate},
};
use crate::{
    data::augment::Sample,
    engine::{
        Cuda,
        cuda::{
            CardOptimiser, Conductor, CudaTensor, Feeder, Seat, SeatPlan, StepPlan, StepRate,
            with_rates,
        },
    },
    net::{ExpertLayers, Parameter, Part, UNet},
};

/// Forms of a step that are kept, the last ones recorded.
const MOST_FORMS: usize = 8;

/// A network's parameters on a card.
pub struct CardLearner<'a> {
    /// Records steps, and computes nothing.
    tracer: Cuda,
    conductor: Arc<Conductor>,
    /// The network's place on the card, from its first step on.
    seat: Option<Seat>,
    /// What is to be written there then.
    initial: Vec<(u64, Vec<f32>)>,
    net: &'a UNet,
    parameters: &'a [Parameter],
    optimiser: RAdam,
    steps: Vec<CardStep>,
}

/// A step of one form.
struct CardStep {
    form: Vec<PassForm>,
    plan: StepPlan,
    on_card: SeatPlan,
    /// What it gives beside the loss.
    outputs: Vec<CudaTensor>,
    /// Of each pass, what its loss is made of.
    terms: Vec<TermTensors<Cuda>>,
}

impl<'a> CardLearner<'a> {
    pub(super) fn new(
        cuda: &Cuda,
        net: &'a UNet,
        parameters: &'a [Parameter],
        optimiser: RAdam,
    ) -> Result<Self> {
        // What was computed before the training is not needed in it.
        cuda.release_memory();
        let tensors = |of: &'a [Parameter]| of.iter().map(|p| p.var.as_tensor());
        let trained: Vec<&Tensor> = tensors(parameters).collect();
        let is_trained = |tensor: &&Tensor| trained.iter().any(|other| other.id() == tensor.id());
        let others = tensors(net.parameters()).filter(|tensor| !is_trained(tensor));
        let moments = optimiser.moments()?;
        let moments: Vec<[Vec<f32>; 2]> = moments
            .into_iter()
            .map(|moment| [moment.first, moment.second])
            .collect();
        let tracer = cuda.tracer();
        let initial = tracer.hold(&trained, &others.collect::<Vec<_>>(), &moments)?;
        Ok(Self {
            tracer,
            conductor: cuda.conductor()?,
            seat: None,
            initial,
            net,
            parameters,
            optimiser,
            steps: Vec::new(),
        })
    }

    /// The place of the step of these passes, recorded where there was none.
    fn step_of(
        &mut self,
        training: &Training<'_, Cuda>,
        step: usize,
        samples: &[Sample],
        passes: &[TrainingPass],
    ) -> Result<usize> {
        let form: Vec<PassForm> = passes.iter().map(|pass| pass.form(self.net)).collect();
        if let Some(place) = self.steps.iter().position(|step| step.form == form) {
            return Ok(place);
        }
        let (beta1, beta2, eps) = self.optimiser.numbers();
        let optimiser = CardOptimiser { beta1, beta2, eps };
        let mut terms = Vec::new();
        let tracer = &self.tracer;
        let (plan, outputs) = tracer.record_step(&optimiser, passes.len(), |recording| {
            terms.clear();
            let mut outputs = Vec::new();
            for pass in passes {
                let (loss, of_pass) = forward(training, tracer, step, samples, pass)?;
                recording.backward(loss, pass.share);
                outputs.extend(of_pass.tensors());
                terms.push(of_pass);
            }
            Ok(outputs)
        })?;
        let on_card = self.seat(plan.floats())?.plan(&plan)?;
        // Where experts have heads of their own, every way of dealing out a batch is a form.
        if self.steps.len() == MOST_FORMS {
            self.steps.remove(0);
        }
        self.steps.push(CardStep {
            form,
            plan,
            on_card,
            outputs,
            terms,
        });
        Ok(self.steps.len() - 1)
    }

    /// The network's place on the card, with room for so many floats.
    fn seat(&mut self, floats: usize) -> Result<&Seat> {
        let seat = match self.seat.take() {
            Some(mut seat) => {
                seat.grow(floats)?;
                seat
            }
            None => {
                let seat = Seat::new(self.conductor.clone(), floats)?;
                for (at, values) in self.initial.drain(..) {
                    seat.write(at, values)?;
                }
                seat
            }
        };
        Ok(self.seat.insert(seat))
    }

    /// Whether a parameter has a gradient in a step: the norms of an expert only where a sample
    /// goes through them.
    fn has_gradient(&self, parameter: &Parameter, passes: &[TrainingPass]) -> bool {
        match (parameter.part, self.net.branches().layers) {
            (Part::Expert(branch), ExpertLayers::Norms) => {
                passes.iter().any(|pass| pass.goes_through(branch))
            }
            (Part::Expert(_) | Part::Shared, _) => true,
        }
    }
}

impl Learner<Cuda> for CardLearner<'_> {
    fn step(
        &mut self,
        training: &Training<'_, Cuda>,
        step: usize,
        samples: &[Sample],
        lr: f64,
    ) -> Result<StepLoss> {
        let passes = passes(training, step, samples.len());
        let place = self.step_of(training, step, samples, &passes)?;
        let feeder = Feeder::default();
        for pass in &passes {
            forward(training, &feeder, step, samples, pass)?;
        }
        let CardStep {
            plan,
            on_card,
            outputs,
            terms,
            ..
        } = &self.steps[place];
        let mut rates = Vec::new();
        for (i, parameter) in self.parameters.iter().enumerate() {
            let changes = plan.changes(i) && self.has_gradient(parameter, &passes);
            rates.push(match changes {
                true => self.optimiser.rate(i, lr).into(),
                false => StepRate::Absent,
            });
        }
        let seat = self.seat.as_ref().expect("a recorded step has a place");
        let numbers = seat.step(on_card, with_rates(feeder.into_words(), &rates))?;
        let loss = self.tracer.given(plan, outputs, &numbers);
        if loss.is_finite() {
            let changed = rates.iter().enumerate();
            for (i, _) in changed.filter(|(_, rate)| **rate != StepRate::Absent) {
                self.optimiser.count(i);
            }
        }
        let mut latent = None;
        for terms in terms {
            latent = latent.or(terms.read(&self.tracer)?);
        }
        Ok((loss, latent))
    }

    fn bring_back(&mut self) -> Result<()> {
        // Before its first step the network has what it began with.
        let Some(seat) = &self.seat else {
            return Ok(());
        };
        let values = self.tracer.held_values(seat)?;
        for (parameter, values) in self.parameters.iter().zip(values) {
            let var = &parameter.var;
            var.set(&Tensor::from_vec(values, var.shape(), var.device())?)?;
        }
        Ok(())
    }

    fn moments(&self) -> Result<Vec<Moment>> {
        match &self.seat {
            Some(seat) => {
                let on_card = self.tracer.held_moments(seat)?;
                Ok(self.optimiser.with_moments(on_card))
            }
            None => self.optimiser.moments(),
        }
    }
}

impl From<Rate> for StepRate {
    fn from(rate: Rate) -> Self {
        match rate {
            Rate::Plain(rate) => Self::Plain(rate),
            Rate::Adaptive(rate) => Self::Adaptive(rate),
        }
    }
}
