//! What a training changes: parameters with their optimiser, where the engine keeps them.

use candle_core::Result;

use super::{
    Training,
    card_learner::CardLearner,
    host_learner::HostLearner,
    radam::{Moment, RAdam},
};
use crate::{
    data::augment::Sample,
    engine::{Cuda, Engine, Lanes, Stock},
    event::LatentTerms,
    net::Parameter,
};

/// The loss of a step, the mean over all its pairs of image and expert, and its terms where it has
/// some.
pub type StepLoss = (f32, Option<LatentTerms>);

/// Parameters with their optimiser.
pub trait Learner<E: Engine> {
    /// One update. No parameter changes where the loss is not finite.
    ///
    /// # Errors
    /// Where a tensor operation fails.
    fn step(
        &mut self,
        training: &Training<'_, E>,
        step: usize,
        samples: &[Sample],
        lr: f64,
    ) -> Result<StepLoss>;

    /// Sets the network's parameters to their present values.
    ///
    /// # Errors
    /// Where a tensor operation fails.
    fn bring_back(&mut self) -> Result<()>;

    /// The optimiser's state.
    ///
    /// # Errors
    /// Where a tensor operation fails.
    fn moments(&self) -> Result<Vec<Moment>>;
}

/// An engine that can train.
pub trait Trains: Engine + Sized {
    /// Where it keeps parameters.
    type Learner<'a>: Learner<Self>
    where
        Self: 'a;

    /// Takes the parameters of a network and the optimiser's state.
    ///
    /// # Errors
    /// Where a tensor operation fails.
    fn learner<'a>(
        &'a self,
        training: &Training<'a, Self>,
        parameters: &'a [Parameter],
        optimiser: RAdam,
    ) -> Result<Self::Learner<'a>>;
}

impl Trains for Lanes {
    type Learner<'a> = HostLearner<'a>;

    fn learner<'a>(
        &'a self,
        _training: &Training<'a, Self>,
        parameters: &'a [Parameter],
        optimiser: RAdam,
    ) -> Result<HostLearner<'a>> {
        Ok(HostLearner::new(parameters, optimiser))
    }
}

impl Trains for Stock {
    type Learner<'a> = HostLearner<'a>;

    fn learner<'a>(
        &'a self,
        _training: &Training<'a, Self>,
        parameters: &'a [Parameter],
        optimiser: RAdam,
    ) -> Result<HostLearner<'a>> {
        Ok(HostLearner::new(parameters, optimiser))
    }
}

impl Trains for Cuda {
    type Learner<'a> = CardLearner<'a>;

    fn learner<'a>(
        &'a self,
        training: &Training<'a, Self>,
        parameters: &'a [Parameter],
        optimiser: RAdam,
    ) -> Result<CardLearner<'a>> {
        CardLearner::new(self, training.net, parameters, optimiser)
    }
}
