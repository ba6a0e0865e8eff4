//! The effects of methods' words where a grid holds every combination of some of them: a factorial
//! experiment in the cells of one table.
//!
//! The rule: each effect is one paired test. Of a word it is the mean over the methods with its
//! first value less the mean over those with its second, result by result; of several words
//! together the methods count positively where an even number of them have their second value. All
//! effects of one metric, panel and place are one family for Holm's method.

use std::collections::BTreeMap;

use itertools::Itertools;

use super::{
    document::{Align, Column, Element, MarkedText, Row, RowEntry, Tabular},
    panel::Panel,
    position::Position,
    shown::{p_value, signed},
    table::Table,
};
use crate::{
    grid::{Axis, Coordinates, Value},
    manifest::Experiment,
    method::Words,
    metric::Measure,
    stats::{self, Pairs, TTest},
};

/// Words that vary among the pretrained methods of a grid, each with two values, all of whose
/// combinations are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Factors {
    each: Vec<Factor>,
    /// The methods, with the place of their value of each word.
    methods: Vec<(Value, Vec<usize>)>,
}

/// A word that varies.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Factor {
    key: &'static str,
    /// In the order in which manifests list them.
    values: [&'static str; 2],
}

/// A word's effect, or that of several together.
#[derive(Clone, Debug)]
pub struct Effect {
    /// The keys of the words.
    pub words: Vec<&'static str>,
    /// They, with their values for one.
    pub name: String,
    /// The test, in the metric's unit.
    pub test: Result<TTest, stats::Undefined>,
    /// p adjusted by Holm's method over the effects of this family that could be tested.
    pub p_holm: Option<f64>,
}

impl Factors {
    /// Those of a grid; none where its methods are no factorial experiment of two words or more.
    pub fn of(spec: &Experiment) -> Option<Self> {
        let chosen = spec.grid.methods.iter();
        let worded = chosen.filter_map(|chosen| {
            let words: Words<'static> = chosen.method.words()?;
            let trained = chosen.method.tuned.is_some();
            trained.then(|| (Value::Method(chosen.clone()), words.values()))
        });
        let worded = worded.collect_vec();
        let keys = Words::KEYS.iter().enumerate();
        let mut each = Vec::new();
        let mut places = Vec::new();
        for (place, (key, known)) in keys {
            let found = worded.iter().map(|(_, values)| values[place]).unique();
            let ordered = found.sorted_by_key(|value| known.iter().position(|word| word == value));
            match ordered.collect_vec().as_slice() {
                [_] => {}
                [first, second] => {
                    each.push(Factor {
                        key,
                        values: [*first, *second],
                    });
                    places.push(place);
                }
                _ => return None,
            }
        }
        let methods = worded.into_iter().map(|(method, values)| {
            let of = |(factor, place): (&Factor, &usize)| {
                usize::from(values[*place] == factor.values[1])
            };
            (method, each.iter().zip(&places).map(of).collect_vec())
        });
        let methods = methods.collect_vec();
        let combinations = methods.iter().map(|(_, levels)| levels).unique().count();
        let whole = combinations == 1 << each.len() && methods.len() == combinations;
        (each.len() > 1 && whole).then_some(Self { each, methods })
    }

    /// The effects in the cells of a metric at a position, whatever its method; none where a cell
    /// lacks a value.
    pub fn effects(&self, table: &Table, position: &Position, metric: Measure) -> Vec<Effect> {
        let results = self.methods.iter().map(|(method, levels)| {
            let position = position.with(&[(Axis::METHOD, Some(method.clone()))]);
            let cell = table.cell(&position, metric);
            let cell = cell.filter(|cell| cell.complete())?;
            Some((levels, &cell.results))
        });
        let Some(results) = results.collect::<Option<Vec<_>>>() else {
            return Vec::new();
        };
        let mut effects: Vec<Effect> = (1..=self.each.len())
            .flat_map(|count| (0..self.each.len()).combinations(count))
            .map(|words| Effect {
                words: words.iter().map(|word| self.each[*word].key).collect(),
                name: self.name(&words),
                test: contrast(&results, &words),
                p_holm: None,
            })
            .collect();
        let tested = effects.iter_mut().filter(|effect| effect.test.is_ok());
        let mut tested = tested.collect_vec();
        let p = tested
            .iter()
            .filter_map(|effect| Some(effect.test.as_ref().ok()?.p));
        let adjusted = stats::holm(&p.collect_vec());
        for (effect, p) in tested.iter_mut().zip(adjusted) {
            effect.p_holm = Some(p);
        }
        effects
    }

