//! Whether a data set can serve an experiment: enough cases, every expert, large enough images, no
//! mask cut off by the field of view.

use itertools::Itertools;
use rayon::prelude::*;

use super::{
    Case, Dataset, by_cause,
    prepare::{cut_pixels, lacks_foreground, padded, vanishes},
};
use crate::manifest::{CropAt, CutMasks, Experiment, ImageSpec, SpacingFrom};

/// The result of a check.
#[derive(Debug, Default)]
pub struct Fit {
    /// Why the experiment cannot be run.
    pub problems: Vec<String>,
    /// What the user should know; the experiment can be run.
    pub notes: Vec<String>,
}

/// Checks experiments against a data set, at every point of their sweeps; nothing is told twice.
pub fn fit_all(dataset: &Dataset, experiments: &[Experiment]) -> Fit {
    let points = experiments.iter().flat_map(Experiment::points);
    // Points that differ only in training need the same of the data.
    let asked = points.unique_by(|point| {
        let Experiment {
            name,
            recipe,
            metrics,
            ..
        } = &point.experiment;
        (
            name.clone(),
            format!("{:?} {:?}", recipe.image, metrics.spacing),
        )
    });
    let mut all = Fit::default();
    for point in asked {
        let fit = fit(dataset, &point.experiment);
        all.problems.extend(fit.problems);
        all.notes.extend(fit.notes);
    }
    for lines in [&mut all.problems, &mut all.notes] {
        lines.sort();
        lines.dedup();
    }
    all
}

/// Checks an experiment against a data set.
pub fn fit(dataset: &Dataset, experiment: &Experiment) -> Fit {
    let mut fit = Fit::default();
    let name = &experiment.name;
    let cohort = experiment.cohort;
    let (training, test) = (dataset.training.len(), dataset.test.len());
    if (training, test) != (cohort.training, cohort.test) {
        fit.problems.push(format!(
            "{name} is written for {} training and {} test cases, the data set has {training} and \
             {test}; set `dataset.training` and `dataset.test` (and the samples) to match",
            cohort.training, cohort.test
        ));
    }
    let grid = &experiment.grid;
    let mut wanted: Vec<u8> = [
        &grid.new_experts,
        &grid.annotators.from,
        &grid.train_experts,
    ]
    .into_iter()
    .flatten()
    .copied()
    .collect();
    wanted.sort_unstable();
    wanted.dedup();
    for expert in &wanted {
        if !dataset.experts.contains(expert) {
            fit.problems.push(format!(
                "{name} asks for expert {}, who did not annotate every case of the data set; \
                 choose among its experts {}",
                grid.names.show(*expert),
                dataset
                    .experts
                    .iter()
                    .map(|e| grid.names.show(*e))
                    .format(", ")
            ));
        }
    }
    let image = &experiment.recipe.image;
    let unfit = dataset.cases().filter_map(|case| {
        let why = match vanishes(&case.image, image) {
            Some(why) => why,
            None if experiment.metrics.spacing == SpacingFrom::Header => {
                let fault = case.spacing().err()?;
                format!(
                    "{}, and `metrics.spacing = \"header\"` asks for its spacing; use \"unit\"",
                    fault.what
                )
            }
            None => return None,
        };
        Some((&case.name, why))
    });
    let lines = by_cause(unfit).into_iter();
    fit.problems
        .extend(lines.map(|line| format!("{name}: {line}")));
    if fit.problems.is_empty() {
        let crop = smaller_crop(dataset, image);
        let small = dataset.cases().filter_map(|case| {
            let why = padded(&case.image, image)?;
            Some((&case.name, format!("{why}; {crop}")))
        });
        let lines = by_cause(small).into_iter();
        let lines = lines.chain(by_cause(without_foreground(dataset, image)));
        fit.notes
            .extend(lines.map(|line| format!("{name}: {line}")));
        cut_masks(dataset, experiment, &wanted, &mut fit);
    }
    fit
}

/// The cases whose crop lies elsewhere than `image.crop_at` asks.
fn without_foreground<'a>(
    dataset: &'a Dataset,
    image: &ImageSpec,
) -> impl Iterator<Item = (&'a String, String)> {
    let why = "no background is found (most of the border is not 0, nor is all of it one value), \
               so the crop lies at the image's centre, not at the foreground";
    let cases = dataset.cases();
    let without = cases.filter(|case| lacks_foreground(&case.image, image));
    without.map(move |case| (&case.name, why.to_owned()))
}

/// How the largest crop that every image fills is written, where there is one.
fn smaller_crop(dataset: &Dataset, spec: &ImageSpec) -> String {
    let sides = dataset
        .cases()
        .flat_map(|case| [case.image.width, case.image.height]);
    let smallest = sides.min().unwrap_or_default();
    // The network halves its input five times.
    let crop = |reduce: usize| smallest / (32 * reduce) * (32 * reduce);
    match (crop(spec.reduce), crop(1)) {
        (0, 0) => "no crop is filled by all images".to_owned(),
        (0, crop) => {
            format!("every image fills `image.crop = {crop}` with `image.reduce = 1`")
        }
        (crop, _) => format!("every image fills `image.crop = {crop}`"),
    }
}

fn cut_masks(dataset: &Dataset, experiment: &Experiment, experts: &[u8], fit: &mut Fit) {
    let image = &experiment.recipe.image;
    let cases: Vec<&Case> = dataset.cases().collect();
    let cut = cases.into_par_iter().filter_map(|case| {
        let most = cut_pixels(case, experts, image).into_iter().max();
        let pixels = most.filter(|pixels| *pixels > 0)?;
        Some(format!("{} ({pixels} px)", case.name))
    });
    let cut: Vec<String> = cut.collect();
    if cut.is_empty() {
        return;
    }
    let what = format!(
        "{}: the field of view cuts off part of a mask in {} of {} cases: {}",
        experiment.name,
        cut.len(),
        dataset.cases().count(),
        cut.join(", ")
    );
    match experiment.cut_masks {
        CutMasks::Allow => fit.notes.push(what),
        CutMasks::Refuse => {
            let remedy = match image.crop_at {
                CropAt::Centre => ", set `image.crop_at = \"foreground\"`,",
                CropAt::Foreground => "",
            };
            fit.problems.push(format!(
                "{what}; enlarge `image.crop`{remedy} or allow it with \
                 `image.cut_masks = \"allow\"`"
            ));
        }
    }
}
