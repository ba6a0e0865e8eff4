//! Tables of what rules for choosing annotation experts would have got, and of what each expert
//! contributed; and how to read them.

use itertools::Itertools;

use super::{
    document::{Align, Column, Element, MarkedText, Row, RowEntry, Tabular},
    selection::{Contribution, RuleOutcome, RuleResult, SelectionAt, SizeChoice},
    shown::{p_value, signed},
    table::Table,
};
use crate::{
    grid::Axis,
    manifest::{Experiment, SelectionRule},
    metric::Measure,
};

/// The tables, place by place, and a paragraph on them; nothing where the manifest names no rules.
pub(super) fn elements(table: &Table, spec: &Experiment) -> Vec<Element> {
    let places = table.selections.iter();
    let tabulars = places.flat_map(|at| {
        let words = words(at, spec);
        [
            gains(at, table, spec, &words),
            choices(at, spec, &words),
            contributions(at, table, spec, &words),
        ]
    });
    let tabulars = tabulars.flatten().map(Element::Tabular);
    let mut elements = tabulars.collect_vec();
    if !elements.is_empty() {
        elements.push(Element::Paragraph(reading(spec)));
        if table
            .selections
            .iter()
            .any(|at| !at.contributions.is_empty())
        {
            elements.push(Element::Paragraph(on_contributions(spec)));
        }
    }
    elements
}

/// `expert 6`, and what else tells a place from the others.
fn words(at: &SelectionAt, spec: &Experiment) -> String {
    let told = at.place.values().filter(|(axis, _)| match axis {
        axis if **axis == Axis::SAMPLES => spec.grid.samples.len() > 1,
        _ => true,
    });
    let words = told.filter_map(|(axis, value)| Some(axis.head(value?)));
    words.filter(|words| !words.is_empty()).join(", ")
}

fn column(over: &str, under: String) -> Column {
    Column {
        over: over.to_owned(),
        under,
        align: Align::Right,
    }
}

fn tabular(heading: String, corner: &str, columns: Vec<Column>, rows: Vec<Row>) -> Option<Tabular> {
    (!columns.is_empty()).then(|| Tabular {
        heading,
        new_expert: None,
        corner: corner.to_owned(),
        columns,
        rows,
    })
}

/// What each rule got against the mean over all combinations.
fn gains(at: &SelectionAt, table: &Table, spec: &Experiment, words: &str) -> Option<Tabular> {
    let report = spec.metrics.report.iter();
    let places = report.cartesian_product(&at.sizes).collect_vec();
    let columns = places.iter().map(|(measure, size)| {
        column(
            &measure.heading(table.distances),
            format!("k={}", size.experts),
        )
    });
    let row = |rule: &SelectionRule| Row {
        head: rule.word().to_owned(),
        entries: places
            .iter()
            .map(|(measure, size)| entry(*rule, **measure, size, spec.statistics.alpha))
            .collect(),
    };
    tabular(
        format!("Rules for choosing annotators, {words}"),
        "Rule",
        columns.collect(),
        spec.selection.rules.iter().map(row).collect(),
    )
}

fn entry(rule: SelectionRule, measure: Measure, size: &SizeChoice, alpha: f64) -> RowEntry {
    let got = size
        .rule(rule)
        .and_then(|outcome| outcome.got.get(&measure));
    let Some(RuleResult {
        mean,
        difference,
        p,
        ..
    }) = got
    else {
        return RowEntry::words("–");
    };
    if rule == SelectionRule::Mean {
        return RowEntry::words(format!("{mean:.2}"));
    }
    let text = match p {
        Some(p) => format!("{} ({})", signed(*difference), p_value(*p)),
        None => signed(*difference),
    };
    RowEntry::words(match p.is_some_and(|p| p < alpha) {
        true => MarkedText::default().bold(text),
        false => text.into(),
    })
}

/// What each rule chose, and how its scores go with the results.
fn choices(at: &SelectionAt, spec: &Experiment, words: &str) -> Option<Tabular> {
    let measure = spec.metrics.report.first()?;
    let rules = spec.selection.rules.iter();
    let rules = rules.filter(|rule| rule.is_applicable()).collect_vec();
    let columns = at.sizes.iter().flat_map(|size| {
        let over = format!("k={}", size.experts);
        let chosen = Column {
            align: Align::Left,
            ..column(&over, "chosen".to_owned())
        };
        [chosen, column(&over, format!("ρ with {}", measure.name()))]
    });
    let columns = columns.collect_vec();
    let row = |rule: &&SelectionRule| {
        let entries = at.sizes.iter().flat_map(|size| {
            let outcome = size.rule(**rule);
            let correlation = outcome.and_then(|outcome| outcome.got.get(measure)?.correlation);
            let correlation = correlation.map(|rho| format!("{rho:.2}").replace('-', "−"));
            [
                RowEntry::words(outcome.map(chosen).unwrap_or_default()),
                RowEntry::words(correlation.unwrap_or("–".to_owned())),
            ]
        });
        Row {
            head: rule.word().to_owned(),
            entries: entries.collect(),
        }
    };
    let rows = rules.iter().map(row).collect_vec();
    (!rows.is_empty())
        .then(|| {
            tabular(
                format!("What the rules choose, {words}"),
                "Rule",
                columns,
                rows,
            )
        })
        .flatten()
}

