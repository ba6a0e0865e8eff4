//! `expertgrid adapt`: a pretrained network for one more expert, outside any grid.

mod method;
mod selection;

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context, Error, anyhow};
use clap::Args;

use method::NewBranch;
use selection::select;

use super::{
    Done, Failure, ImageOptions, MaskOptions, OwnDevice, output::print, weights::LoadedWeights,
};
use crate::{
    adaptation::{AdaptationError, Adapting, Beginning, SupportCase, dice_by_branch, mean},
    artefact::Choice,
    data::{
        Case, Expert, by_cause, folder, grouped,
        prepare::{cut_pixels, padded, prepare, prepare_mask, vanishes},
        training_geometry::TrainingGeometry,
    },
    engine::AnyEngine,
    event::Step,
    key::Keyed,
    manifest::{Budget, ExpertBatching, FileReading, LatentSpec, Recipe},
    method::{Objective, Tuned},
    net::{About, Adaptation, Checkpoint, ExpertLayers, NetworkOrigin, UNet},
    progress::Bar,
    seed::Seed,
    store::{check_writable, create_file},
    train::{Annotated, Training, Trains, train},
};

#[derive(Debug, Args)]
#[command(
    after_help = "DIR holds a folder for each case with image.nii.gz and, where the expert has \
                  annotated it, task01_segNN.nii.gz (NN the expert's number); other cases are left \
                  out. It may also be the folder of one such case.

Example: expertgrid adapt --weights pretrained.safetensors --cases my_cases --expert 8 \
                  -o expert8.safetensors"
)]
pub(super) struct Arguments {
    /// Checkpoint of the pretrained network.
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// Folder of the annotated cases.
    #[arg(long, value_name = "DIR")]
    cases: PathBuf,
    /// The new expert's number, as in `task01_seg08`.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(Expert).range(1..))]
    expert: Expert,
    #[command(flatten)]
    images: ImageOptions,
    #[command(flatten)]
    masks: MaskOptions,
    /// Checkpoint to write; it must not exist yet.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// What is done for the new expert: a word, or the name of a built-in method of grids, where
    /// the network is of its form.
    #[arg(long, value_parser = method::known(), default_value = "full")]
    method: String,
    /// Optimiser steps.
    #[arg(long, default_value_t = Budget::FINETUNE.steps, value_name = "N")]
    steps: usize,
    /// Initial learning rate.
    #[arg(long, default_value_t = Budget::FINETUNE.lr, value_name = "RATE")]
    lr: f64,
    /// Factor of the learning rate for what the expert has of its own.
    #[arg(long, default_value_t = Budget::FINETUNE.expert_lr_factor, value_name = "FACTOR")]
    expert_lr_factor: f64,
    /// Share of the last steps over which the parameters are averaged; 0 keeps those of the last.
    #[arg(long, default_value_t = Budget::FINETUNE.average, value_name = "SHARE")]
    average: f64,
    /// Seed of all randomness.
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
    #[command(flatten)]
    device: OwnDevice,
}

