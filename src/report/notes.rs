//! The words around a table: its caption and its notes.
//!
//! The rule: the words follow from the runs there are and the tests that were made. Synthetic data,
//! mixed origins and missing runs are stated here, and so in every format.

use std::collections::{BTreeMap, BTreeSet};

use itertools::Itertools;

use super::{
    DataOrigin,
    document::MarkedText,
    marks, serving_notes,
    table::{Cell, Comparison, Table, Test},
};
use crate::{
    grid::{Axis, Value},
    manifest::{Block, Experiment, PAPER, Paired, Pairing, Spread, Start, Unpaired},
    method::{BudgetFrom, Method},
    metric::Measure,
    results::{Results, RunStatus, RunTally},
    stats::{POWER, detectable},
    store::MadeBy,
};

/// The caption: data, profile, recipe, machine.
pub(super) fn caption(
    spec: &Experiment,
    made_by: &BTreeSet<&MadeBy>,
    provenance: &DataOrigin,
) -> MarkedText {
    let recipe = &spec.recipe;
    let value = |key: &str, own: usize| match swept_values(spec, key) {
        Some(values) => values,
        None => own.to_string(),
    };
    let crop = value("image.crop", recipe.image.crop);
    let input = match ["image.crop", "image.reduce"].map(|key| swept_values(spec, key)) {
        [None, None] => {
            let side = recipe.image.input();
            format!("{side} x {side} pixels from a crop of {crop}")
        }
        [_, _] => format!(
            "a crop of {crop} pixels, each the mean of {0} x {0}",
            value("image.reduce", recipe.image.reduce)
        ),
    };
    let size = format!(
        ": width {}, {input}, batch {}, {}.",
        value("network.width", recipe.network.width),
        value("training.batch", recipe.training.batch),
        trainings(spec, &value),
    );
    let text = data(provenance)
        .plain(" ")
        .then(profile(spec))
        .plain(size)
        .plain(swept(spec));
    let made_by = made_by.iter().map(|made| {
        format!(
            "{} ({}), expertgrid {}",
            made.device, made.engine, made.version
        )
    });
    match made_by.collect_vec().as_slice() {
        [] => text,
        [one] => text.plain(format!(" Computed on {one}.")),
        several => text
            .plain(" ")
            .bold("Mixed origin:")
            .plain(format!(" computed on {}.", several.join("; on "))),
    }
}

/// The steps of the trainings that the methods have: `600 steps of pretraining, 150 from random
/// initialisation, 80 of fine-tuning`.
fn trainings(spec: &Experiment, value: &dyn Fn(&str, usize) -> String) -> String {
    let any = |is: &dyn Fn(&Method) -> bool| {
        let mut methods = spec.grid.methods.iter();
        methods.any(|chosen| is(&chosen.method))
    };
    let budget = |from: BudgetFrom| any(&|method| method.budget == from);
    let start = match &spec.pretrain.start {
        _ if swept_values(spec, "pretrain.from").is_some() => {
            " from the weights of each file".to_owned()
        }
        Start::Random => String::new(),
        Start::File(path) => {
            let name = path.file_name().unwrap_or(path.as_os_str());
            format!(" from the weights in {}", name.display())
        }
    };
    let all = [
        (
            any(&Method::is_pretrained),
            value("pretrain.steps", spec.pretrain.budget.steps),
            format!("of pretraining{start}"),
        ),
        (
            budget(BudgetFrom::Scratch),
            value("scratch.steps", spec.scratch.steps),
            "from random initialisation".to_owned(),
        ),
        (
            budget(BudgetFrom::Finetune),
            value("finetune.steps", spec.finetune.steps),
            "of fine-tuning".to_owned(),
        ),
    ];
    let made = all.into_iter().filter(|(made, ..)| *made).enumerate();
    made.map(|(i, (_, steps, what))| match (i, steps.as_str()) {
        (0, "1") => format!("1 step {what}"),
        (0, steps) => format!("{steps} steps {what}"),
        (_, steps) => format!("{steps} {what}"),
    })
    .join(", ")
}

/// How a profile relates to the manifest's own keys.
pub(super) fn size(spec: &Experiment) -> &'static str {
    match spec.profile.as_str() {
        PAPER => "the manifest's own keys",
        _ if spec.is_reduced() => "reduced from the paper's size",
        _ => "with other keys than the manifest's own",
    }
}

