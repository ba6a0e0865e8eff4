//! Why a stage is in the store or not: the inputs of its key, and where they differ from those of
//! the stage nearest to it that is there.
//!
//! The rule: both sides come from the walk that made the digests ([`crate::key`]), so what is said
//! to differ is what differs.

use std::collections::BTreeMap;

use itertools::Itertools;
use rayon::prelude::*;
use serde::Serialize;

use crate::{
    key::{Digest, Input, Keyed},
    plan::Stage,
    store::{Found, Store},
};

/// What the store holds for a stage.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Its artefact.
    Cached,
    /// A damaged artefact, and what is wrong with it.
    Damaged(String),
    /// Nothing, and no stage of its kind either.
    NothingAlike,
    /// Nothing, but a stage that is nearest to it.
    Nearest(Neighbour),
}

/// The stage in the store that is nearest to one that is not there.
#[derive(Debug, Serialize)]
pub struct Neighbour {
    /// Its key.
    pub digest: Digest,
    /// What differs.
    pub differences: Vec<Difference>,
}

/// An input that two stages differ in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Dotted path from the key's root.
    pub field: String,
    /// The values in the store; several where the field is a list, none where it is absent.
    pub theirs: Vec<String>,
    /// The values that are asked for.
    pub ours: Vec<String>,
}

/// An input with all its values: one, or the members of a list.
pub type KeyField = (String, Vec<String>);

/// The inputs of a key; a list is one of them.
pub fn fields(inputs: &[Input]) -> Vec<KeyField> {
    let mut fields: Vec<KeyField> = Vec::new();
    for Input { field, value } in inputs {
        let name = field.split('[').next().unwrap_or(field);
        match fields.iter_mut().find(|(known, _)| known == name) {
            Some((_, values)) => values.push(value.clone()),
            None => fields.push((name.to_owned(), vec![value.clone()])),
        }
    }
    fields
}

/// Looks for a stage in the store, and for the nearest one where it is not.
pub fn ask(store: &Store, stage: &Stage) -> Answer {
    let kind = stage.spec.kind();
    match store.verify(kind, &stage.digest) {
        Found::Intact(_) => return Answer::Cached,
        Found::Damaged(why) => return Answer::Damaged(why),
        Found::Missing => {}
    }
    let ours = fields(&stage.spec.explain());
    let there = store.list();
    let alike = there.into_par_iter().filter(|(found, _)| *found == kind);
    let nearest = alike
        .filter_map(|(_, digest)| match store.read(kind, &digest, &[]) {
            Found::Intact(artefact) => {
                let differences = differences(&fields(&artefact.description.inputs), &ours);
                Some(Neighbour {
                    digest,
                    differences,
                })
            }
            Found::Missing | Found::Damaged(_) => None,
        })
        .min_by_key(|neighbour| (distance(&neighbour.differences), neighbour.digest));
    nearest.map_or(Answer::NothingAlike, Answer::Nearest)
}

/// First by the number of fields that differ, then by the number of values.
fn distance(differences: &[Difference]) -> (usize, usize) {
    let values = |difference: &Difference| {
        let Difference { theirs, ours, .. } = difference;
        let common = theirs.iter().filter(|value| ours.contains(value)).count();
        theirs.len() + ours.len() - 2 * common.min(ours.len())
    };
    (differences.len(), differences.iter().map(values).sum())
}

/// The inputs in which two lists differ.
pub fn differences(theirs: &[KeyField], ours: &[KeyField]) -> Vec<Difference> {
    let theirs: BTreeMap<_, _> = theirs.iter().cloned().collect();
    let mine: BTreeMap<_, _> = ours.iter().cloned().collect();
    let names = ours.iter().map(|(name, _)| name).chain(theirs.keys());
    let differing = names.unique().filter_map(|name| {
        let of = |fields: &BTreeMap<String, Vec<String>>| fields.get(name).cloned();
        let (theirs, ours) = (
            of(&theirs).unwrap_or_default(),
            of(&mine).unwrap_or_default(),
        );
        (theirs != ours).then(|| Difference {
            field: name.clone(),
            theirs,
            ours,
        })
    });
    differing.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(lines: &[(&str, &str)]) -> Vec<KeyField> {
        let input = |(field, value): &(&str, &str)| Input {
            field: (*field).to_owned(),
            value: (*value).to_owned(),
        };
        fields(&lines.iter().map(input).collect::<Vec<_>>())
    }

    #[test]
    fn the_members_of_a_list_are_one_field() {
        let fields = inputs(&[("a.images[0]", "x"), ("a.images[1]", "y"), ("a.n", "2")]);
        assert_eq!(
            fields,
            [
                ("a.images".to_owned(), vec!["x".to_owned(), "y".to_owned()]),
                ("a.n".to_owned(), vec!["2".to_owned()])
            ]
        );
    }

    #[test]
    fn differences_name_changed_new_and_missing_fields_and_nothing_else() {
        let theirs = inputs(&[("same", "1"), ("lr", "0.01"), ("old", "yes")]);
        let ours = inputs(&[("same", "1"), ("lr", "0.003"), ("new", "no")]);
        let found = differences(&theirs, &ours);
        let said: Vec<_> = found
            .iter()
            .map(|d| format!("{}: {:?} -> {:?}", d.field, d.theirs, d.ours))
            .collect();
        assert_eq!(
            said,
            [
                r#"lr: ["0.01"] -> ["0.003"]"#,
                r#"new: [] -> ["no"]"#,
                r#"old: ["yes"] -> []"#
            ]
        );
    }

    #[test]
    fn one_changed_field_is_nearer_than_two() {
        let ours = inputs(&[("lr", "1"), ("steps", "1"), ("images[0]", "a")]);
        let one = inputs(&[("lr", "1"), ("steps", "1"), ("images[0]", "b")]);
        let two = inputs(&[("lr", "2"), ("steps", "2"), ("images[0]", "a")]);
        assert!(distance(&differences(&one, &ours)) < distance(&differences(&two, &ours)));
    }
}