pub(super) fn run(arguments: &Arguments) -> Result<Done, Failure> {
    if let Some((key, why)) = budget(arguments).refused() {
        let option = key.replace('_', "-");
        return Err(Failure::refused(format!("`--{option}`: {why}")));
    }
    // Checked before any work: a file is never replaced.
    if arguments.out.exists() {
        return Err(Failure::Input(anyhow!(
            "{} exists already; choose another name for the new checkpoint",
            arguments.out.display()
        )));
    }
    let weights = LoadedWeights::open(&arguments.weights)?;
    let reading = FileReading {
        labels: arguments.masks.label.clone(),
        ..arguments.images.reading()
    };
    let found = folder::annotated(&arguments.cases, arguments.expert, &reading);
    let found = found.map_err(Failure::input)?;
    for line in grouped(&found.warnings) {
        eprintln!("{line}");
    }
    tell_fit(&found.cases, arguments.expert, &weights.recipe)?;
    let way = NewBranch::of(
        &arguments.method,
        weights.network,
        weights.experts.len().max(1),
    );
    let way = way.map_err(|why| weights.unfit(&why))?;
    weights.tell_differences(found.cases.iter().map(|case| (&case.name, &case.header)));
    check_writable(&arguments.out).map_err(Failure::input)?;
    eprintln!("weights: {weights}");
    eprintln!(
        "cases: {} with a mask of expert {}{}, of {}",
        found.cases.len(),
        arguments.expert,
        match found.left_out {
            0 => String::new(),
            n => format!(" ({n} without, left out)"),
        },
        found.label
    );
    let (engine, made_by) = arguments.device.open()?;
    let outcome = match &engine {
        AnyEngine::Stock(engine) => adapt(arguments, way, &weights, &found.cases, engine),
        AnyEngine::Lanes(engine) => adapt(arguments, way, &weights, &found.cases, engine),
        AnyEngine::Cuda(engine) => adapt(arguments, way, &weights, &found.cases, &**engine),
    }?;
    let headers = found.cases.iter().map(|case| &case.header);
    let geometry = TrainingGeometry::of(headers).or(weights.geometry());
    let about = About {
        geometry: Some(geometry).filter(|geometry| !geometry.is_silent()),
        recipe: weights.recipe,
        experts: vec![arguments.expert],
        network: weights.network.adapted(),
        latent: LatentSpec::USUAL.dimensions,
        provenance: NetworkOrigin::Adaptation(Box::new(Adaptation {
            from: weights.checkpoint.digest(),
            pretrained_on: weights
                .checkpoint
                .about()
                .and_then(|about| about.trained_on()),
            dataset: found.label,
            cases: found.cases.iter().map(|case| case.name.clone()).collect(),
            images: found.cases.iter().map(|case| case.image_digest).collect(),
            masks: found
                .cases
                .iter()
                .map(|case| case.annotations[&arguments.expert].digest)
                .collect(),
            method: outcome.method,
            budget: Budget {
                steps: outcome.trained.as_ref().map_or(0, |_| arguments.steps),
                ..budget(arguments)
            },
            seed: arguments.seed,
            made_by,
        })),
    };
    let checkpoint = Checkpoint::of(&outcome.net, about).map_err(|error| weights.wrong(error))?;
    create_file(&arguments.out, &checkpoint.to_bytes()).map_err(Failure::work)?;
    let done = match &outcome.trained {
        Some(Trained { first, last, took }) => format!(
            "{} steps on {} cases in {took}, loss {:.4} to {:.4}",
            arguments.steps,
            found.cases.len(),
            first.loss,
            last.loss
        ),
        None => format!("chosen by {} cases, nothing is trained", found.cases.len()),
    };
    print(format_args!(
        "expert {}: {done}, mean Dice on these cases {:.4}",
        arguments.expert, outcome.dice
    ));
    print(format_args!("written to {}", arguments.out.display()));
    Ok(Done::Whole)
}

fn budget(arguments: &Arguments) -> Budget {
    Budget {
        steps: arguments.steps,
        lr: arguments.lr,
        expert_lr_factor: arguments.expert_lr_factor,
        average: arguments.average,
    }
}

/// Refuses images of which nothing is left, and notes which are padded to the network's input;
/// warns where it cuts off part of a mask.
fn tell_fit(cases: &[Case], expert: Expert, recipe: &Recipe) -> Result<(), Failure> {
    let problems = by_cause(cases.iter().filter_map(|case| {
        let why = vanishes(&case.image, &recipe.image)?;
        Some((&case.name, why))
    }));
    if !problems.is_empty() {
        return Err(Failure::refused(problems.join("\n")));
    }
    let small = cases.iter().filter_map(|case| {
        let why = padded(&case.image, &recipe.image)?;
        Some((&case.name, why))
    });
    for line in by_cause(small) {
        eprintln!("note: {line}");
    }
    for case in cases {
        let cut: usize = cut_pixels(case, &[expert], &recipe.image).iter().sum();
        if cut > 0 {
            eprintln!(
                "warning: {}: {cut} pixels of the mask lie outside the part of the image that \
                 the network predicts",
                case.name
            );
        }
    }
    Ok(())
}

struct Adapted {
    net: UNet,
    method: String,
    /// None where something was chosen instead.
    trained: Option<Trained>,
    dice: f64,
}

