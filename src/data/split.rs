//! Which cases of a described data set are test cases.
//!
//! The rule: it follows from names, and for a share from a seed, never from the order of files. For
//! a share, units of cases are ranked by the BLAKE3 digest of `seed/name`; the first are test
//! cases: the share of all units, rounded, at least one, never all.

use std::{collections::BTreeSet, path::Path};

use itertools::Itertools;

use super::{DataProblem, case_files::CaseFiles, problem::some_of};
use crate::{
    key::Digest,
    manifest::{CaseSplit, glob_fits},
};

/// Training and test cases; what is in neither, or both, is told of. A share is of the values of
/// `word`.
pub(super) fn parts(
    dir: &Path,
    cases: Vec<CaseFiles>,
    word: &str,
    split: &CaseSplit,
    problems: &mut Vec<DataProblem>,
) -> [Vec<CaseFiles>; 2] {
    if cases.is_empty() {
        return [Vec::new(), Vec::new()];
    }
    let units: BTreeSet<&str> = cases.iter().map(|case| case.unit.as_str()).collect();
    if let (CaseSplit::Share { .. }, [one]) = (split, Vec::from_iter(&units).as_slice()) {
        problems.push(DataProblem::error(
            dir,
            format!(
                "cannot be split by a share: all cases have the {{{word}}} {one}, and cases of one \
                 {{{word}}} stay on one side"
            ),
            "name the test cases in `dataset.split.test`",
        ));
        return [cases, Vec::new()];
    }
    let parts = match split {
        CaseSplit::Share { test, seed } => by_share(cases, *test, *seed),
        CaseSplit::Named { training, test } => by_name(dir, cases, training, test, problems),
    };
    for (part, what) in parts.iter().zip(["training", "test"]) {
        for name in part.iter().map(|case| &case.name).duplicates() {
            problems.push(DataProblem::error(
                dir,
                format!("has two {what} cases that are called {name}"),
                "let the words in braces under `[dataset]` tell them apart",
            ));
        }
        if part.is_empty() {
            problems.push(DataProblem::error(
                dir,
                format!("has no {what} case by `dataset.split`"),
                match split {
                    CaseSplit::Share { .. } => "change the share",
                    CaseSplit::Named { .. } => "change the names there",
                },
            ));
        }
    }
    parts
}

fn by_share(cases: Vec<CaseFiles>, share: f64, seed: u64) -> [Vec<CaseFiles>; 2] {
    let units: BTreeSet<&str> = cases.iter().map(|case| case.unit.as_str()).collect();
    let rank = |unit: &&str| Digest::of_bytes(format!("{seed}/{unit}").as_bytes());
    let ranked = units.iter().copied().sorted_by_cached_key(rank);
    let count = (units.len() as f64 * share).round() as usize;
    let count = count.clamp(1, units.len() - 1);
    let test: BTreeSet<String> = ranked.take(count).map(str::to_owned).collect();
    let (test, training) = cases
        .into_iter()
        .partition(|case| test.contains(&case.unit));
    [training, test]
}

fn by_name(
    dir: &Path,
    cases: Vec<CaseFiles>,
    training: &[String],
    test: &[String],
    problems: &mut Vec<DataProblem>,
) -> [Vec<CaseFiles>; 2] {
    let called = |case: &CaseFiles| case.part.clone().unwrap_or_else(|| case.name.clone());
    let among = |texts: &[String], case: &CaseFiles| {
        let name = called(case);
        texts.iter().any(|text| glob_fits(text, &name))
    };
    let mut sides = [Vec::new(), Vec::new()];
    let (mut neither, mut both) = (Vec::new(), Vec::new());
    let unused = test.iter().chain(training).filter(|text| {
        let fits = |case: &CaseFiles| glob_fits(text, &called(case));
        !cases.iter().any(fits)
    });
    let unused = unused.map(|text| format!("\"{text}\"")).collect_vec();
    for case in cases {
        let is_training = training.is_empty() || among(training, &case);
        match (is_training, among(test, &case)) {
            (_, true) if !training.is_empty() && is_training => both.push(called(&case)),
            (_, true) => sides[1].push(case),
            (true, false) => sides[0].push(case),
            (false, false) => neither.push(called(&case)),
        }
    }
    if !unused.is_empty() {
        problems.push(DataProblem::error(
            dir,
            format!(
                "has nothing called {}, which `dataset.split` names",
                unused.join(", ")
            ),
            "check the names of the cases, or of the folders that {split} stands for",
        ));
    }
    if !both.is_empty() {
        problems.push(DataProblem::error(
            dir,
            format!(
                "has cases that `dataset.split` counts as training and as test: {}",
                some_of(both.iter().unique().collect_vec().into_iter())
            ),
            "let each be on one side",
        ));
    }
    if !neither.is_empty() {
        let names = neither.iter().unique().collect_vec();
        problems.push(DataProblem::warning(
            dir,
            format!(
                "has {} cases that are neither training nor test by `dataset.split`, and are left \
                 out: {}",
                neither.len(),
                some_of(names.into_iter())
            ),
            "name them there if they are to be used",
        ));
    }
    sides
}
