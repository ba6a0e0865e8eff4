//! A report on a folder of data: its cases, its problems, and how far the experts agree.
//!
//! The rule: figures are of the cases that could be read; without such a case there are none.

use std::{cmp::Ordering, collections::BTreeMap, fmt, path::Path};

use itertools::Itertools;
use rayon::prelude::*;

use super::{
    Case, DataProblem, Expert, Mask, Severity, grouped,
    survey::{Survey, survey},
    training_geometry::TrainingGeometry,
};
use crate::{grid::ExpertNames, key::Digest, manifest::DataSpec};

/// The report on one folder.
#[derive(Clone, Debug)]
pub struct Check {
    /// Name and origin of the data.
    pub label: String,
    /// Digest of the readable content.
    pub digest: Digest,
    /// Readable training cases.
    pub training: usize,
    /// Readable test cases.
    pub test: usize,
    /// Number of cases by image size, `(width, height)` in pixels.
    pub sizes: BTreeMap<(usize, usize), usize>,
    /// Number of cases by the intensity of the background; `None` where no background surrounds
    /// what is shown.
    pub backgrounds: Vec<(Option<f32>, usize)>,
    /// What the headers of the images say of their pixels.
    pub geometry: TrainingGeometry,
    /// Experts that annotated every case.
    pub experts: Vec<Expert>,
    /// What experts are called.
    pub names: ExpertNames,
    /// Figures of the readable cases; `None` if there is none.
    pub figures: Option<Figures>,
    /// Errors first, then warnings.
    pub problems: Vec<DataProblem>,
}

/// Figures of at least one case. The brain is where the image is not background.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Lowest and highest intensity within any brain.
    pub intensity: (f32, f32),
    /// Mean intensity of each brain.
    pub brain_mean: MeanAndRange,
    /// Standard deviation over mean of each brain's intensities.
    pub brain_variation: MeanAndRange,
    /// Share of the frame that is brain.
    pub brain_share: MeanAndRange,
    /// Share of the frame that each expert marked.
    pub mask_share: BTreeMap<Expert, MeanAndRange>,
    /// Dice of two experts' masks, mean over all cases; two empty masks agree fully.
    pub mutual_dice: BTreeMap<(Expert, Expert), f64>,
    /// Intersection over union of all experts' masks: the pixels of all cases pooled.
    pub consensus: f64,
}

/// Mean and range over cases.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeanAndRange {
    /// Arithmetic mean.
    pub mean: f64,
    /// Lowest.
    pub min: f64,
    /// Highest.
    pub max: f64,
}

impl MeanAndRange {
    /// Of at least one value.
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let (mut sum, mut count) = (0.0, 0.0);
        let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values {
            sum += value;
            count += 1.0;
            min = min.min(value);
            max = max.max(value);
        }
        Self {
            mean: sum / count,
            min,
            max,
        }
    }
}

impl Check {
    /// Whether the data set can be used: no problem is an error.
    pub fn usable(&self) -> bool {
        self.problems
            .iter()
            .all(|problem| problem.severity == Severity::Warning)
    }
}

/// Reads and checks everything in `dir`.
pub fn check(dir: &Path) -> Check {
    of(&survey(dir, &DataSpec::default()))
}

/// The report on what was read.
pub fn of(survey: &Survey) -> Check {
    let readable = &survey.readable;
    let cases: Vec<&Case> = readable.cases().collect();
    let mut sizes = BTreeMap::new();
    for case in &cases {
        *sizes
            .entry((case.image.width, case.image.height))
            .or_insert(0) += 1;
    }
    let backgrounds = cases.iter().map(|case| {
        let image = &case.image;
        image.is_surrounded().then(|| image.background())
    });
    let mut backgrounds: Vec<(Option<f32>, usize)> = backgrounds
        .map(|found| found.map(f32::to_bits))
        .counts()
        .into_iter()
        .map(|(found, count)| (found.map(f32::from_bits), count))
        .collect();
    backgrounds.sort_by(|(a, _), (b, _)| a.partial_cmp(b).unwrap_or(Ordering::Equal));
    Check {
        backgrounds,
        geometry: TrainingGeometry::of(cases.iter().map(|case| &case.header)),
        figures: figures(&cases, &readable.experts),
        label: readable.label.clone(),
        digest: readable.digest,
        training: readable.training.len(),
        test: readable.test.len(),
        sizes,
        experts: readable.experts.clone(),
        names: ExpertNames::new(&readable.names),
        problems: survey.problems().cloned().collect(),
    }
}

