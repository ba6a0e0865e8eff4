//! The page's first section: the origin of the results, the plan in numbers, what sharing saved.

use std::collections::BTreeSet;

use itertools::Itertools;
use maud::{Markup, PreEscaped, html};

use super::{
    super::{
        document::{Align, Column, Row, RowEntry, Tabular},
        notes,
    },
    PageSection, PageSources, markup,
};
use crate::{
    data::Provenance,
    manifest::PAPER,
    plan::{Count, Summary, grouped},
    results::RunTally,
    store::MadeBy,
};

/// Data set, profile, program, machine, seed, a figure of the data, and the plan in numbers.
pub(super) fn summary(
    sources: &PageSources<'_>,
    figure: &Markup,
    parts: &[PageSection<'_>],
) -> Markup {
    let dataset = sources.dataset;
    let indices: Vec<usize> = parts.iter().map(|part| part.index).collect();
    let made_by: BTreeSet<&MadeBy> = indices
        .iter()
        .flat_map(|index| sources.results.made_by(*index))
        .collect();
    let of_experiments =
        |what: &dyn Fn(&PageSection<'_>) -> String| parts.iter().map(what).unique().join("; ");
    let profiles = of_experiments(&|part| match part.spec.profile.as_str() {
        PAPER => "paper: the manifests’ own keys".to_owned(),
        profile => format!("{profile}: {}", notes::size(part.spec).replace('\'', "’")),
    });
    html! {
        section #provenance {
            h2 { "Provenance" }
            dl.facts {
                (fact("Data set", html! {
                    (sources.provenance.dataset)
                    @if let Some(origin) = origin(sources.provenance.origin) {
                        " — " strong { (origin) }
                    }
                }))
                (fact("Content", html! {
                    (dataset.training.len()) " training and " (dataset.test.len()) " test images, "
                    (dataset.experts.len()) " experts; digest " code { (dataset.digest.short()) }
                }))
                (fact("Profile", html! { (profiles) }))
                (fact("Seed", html! { (of_experiments(&|part| part.spec.seed.to_string())) }))
                (fact(if made_by.len() > 1 { "Mixed origin" } else { "Computed on" }, html! {
                    @if made_by.is_empty() { "nothing yet" }
                    @for (i, made) in made_by.iter().enumerate() {
                        @if i > 0 { "; " }
                        (device(made)) ", expertgrid " (made.version)
                    }
                }))
                (fact("Runs", html! { (runs(sources, &indices)) }))
            }
            (figure)
            h3 { "What was planned" }
            (markup::grid(&plan(sources, parts), None))
            (saved(sources, &indices))
        }
    }
}

fn fact(name: &str, value: Markup) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

fn origin(origin: Provenance) -> Option<&'static str> {
    match origin {
        Provenance::Synthetic => Some("synthetic: images and masks were drawn by a program"),
        Provenance::SimulatedExperts => {
            Some("simulated experts: real images, masks derived by a program")
        }
        Provenance::Acquired | Provenance::Undeclared => None,
    }
}

/// `cpu (lanes)` in words; a card is recorded by its name.
fn device(made: &MadeBy) -> String {
    let device = match made.device.as_str() {
        "cpu" => "processor",
        "cuda" => "CUDA device",
        other => other,
    };
    format!("{device}, engine {}", made.engine)
}

/// The number of runs, and how many have which status.
fn runs(sources: &PageSources<'_>, indices: &[usize]) -> String {
    let mut sum = RunTally::default();
    for index in indices {
        let RunTally {
            ok,
            undefined,
            failed,
            missing,
        } = sources.results.tally(*index);
        sum.ok += ok;
        sum.undefined += undefined;
        sum.failed += failed;
        sum.missing += missing;
    }
    let all = sum.runs();
    if sum.ok == all {
        return format!("{}, all with results", grouped(all));
    }
    let kinds = [
        (sum.ok, "with all results"),
        (sum.undefined, "with an undefined metric"),
        (sum.failed, "failed"),
        (sum.missing, "not run yet"),
    ];
    let kinds = kinds.iter().filter(|(count, _)| *count > 0);
    let kinds = kinds.map(|(count, what)| format!("{} {what}", grouped(*count)));
    format!("{}: {}", grouped(all), kinds.format(", "))
}

fn count(sources: &PageSources<'_>, indices: &[usize]) -> Summary {
    Summary::of(
        sources.results.plan,
        |run| indices.contains(&run.experiment),
        |_| true,
    )
}

/// Runs and stages of each experiment, and of all together.
fn plan(sources: &PageSources<'_>, parts: &[PageSection<'_>]) -> Tabular {
    let column = |over: &str, under: &str| Column {
        over: over.to_owned(),
        under: under.to_owned(),
        align: Align::Right,
    };
    let row = |head: &str, indices: &[usize]| {
        let summary = count(sources, indices);
        let stages = &summary.stages;
        let distinct = |count: &Count| grouped(count.distinct);
        let entries = [
            grouped(summary.runs),
            distinct(&stages.pretrain),
            distinct(&stages.finetune),
            distinct(&stages.scratch),
            distinct(&summary.trainings),
            grouped(summary.trainings.distinct + summary.trainings.shared),
        ];
        Row {
            head: head.to_owned(),
            entries: entries.into_iter().map(RowEntry::words).collect(),
        }
    };
    let mut rows: Vec<Row> = parts
        .iter()
        .map(|part| row(&part.spec.name, &[part.index]))
        .collect();
    if parts.len() > 1 {
        let all: Vec<usize> = parts.iter().map(|part| part.index).collect();
        rows.push(row("together", &all));
    }
    Tabular {
        heading: "Runs and trainings; a training that several runs need is done once".to_owned(),
        new_expert: None,
        corner: "Table".to_owned(),
        columns: vec![
            column("Runs", ""),
            column("Trainings", "pretrain"),
            column("Trainings", "fine-tune"),
            column("Trainings", "from random"),
            column("Trainings", "all"),
            column("Without sharing", ""),
        ],
        rows,
    }
}

fn saved(sources: &PageSources<'_>, indices: &[usize]) -> Markup {
    let trainings = count(sources, indices).trainings;
    let asked = trainings.distinct + trainings.shared;
    let percent = 100.0 * trainings.shared as f64 / asked.max(1) as f64;
    html! {
        p.notes {
            "Sharing saved " (grouped(trainings.shared)) " of " (grouped(asked)) " trainings ("
            (format!("{percent:.0}")) " %)."
            // The only text of a page that may differ between runs of one manifest; marked so that
            // pages can be compared.
            @if let Some(time) = device_time(sources, indices) {
                (PreEscaped("<!--measured-->"))
                " The stages have taken " (time) ", by the journals."
                (PreEscaped("<!--/measured-->"))
            }
        }
    }
}

/// The device time of the stages of these experiments; `None` where none was measured.
fn device_time(sources: &PageSources<'_>, indices: &[usize]) -> Option<String> {
    let plan = sources.results.plan;
    let demand = plan.demand(|run| indices.contains(&run.experiment));
    let needed = std::iter::zip(&plan.stages, demand).filter(|(_, demand)| *demand > 0);
    let seconds: f64 = needed
        .filter_map(|(stage, _)| sources.spent.get(&stage.digest))
        .sum();
    match seconds {
        0.0 => None,
        0.0..360.0 => Some(format!("{:.1} device-minutes", seconds / 60.0)),
        _ => Some(format!("{:.1} device-hours", seconds / 3600.0)),
    }
}