/// Which profile, and what was set on top of it.
pub(super) fn profile(spec: &Experiment) -> MarkedText {
    let mut text = MarkedText::from("Profile ")
        .code(&spec.profile)
        .plain(format!(", {}", size(spec)));
    for (i, set) in spec.overrides.iter().enumerate() {
        text = text
            .plain(if i == 0 { ", with " } else { " and " })
            .code(set);
    }
    text
}

/// The keys that take several values.
fn swept(spec: &Experiment) -> String {
    let keys = spec.sweep.iter().map(|swept| {
        let values = swept.values.iter().map(|value| value.text.as_str());
        format!(" {} takes {}.", swept.key, values.format(", "))
    });
    keys.collect()
}

/// The values that a key takes in turn, `6, 12 or 18`; none where it has one.
fn swept_values(spec: &Experiment, key: &str) -> Option<String> {
    let swept = spec.sweep.iter().find(|swept| swept.key == key)?;
    let values = swept.values.iter().map(|value| value.text.as_str());
    match values.collect_vec().as_slice() {
        [first @ .., last] if !first.is_empty() => {
            Some(format!("{} or {last}", first.iter().format(", ")))
        }
        all => Some(all.concat()),
    }
}

/// Which data, and that they are synthetic where they are.
pub(super) fn data(provenance: &DataOrigin) -> MarkedText {
    let text = match provenance.origin.warning() {
        Some((what, why)) => MarkedText::default()
            .bold(format!("{what}:"))
            .plain(format!(" {why}. ")),
        None => MarkedText::default(),
    };
    let text = text.plain(format!("Data set: {}.", provenance.dataset));
    match &provenance.preparation {
        Some(preparation) => text.plain(format!(" Of its files: {preparation}.")),
        None => text,
    }
}

/// How to read the table, and what it lacks.
pub(super) fn notes(table: &Table, results: &Results<'_>, experiment: usize) -> Vec<MarkedText> {
    let spec = &results.plan.experiments[experiment];
    let notes = [
        reading(table, spec),
        holes(table, &spec.name),
        serving_notes::latents(results, experiment),
        serving_notes::thresholds(results, experiment),
        unsettled(table, results, experiment),
    ];
    notes.into_iter().filter(|note| !note.is_empty()).collect()
}

fn reading(table: &Table, spec: &Experiment) -> MarkedText {
    let mut text = MarkedText::from(averaged(table, spec)).plain(" ");
    let tests = |of: fn(&Cell) -> &Test| {
        let tests = table.cells.iter().map(of);
        tests.filter_map(Test::comparison).collect_vec()
    };
    let best = tests(|cell| &cell.against_best);
    text = match best.is_empty() {
        true => text.plain(untested(table)),
        false => text.bold("Bold:").plain(format!(
            " the best mean of {}, and those not significantly different from it ({}, alpha = {}).",
            match spec.statistics.block {
                Block::Table => format!("its metric{}", in_panel(spec)),
                Block::Row => "its metric in its row".to_owned(),
                Block::Column => "its column".to_owned(),
            },
            names(&best, spec),
            spec.statistics.alpha
        )),
    };
    let gains = tests(|cell| &cell.against_counterpart);
    if !gains.is_empty() {
        text = text.plain(" ").underlined("Underlined:").plain(format!(
            " significantly better than its counterpart {}.",
            counterpart(spec)
        ));
    }
    let tested = !best.is_empty() || !gains.is_empty();
    if tested && marks::need_both(spec) {
        text = text.plain(
            " Marks need two tests, of which the larger p counts: the second is paired over the \
             combinations of annotation experts, each the mean over its ways of sampling, so that \
             what is one lucky pretraining is not called significant.",
        );
    }
    match tested {
        true => text
            .plain(dependence(spec))
            .plain(smallest_seen(table, spec)),
        false => text,
    }
}

/// The differences that the paired tests of a table can see, by measure.
fn smallest_seen(table: &Table, spec: &Experiment) -> String {
    let alpha = spec.statistics.alpha;
    let of = |metric: Measure| {
        let cells = table.cells.iter().filter(|cell| cell.metric == metric);
        let tests = cells.flat_map(|cell| [&cell.against_best, &cell.against_counterpart]);
        let made = tests
            .filter_map(Test::comparison)
            .filter(|made| made.paired);
        let seen = made.map(|made| detectable(made.ci95, made.df, alpha));
        let seen = seen.filter(|seen| *seen > 0.0).sorted_by(f64::total_cmp);
        let seen = seen.collect_vec();
        let middle = seen.get(seen.len() / 2)?;
        Some(format!("{middle:.2} in {}", metric.name()))
    };
    let found = spec.metrics.report.iter().filter_map(|metric| of(*metric));
    let found = found.collect_vec();
    let listed = match found.as_slice() {
        [] => return String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    };
    format!(
        " With a spread like that of these results, a paired test finds a difference of {listed} \
         significant with a probability of {:.0} % (median of the tests made).",
        100.0 * POWER
    )
}

