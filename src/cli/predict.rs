//! `expertgrid predict`: predicts the masks of images with a network from a file.

use std::{
    collections::HashMap,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Error, anyhow};
use clap::Args;

use super::{
    Done, Failure, ImageOptions, OwnDevice,
    output::print,
    weights::{DisagreementSource, LoadedWeights},
};
use crate::{
    data::{
        Expert, Image, Mask, by_cause,
        folder::{self, NamedImage},
        grouped,
        nifti::{Fault, write_image, write_mask},
        prepare::{Plane, Prediction, Prepared, padded, prepare, vanishes},
    },
    engine::{AnyEngine, Engine, plain},
    figure::overlay,
    file_name::folded,
    manifest::ImageSpec,
    method::NetworkForm,
    progress::Bar,
    seed::Seed,
    store::create_file,
    train::{disagreement, logits, samples, sigmoid, standard_normals},
};

#[derive(Debug, Args)]
#[command(
    after_help = "A mask has the name of its image, or of the folder of an `image.nii.gz`, and its \
                  image's header: shape, spacing, position.

Example: expertgrid predict --weights expert8.safetensors new/*.nii.gz -o masks"
)]
pub(super) struct Arguments {
    /// Checkpoint of the network.
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// Whose masks to predict; needed where the network has several experts' branches.
    #[arg(long, value_name = "N")]
    expert: Option<Expert>,
    /// 2-D images (NIfTI, PNG), folders of a case, folders of images and of cases.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    #[command(flatten)]
    reading: ImageOptions,
    /// Folder to write to; files there are not replaced.
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    /// Write the probability of foreground too, as NAME_probability.nii.gz.
    #[arg(long)]
    probabilities: bool,
    /// Write how much experts disagree too, as NAME_disagreement.nii.gz: from 0, where all agree,
    /// to 1, where half of them are inside. It is the map of a network that has one, or
    /// 4 p (1 - p) where the probability p was trained to be the share of experts that are inside.
    #[arg(long, conflicts_with = "sample")]
    disagreement: bool,
    /// Write the image with the mask's contour too, as NAME_overlay.png.
    #[arg(long)]
    overlay: bool,
    /// Write the network's output before the sigmoid too, as NAME_logits.nii.gz, NaN outside
    /// the part of the image that it predicts.
    #[arg(long)]
    logits: bool,
    /// Draw this many masks of each image from the prior of a probabilistic network, written as
    /// NAME_sample1.nii.gz and so on; NAME.nii.gz is then where their mean probability is 1/2.
    /// A sample's number stands for the same way of drawing in all images.
    #[arg(long, value_name = "COUNT", conflicts_with_all = ["logits", "latent"])]
    sample: Option<NonZeroUsize>,
    /// The seed of `--sample`.
    #[arg(long, value_name = "N", requires = "sample", default_value_t = 0)]
    seed: u64,
    /// The latent of a probabilistic network, in place of the mean of each image's prior; as in the
    /// `latent.json` of a served network.
    #[arg(
        long,
        value_name = "Z,Z,...",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    latent: Option<Vec<f32>>,
    #[command(flatten)]
    device: OwnDevice,
}

/// Images per batch of the network, after which progress is shown.
const TOGETHER: usize = 16;

pub(super) fn run(arguments: &Arguments) -> Result<Done, Failure> {
    let weights = arguments.with_latent(LoadedWeights::open(&arguments.weights)?)?;
    let branch = weights.branch(arguments.expert)?;
    let source = arguments.disagreement.then(|| weights.disagreement());
    let source = source.transpose()?;
    let reading = arguments.reading.reading();
    let found = folder::images(&arguments.images, &reading).map_err(Failure::input)?;
    for line in grouped(&found.warnings) {
        eprintln!("{line}");
    }
    let images = found.images;
    let spec = weights.recipe.image;
    let small = images.iter().filter_map(|named| {
        let why = padded(&named.image, &spec)?;
        Some((named.path.display(), why))
    });
    for line in by_cause(small) {
        eprintln!("note: {line}");
    }
    let planned = images
        .iter()
        .flat_map(|named| arguments.outputs(&named.name));
    let mut problems = by_cause(images.iter().filter_map(|named| {
        let why = vanishes(&named.image, &spec)?;
        Some((named.path.display(), why))
    }));
    problems.extend(
        planned
            .filter(|path| path.exists())
            .map(|path| format!("{} exists already; choose another folder", path.display())),
    );
    problems.extend(arguments.collisions(&images));
    if !problems.is_empty() {
        return Err(Failure::refused(problems.join("\n")));
    }
    std::fs::create_dir_all(&arguments.out)
        .with_context(|| {
            let out = arguments.out.display();
            format!("{out} cannot be created; choose another folder")
        })
        .map_err(Failure::Input)?;
    eprintln!("weights: {weights}");
    let headers = images
        .iter()
        .map(|named| (named.path.display(), &named.header));
    weights.tell_differences(headers);
    let (engine, _) = arguments.device.open()?;
    let outputs = WantedOutputs { branch, source };
    match &engine {
        AnyEngine::Stock(engine) => predict_all(arguments, &weights, &outputs, &images, engine),
        AnyEngine::Lanes(engine) => predict_all(arguments, &weights, &outputs, &images, engine),
        AnyEngine::Cuda(engine) => predict_all(arguments, &weights, &outputs, &images, &**engine),
    }
}

/// Which outputs of the network are asked for.
struct WantedOutputs {
    /// The branch of the mask.
    branch: usize,
    /// What says how much experts disagree, where that is asked for.
    source: Option<DisagreementSource>,
}

impl Arguments {
    /// The files of one image, the mask first.
    fn outputs(&self, name: &str) -> Vec<PathBuf> {
        let file = |ending: &str| self.out.join(format!("{name}{ending}.nii.gz"));
        let mut files = vec![file("")];
        files.extend(self.probabilities.then(|| file("_probability")));
        files.extend(self.disagreement.then(|| file("_disagreement")));
        files.extend(self.logits.then(|| file("_logits")));
        let samples = 1..=self.sample.map_or(0, NonZeroUsize::get);
        files.extend(samples.map(|number| file(&format!("_sample{number}"))));
        files.extend(
            self.overlay
                .then(|| self.out.join(format!("{name}_overlay.png"))),
        );
        files
    }

    /// The weights with the latent that was given, or an error where a latent is spoken of that the
    /// network does not take.
    fn with_latent(&self, weights: LoadedWeights) -> Result<LoadedWeights, Failure> {
        let option = match (&self.latent, self.sample) {
            (Some(_), _) => "--latent",
            (None, Some(_)) => "--sample",
            (None, None) => return Ok(weights),
        };
        let path = weights.path.display();
        if weights.network != NetworkForm::Latent {
            return Err(Failure::Input(anyhow!(
                "{path}: the network takes no latent, as it is not a probabilistic U-Net; leave \
                 `{option}` out"
            )));
        }
        match &self.latent {
            None => Ok(weights),
            Some(latent)
                if latent.len() != weights.latent || !latent.iter().all(|z| z.is_finite()) =>
            {
                Err(Failure::refused(format!(
                    "`--latent` has {} numbers; the network takes {} finite ones",
                    latent.len(),
                    weights.latent
                )))
            }
            Some(latent) => {
                let checkpoint = weights.checkpoint.with_latent(latent);
                Ok(LoadedWeights {
                    checkpoint: checkpoint.map_err(|error| weights.wrong(error))?,
                    network: NetworkForm::Comb,
                    ..weights
                })
            }
        }
    }

    /// The noise of each sample for a latent of so many dimensions, the same for all images.
    fn noises(&self, latent: usize) -> Vec<Vec<f32>> {
        let samples = 0..self.sample.map_or(0, NonZeroUsize::get);
        let seed = Seed::new(self.seed).fork("sample");
        samples
            .map(|sample| standard_normals(&seed.at(sample as u64), latent))
            .collect()
    }
}

impl Arguments {
    /// The outputs that two images would share, on some disk at least.
    fn collisions(&self, images: &[NamedImage]) -> Vec<String> {
        let mut writers: HashMap<String, &NamedImage> = HashMap::new();
        let mut problems = Vec::new();
        for named in images {
            for path in self.outputs(&named.name) {
                let shown = path.display().to_string();
                match writers.insert(folded(&shown), named) {
                    Some(other) if other.path != named.path => problems.push(format!(
                        "{} and {} would both be written to {shown}; predict one of them into \
                         another folder",
                        other.path.display(),
                        named.path.display()
                    )),
                    _ => {}
                }
            }
        }
        problems
    }
}

fn predict_all<E: Engine>(
    arguments: &Arguments,
    weights: &LoadedWeights,
    outputs: &WantedOutputs,
    images: &[NamedImage],
    engine: &E,
) -> Result<Done, Failure> {
    let branches: Vec<usize> = match outputs.source {
        Some(DisagreementSource::Branch(map)) => vec![outputs.branch, map],
        Some(DisagreementSource::Probability) | None => vec![outputs.branch],
    };
    let net = weights
        .checkpoint
        .restore(&weights.recipe.network, engine.device())
        .map_err(|error| weights.wrong(error))?;
    let spec = &weights.recipe.image;
    let noises = arguments.noises(weights.latent);
    let mut bar = Bar::new("image", images.len());
    let (mut done, mut empty) = (0, Vec::new());
    for batch in images.chunks(TOGETHER) {
        let prepared: Vec<Arc<Prepared>> = batch
            .iter()
            .map(|named| Arc::new(prepare(&named.image, spec)))
            .collect();
        let failed = |error| {
            let batch = format!("predicting the batch that begins with {}", batch[0].name);
            Failure::Work(Error::msg(plain(&error)).context(batch))
        };
        let predicted: Vec<Predicted> = match noises.is_empty() {
            true => {
                let planes = logits(&net, engine, &branches, &prepared, spec).map_err(failed)?;
                let mut planes = planes.into_iter();
                let masks = planes.next().into_iter().flatten().map(Predicted::of);
                match planes.next() {
                    Some(maps) => masks.zip(maps).map(Predicted::with_map).collect(),
                    None => masks.collect(),
                }
            }
            false => {
                let each = prepared.iter();
                each.map(|image| samples(&net, engine, image, &noises, spec).map(Predicted::mean))
                    .collect::<Result<_, _>>()
                    .map_err(failed)?
            }
        };
        for ((named, prepared), predicted) in batch.iter().zip(&prepared).zip(&predicted) {
            let mask = write(arguments, named, prepared, predicted, spec)?;
            if mask.area_px() == 0 {
                empty.push(named.name.as_str());
            }
            done += 1;
            bar.at(done, &named.name);
        }
    }
    let took = bar.finish();
    print(format_args!(
        "{}{} in {took}, written to {}",
        match images.len() {
            1 => "1 mask".to_owned(),
            n => format!("{n} masks"),
        },
        match weights.experts.get(outputs.branch) {
            Some(expert) => format!(" for expert {expert}"),
            None => String::new(),
        },
        arguments.out.display()
    ));
    if !empty.is_empty() {
        eprintln!("note: empty masks: {}", empty.join(", "));
    }
    Ok(Done::Whole)
}

/// A network's output for an image.
struct Predicted {
    probability: Plane,
    /// Before the sigmoid; of each sample where there are samples.
    logits: Vec<Plane>,
    /// How much experts disagree, from 0 to 1, where a branch says it.
    disagreement: Option<Plane>,
}

fn probabilities(logits: &Plane) -> Plane {
    Plane {
        values: logits.values.iter().map(|z| sigmoid(*z)).collect(),
        ..*logits
    }
}

impl Predicted {
    fn of(logits: Plane) -> Self {
        Self {
            probability: probabilities(&logits),
            logits: vec![logits],
            disagreement: None,
        }
    }

    /// With the map that a network has for it, before the sigmoid.
    fn with_map((mask, map): (Self, Plane)) -> Self {
        Self {
            disagreement: Some(probabilities(&map)),
            ..mask
        }
    }

    /// The mean probability of samples.
    fn mean(logits: Vec<Plane>) -> Self {
        let each: Vec<Plane> = logits.iter().map(probabilities).collect();
        let mean = |pixel: usize| {
            let sum: f64 = each
                .iter()
                .map(|plane| f64::from(plane.values[pixel]))
                .sum();
            (sum / each.len() as f64) as f32
        };
        let pixels = 0..each[0].values.len();
        Self {
            probability: Plane {
                values: pixels.map(mean).collect(),
                ..each[0]
            },
            logits,
            disagreement: None,
        }
    }
}

/// Writes the files of one image; returns the mask.
fn write(
    arguments: &Arguments,
    named: &NamedImage,
    prepared: &Prepared,
    predicted: &Predicted,
    spec: &ImageSpec,
) -> Result<Mask, Failure> {
    let region = prepared.view(spec);
    let mask_of = |probability: &Plane| {
        let prediction = Prediction {
            threshold: Prediction::HALF,
            case: named.name.clone(),
            frame: prepared.frame,
            region,
            probability: probability
                .values
                .iter()
                .map(|p| Prediction::quantise(*p))
                .collect(),
        };
        prediction.mask()
    };
    let mask = mask_of(&predicted.probability);
    let mut files = arguments.outputs(&named.name).into_iter();
    let mut next = || files.next().expect("as many files as were asked for");
    let failed = |path: &Path, fault: Fault| {
        Failure::Work(Error::new(fault).context(path.display().to_string()))
    };
    let path = next();
    write_mask(&path, &mask, &named.header).map_err(|fault| failed(&path, fault))?;
    let mut real = |plane: Plane| {
        let path = next();
        let image = Image {
            height: plane.height,
            width: plane.width,
            pixels: plane.values,
        };
        write_image(&path, &image, &named.header).map_err(|fault| failed(&path, fault))
    };
    if arguments.probabilities {
        let at = |i: usize| predicted.probability.values[i];
        // Background.
        real(prepared.frame.enlarge(&region, at, 0.0))?;
    }
    if arguments.disagreement {
        // Nobody marks what the network does not see.
        let enlarged = |of: &Plane| prepared.frame.enlarge(&region, |i| of.values[i], 0.0);
        let plane = match &predicted.disagreement {
            Some(map) => enlarged(map),
            None => {
                let mut plane = enlarged(&predicted.probability);
                for share in &mut plane.values {
                    *share = disagreement(*share);
                }
                plane
            }
        };
        real(plane)?;
    }
    if arguments.logits {
        let at = |i: usize| predicted.logits[0].values[i];
        real(prepared.frame.enlarge(&region, at, f32::NAN))?;
    }
    for sample in arguments.sample.iter().flat_map(|_| &predicted.logits) {
        let path = next();
        let mask = mask_of(&probabilities(sample));
        write_mask(&path, &mask, &named.header).map_err(|fault| failed(&path, fault))?;
    }
    if arguments.overlay {
        let png = overlay(&named.image, &mask).png();
        create_file(&next(), &png).map_err(Failure::work)?;
    }
    Ok(mask)
}
