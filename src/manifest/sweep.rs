//! Keys that take several values: the points of a manifest's `[sweep]`.
//!
//! The rule: a swept value is read in the place of the key's own, with the same checks and
//! messages. Every point is read before the manifest is accepted.

use std::{cell::RefCell, sync::Arc};

use itertools::Itertools;

use crate::grid::Setting;

use super::{
    assemble,
    document::{self, TomlNode, TomlTable, TomlValue},
    experiment::Experiment,
    grid::MOST_RUNS,
    kind::Key,
    layers::Rank,
    problem::{Place, Problems},
    reader::{MOST_COMPARED, Section},
    swept::{Swept, SweptValue},
    table::{self, SectionTable},
};

/// One combination of the values of all swept keys.
#[derive(Clone, Debug)]
pub struct Point {
    /// For each swept key its index and that of its value.
    pub setting: Vec<(usize, usize)>,
    /// The experiment with these values; nothing is swept in it.
    pub experiment: Experiment,
}

impl Point {
    /// The values of the swept keys at this point.
    pub fn settings(&self, of: &Experiment) -> Arc<[Setting]> {
        let settings = self.setting.iter().map(|(key, value)| {
            let Swept { key, values } = &of.sweep[*key];
            Setting::new(key, *value, &values[*value].text)
        });
        settings.collect()
    }
}

/// Most points of a sweep.
pub const MAX_POINTS: usize = 10_000;
/// How many points of a profile that was not chosen are read.
const SAMPLED: usize = 100;

impl Experiment {
    /// Every combination of the swept values, the last key's changing fastest; where nothing is
    /// swept, one point without a setting.
    pub fn points(&self) -> Vec<Point> {
        let Some(document) = &self.document else {
            return vec![Point {
                setting: Vec::new(),
                experiment: self.clone(),
            }];
        };
        let mut table = TomlTable::clone(document);
        let experiment = |setting: Vec<(usize, usize)>| {
            apply(&mut table, &self.sweep, &setting);
            let problems = RefCell::default();
            let root = Section::root(&table, Place::Whole(self.name.as_str().into()), &problems);
            let read = assemble::experiment(root, &self.name, &self.profile, &self.sweep);
            let experiment = Experiment {
                path: self.path.clone(),
                overrides: self.overrides.clone(),
                changes: self.changes.clone(),
                warnings: self.warnings.clone(),
                table: read.table.without_swept(),
                ..read
            };
            Point {
                setting,
                experiment,
            }
        };
        settings(&self.sweep).map(experiment).collect()
    }
}

/// Every combination, as indices of keys and values.
fn settings(sweep: &[Swept]) -> impl Iterator<Item = Vec<(usize, usize)>> {
    let axes = sweep.iter().enumerate();
    axes.map(|(key, swept)| (0..swept.values.len()).map(move |value| (key, value)))
        .multi_cartesian_product()
}

fn apply(table: &mut TomlTable, sweep: &[Swept], setting: &[(usize, usize)]) {
    for (key, value) in setting {
        let path: Vec<&str> = sweep[*key].key.split('.').collect();
        document::set(table, &path, sweep[*key].values[*value].node.clone());
    }
}

/// Removes `sweep` from a document; returns the swept keys in written order.
pub(super) fn take(table: &mut TomlTable, rank: &Rank, problems: &RefCell<Problems>) -> Vec<Swept> {
    let mut note = |place: &Place, message: String| problems.borrow_mut().push(place, message);
    let Some(entry) = table.remove("sweep") else {
        return Vec::new();
    };
    let TomlValue::Table(swept) = entry.node.value else {
        let message = format!(
            "`sweep` holds keys with lists of values, not {}",
            entry.node.value.describe()
        );
        note(&entry.node.place, message);
        return Vec::new();
    };
    let written = swept
        .into_iter()
        .sorted_by_key(|(_, entry)| (rank.of(&entry.place), entry.place.clone()));
    let mut sweep = Vec::new();
    for (name, entry) in written {
        match sweepable(&name) {
            Ok(key) => match values(&name, key, &entry.node, &mut note) {
                Some(values) => sweep.push(Swept { key: name, values }),
                None => continue,
            },
            Err(why) => note(&entry.place, why),
        }
    }
    let points = sweep
        .iter()
        .map(|swept| swept.values.len() as f64)
        .product::<f64>();
    if points > MAX_POINTS as f64 {
        let message = format!(
            "the sweep has {points} points, more than {MAX_POINTS}; take out keys or values"
        );
        note(&entry.place, message);
        sweep.clear();
    }
    sweep
}

