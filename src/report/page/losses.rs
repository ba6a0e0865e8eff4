//! Training curves: the loss of each kind of training, from the curves in the store.

use itertools::Itertools;
use maud::{Markup, html};
use rayon::prelude::*;

use super::{
    PageSources,
    plot::{PlotFrame, scale::range},
};
use crate::{
    artefact::{CURVE, parse_curve},
    plan::{Kind, Spec, Stage, grouped},
};

/// Most curves of a kind that are read, evenly chosen: a page need not read a hundred thousand
/// files.
const MOST_CURVES: usize = 100;
/// Most points of a curve that are drawn; beyond that, neighbours are averaged.
const MOST_POINTS: usize = 120;

/// The trainings of one kind.
struct Losses {
    kind: Kind,
    /// How many the experiment has by the Dice loss.
    stages: usize,
    /// How many it has by another loss.
    others: usize,
    /// How many curves were read.
    read: usize,
    /// The last step.
    steps: f64,
    points: Vec<LossSpread>,
}

/// The losses of several trainings at one step.
struct LossSpread {
    step: f64,
    low: f64,
    median: f64,
    high: f64,
}

/// A plot for each kind of training that the experiment has.
pub(super) fn show(sources: &PageSources<'_>, experiment: usize) -> Markup {
    let kinds = [Kind::Pretrain, Kind::Finetune, Kind::Scratch];
    let losses: Vec<Losses> = kinds
        .into_iter()
        .filter_map(|kind| collect(sources, experiment, kind))
        .collect();
    let sampled = losses.iter().any(|one| one.read < one.stages);
    let others: usize = losses.iter().map(|one| one.others).sum();
    html! {
        @if losses.is_empty() { p.hole { "No training curves are in the store yet." } }
        @else {
            figure.panels {
                figcaption { strong { "Dice loss by training step" } }
                div.row { @for one in &losses { (plot(one, range(losses.iter().flat_map(ends)))) } }
            }
            p.notes {
                "The line is the median of the trainings, the band their middle 80 %."
                @if others > 0 {
                    " Trainings of another loss (" (others) ") are left out."
                }
                @if sampled {
                    " Of more than " (MOST_CURVES) " trainings, " (MOST_CURVES)
                    " evenly chosen ones are drawn."
                }
            }
        }
    }
}

fn collect(sources: &PageSources<'_>, experiment: usize, kind: Kind) -> Option<Losses> {
    let plan = sources.results.plan;
    let (stages, others): (Vec<&Stage>, Vec<&Stage>) = sources
        .results
        .of(experiment)
        .flat_map(|(run, _)| plan.needed(run))
        .unique()
        .map(|id| plan.stage(id))
        .filter(|stage| stage.spec.kind() == kind)
        .partition(|stage| matches!(&stage.spec, Spec::Train(train) if train.objective.is_usual()));
    let every = stages.len().div_ceil(MOST_CURVES).max(1);
    let curves: Vec<(f64, Vec<(f64, f64)>)> = stages
        .par_iter()
        .step_by(every)
        .filter_map(|stage| {
            let steps = parse_curve(&sources.file(stage, CURVE)?).ok()?;
            let size = steps.len().div_ceil(MOST_POINTS).max(1);
            let mean = |values: &dyn Fn(usize) -> f64, count: usize| {
                (0..count).map(values).sum::<f64>() / count as f64
            };
            let points = steps.chunks(size).map(|some| {
                let step = mean(&|i| some[i].step as f64, some.len());
                (step, mean(&|i| f64::from(some[i].loss), some.len()))
            });
            Some((steps.last()?.step as f64, points.collect()))
        })
        .collect();
    let longest = curves.iter().map(|(_, curve)| curve.len()).max()?;
    let points = (0..longest).map(|i| {
        let mut losses: Vec<f64> = curves
            .iter()
            .filter_map(|(_, curve)| Some(curve.get(i)?.1))
            .collect();
        losses.sort_by(f64::total_cmp);
        let at = |share: f64| losses[((losses.len() - 1) as f64 * share).round() as usize];
        let step = curves
            .iter()
            .find_map(|(_, curve)| curve.get(i))
            .map_or(0.0, |(step, _)| *step);
        LossSpread {
            step,
            low: at(0.1),
            median: at(0.5),
            high: at(0.9),
        }
    });
    Some(Losses {
        kind,
        stages: stages.len(),
        others: others.len(),
        read: curves.len(),
        steps: curves.iter().map(|(last, _)| *last).fold(1.0, f64::max),
        points: points.collect(),
    })
}

/// The finite ends of the bands.
fn ends(losses: &Losses) -> impl Iterator<Item = f64> {
    let ends = losses
        .points
        .iter()
        .flat_map(|point| [point.low, point.high]);
    ends.filter(|value| value.is_finite())
}

/// A plot; `losses_shown` is the range of the losses of all kinds, which are compared.
fn plot(losses: &Losses, losses_shown: Option<[f64; 2]>) -> Markup {
    let Losses {
        kind,
        stages,
        others: _,
        read: _,
        steps: last,
        points,
    } = losses;
    let name = match kind {
        Kind::Pretrain => "Pretraining",
        Kind::Finetune => "Fine-tuning",
        Kind::Scratch => "From random initialisation",
        Kind::Serve => "Serving",
        Kind::Agree => "Agreement of masks",
        Kind::Evaluate => "Evaluation",
    };
    let Some([low, high]) = losses_shown.filter(|_| ends(losses).next().is_some()) else {
        return html! { p.hole { (name) ": no finite loss" } };
    };
    let frame = PlotFrame::new([0.0, *last], [low.max(0.0), high], None);
    let drawn = || {
        points
            .iter()
            .filter(|p| [p.low, p.median, p.high].iter().all(|v| v.is_finite()))
    };
    let upper = drawn().map(|p| (p.step, p.high));
    let lower = drawn().rev().map(|p| (p.step, p.low));
    let band = format!("{}Z", frame.path(upper.chain(lower)));
    let title = format!("{name} ({})", grouped(*stages));
    let says = format!(
        "{title}: the median loss goes from {:.3} to {:.3} over {last:.0} steps.",
        points.first().map_or(f64::NAN, |p| p.median),
        points.last().map_or(f64::NAN, |p| p.median),
    );
    let class = match kind {
        Kind::Scratch => "without",
        _ => "with",
    };
    let drawing = html! {
        g.(class) {
            path.band d=(band) {}
            path.mean.solid d=(frame.path(drawn().map(|p| (p.step, p.median)))) {}
        }
    };
    frame.plot(&title, "step", &says, drawing)
}