/// Figures of cases that every one of `experts` annotated; `None` without a case or an expert.
pub fn figures(cases: &[&Case], experts: &[Expert]) -> Option<Figures> {
    if cases.is_empty() || experts.is_empty() {
        return None;
    }
    let each: Vec<CaseFigures> = cases
        .par_iter()
        .map(|case| CaseFigures::of(case, experts))
        .collect();
    let spread = |value: fn(&CaseFigures) -> f64| MeanAndRange::of(each.iter().map(value));
    let pairs = experts
        .iter()
        .copied()
        .array_combinations()
        .map(|[a, b]| (a, b));
    let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / each.len() as f64;
    Some(Figures {
        intensity: (
            each.iter().map(|c| c.min).fold(f32::INFINITY, f32::min),
            each.iter().map(|c| c.max).fold(f32::NEG_INFINITY, f32::max),
        ),
        brain_mean: spread(|c| c.brain_mean),
        brain_variation: spread(|c| c.brain_variation),
        brain_share: spread(|c| c.brain_share),
        mask_share: experts
            .iter()
            .enumerate()
            .map(|(i, e)| (*e, MeanAndRange::of(each.iter().map(|c| c.mask_share[i]))))
            .collect(),
        mutual_dice: pairs
            .enumerate()
            .map(|(i, pair)| (pair, mean(&mut each.iter().map(|c| c.dice[i]))))
            .collect(),
        consensus: {
            let pooled = |pixels: fn(&CaseFigures) -> usize| each.iter().map(pixels).sum();
            ratio(pooled(|c| c.all_px), pooled(|c| c.any_px))
        },
    })
}

/// One case's figures; shares and Dice in the order of the experts and of their pairs.
struct CaseFigures {
    min: f32,
    max: f32,
    brain_mean: f64,
    brain_variation: f64,
    brain_share: f64,
    mask_share: Vec<f64>,
    dice: Vec<f64>,
    all_px: usize,
    any_px: usize,
}

impl CaseFigures {
    fn of(case: &Case, experts: &[Expert]) -> Self {
        let frame = case.image.pixels.len() as f64;
        let background = case.image.background();
        let pixels = case.image.pixels.iter().copied();
        let brain: Vec<f32> = pixels.filter(|v| *v != background).collect();
        let count = brain.len() as f64;
        let mean = brain.iter().map(|v| f64::from(*v)).sum::<f64>() / count;
        let square = |v: &f32| (f64::from(*v) - mean).powi(2);
        let deviation = (brain.iter().map(square).sum::<f64>() / count).sqrt();
        let masks: Vec<&Mask> = experts.iter().filter_map(|e| case.mask(*e)).collect();
        let areas: Vec<usize> = masks.iter().map(|m| m.area_px()).collect();
        let dice = (0..masks.len()).array_combinations().map(|[a, b]| {
            let both = count_px(&[masks[a], masks[b]], |inside| inside == 2);
            ratio(2 * both, areas[a] + areas[b])
        });
        Self {
            min: brain.iter().copied().fold(f32::INFINITY, f32::min),
            max: brain.iter().copied().fold(f32::NEG_INFINITY, f32::max),
            brain_mean: mean,
            brain_variation: deviation / mean,
            brain_share: count / frame,
            mask_share: areas.iter().map(|a| *a as f64 / frame).collect(),
            dice: dice.collect(),
            all_px: count_px(&masks, |inside| inside == masks.len()),
            any_px: count_px(&masks, |inside| inside > 0),
        }
    }
}

/// How many pixels lie inside a number of masks that `wanted` accepts.
fn count_px(masks: &[&Mask], wanted: impl Fn(usize) -> bool) -> usize {
    (0..masks[0].pixels.len())
        .filter(|i| wanted(masks.iter().filter(|m| m.pixels[*i]).count()))
        .count()
}