    /// `annotation: every - cohort`, `annotation x branch`.
    fn name(&self, words: &[usize]) -> String {
        match words {
            [one] => {
                let Factor { key, values } = &self.each[*one];
                format!("{key}: {} − {}", values[0], values[1])
            }
            several => several.iter().map(|word| self.each[*word].key).join(" × "),
        }
    }

    /// A table of the effects for each panel, and how to read it; nothing where there are none.
    pub(super) fn elements(
        &self,
        table: &Table,
        spec: &Experiment,
        panels: &[Panel],
    ) -> Vec<Element> {
        let tabulars = panels
            .iter()
            .filter_map(|panel| self.tabular(table, spec, panel));
        let mut elements = tabulars.map(Element::Tabular).collect_vec();
        if elements.is_empty() {
            return elements;
        }
        let reading = MarkedText::from(format!(
            "An effect is the mean over the methods with the first value less that over those with \
             the second, result by result. An interaction (×) is the mean over the methods of \
             which an even number of these factors have their second value, less that over the \
             others. In parentheses p of the paired test by Holm's method over the {} effects of a \
             column; ",
            (1 << self.each.len()) - 1
        ));
        let reading = reading.bold("bold");
        let reading = reading.plain(format!(" where it is below {}.", spec.statistics.alpha));
        elements.push(Element::Paragraph(reading));
        elements
    }

    fn tabular(&self, table: &Table, spec: &Experiment, panel: &Panel) -> Option<Tabular> {
        let first = Some(&self.methods[0].0);
        let cells = table.cells.iter().filter(|cell| {
            let position = &cell.position;
            position.get(&Axis::METHOD) == first && position.on(&spec.table.panels) == panel.place
        });
        let places = cells.map(|cell| &cell.position).unique().collect_vec();
        let axes = table.axes.iter().filter(|axis| {
            let values = places.iter().map(|place| place.get(axis));
            **axis != Axis::METHOD && values.unique().count() > 1
        });
        let axes = axes.collect_vec();
        let mut columns = Vec::new();
        let mut rows: BTreeMap<usize, Row> = BTreeMap::new();
        let metrics = spec.metrics.report.iter();
        for (metric, place) in metrics.cartesian_product(&places) {
            let effects = self.effects(table, place, *metric);
            if effects.is_empty() {
                continue;
            }
            let under = axes
                .iter()
                .filter_map(|axis| Some(axis.head(place.get(axis)?)));
            columns.push(Column {
                over: metric.heading(table.distances),
                under: under.collect_vec().join(" "),
                align: Align::Right,
            });
            for (i, effect) in effects.into_iter().enumerate() {
                let entry = entry(&effect, spec.statistics.alpha);
                let row = rows.entry(i).or_insert(Row {
                    head: effect.name,
                    entries: Vec::new(),
                });
                row.entries.push(entry);
            }
        }
        (!columns.is_empty()).then(|| Tabular {
            heading: format!("Effects, {}", panel.words)
                .trim_end_matches(", ")
                .to_owned(),
            new_expert: None,
            corner: "Effect".to_owned(),
            columns,
            rows: rows.into_values().collect(),
        })
    }
}

fn entry(effect: &Effect, alpha: f64) -> RowEntry {
    match (&effect.test, effect.p_holm) {
        (Ok(test), Some(p)) => {
            let text = format!("{} ({})", signed(test.difference), p_value(p));
            RowEntry::words(match p < alpha {
                true => MarkedText::default().bold(text),
                false => text.into(),
            })
        }
        _ => RowEntry::words("–"),
    }
}

/// The paired test of the mean over some methods against that over the others.
fn contrast(
    results: &[(&Vec<usize>, &BTreeMap<Coordinates, f64>)],
    words: &[usize],
) -> Result<TTest, stats::Undefined> {
    let side = |second: usize| {
        let of_side = results.iter().filter(|(levels, _)| {
            let seconds: usize = words.iter().map(|word| levels[*word]).sum();
            seconds % 2 == second
        });
        let of_side = of_side.collect_vec();
        let mut sums: BTreeMap<&Coordinates, f64> = BTreeMap::new();
        for (_, values) in &of_side {
            for (key, value) in values.iter() {
                *sums.entry(key).or_default() += value / of_side.len() as f64;
            }
        }
        sums.into_iter().collect_vec()
    };
    let pairs = Pairs::join(&side(0), &side(1)).map_err(|_| stats::Undefined::TooFew)?;
    stats::paired(&pairs)
}