/// The combinations that are named in an entry.
const NAMED: usize = 2;

/// `2+4 ×8, 2+5 ×2`.
fn chosen(outcome: &RuleOutcome) -> String {
    let named = outcome.chosen.iter().take(NAMED);
    let named = named
        .map(|(experts, count)| format!("{experts} ×{count}"))
        .join(", ");
    match outcome.chosen.len().saturating_sub(NAMED) {
        _ if outcome.chosen.is_empty() => "–".to_owned(),
        0 => named,
        more => format!("{named}, {more} more"),
    }
}

/// What each expert contributes.
fn contributions(
    at: &SelectionAt,
    table: &Table,
    spec: &Experiment,
    words: &str,
) -> Option<Tabular> {
    if at.contributions.is_empty() {
        return None;
    }
    let report = &spec.metrics.report;
    let columns = report.iter();
    let columns = columns.map(|measure| column(&measure.heading(table.distances), String::new()));
    let agreement = column(
        "Dice with the new expert",
        "on the support cases".to_owned(),
    );
    let shown = |(mean, sd): (f64, Option<f64>)| match sd {
        Some(sd) => format!("{} ± {sd:.2}", signed(mean)),
        None => signed(mean),
    };
    let row = |contribution: &Contribution| {
        let values = report.iter().map(|measure| {
            let value = contribution.values.get(measure).copied();
            RowEntry::words(value.map_or("–".to_owned(), shown))
        });
        let agreement = contribution
            .agreement
            .map(|dice| format!("{:.1}", 100.0 * dice));
        let agreement = RowEntry::words(agreement.unwrap_or("–".to_owned()));
        Row {
            head: format!("expert {}", spec.grid.names.show(contribution.expert)),
            entries: values.chain([agreement]).collect(),
        }
    };
    let sum = report.iter().map(|measure| {
        let values = at.contributions.iter();
        let values =
            values.map(|contribution| contribution.values.get(measure).map(|value| value.0));
        let sum: Option<f64> = values.sum();
        RowEntry::words(sum.map_or("–".to_owned(), signed))
    });
    let sum = Row {
        head: "all together".to_owned(),
        entries: sum.chain([RowEntry::words("")]).collect(),
    };
    tabular(
        format!("What each annotator contributes, {words}"),
        "Annotator",
        columns.chain([agreement]).collect(),
        at.contributions.iter().map(row).chain([sum]).collect(),
    )
}

fn reading(spec: &Experiment) -> MarkedText {
    let rules = spec.selection.rules.iter();
    let mut means = rules.map(|rule| {
        let what = match rule {
            SelectionRule::Mean => "the mean over all combinations of k annotators",
            SelectionRule::Agreement => {
                "whose masks of the support cases agree best with the new expert's"
            }
            SelectionRule::Cover => "whose majority agrees best with the new expert there",
            SelectionRule::Style => "whose areas there are in the mean nearest to the new expert's",
            SelectionRule::Alike => "who agree best with each other on the training cases",
            SelectionRule::Unlike => "who agree least with each other there",
            SelectionRule::Branch => {
                "whose branches of a network of all candidates fit the support cases best"
            }
            SelectionRule::BestElsewhere => {
                "who were best with the other pretrainings, tested on this one: no rule, but what \
                 could be known of combinations at all"
            }
            SelectionRule::Best => "who were best in the result itself: no rule, an upper bound",
            SelectionRule::Worst => "who were worst in it",
        };
        format!("{}: {what}", rule.word())
    });
    let when = match spec.selection.needs_branches() {
        true => "without knowing results",
        false => "before any training",
    };
    let networks = match spec.selection.needs_branches() && spec.grid.repeats > 1 {
        true => ", by \"branch\" with how many pretrainings too",
        false => "",
    };
    let text = format!(
        "Of every combination of k annotators a rule chooses one for the new expert and the \
         support cases, {when}. {}. A rule's row is its difference from the mean over \
         all combinations; in parentheses p of the permutation test, in which the combinations' \
         results change places and the choices stay; ",
        means.join("; ")
    );
    MarkedText::from(text).bold("bold").plain(format!(
        " where it is below {}. ×: at how many ways of sampling it is chosen{networks}. \
         ρ: Spearman's correlation, over the combinations, of the rule's score with how good they \
         are.",
        spec.statistics.alpha
    ))
}

fn on_contributions(spec: &Experiment) -> MarkedText {
    let spread = match spec.grid.repeats {
        1 => "",
        _ => " ±: the standard deviation over the pretrainings of each combination.",
    };
    MarkedText::from(format!(
        "A contribution is the Shapley value: what adding the annotator gains, in the mean over \
         all orders in which annotators can be added to training from random initialisation. \
         Together they are what all annotators gain.{spread}"
    ))
}