/// The values of a swept key; none where they are no list of different ones.
fn values(
    name: &str,
    key: &Key,
    node: &TomlNode,
    note: &mut impl FnMut(&Place, String),
) -> Option<Vec<SweptValue>> {
    let items = match &node.value {
        TomlValue::Array(items) if !items.is_empty() => items,
        TomlValue::Array(_) => {
            let message = format!("`sweep` has no values for `{name}`; add some, or take it out");
            note(&node.place, message);
            return None;
        }
        other => {
            let message = format!(
                "`sweep` holds a list of values for `{name}`, not {}",
                other.describe()
            );
            note(&node.place, message);
            return None;
        }
    };
    let values = items.iter().map(|item| SweptValue {
        text: key.kind.text(item),
        place: item.place.clone(),
        node: item.clone(),
    });
    let values = values.collect_vec();
    let mut seen = std::collections::BTreeSet::new();
    for value in &values {
        if !seen.insert(value.text.as_str()) {
            let message = format!("`sweep` names {} twice for `{name}`", value.text);
            note(&value.place, message);
        }
    }
    Some(values)
}

/// The key that is swept, or why it cannot be.
fn sweepable(name: &str) -> Result<&'static Key, String> {
    let refused = |why: &str| Err(format!("`{name}` cannot be swept: {why}"));
    if name == "grid" || name.starts_with("grid.") {
        return refused("it is an axis of the grid already; list its values under [grid]");
    }
    match name.split('.').next().unwrap_or_default() {
        "extends" | "profile" | "sweep" => {
            return refused("it says how manifests are put together");
        }
        "method" => return refused("it names methods; list them under `grid.methods`"),
        "table" => return refused("it lays the table out"),
        "reference" => return refused("results are compared with it"),
        _ => {}
    }
    if let Some((section, key)) = table::key(name) {
        return match (section.name, key.keyed) {
            ("dataset", _) => refused("all points are run on one data set"),
            (_, false) => {
                refused("it affects no training and no score, so results would not differ")
            }
            (_, true) => Ok(key),
        };
    }
    if let Some(section) = table::sections()
        .iter()
        .find(|section| section.name == name)
    {
        let example = section.keys.first().map(|key| section.path(key));
        let example = example.unwrap_or_default();
        return refused(&format!(
            "it is a section; name one of its keys, like `{example}`"
        ));
    }
    let known = table::sections().iter().flat_map(swept_names);
    let nearest = known
        .filter(|_| name.len() <= MOST_COMPARED)
        .map(|known| (strsim::damerau_levenshtein(name, &known), known))
        .min()
        .filter(|(distance, known)| *distance <= 1 + known.len() / 3);
    Err(match nearest {
        Some((_, known)) => format!("unknown key `{name}` in `sweep`; did you mean `{known}`?"),
        None => format!(
            "unknown key `{name}` in `sweep`; a key is named from the top of the manifest, like \
             `network.width`"
        ),
    })
}

fn swept_names(section: &'static SectionTable) -> impl Iterator<Item = String> {
    let keys = section.keys.iter();
    let keys = keys.map(|key| section.path(key));
    keys.filter(|name| can_be_swept(name))
}

/// Whether a key can take several values: it affects the results of one run.
pub(super) fn can_be_swept(name: &str) -> bool {
    table::key(name).is_some() && sweepable(name).is_ok()
}

/// Reads every point of the chosen profile's sweep; of another profile's, as many points as its
/// longest list has values, up to [`SAMPLED`], so that each of these values is read.
pub(super) fn check(
    table: TomlTable,
    sweep: &[Swept],
    chosen: bool,
    read: &mut dyn FnMut(&TomlTable) -> Experiment,
    problems: &RefCell<Problems>,
) -> Option<Arc<TomlTable>> {
    if sweep.is_empty() {
        return None;
    }
    let document = Arc::new(table);
    let mut table = TomlTable::clone(&document);
    let longest = sweep.iter().map(|swept| swept.values.len()).max();
    let most = if chosen { MAX_POINTS } else { SAMPLED };
    for i in 0..longest.unwrap_or_default().min(most) {
        let keys = sweep.iter().enumerate();
        let setting = keys.map(|(key, swept)| (key, i % swept.values.len()));
        apply(&mut table, sweep, &setting.collect_vec());
        read(&table);
    }
    let mut runs = 0.0;
    // A problem of one value is not repeated for each of its points.
    if chosen && problems.borrow().is_empty() {
        for setting in settings(sweep) {
            apply(&mut table, sweep, &setting);
            runs += read(&table).grid.runs();
            if !problems.borrow().is_empty() {
                break;
            }
        }
    }
    if runs > MOST_RUNS {
        let message = format!(
            "the sweep makes {runs:.3e} runs of the grid, more than {:e}; take out keys or values",
            MOST_RUNS
        );
        problems
            .borrow_mut()
            .push(&sweep[0].values[0].place, message);
    }
    Some(document)
}