/// Why tests on the results are optimistic.
fn dependence(spec: &Experiment) -> String {
    let sampled = spec.table.results.contains(&Axis::START) && spec.grid.starts.len() > 1;
    let what = match (sampled, spec.statistics.paired) {
        (true, Paired::Student) => "The ways of sampling overlap and share",
        (true, Paired::NadeauBengio) => {
            "The variance of the tests allows for ways of sampling that overlap. All results share"
        }
        (false, _) => "All results share",
    };
    format!(
        " {what} their test images, so results are not independent and p-values are optimistic."
    )
}

/// What a cell is the mean of.
fn averaged(table: &Table, spec: &Experiment) -> String {
    let most = table.cells.iter().map(|cell| {
        let results = cell.behind.iter().map(|run| &run.result);
        results.unique().count()
    });
    let results = most.max().unwrap_or(0);
    let told = spec.table.results.iter().map(Axis::one).join(" and ");
    let mean = match spec.statistics.spread {
        Spread::None => "mean",
        Spread::Sd => "mean ± SD",
    };
    let of = match (results, told.as_str()) {
        (1, _) => "Each cell is one result".to_owned(),
        (_, told) => format!("Each cell is the {mean} of {results} results, one per {told}"),
    };
    let crossed = spec.grid.pairing == Pairing::Crossed;
    let over = spec.table.average.iter().filter(|axis| match axis {
        axis if **axis == Axis::ANNOTATORS => spec.grid.pretrains() && crossed,
        axis if **axis == Axis::REPEAT => spec.grid.is_repeated() && crossed,
        _ => true,
    });
    let over = over.map(Axis::all).join(" and ");
    let cells = match over.is_empty() {
        true => format!("{of}."),
        false if results == 1 => format!("{of}, averaged over all {over}."),
        false => format!("{of}, each averaged over all {over}."),
    };
    let by_start = spec.table.results.contains(&Axis::START) && spec.grid.starts.len() > 1;
    let as_it_is = spec.grid.pretrains() && spec.grid.samples.contains(&0);
    let once = match crossed && by_start && as_it_is {
        true => {
            " Without samples all ways of sampling are one: such a cell is one result, is not \
             tested and earns no mark."
        }
        false => "",
    };
    format!("{cells}{once}{}", matched(spec))
}

/// Which pretrainings the results of a matched grid come from.
fn matched(spec: &Experiment) -> String {
    if spec.grid.pairing == Pairing::Crossed || !spec.grid.pretrains() {
        return String::new();
    }
    let own = match (
        spec.grid.repeats,
        spec.table.average.contains(&Axis::REPEAT),
    ) {
        (1, _) => "a pretraining of its own".to_owned(),
        (several, true) => format!("{several} pretrainings of its own, averaged over"),
        (several, false) => format!("{several} pretrainings of its own"),
    };
    format!(" Each way of sampling has {own}, the combinations of annotation experts in turn.")
}

/// What makes a panel, after the metric.
fn in_panel(spec: &Experiment) -> String {
    let axes = spec
        .table
        .panels
        .iter()
        .map(|axis| match *axis == Axis::NEW_EXPERT {
            true => "expert".to_owned(),
            false => axis.word().to_owned(),
        });
    let axes = axes.collect_vec();
    match axes.as_slice() {
        [] => String::new(),
        axes => format!(" and {}", axes.join(" and ")),
    }
}

/// The tests that were made.
fn names(made: &[&Comparison], spec: &Experiment) -> String {
    let unpaired = match spec.statistics.unpaired {
        Unpaired::Student => "unpaired t-test",
        Unpaired::Welch => "Welch's t-test",
    };
    let paired = match spec.statistics.paired {
        Paired::Student => "paired t-test",
        Paired::NadeauBengio => "paired t-test with Nadeau and Bengio's variance",
    };
    let kinds = made.iter().map(|made| made.paired).unique().collect_vec();
    match kinds.as_slice() {
        [true] => paired.to_owned(),
        [false] => unpaired.to_owned(),
        _ => format!("{paired}, and {unpaired} of networks trained on another's masks"),
    }
}

