//! Results beside published values.
//!
//! The rule: values are compared on the data they were published for, under the manifest's own
//! keys. Anything else is stated not to be a comparison, and shows gains instead of differences.

use itertools::Itertools;

use super::{
    DataOrigin,
    advantage::{base, closes, gain},
    document::{Align, Column, Document, Element, MarkedText, Row, RowEntry, Tabular},
    layout::{self, corner, row_head},
    notes,
    panel::{Panel, panels},
    position::Position,
    published::PublishedMeans,
    shown,
    table::Table,
};
use crate::{
    data::Provenance,
    grid::Axis,
    manifest::{Experiment, PAPER, TableSpec},
    metric::Measure,
    results::Results,
};

/// An experiment's cells beside published ones.
#[derive(Clone, Debug)]
pub struct Versus {
    /// Who published them.
    pub source: String,
    /// Whether the numbers can be compared.
    pub standing: Standing,
    /// One per cell of the table, in its order.
    pub pairs: Vec<PublishedPair>,
    /// What is odd about the published values.
    doubts: Vec<String>,
}

/// Whether results can be compared with published values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The same data, the same protocol.
    Comparison,
    /// They cannot, and why.
    NoComparison(Vec<String>),
}

/// A cell beside the published one.
#[derive(Clone, Debug)]
pub struct PublishedPair {
    /// Which.
    pub position: Position,
    /// What is measured.
    pub metric: Measure,
    /// The mean here.
    pub ours: Option<f64>,
    /// The published mean.
    pub published: Option<f64>,
    /// Ours minus theirs; nothing where that is no comparison.
    pub difference: Option<f64>,
    /// How much better than its base the cell is here.
    pub our_gain: Option<f64>,
    /// How much better than its base the published one is.
    pub published_gain: Option<f64>,
    /// The note on the published value; empty for none.
    pub note: String,
}

/// Compares a table with published values.
pub fn versus(
    table: &Table,
    spec: &Experiment,
    reference: &PublishedMeans,
    provenance: &DataOrigin,
) -> Versus {
    let standing = standing(spec, reference, provenance);
    let pairs = table.cells.iter().map(|cell| {
        let (position, metric) = (cell.position.clone(), cell.metric);
        let published = reference.value(&position, metric);
        let base = base(&position, &spec.table.compare);
        let base_cell = base.as_ref().and_then(|base| table.cell(base, metric));
        let base_published = base.as_ref().and_then(|base| reference.value(base, metric));
        let between = |value: Option<f64>, base: Option<f64>| Some(gain(metric, value?, base?));
        PublishedPair {
            metric,
            ours: cell.mean,
            published,
            difference: match standing {
                Standing::Comparison => cell.mean.zip(published).map(|(a, b)| a - b),
                Standing::NoComparison(_) => None,
            },
            our_gain: between(cell.mean, base_cell.and_then(|cell| cell.mean)),
            published_gain: between(published, base_published),
            note: reference.note(&position).to_owned(),
            position,
        }
    });
    Versus {
        source: reference.source.clone(),
        pairs: pairs.collect(),
        standing,
        doubts: reference.fractions(),
    }
}

fn standing(spec: &Experiment, reference: &PublishedMeans, provenance: &DataOrigin) -> Standing {
    let mut reasons = Vec::new();
    match provenance.origin {
        Provenance::Synthetic => reasons.push("these data are synthetic".to_owned()),
        Provenance::SimulatedExperts => reasons.push("the experts are simulated".to_owned()),
        Provenance::Acquired | Provenance::Undeclared => {}
    }
    if provenance.dataset != reference.dataset {
        reasons.push(match reference.dataset.as_str() {
            "" => "the manifest does not say which data the values are of (`reference.dataset`)"
                .to_owned(),
            theirs => format!("the data set is {}, not {theirs}", provenance.dataset),
        });
    }
    if spec.profile != PAPER {
        reasons.push(format!(
            "the profile {} is not the manifest's own keys",
            spec.profile
        ));
    }
    if !spec.overrides.is_empty() {
        reasons.push(format!("{} was set", spec.overrides.join(", ")));
    }
    match reasons.is_empty() {
        true => Standing::Comparison,
        false => Standing::NoComparison(reasons),
    }
}

