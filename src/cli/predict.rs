//! `expertgrid predict`: predicts the masks of images with a network from a file.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Error};
use clap::Args;

use super::{Done, Failure, ImageOptions, OwnDevice, output::print, weights::LoadedWeights};
use crate::{
    data::{
        Expert, Image, Mask, by_cause,
        folder::{self, NamedImage},
        grouped,
        nifti::{Fault, write_image, write_mask},
        prepare::{Plane, Prediction, Prepared, padded, prepare, vanishes},
    },
    engine::{AnyEngine, Engine, plain},
    file_name::folded,
    manifest::ImageSpec,
    progress::Bar,
    train::{logits, sigmoid},
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
    /// Write the network's output before the sigmoid too, as NAME_logits.nii.gz, NaN outside
    /// the part of the image that it predicts.
    #[arg(long)]
    logits: bool,
    #[command(flatten)]
    device: OwnDevice,
}

/// Images per batch of the network, after which progress is shown.
const TOGETHER: usize = 16;

pub(super) fn run(arguments: &Arguments) -> Result<Done, Failure> {
    let weights = LoadedWeights::open(&arguments.weights)?;
    let branch = weights.branch(arguments.expert)?;
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
    match &engine {
        AnyEngine::Stock(engine) => predict_all(arguments, &weights, branch, &images, engine),
        AnyEngine::Lanes(engine) => predict_all(arguments, &weights, branch, &images, engine),
    }
}

impl Arguments {
    /// The files of one image, the mask first.
    fn outputs(&self, name: &str) -> Vec<PathBuf> {
        let file = |ending: &str| self.out.join(format!("{name}{ending}.nii.gz"));
        let mut files = vec![file("")];
        files.extend(self.probabilities.then(|| file("_probability")));
        files.extend(self.logits.then(|| file("_logits")));
        files
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
    branch: usize,
    images: &[NamedImage],
    engine: &E,
) -> Result<Done, Failure> {
    let net = weights
        .checkpoint
        .restore(&weights.recipe.network, engine.device())
        .map_err(|error| weights.wrong(error))?;
    let spec = &weights.recipe.image;
    let mut bar = Bar::new("image", images.len());
    let (mut done, mut empty) = (0, Vec::new());
    for batch in images.chunks(TOGETHER) {
        let prepared: Vec<Arc<Prepared>> = batch
            .iter()
            .map(|named| Arc::new(prepare(&named.image, spec)))
            .collect();
        let planes = logits(&net, engine, &[branch], &prepared, spec)
            .map_err(|error| {
                let batch = format!("predicting the batch that begins with {}", batch[0].name);
                Failure::Work(Error::msg(plain(&error)).context(batch))
            })?
            .remove(0);
        for ((named, prepared), logits) in batch.iter().zip(&prepared).zip(&planes) {
            let mask = write(arguments, named, prepared, logits, spec)?;
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
        match weights.experts.get(branch) {
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

/// Writes the files of one image; returns the mask.
fn write(
    arguments: &Arguments,
    named: &NamedImage,
    prepared: &Prepared,
    logits: &Plane,
    spec: &ImageSpec,
) -> Result<Mask, Failure> {
    let region = prepared.view(spec);
    let prediction = Prediction {
        threshold: Prediction::HALF,
        case: named.name.clone(),
        frame: prepared.frame,
        region,
        probability: logits
            .values
            .iter()
            .map(|z| Prediction::quantise(sigmoid(*z)))
            .collect(),
    };
    let mask = prediction.mask();
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
        let at = |i: usize| sigmoid(logits.values[i]);
        // Background.
        real(prepared.frame.enlarge(&region, at, 0.0))?;
    }
    if arguments.logits {
        real(
            prepared
                .frame
                .enlarge(&region, |i| logits.values[i], f32::NAN),
        )?;
    }
    Ok(mask)
}
