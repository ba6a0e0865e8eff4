//! Which of a file's values mark the inside of a mask.
//!
//! The rule: a mask has 0 outside and one other value, above 0, inside, unless labels are named. A
//! file of other values is refused with the values named; which of them is meant is for its owner
//! to say.

use itertools::Itertools;

use super::Fault;

/// Most different values that a refusal lists.
const LISTED: usize = 12;
/// Most different values of a mask whose labels are named.
const LABELS: usize = 1024;

/// The values of a mask that are inside.
#[derive(Clone, Debug)]
pub(in crate::data) struct Inside {
    /// None where nothing is inside.
    values: Vec<f32>,
    /// Whether they are labels that were named.
    by_label: bool,
    /// What is odd about them.
    oddity: Option<Fault>,
}

impl Inside {
    /// Whether a value is inside.
    pub(super) fn holds(&self, value: f32) -> bool {
        self.values.contains(&value)
    }

    /// The one value that is inside, where that is asked of the file itself.
    pub(super) fn value(&self) -> Option<f32> {
        self.values.first().copied().filter(|_| !self.by_label)
    }

    /// What is odd about them.
    pub(super) fn oddity(&self) -> Option<Fault> {
        self.oddity.clone()
    }
}

/// The values inside: these labels, or where none is named the one above 0.
pub(in crate::data) fn inside(values: &[f32], labels: &[u32]) -> Result<Inside, Fault> {
    if !labels.is_empty() {
        return labelled(values, labels);
    }
    let value = one_inside(values)?;
    let oddity = value.filter(|value| *value != 1.0).map(|value| {
        Fault::new(
            format!("has the values 0 and {value}"),
            format!("check that this is intended: {value} is inside, as 1 would be"),
        )
    });
    Ok(Inside {
        values: value.into_iter().collect(),
        by_label: false,
        oddity,
    })
}

fn labelled(values: &[f32], labels: &[u32]) -> Result<Inside, Fault> {
    let (mut found, all_found) = different(values, LABELS);
    found.sort_by(f32::total_cmp);
    let odd = found.iter().find(|v| v.fract() != 0.0 || **v < 0.0);
    let what = match odd {
        Some(odd) => Some(format!("has the value {odd}, which is no label")),
        None => (!all_found)
            .then(|| format!("has more than {LABELS} different values, so they are no labels")),
    };
    if let Some(what) = what {
        return Err(Fault::new(
            what,
            "check that it is the mask; labels are whole numbers from 0",
        ));
    }
    let wanted: Vec<f32> = labels.iter().map(|label| *label as f32).collect();
    let is_there = |value: &f32| found.contains(value);
    let oddity = (!wanted.iter().any(is_there)).then(|| {
        Fault::new(
            format!(
                "has none of the labels {} that are meant, only {}",
                labels.iter().format(", "),
                listed(&found)
            ),
            "check that nothing is inside",
        )
    });
    Ok(Inside {
        values: wanted,
        by_label: true,
        oddity,
    })
}

/// The value inside; `None` where all are 0.
fn one_inside(values: &[f32]) -> Result<Option<f32>, Fault> {
    let (mut found, all_found) = different(values, LISTED);
    found.sort_by(f32::total_cmp);
    // Labels are whole numbers from 0.
    let are_labels = all_found && found.iter().all(|v| v.fract() == 0.0 && *v >= 0.0);
    let or_say = |remedy: &str| match are_labels {
        true => format!(
            "{remedy}, or say which is inside with `label = {}` under `[dataset]` in the manifest \
             (`--label` of `adapt` and `metric`)",
            found.last().copied().unwrap_or_default()
        ),
        false => remedy.to_owned(),
    };
    match found[..] {
        [] | [0.0] => Ok(None),
        // A structure that fills the frame.
        [value @ (1.0 | 255.0)] => Ok(Some(value)),
        [0.0, value] => Ok(Some(value)),
        [value] => Err(Fault::new(
            format!("has the value {value} everywhere, so it does not say what is inside"),
            or_say("store 1 inside and 0 outside"),
        )),
        [low, high] => Err(Fault::new(
            format!("has the values {low} and {high}, so it does not say which is outside"),
            or_say("store 1 inside and 0 outside"),
        )),
        _ if all_found && found.iter().all(|value| value.fract() == 0.0) => Err(Fault::new(
            format!(
                "has more than two different values, the labels {}",
                found.iter().format(", ")
            ),
            match are_labels {
                true => "say which is meant with `label = 1` under `[dataset]` in the manifest \
                         (`--label 1` of `adapt` and `metric`), or `[1, 2]` for several that are \
                         merged"
                    .to_owned(),
                false => "store the one that is meant in a file of its own, with 1 inside and 0 \
                          outside"
                    .to_owned(),
            },
        )),
        _ => {
            let ends = values.iter().copied().minmax_by(f32::total_cmp);
            let (low, high) = ends.into_option().unwrap_or_default();
            Err(Fault::new(
                format!(
                    "has more than two different values, from {low} to {high}, so it is not a mask"
                ),
                "threshold it if it is a probability, at 0.5 of its full scale",
            ))
        }
    }
}

fn listed(found: &[f32]) -> String {
    let shown = found.iter().take(LISTED).format(", ").to_string();
    match found.len() > LISTED {
        true => format!("{shown} and others"),
        false => shown,
    }
}

/// The different values, at most `most`, and whether these are all.
fn different(values: &[f32], most: usize) -> (Vec<f32>, bool) {
    let mut found: Vec<f32> = Vec::new();
    let mut last = None;
    for value in values {
        // Neighbours are mostly equal.
        if last == Some(*value) {
            continue;
        }
        last = Some(*value);
        if !found.contains(value) {
            if found.len() == most {
                return (found, false);
            }
            found.push(*value);
        }
    }
    (found, true)
}