impl Versus {
    /// Lays it out.
    pub fn document(
        &self,
        table: &Table,
        results: &Results<'_>,
        experiment: usize,
        provenance: &DataOrigin,
    ) -> Document {
        let spec = &results.plan.experiments[experiment];
        let made_by = results.made_by(experiment);
        let mut elements = vec![
            Element::Paragraph(self.verdict()),
            Element::Paragraph(notes::caption(spec, &made_by, provenance)),
        ];
        let doubts = self.doubts.iter();
        elements.extend(doubts.map(|doubt| {
            let text = MarkedText::default().bold("Doubtful values:");
            Element::Paragraph(text.plain(format!(" {doubt}.")))
        }));
        for panel in panels(results, experiment) {
            let Panel { letter, words, .. } = &panel;
            let mut words = words.clone();
            if let Some(first) = words.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            let heading = match &self.standing {
                Standing::Comparison => format!("{letter} {words}"),
                Standing::NoComparison(_) => {
                    format!("{letter} {words}: {}", gain_over(spec))
                }
            };
            elements.push(Element::Tabular(self.grid(spec, &panel, heading)));
            if matches!(self.standing, Standing::NoComparison(_)) {
                elements.push(Element::List(self.shapes(spec, &panel)));
            }
        }
        elements.push(Element::Paragraph(self.reading(table, spec)));
        Document {
            title: match self.standing {
                Standing::Comparison => format!("{} beside {}", table.name, self.source),
                Standing::NoComparison(_) => {
                    format!("{} beside {}: not a comparison", table.name, self.source)
                }
            },
            elements,
        }
    }

    fn verdict(&self) -> MarkedText {
        match &self.standing {
            Standing::Comparison => MarkedText::from(format!(
                "The same data set and the manifest's own keys as {}: differences are ours minus \
             theirs.",
                self.source
            )),
            Standing::NoComparison(reasons) => MarkedText::default()
                .bold(format!("Not a comparison with {}", self.source))
                .plain(format!(
                    ", since {}. So no values are subtracted; what can be looked at is the shape: \
                     who wins, by how much, and where a gap closes.",
                    reasons.join(", and ")
                )),
        }
    }

    /// Values and differences, or gains on both sides.
    fn grid(&self, spec: &Experiment, panel: &Panel, heading: String) -> Tabular {
        let comparison = self.standing == Standing::Comparison;
        let pairs: Vec<&PublishedPair> = self.pairs.iter().collect();
        let based = |pair: &PublishedPair| base(&pair.position, &spec.table.compare).is_some();
        // A position of which nothing was published has nothing to stand beside.
        let known = |pair: &PublishedPair| {
            let published = pairs.iter().filter(|other| other.position == pair.position);
            published.into_iter().any(|pair| pair.published.is_some())
        };
        let wanted = |pair: &&PublishedPair| {
            panel.holds(&pair.position, &spec.table) && (comparison || based(pair)) && known(pair)
        };
        let positions: Vec<&Position> = pairs
            .iter()
            .copied()
            .filter(wanted)
            .map(|pair| &pair.position)
            .sorted_by_cached_key(|position| (position.on(&spec.table.rows), (*position).clone()))
            .dedup()
            .collect();
        let TableSpec { rows, columns, .. } = &spec.table;
        let keys = self
            .pairs
            .iter()
            .map(|pair| pair.position.on(columns))
            .collect();
        let told = layout::told(columns, &keys);
        // All gains of one column need not name it.
        let one_column = positions.iter().map(|at| at.on(columns)).all_equal();
        let head = |position: &Position| {
            let row = row_head(rows, &position.on(rows));
            match !comparison && one_column {
                true => row,
                false => {
                    let column = layout::under(columns, &told, &position.on(columns));
                    format!("{row} {column}").trim().to_owned()
                }
            }
        };
        let rows = positions.iter().map(|position| {
            let entries = spec.metrics.report.iter().copied().flat_map(|metric| {
                let pair = self
                    .pairs
                    .iter()
                    .find(|pair| pair.position == **position && pair.metric == metric);
                let shown: Vec<String> = match (pair, comparison) {
                    (None, true) => vec![String::new(); 3],
                    (None, false) => vec![String::new(); 2],
                    (Some(pair), true) => vec![
                        plain(pair.ours),
                        plain(pair.published),
                        signed(pair.difference),
                    ],
                    (Some(pair), false) => {
                        vec![signed(pair.our_gain), signed(pair.published_gain)]
                    }
                };
                shown.into_iter().map(RowEntry::words)
            });
            Row {
                head: head(position),
                entries: entries.collect(),
            }
        });
        let sides: &[&str] = match comparison {
            true => &["ours", "published", "difference"],
            false => &["ours", "published"],
        };
        Tabular {
            heading,
            new_expert: panel.new_expert(&spec.table),
            corner: corner(&spec.table),
            rows: rows.collect(),
            columns: spec
                .metrics
                .report
                .iter()
                .cartesian_product(sides)
                .map(|(metric, side)| Column {
                    over: metric.heading(spec.distances()),
                    under: (*side).to_owned(),
                    align: Align::Right,
                })
                .collect(),
        }
    }

