//! The worst, the median and the best test cases as pictures, beside the same case without
//! pretraining.
//!
//! The rule: no picture is picked by hand. Of all pairs of a run and a test case at one position of
//! the table, in the order of their Dice, the first is the worst, the middle one the median and the
//! last the best; the caption says so.

mod draw;

use itertools::Itertools;
use maud::{Markup, html};

use super::{
    super::{position::Position, table::Table},
    PageSection, PageSources,
};
use crate::{
    artefact::{CaseScores, PREDICTIONS, SCORES, SERVED, Scores, branch_name, parse_predictions},
    data::Mask,
    figure::ImageCrop,
    grid::Axis,
    manifest::Experiment,
    method::{Method, TrainedOn},
    metric::Measure,
    plan::Run,
};

/// Two positions of one new expert: the one whose cases are ordered, and the one beside it.
struct PicturePair {
    subject: Position,
    beside: Option<Position>,
    /// The same at the table's most samples, where these are the fewest of several.
    at_most: Option<Box<PicturePair>>,
}

/// One of the ordered pairs of run and case.
struct Example<'a> {
    run: &'a Run,
    case: String,
    dice: f64,
}

/// For each new expert, figures of two pictures.
pub(super) fn show(sources: &PageSources<'_>, part: &PageSection<'_>) -> Markup {
    let experts = &part.spec.grid.new_experts;
    let pairs = experts
        .iter()
        .filter_map(|expert| pair(&part.table, part.spec, *expert));
    let pairs = pairs.collect_vec();
    html! {
        @if pairs.is_empty() { p.hole { "No test case has been predicted yet." } }
        @for pair in &pairs {
            (figures(sources, part, pair))
        }
        @if !pairs.is_empty() {
            p.notes {
                span.line.truth {} " the expert, "
                span.line.with {} " " (name(&pairs[0].subject)) ", "
                @if let Some(beside) = &pairs[0].beside {
                    span.line.without {} " " (name(beside)) ". "
                }
                (rule(part.spec))
            }
        }
    }
}

/// How the pictures are chosen, in words.
fn rule(spec: &Experiment) -> &'static str {
    match spec.grid.pretrains() {
        true => {
            "Chosen by rule: with pretraining, at the table’s fewest samples and most experts, all \
             test cases of all runs are ordered by Dice; the worst is the first, the median the \
             middle one, the best the last. Where the table has more samples, the median at the \
             most follows. Beside it the same case without pretraining, from the same samples."
        }
        false => {
            "Chosen by rule: all test cases of all runs of the network that does worst by its mean \
             Dice are ordered by Dice; the worst is the first, the median the middle one, the \
             best the last. Beside it the same case by the network trained on the expert’s own \
             masks, or else by the best."
        }
    }
}

/// The networks of a position, in words.
fn name(position: &Position) -> String {
    let words = match (position.method(), position.train_expert()) {
        (Some(method), _) if method.is_pretrained() => "with pretraining",
        (Some(method), _) if method.is_alone() => "from random initialisation",
        (_, Some(_)) => "trained on another expert",
        (_, None) => "the table’s networks",
    };
    words.to_owned()
}

/// Which cells the pictures of an expert come from.
fn pair(table: &Table, spec: &Experiment, expert: u8) -> Option<PicturePair> {
    let cells = table
        .cells
        .iter()
        .filter(|cell| {
            Some(&cell.metric) == spec.metrics.report.first()
                && cell.position.new_expert() == Some(expert)
                && cell.present > 0
        })
        .collect_vec();
    if spec.grid.pretrains() {
        let with = cells.iter().map(|cell| &cell.position);
        let with = with.filter(|at| at.method().is_some_and(Method::is_pretrained));
        let most = |at: &Position| at.experts().map(|k| usize::MAX - k);
        // Networks as they are come last: there is none without pretraining beside them.
        let as_it_is = |at: &Position| at.samples() == Some(0);
        let subject = with.min_by_key(|at| (as_it_is(at), at.samples(), most(at)))?;
        let subject = subject.clone();
        let is_there = |at: &Position| cells.iter().any(|cell| cell.position == *at);
        let beside = |at: &Position| at.counterpart(&spec.table.compare).filter(is_there);
        let samples = cells
            .iter()
            .filter_map(|cell| cell.position.get(&Axis::SAMPLES));
        let most = samples
            .max()
            .filter(|most| Some(*most) != subject.get(&Axis::SAMPLES));
        let at_most = most.map(|most| subject.with(&[(Axis::SAMPLES, Some(most.clone()))]));
        return Some(PicturePair {
            beside: beside(&subject),
            at_most: at_most.filter(is_there).map(|at| {
                Box::new(PicturePair {
                    beside: beside(&at),
                    subject: at,
                    at_most: None,
                })
            }),
            subject,
        });
    }
    let fewest = cells.iter().map(|cell| cell.position.samples()).min()?;
    let ordered = cells
        .iter()
        .filter(|cell| cell.position.samples() == fewest)
        .filter_map(|cell| Some((cell.mean?, &cell.position)))
        .sorted_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, position)| position)
        .collect_vec();
    let (subject, best) = (*ordered.first()?, *ordered.last()?);
    let own = ordered.iter().find(|at| at.train_expert() == Some(expert));
    let beside = own.copied().unwrap_or(best);
    Some(PicturePair {
        subject: subject.clone(),
        beside: (beside != subject).then(|| beside.clone()),
        at_most: None,
    })
}

