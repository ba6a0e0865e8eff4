//! Runs picked by an expression.

use std::collections::BTreeSet;

use itertools::Itertools;

use super::{Plan, Run};
use crate::grid::{Axis, Field, Only, Pick, Value};

/// What the runs of a plan can be picked by.
#[derive(Clone, Debug)]
pub struct Fields {
    axes: Vec<Axis>,
    fields: Vec<Field>,
}

/// The name of a run's table, the first of the fields.
const TABLE: &str = "table";
/// Most values of a field that a message names.
const NAMED: usize = 12;

impl Fields {
    /// The table's name, the axes of grids, and what the plan's manifests sweep.
    pub fn of(plan: &Plan) -> Self {
        let swept = plan.experiments.iter().flat_map(|e| &e.sweep);
        let swept = swept.unique_by(|swept| &swept.key).collect_vec();
        let last = |key: &str| key.rsplit('.').next().unwrap_or(key).to_owned();
        let lasts = swept.iter().map(|swept| last(&swept.key)).counts();
        let mut fields = vec![Field {
            name: TABLE.to_owned(),
            others: Vec::new(),
            numeric: false,
        }];
        let mut axes = Vec::new();
        let named = plan.experiments.iter().any(|e| e.grid.names.are_there());
        for axis in Axis::of_grids() {
            // Who has a name is asked for by name or number.
            let by_name = named && axis.is_of_experts();
            fields.push(Field {
                name: axis.word().to_owned(),
                others: axis.words().skip(1).map(str::to_owned).collect(),
                numeric: axis.is_numeric().unwrap_or_default() && !by_name,
            });
            axes.push(axis);
        }
        for swept in swept {
            // `lr` is enough where only one key ends so.
            let short = last(&swept.key);
            let taken = fields
                .iter()
                .any(|f| f.name == short || f.others.contains(&short));
            fields.push(Field {
                others: match lasts[&short] == 1 && !taken {
                    true => vec![short],
                    false => Vec::new(),
                },
                name: swept.key.clone(),
                numeric: swept
                    .settings()
                    .all(|s| Value::Setting(s).number().is_some()),
            });
            axes.push(swept.axis());
        }
        Self { axes, fields }
    }

    /// The fields, to resolve an expression against.
    pub fn list(&self) -> &[Field] {
        &self.fields
    }

    /// A run's value of a field, by its index.
    pub fn value(&self, field: usize, run: &Run, plan: &Plan) -> Option<Value> {
        match field.checked_sub(1) {
            None => {
                let name = plan.experiments[run.experiment].name.as_str();
                Some(Value::Word(name.into()))
            }
            Some(axis) => self.axes.get(axis)?.of(&run.at),
        }
    }
}

/// The runs of a plan that are picked; without an expression, all.
#[derive(Clone, Debug, Default)]
pub struct Picking(Option<(Pick, Fields)>);

impl Picking {
    /// Whether a run is picked.
    pub fn wants(&self, run: &Run, plan: &Plan) -> bool {
        self.0
            .as_ref()
            .is_none_or(|(pick, fields)| pick.holds(&|field| fields.value(field, run, plan)))
    }
}

impl Plan {
    /// Which runs an expression picks.
    ///
    /// # Errors
    /// An unknown field or a wrong value; an expression that picks no run, with the values there
    /// are.
    pub fn pick(&self, only: &Only) -> Result<Picking, String> {
        let fields = Fields::of(self);
        let pick = only.among(fields.list())?;
        let picking = Picking(Some((pick, fields.clone())));
        match self.runs.iter().any(|run| picking.wants(run, self)) {
            true => Ok(picking),
            false => Err(format!(
                "no run of these manifests is `{}`; there are {}",
                only.text(),
                self.listed(&fields)
            )),
        }
    }

    /// The values that runs have of each field.
    pub fn listed(&self, fields: &Fields) -> String {
        let values = fields
            .list()
            .iter()
            .enumerate()
            .filter_map(|(index, field)| {
                let values: BTreeSet<Value> = self
                    .runs
                    .iter()
                    .filter_map(|run| fields.value(index, run, self))
                    .collect();
                let shown = values
                    .iter()
                    .map(Value::to_string)
                    .filter(|text| !text.is_empty());
                let shown = shown.collect_vec();
                (!shown.is_empty()).then(|| match shown.len() > NAMED {
                    true => format!("{} of {} values", field.name, shown.len()),
                    false => format!("{} {}", field.name, shown.join(", ")),
                })
            });
        values.collect_vec().join("; ")
    }
}