    /// Sentences on the gains here and those that were published.
    fn shapes(&self, spec: &Experiment, panel: &Panel) -> Vec<MarkedText> {
        spec.metrics
            .report
            .iter()
            .copied()
            .map(|metric| {
                let gains = |of: &dyn Fn(&PublishedPair) -> Option<f64>| -> Vec<(usize, f64)> {
                    let pairs = self.pairs.iter().filter(|pair| {
                        panel.holds(&pair.position, &spec.table) && pair.metric == metric
                    });
                    pairs
                        .filter_map(|pair| Some((row_number(&pair.position, spec)?, of(pair)?)))
                        .sorted_by_key(|(row, _)| *row)
                        .collect()
                };
                MarkedText::from(format!(
                    "{}: here {}; published {}.",
                    metric.heading(spec.distances()),
                    shape(spec, &gains(&|pair| pair.our_gain)),
                    shape(spec, &gains(&|pair| pair.published_gain)),
                ))
            })
            .collect()
    }

    fn reading(&self, table: &Table, spec: &Experiment) -> MarkedText {
        let mut text = MarkedText::from(match self.standing {
            Standing::Comparison => {
                "A dash stands where a value was not published, or runs are missing."
            }
            Standing::NoComparison(_) => {
                "Positive is better, for distances too; Dice in per cent. A dash stands where a \
                 value was not published, or runs are missing."
            }
        });
        if matches!(self.standing, Standing::NoComparison(_)) && is_row(spec, &Axis::SAMPLES) {
            text = text.plain(
                " A gap counts as closed from where no gain is more than a fifth of that at the \
                 fewest samples.",
            );
        }
        let partial = table.cells.iter().filter(|cell| !cell.complete()).count();
        if partial > 0 {
            text = text.plain(format!(
                " {partial} of {} cells lack runs or have undefined ones; their means are of what \
                 is there.",
                table.cells.len()
            ));
        }
        let noted = self.pairs.iter().filter(|pair| !pair.note.is_empty());
        for pair in noted.unique_by(|pair| &pair.position) {
            text = text.plain(format!(" {}: {}.", pair.position, pair.note));
        }
        text
    }
}

/// Whether an axis alone makes the rows.
fn is_row(spec: &Experiment, axis: &Axis) -> bool {
    spec.table.rows == [axis.clone()]
}

/// The number that is the value of a row.
fn row_number(position: &Position, spec: &Experiment) -> Option<usize> {
    position.get(spec.table.rows.first()?)?.whole()
}

fn gain_over(spec: &Experiment) -> String {
    match (is_row(spec, &Axis::TRAIN_EXPERT), is_of_pretraining(spec)) {
        (true, _) => "gain over the network trained on the expert's own masks".to_owned(),
        (false, true) => "gain over training without pretraining".to_owned(),
        (false, false) => format!("gain over the counterpart {}", notes::counterpart(spec)),
    }
}

/// Whether gains are those of pretraining.
fn is_of_pretraining(spec: &Experiment) -> bool {
    notes::counterpart(spec) == notes::WITHOUT_PRETRAINING
}

/// A sentence on gains by row.
fn shape(spec: &Experiment, gains: &[(usize, f64)]) -> String {
    let best = gains.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1));
    let worst = gains.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1));
    let (Some(best), Some(worst)) = (best, worst) else {
        return "no gain is known".to_owned();
    };
    let ahead = gains.iter().filter(|(_, gain)| *gain > 0.0).count();
    let of = gains.len();
    if is_row(spec, &Axis::SAMPLES) && is_of_pretraining(spec) {
        let (fewest, first) = gains[0];
        let closes = match (first > 0.0, closes(gains)) {
            (false, _) => "there is no gap to close".to_owned(),
            (true, Some(n)) => format!("the gap closes at n = {n}"),
            (true, None) => "the gap does not close".to_owned(),
        };
        format!(
            "pretraining is ahead at {ahead} of {of}, with a gain of {} at n = {fewest}, and \
             {closes}",
            shown::signed(first)
        )
    } else if is_row(spec, &Axis::EXPERTS) && is_of_pretraining(spec) {
        let up = gains.windows(2).filter(|two| two[1].1 >= two[0].1).count();
        format!(
            "pretraining is ahead at {ahead} of {of}, most with k = {} ({}), and {up} of {} steps \
             up are no loss",
            best.0,
            shown::signed(best.1),
            of - 1
        )
    } else if is_row(spec, &Axis::TRAIN_EXPERT) {
        let behind = gains.iter().filter(|(_, gain)| *gain < 0.0).count();
        format!(
            "{behind} of {of} foreign networks are worse, from {} (expert {}) to {} (expert {})",
            shown::signed(worst.1),
            worst.0,
            shown::signed(best.1),
            best.0
        )
    } else {
        format!(
            "{ahead} of {of} are better, from {} to {}",
            shown::signed(worst.1),
            shown::signed(best.1)
        )
    }
}

fn plain(value: Option<f64>) -> String {
    value.map_or("–".into(), |value| format!("{value:.2}"))
}

fn signed(value: Option<f64>) -> String {
    value.map_or("–".into(), shown::signed)
}