/// The counterpart of a pretrained network.
pub(super) const WITHOUT_PRETRAINING: &str = "without pretraining";

/// What cells are compared with.
pub(super) fn counterpart(spec: &Experiment) -> String {
    let mut each = spec.table.compare.iter().map(|(axis, value)| match value {
        Value::Method(method) if method.method.is_alone() => WITHOUT_PRETRAINING.to_owned(),
        value => format!("with {axis} = {value}"),
    });
    each.join(" and ")
}

/// Why no cell is marked.
fn untested(table: &Table) -> String {
    let reasons = table
        .cells
        .iter()
        .filter_map(|cell| match &cell.against_best {
            Test::Undefined(why) => Some(why.to_string()),
            Test::NoPartner | Test::Itself | Test::Made(_) => None,
        });
    match reasons
        .counts()
        .into_iter()
        .max_by_key(|(why, n)| (*n, why.clone()))
    {
        Some((why, _)) => format!("No cell is bold, since no test could be made: {why}."),
        None => "No cell is bold, since there is nothing to test it against.".to_owned(),
    }
}

/// How many cells with undefined values a note names.
const CELLS: usize = 4;

fn holes(table: &Table, name: &str) -> MarkedText {
    let incomplete = table.cells.iter().filter(|cell| !cell.complete());
    let (coming, undefined): (Vec<&Cell>, Vec<&Cell>) =
        incomplete.partition(|cell| cell.defined + cell.missing() == cell.runs);
    let mut text = MarkedText::default();
    if !coming.is_empty() {
        text = text.plain(
            "… k/n: k of the cell's n runs have been run so far; the mean is theirs. Such a cell \
             earns no mark and is not tested.",
        );
    }
    if undefined.is_empty() {
        return text;
    }
    if !coming.is_empty() {
        text = text.plain(" ");
    }
    text = text.plain(
        "† k/n: only k of the cell's n runs have a defined value; the mean is theirs. Such a cell \
         earns no mark and is not tested.",
    );
    let with_worst = table.cells.iter();
    let with_worst = with_worst.filter_map(|cell| Some((cell, cell.worst?)));
    let with_worst = with_worst.collect_vec();
    for (cell, worst) in with_worst.iter().take(CELLS) {
        text = text.plain(format!(
            " {} of {}: {worst:.2} if every undefined value were the worst possible.",
            cell.metric.name(),
            cell.position,
        ));
    }
    match with_worst.len().saturating_sub(CELLS) {
        0 => text,
        more => text
            .plain(format!(" {more} more such means are in "))
            .code(format!("{name}.csv"))
            .plain("."),
    }
}

/// How many reasons of failures a note names.
const REASONS: usize = 5;

fn unsettled(table: &Table, results: &Results<'_>, experiment: usize) -> MarkedText {
    let spec = &results.plan.experiments[experiment];
    let tally = results.tally(experiment);
    let RunTally {
        ok: _,
        undefined,
        failed,
        missing,
    } = tally;
    if undefined + failed + missing == 0 {
        return MarkedText::default();
    }
    let mut text = MarkedText::from(format!(
        "Of the {} runs, {undefined} have an undefined metric, {failed} failed, {missing} were not \
         run yet; ",
        tally.runs(),
    ))
    .code("runs.csv")
    .plain(" names them.");
    if table.cells.iter().any(|cell| !cell.settled()) {
        let block = match spec.statistics.block {
            Block::Table => format!("a metric{}", in_panel(spec)),
            Block::Row => "a metric in a row".to_owned(),
            Block::Column => "a column".to_owned(),
        };
        text = text.plain(format!(
            " Where runs of {block} have no result, the best of them is not known and nothing is \
             bold."
        ));
    }
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, outcome) in results.of(experiment) {
        if let RunStatus::Failed(reason) = &outcome.status {
            *reasons.entry(reason.as_str()).or_default() += 1;
        }
    }
    for (reason, count) in reasons.iter().take(REASONS) {
        text = text.plain(format!(
            " Failed ({count}): {}.",
            reason.trim_end_matches('.')
        ));
    }
    match reasons.len().saturating_sub(REASONS) {
        0 => text,
        more => text
            .plain(format!(" {more} more reasons are in "))
            .code("runs.csv")
            .plain("."),
    }
}
