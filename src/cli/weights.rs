//! Weights from a file, for the commands that use a single network.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use anyhow::{Error, anyhow};
use itertools::Itertools;

use super::Failure;
use crate::{
    data::{Expert, nifti::Header, training_geometry::TrainingGeometry},
    manifest::Recipe,
    method::{NetworkForm, Objective},
    net::{About, Checkpoint, CheckpointError, ExpertLayers, NetworkSize},
};

/// A checkpoint and how its network is used.
pub(super) struct LoadedWeights {
    pub path: PathBuf,
    pub checkpoint: Checkpoint,
    pub recipe: Recipe,
    /// The experts of the branches, in their order; none where several share the only one.
    pub experts: Vec<Expert>,
    /// What experts have of their own in it.
    pub network: NetworkForm,
    /// Dimensions of the latent; 0 where it takes none.
    pub latent: usize,
}

/// What says how much experts disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DisagreementSource {
    /// A branch that is a map of it.
    Branch(usize),
    /// The probability of foreground, which was trained to be the share of experts inside.
    Probability,
}

impl LoadedWeights {
    /// Reads a file; prints a note on what it does not say.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let wrong = |error| wrong(path, error);
        let checkpoint = Checkpoint::open(path).map_err(wrong)?;
        let NetworkSize { width, branches } = checkpoint.size().map_err(wrong)?;
        let experts = branches.count;
        checkpoint.check_finite().map_err(wrong)?;
        if let Some(converted) = checkpoint.converted() {
            eprintln!(
                "note: {}: {converted}, converted to single precision",
                path.display()
            );
        }
        let (recipe, experts, network) = match checkpoint.about() {
            Some(about) => (about.recipe, about.owners().to_vec(), about.network),
            None => {
                let mut paper = Recipe::default();
                paper.network.width = width;
                eprintln!(
                    "note: {} does not say how its images were prepared or who its experts are; \
                     the paper's crop of {} pixels and experts 1 to {experts} are assumed",
                    path.display(),
                    paper.image.crop
                );
                let experts = (1..=experts).map(|e| Expert::try_from(e).unwrap_or(Expert::MAX));
                let network = match branches.layers {
                    ExpertLayers::Norms => NetworkForm::Norms,
                    ExpertLayers::Head => NetworkForm::Heads,
                    ExpertLayers::Comb if branches.has_latent() => NetworkForm::Latent,
                    ExpertLayers::Comb => NetworkForm::Comb,
                };
                (paper, experts.collect(), network)
            }
        };
        Ok(Self {
            path: path.to_owned(),
            checkpoint,
            recipe,
            experts,
            network,
            latent: branches.latent(),
        })
    }

    /// What the headers of the images that it was trained on say, if the file has it.
    pub fn geometry(&self) -> Option<&TrainingGeometry> {
        self.checkpoint.about()?.geometry.as_ref()
    }

    /// Warns of images whose headers say something else than those of the training images did.
    pub fn tell_differences<'a, T: fmt::Display>(
        &self,
        images: impl Iterator<Item = (T, &'a Header)>,
    ) {
        let geometry = self.geometry();
        let lines = geometry.map(|geometry| geometry.differences(images));
        for line in lines.into_iter().flatten() {
            eprintln!("warning: {line}");
        }
    }

    /// What of the network says how much the experts disagree whose masks it was trained on.
    pub fn disagreement(&self) -> Result<DisagreementSource, Failure> {
        let several = |about: &About| about.experts.len() > 1;
        if self.network == NetworkForm::Map && self.checkpoint.about().is_some_and(several) {
            return Ok(DisagreementSource::Branch(1));
        }
        let about = self.checkpoint.about();
        let is_share = |about: &About| {
            about.objective() == Some(Objective::MeanMask) && about.experts.len() > 1
        };
        match about.is_some_and(is_share) {
            true => Ok(DisagreementSource::Probability),
            false => Err(self.unfit(
                "the network does not say how much experts disagree; only `uncertainty` and \
                 `uncertainty-map` networks do, taken out of the store as they were pretrained; \
                 leave `--disagreement` out",
            )),
        }
    }

    /// The failure of a checkpoint that cannot be used.
    pub fn wrong(&self, error: CheckpointError) -> Failure {
        wrong(&self.path, error)
    }

    /// The failure of a network that is not what is asked for.
    pub fn unfit(&self, why: &str) -> Failure {
        Failure::Input(anyhow!("{}: {why}", self.path.display()))
    }

    /// The branch of an expert; where none is named, the only branch.
    pub fn branch(&self, expert: Option<Expert>) -> Result<usize, Failure> {
        let known = self.experts.iter().join(", ");
        let found = match (expert, self.experts.len()) {
            (None, 0 | 1) => Some(0),
            (None, _) => {
                return Err(Failure::Input(anyhow!(
                    "{}: the network has a branch for each of experts {known}; choose one with \
                     `--expert N`, or adapt it to another with `expertgrid adapt`",
                    self.path.display()
                )));
            }
            (Some(_), 0) => {
                return Err(Failure::Input(anyhow!(
                    "{}: the network has one branch, which several experts share; leave \
                     `--expert` out, or adapt it to this expert with `expertgrid adapt`",
                    self.path.display()
                )));
            }
            (Some(expert), _) => self.experts.iter().position(|known| *known == expert),
        };
        found.ok_or_else(|| {
            Failure::Input(anyhow!(
                "{}: the network has no branch for expert {}, it has {known}; adapt it with \
                 `expertgrid adapt`",
                self.path.display(),
                expert.unwrap_or_default()
            ))
        })
    }
}

fn wrong(path: &Path, error: CheckpointError) -> Failure {
    Failure::Input(Error::new(error).context(path.display().to_string()))
}

impl fmt::Display for LoadedWeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} (width {}, {}",
            self.path.display(),
            self.recipe.network.width,
            match self.checkpoint.about() {
                Some(about) => about.whose(),
                None => format!("experts {}", self.experts.iter().join(", ")),
            }
        )?;
        let about = self.checkpoint.about();
        match about.and_then(|about| about.trained_on()) {
            Some(data) => write!(f, "; trained on {data})"),
            None => f.write_str(")"),
        }
    }
}