struct Trained {
    first: Step,
    last: Step,
    took: String,
}

fn adapt<E: Trains>(
    arguments: &Arguments,
    NewBranch { branch, tuned }: NewBranch,
    weights: &LoadedWeights,
    cases: &[Case],
    engine: &E,
) -> Result<Adapted, Failure> {
    let recipe = &weights.recipe;
    let seed = Seed::new(arguments.seed).fork("adapt");
    let expert = arguments.expert;
    let drawn: Vec<SupportCase<'_>> = cases
        .iter()
        .map(|case| SupportCase {
            digest: case.image_digest,
            image: Arc::new(prepare(&case.image, &recipe.image)),
            mask: &case.annotations[&expert].mask,
        })
        .collect();
    let annotated: Vec<Annotated> = drawn
        .iter()
        .map(|case| Annotated {
            image: case.image.clone(),
            masks: vec![Arc::new(prepare_mask(case.mask, &recipe.image))],
        })
        .collect();
    let failed = |error| match error {
        AdaptationError::Checkpoint(error) => weights.wrong(error),
        error @ (AdaptationError::Tensor(_) | AdaptationError::Mask(_)) => {
            Failure::Work(Error::new(error).context(format!("adapting to expert {expert}")))
        }
    };
    let Some(tuned) = tuned else {
        let chosen = select(weights, &drawn, engine).map_err(failed)?;
        let dice = dice_by_branch(&chosen.net, engine, &drawn, &recipe.image).map_err(failed)?;
        return Ok(Adapted {
            net: chosen.net,
            method: format!("select: {}", chosen.what),
            trained: None,
            dice: mean(&dice[0]),
        });
    };
    let layers = ExpertLayers::from(weights.network);
    let Beginning { net, choice } = Adapting {
        pretrained: &weights.checkpoint,
        experts: &weights.experts,
        layers,
        branch,
        cases: &drawn,
        recipe,
        seed: seed.fork("initialisation"),
        engine,
    }
    .begin()
    .map_err(failed)?;
    let method = told(choice.as_ref(), tuned, layers);
    let mut bar = Bar::new("step", arguments.steps);
    let trained = train(
        &Training {
            net: &net,
            engine,
            cases: &annotated,
            recipe,
            budget: budget(arguments),
            rate_key: "--lr".to_owned(),
            batching: ExpertBatching::All,
            dealt: None,
            objective: Objective::Dice,
            beta: LatentSpec::USUAL.beta,
            tuned,
            seed,
        },
        &mut |step: Step| bar.at(step.step, &format!("loss {:.4}", step.loss)),
    );
    let took = bar.finish();
    let steps = trained
        .with_context(|| format!("adapting to expert {expert}"))
        .map_err(Failure::Work)?;
    let dice = dice_by_branch(&net, engine, &drawn, &recipe.image).map_err(failed)?;
    Ok(Adapted {
        net,
        method,
        trained: Some(Trained {
            first: steps[0],
            last: steps[steps.len() - 1],
            took,
        }),
        dice: mean(&dice[0]),
    })
}

/// Says which branch is trained, and from where; returns the method as the checkpoint records it.
fn told(choice: Option<&Choice>, tuned: Tuned, layers: ExpertLayers) -> String {
    let are_trained = match layers {
        ExpertLayers::Norms => "its normalisation layers are trained",
        ExpertLayers::Head => "its head is trained",
        ExpertLayers::Comb => "its last layers are trained, with the latent of the cases",
    };
    match choice {
        None => match tuned {
            Tuned::Everything => "full".to_owned(),
            Tuned::ExpertLayers => {
                eprintln!("it has one branch: {are_trained}");
                "expert layers, from the only branch".to_owned()
            }
        },
        Some(choice) => {
            let from = choice.chosen;
            let (are_trained, method) = match tuned {
                Tuned::Everything => ("it is trained with all the rest", "full"),
                Tuned::ExpertLayers => (are_trained, "expert layers"),
            };
            eprintln!(
                "the branch of expert {from} fits the cases best (mean Dice {:.4}): {are_trained}",
                choice.mean_dice()
            );
            format!("{method}, from expert {from}")
        }
    }
}
