//! A manifest that fits a data set, written over another manifest.
//!
//! The rule: it says what the data set has (files, experts, split, cases) and chooses the smallest
//! crop that cuts off no mask, numbers of samples and ways of sampling. All other keys are those of
//! the manifest that it extends.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use itertools::Itertools;

use crate::{
    data::{Dataset, fit::fit, guess::GuessedSpec},
    grid::ExpertNames,
    manifest::{self, DataSpec, Experiment, PAPER, Problems, data_set_keys, quoted},
};

/// Most ways of sampling, as in the paper.
const MOST_STARTS: usize = 10;
/// Most experts who annotate at a time, as in the paper.
const MOST_CHOSEN: usize = 3;

/// What a new manifest is made of.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The file that it is for.
    pub path: PathBuf,
    /// The manifest that it extends.
    pub base: PathBuf,
    /// What that says.
    pub extended: Experiment,
    /// The folder of the data set.
    pub data: PathBuf,
    /// How that is laid out.
    pub found: GuessedSpec,
}

impl Draft {
    /// The text with the smallest crop up to the largest image that cuts off no mask.
    ///
    /// # Errors
    /// The manifest that it extends cannot be read or does not go with it.
    pub fn fitting(&self, dataset: &Dataset) -> Result<String, Problems> {
        let sides = dataset.cases().map(|case| {
            let (width, height) = (case.image.width, case.image.height);
            (width.min(height), width.max(height))
        });
        let (smallest, largest) = sides
            .reduce(|(a, b), (c, d)| (a.min(c), b.max(d)))
            .unwrap_or_default();
        let first = (smallest / 32 * 32).clamp(32, 192);
        let mut last = String::new();
        for crop in (first..=largest.next_multiple_of(32)).step_by(32) {
            let text = self.text(dataset, crop);
            let read = manifest::parse(&self.path, &text, PAPER, &[])?;
            if fit(dataset, &read).problems.is_empty() {
                return Ok(text);
            }
            last = text;
        }
        Ok(last)
    }

    fn text(&self, dataset: &Dataset, crop: usize) -> String {
        let names = ExpertNames::new(&self.found.spec.experts);
        let shown = |expert: &u8| match names.of((*expert).into()) {
            Some(name) => quoted(name),
            None => expert.to_string(),
        };
        let (others, new) = match dataset.experts.as_slice() {
            [one] => (&[][..], std::slice::from_ref(one)),
            all => all.split_at(all.len() - (all.len() / 3).clamp(1, 2)),
        };
        let list = |experts: &[u8]| experts.iter().map(shown).join(", ");
        let training = dataset.training.len();
        let samples = match self.extended.grid.samples.as_slice() {
            // A table of one number may have no place for several.
            [one] if *one < self.extended.cohort.training => vec![training.min(*one)],
            [_] => vec![training],
            _ => [8, 4, 2, 1].map(|part| (training / part).max(1)).into(),
        };
        let samples = samples.into_iter().dedup().join(", ");
        let starts = MOST_STARTS.min(training);
        let starts = (0..starts).map(|i| 1 + i * training / starts).join(", ");
        let mut out = String::new();
        let _ = write!(
            out,
            "# Made by `expertgrid new` from what is in the folder; every key can be edited.\n\
             extends = {}\ntitle = {}\n\n[dataset]\n",
            quoted(&self.relative_to_it(&self.base)),
            quoted(&format!("own data, {}", dataset.label)),
        );
        let spec = DataSpec {
            path: Some(PathBuf::from(self.relative_to_it(&self.data))),
            ..self.found.spec.clone()
        };
        let (test, highest) = (dataset.test.len(), dataset.experts.last().unwrap_or(&1));
        let _ = writeln!(out, "training = {training}\ntest = {test}");
        if spec.experts.is_empty() {
            let _ = writeln!(out, "experts = {highest}");
        }
        for (key, value) in data_set_keys(&spec) {
            let comment = match key {
                "label" => format!(
                    "   # the masks have labels {}; which one is meant, or several?",
                    self.found.labels.iter().join(", ")
                ),
                "split" => "   # which cases are test cases".to_owned(),
                "channel" => "   # which one is meant, from 0, or \"mean\" or \"sum\"?".to_owned(),
                _ => String::new(),
            };
            let _ = writeln!(out, "{key} = {value}{comment}");
        }
        let _ = write!(out, "\n[grid]\nnew_experts = [{}]\n", list(new));
        match others.len() {
            0 => out.push_str("methods = [\"w/o\"]   # there is no other expert to pretrain on\n"),
            n => {
                let (from, choose) = (list(others), MOST_CHOSEN.min(n));
                let _ = writeln!(out, "annotators = {{ from = [{from}], choose = {choose} }}");
            }
        }
        if !self.extended.grid.train_experts.is_empty() {
            let _ = writeln!(out, "train_experts = [{}]", list(&dataset.experts));
        }
        let _ = write!(
            out,
            "samples = [{samples}]\nstarts = [{starts}]\n\n[image]\ncrop = {crop}\nreduce = 1\n",
        );
        out
    }

    /// A path from the folder of the manifest, with `/`; absolute where it is given so.
    fn relative_to_it(&self, path: &Path) -> String {
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let relative = path.strip_prefix(folder).ok();
        let inner = relative.filter(|_| !folder.as_os_str().is_empty());
        let shown = match (inner, folder.as_os_str().is_empty() || path.is_absolute()) {
            (Some(inner), _) => inner.to_owned(),
            (None, true) => path.to_owned(),
            (None, false) => std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
        };
        shown.to_string_lossy().replace('\\', "/")
    }
}
