//! Parameters on a card: a step is recorded once for each form that it has, and done from then on
//! with what the processor gives.

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
        cuda::{CardOptimiser, Feeder, RecordedStep, StepRate},
    },
    net::{ExpertLayers, Parameter, Part, UNet},
};

/// A network's parameters on a card.
pub struct CardLearner<'a> {
    cuda: &'a Cuda,
    net: &'a UNet,
    parameters: &'a [Parameter],
    optimiser: RAdam,
    steps: Vec<CardStep>,
}

/// A step of one form.
struct CardStep {
    form: Vec<PassForm>,
    recorded: RecordedStep,
    /// Of each pass, what its loss is made of.
    terms: Vec<TermTensors<Cuda>>,
}

impl<'a> CardLearner<'a> {
    pub(super) fn new(
        cuda: &'a Cuda,
        net: &'a UNet,
        parameters: &'a [Parameter],
        optimiser: RAdam,
    ) -> Result<Self> {
        let tensors = |of: &'a [Parameter]| of.iter().map(|p| p.var.as_tensor());
        let trained: Vec<&Tensor> = tensors(parameters).collect();
        let is_trained = |tensor: &&Tensor| trained.iter().any(|other| other.id() == tensor.id());
        let others = tensors(net.parameters()).filter(|tensor| !is_trained(tensor));
        let moments = optimiser.moments()?;
        let moments: Vec<[Vec<f32>; 2]> = moments
            .into_iter()
            .map(|moment| [moment.first, moment.second])
            .collect();
        cuda.hold(&trained, &others.collect::<Vec<_>>(), &moments)?;
        Ok(Self {
            cuda,
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
        let recorded = self
            .cuda
            .record_step(&optimiser, passes.len(), |recording| {
                terms.clear();
                for pass in passes {
                    let (loss, of_pass) = forward(training, self.cuda, step, samples, pass)?;
                    recording.backward(loss, pass.share);
                    terms.push(of_pass);
                }
                Ok(())
            })?;
        self.steps.push(CardStep {
            form,
            recorded,
            terms,
        });
        Ok(self.steps.len() - 1)
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
        let recorded = &self.steps[place].recorded;
        let mut rates = Vec::new();
        for (i, parameter) in self.parameters.iter().enumerate() {
            let changes = recorded.changes(i) && self.has_gradient(parameter, &passes);
            rates.push(match changes {
                true => self.optimiser.rate(i, lr).into(),
                false => StepRate::Absent,
            });
        }
        let loss = self.cuda.run_step(recorded, &feeder.into_words(), &rates)?;
        if loss.is_finite() {
            let changed = rates.iter().enumerate();
            for (i, _) in changed.filter(|(_, rate)| **rate != StepRate::Absent) {
                self.optimiser.count(i);
            }
        }
        let mut latent = None;
        for terms in &self.steps[place].terms {
            latent = latent.or(terms.read(self.cuda)?);
        }
        Ok((loss, latent))
    }

    fn bring_back(&mut self) -> Result<()> {
        let values = self.cuda.held_values()?;
        for (parameter, values) in self.parameters.iter().zip(values) {
            let var = &parameter.var;
            var.set(&Tensor::from_vec(values, var.shape(), var.device())?)?;
        }
        Ok(())
    }

    fn moments(&self) -> Result<Vec<Moment>> {
        let on_card = self.cuda.held_moments()?;
        Ok(self.optimiser.with_moments(on_card))
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

impl Drop for CardLearner<'_> {
    fn drop(&mut self) {
        self.steps.clear();
        self.cuda.release();
    }
}