/// `part / whole`; 1 for nothing of nothing, as two empty masks agree fully.
fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        1.0
    } else {
        part as f64 / whole as f64
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.label)?;
        let sizes = self
            .sizes
            .iter()
            .map(|((w, h), n)| format!("{n} of {w} x {h} px"))
            .join(", ");
        writeln!(
            f,
            "cases        {} training, {} test ({})",
            self.training,
            self.test,
            if sizes.is_empty() {
                "none readable"
            } else {
                &sizes
            }
        )?;
        writeln!(f, "headers      {}", self.geometry)?;
        let experts = match self.experts.is_empty() {
            true => "none".to_owned(),
            false => self
                .experts
                .iter()
                .map(|expert| match self.names.of((*expert).into()) {
                    Some(name) => format!("{expert} {name}"),
                    None => expert.to_string(),
                })
                .join(", "),
        };
        writeln!(f, "experts      {experts}")?;
        if self
            .backgrounds
            .iter()
            .any(|(found, _)| *found != Some(0.0))
        {
            let each = self.backgrounds.iter().map(|(found, count)| match found {
                Some(value) => format!("{value} in {count}"),
                None => format!(
                    "none in {count} (where most of the border is not 0, so that a crop at the \
                     foreground is one at the centre)"
                ),
            });
            writeln!(f, "background   {}", each.format(", "))?;
        }
        writeln!(f, "content      {}", self.digest.short())?;
        if let Some(figures) = &self.figures {
            write!(f, "{figures}")?;
        }
        let errors = self
            .problems
            .iter()
            .filter(|p| p.severity == Severity::Error)
            .count();
        let warnings = self.problems.len() - errors;
        let count = |n: usize, what: &str| match n {
            1 => format!("1 {what}"),
            n => format!("{n} {what}s"),
        };
        writeln!(
            f,
            "\nproblems     {}, {}",
            count(errors, "error"),
            count(warnings, "warning")
        )?;
        let lines = grouped(&self.problems);
        for line in &lines {
            writeln!(f, "{line}")?;
        }
        if lines.len() < self.problems.len() {
            writeln!(f, "`--json` names every file")?;
        }
        Ok(())
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |s: &MeanAndRange| {
            let MeanAndRange { mean, min, max } = s;
            format!(
                "{:6.2} {:6.2} {:6.2}",
                100.0 * mean,
                100.0 * min,
                100.0 * max
            )
        };
        let (low, high) = self.intensity;
        writeln!(f, "intensity    {low:.1} to {high:.1} within the brain\n")?;
        writeln!(f, "over the cases           mean    min    max")?;
        let MeanAndRange { mean, min, max } = self.brain_mean;
        writeln!(f, "brain's mean           {mean:6.1} {min:6.1} {max:6.1}")?;
        let MeanAndRange { mean, min, max } = self.brain_variation;
        writeln!(f, "brain's SD / mean      {mean:6.3} {min:6.3} {max:6.3}")?;
        writeln!(f, "brain, % of the frame  {}", percent(&self.brain_share))?;
        for (expert, share) in &self.mask_share {
            writeln!(f, "expert {expert:<3} %            {}", percent(share))?;
        }
        writeln!(f, "\nmutual Dice, mean over the cases")?;
        let experts: Vec<Expert> = self.mask_share.keys().copied().collect();
        writeln!(
            f,
            "      {}",
            experts.iter().map(|e| format!("{e:>5}")).join(" ")
        )?;
        for a in &experts {
            write!(f, "{a:>5} ")?;
            for b in &experts {
                match self.mutual_dice.get(&(*a.min(b), *a.max(b))) {
                    Some(dice) => write!(f, " {dice:5.3}")?,
                    None => write!(f, "     -")?,
                }
            }
            writeln!(f)?;
        }
        let values = self.mutual_dice.values().copied();
        if let Some((low, high)) = values.minmax_by(f64::total_cmp).into_option() {
            writeln!(f, "pairs        {low:.3} to {high:.3}")?;
        }
        writeln!(
            f,
            "all experts  {:.3} intersection over union, over all cases' pixels",
            self.consensus
        )
    }
}