fn figures(sources: &PageSources<'_>, part: &PageSection<'_>, pair: &PicturePair) -> Markup {
    let ordered = in_order(sources, part, &pair.subject);
    let middle = |ordered: &[Example<'_>]| ordered.len().saturating_sub(1) / 2;
    let chosen = [
        ("Worst", ordered.first()),
        ("Median", ordered.get(middle(&ordered))),
        ("Best", ordered.last()),
    ];
    html! {
        div.cases {
            @for (word, example) in chosen {
                @if let Some(example) = example {
                    (figure(sources, part, pair, word, example, ordered.len()))
                }
            }
            @if let Some(most) = &pair.at_most {
                @let ordered = in_order(sources, part, &most.subject);
                @if let Some(example) = ordered.get(middle(&ordered)) {
                    (figure(sources, part, most, "Median", example, ordered.len()))
                }
            }
        }
    }
}

/// Every test case of every run of a position, from the lowest Dice to the highest.
fn in_order<'a>(
    sources: &PageSources<'a>,
    part: &PageSection<'_>,
    position: &Position,
) -> Vec<Example<'a>> {
    let runs = sources.results.of(part.index).map(|(run, _)| run);
    let runs = runs.filter(|run| Position::of(&run.at, &part.table.axes) == *position);
    let examples = runs.flat_map(|run| {
        let scores = scores(sources, run).map_or_else(Vec::new, |scores| scores.cases);
        scores.into_iter().filter_map(move |case| {
            Some(Example {
                run,
                dice: dice_of(&case)?,
                case: case.case,
            })
        })
    });
    // The order among equals is the plan's, which is the same every time.
    examples
        .sorted_by(|a, b| a.dice.total_cmp(&b.dice))
        .collect()
}

/// The Dice that pictures are ordered by, as a fraction. Scores hold it whatever a table reports.
fn dice_of(case: &CaseScores) -> Option<f64> {
    case.of(Measure::named("dice")?)?.value()
}

fn scores(sources: &PageSources<'_>, run: &Run) -> Option<Scores> {
    let stage = sources.results.plan.stage(run.evaluation);
    Scores::parse(&sources.file(stage, SCORES)?).ok()
}

/// The mask that a run's network predicts for a case.
fn predicted(sources: &PageSources<'_>, run: &Run, case: &str) -> Option<Mask> {
    let stage = sources.results.plan.stage(run.network);
    let branches = parse_predictions(&sources.file(stage, PREDICTIONS)?).ok()?;
    let trainer = match run.method().trained_on {
        TrainedOn::AnotherExpert => *run.at.experts.first()?,
        TrainedOn::NewExpert => run.at.new_expert,
    };
    let (_, predictions) = branches
        .into_iter()
        .find(|(name, _)| *name == branch_name(trainer) || *name == SERVED)?;
    let prediction = predictions
        .into_iter()
        .find(|prediction| prediction.case == case)?;
    Some(prediction.mask())
}

fn figure(
    sources: &PageSources<'_>,
    part: &PageSection<'_>,
    pair: &PicturePair,
    word: &str,
    example: &Example<'_>,
    of: usize,
) -> Markup {
    let Example { run, case, dice } = example;
    let known = sources
        .dataset
        .test
        .iter()
        .find(|known| known.name == *case);
    let Some((known, truth)) =
        known.and_then(|known| Some((known, known.mask(run.at.new_expert)?)))
    else {
        return html! {};
    };
    let beside = pair.beside.as_ref().and_then(|position| {
        let runs = sources.results.of(part.index).map(|(run, _)| run);
        let same = runs.filter(|other| {
            Position::of(&other.at, &part.table.axes) == *position
                && other.at.start == run.at.start
                && other
                    .at
                    .repeat
                    .is_none_or(|repeat| repeat == run.at.repeat.unwrap_or(0))
        });
        let other = same.into_iter().next()?;
        let scores = scores(sources, other)?;
        let dice = dice_of(scores.cases.iter().find(|scored| scored.case == *case)?)?;
        Some((other, dice, predicted(sources, other, case)?))
    });
    let Some(mask) = predicted(sources, run, case) else {
        return html! {
            p.hole { (word) " test case: the predictions of " (case) " are not in the store." }
        };
    };
    let mut contours = vec![truth, &mask];
    contours.extend(beside.as_ref().map(|(_, _, mask)| mask));
    let crop = ImageCrop::around(&contours);
    let says = |by: &Run, dice: f64| {
        format!(
            "{case}: the contour of expert {} and that predicted by the network {}; Dice \
             {:.1}\u{a0}%.",
            run.at.names.show(run.at.new_expert),
            origin(by),
            100.0 * dice
        )
    };
    let picture = |mask: &Mask, class, says: &str| {
        draw::picture(&known.image, &crop, [("truth", truth), (class, mask)], says)
    };
    html! {
        figure.case {
            div.pair {
                (picture(&mask, "with", &says(run, *dice)))
                @if let Some((other, dice, mask)) = &beside {
                    (picture(mask, "without", &says(other, *dice)))
                }
            }
            figcaption {
                strong { (word) " of " (of) ", expert " (run.at.names.show(run.at.new_expert)) }
                ": " (case) ", " (origin(run)) ", n = " (run.at.samples) " from case "
                (run.at.start) ": Dice " (format!("{:.1}", 100.0 * dice)) "\u{a0}%"
                @if let Some((other, dice, _)) = &beside {
                    "; " (origin(other)) ": " (format!("{:.1}", 100.0 * dice)) "\u{a0}%"
                }
                "."
            }
        }
    }
}

/// The origin of a run's network, in words.
fn origin(run: &Run) -> String {
    let experts = run.at.names.joined(&run.at.experts);
    match run.method() {
        method if method.is_pretrained() => format!("pretrained on experts {experts}"),
        method if method.is_alone() => "from random initialisation".to_owned(),
        _ => format!("trained on expert {experts}"),
    }
}
