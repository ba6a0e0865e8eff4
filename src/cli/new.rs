//! `expertgrid new`: a manifest that fits a data set, over another manifest.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use anyhow::anyhow;
use clap::Args;
use itertools::Itertools;

use super::{Done, Failure, output::print};
use crate::{
    data::{
        self, Dataset,
        fit::fit,
        grouped,
        guess::{GuessedSpec, guess},
    },
    grid::ExpertNames,
    manifest::{self, DataSpec, PAPER, data_set_keys},
    shell,
    store::create_file,
};

#[derive(Debug, Args)]
#[command(
    after_help = "How the folder is laid out is guessed from names and values of its files; read \
                  what was written before you run it.

Example: expertgrid new mine --from table2 --dataset scans"
)]
pub(super) struct Arguments {
    /// Name of the experiment; its manifest is written to NAME.toml, which must not exist yet.
    #[arg(value_name = "NAME")]
    name: PathBuf,
    /// Manifest whose keys count where the new one has none.
    #[arg(long, value_name = "MANIFEST", default_value = "table2")]
    from: PathBuf,
    /// Folder of the data set.
    #[arg(long, value_name = "DIR")]
    dataset: PathBuf,
}

/// Most ways of sampling, as in the paper.
const MOST_STARTS: usize = 10;
/// Most experts who annotate at a time, as in the paper.
const MOST_CHOSEN: usize = 3;

pub(super) fn run(arguments: &Arguments) -> Result<Done, Failure> {
    let path = match arguments
        .name
        .extension()
        .is_some_and(|ending| ending == "toml")
    {
        true => arguments.name.clone(),
        false => PathBuf::from(format!("{}.toml", arguments.name.display())),
    };
    if path.exists() {
        return Err(Failure::Input(anyhow!(
            "{} exists already; choose another name",
            path.display()
        )));
    }
    let base = manifest::found(&arguments.from);
    // Its mistakes are told before anything is written.
    manifest::read(&[&base], PAPER, &[]).map_err(Failure::input)?;
    let found =
        guess(&arguments.dataset).map_err(|problem| Failure::refused(problem.to_string()))?;
    let dataset = data::open_as(&arguments.dataset, &found.spec).map_err(Failure::input)?;
    for line in grouped(&dataset.warnings) {
        eprintln!("{line}");
    }
    let names = ExpertNames::new(&found.spec.experts);
    let draft = Draft {
        folder: path.parent().unwrap_or(Path::new("")).to_owned(),
        path: path.clone(),
        base,
        data: arguments.dataset.clone(),
        found,
    };
    let text = draft.fitting(&dataset)?;
    create_file(&path, text.as_bytes()).map_err(Failure::work)?;
    print(format_args!(
        "{}: {} training and {} test cases, experts {}",
        path.display(),
        dataset.training.len(),
        dataset.test.len(),
        dataset
            .experts
            .iter()
            .map(|expert| names.show(*expert))
            .join(", ")
    ));
    let profiles = manifest::profiles(&path).map_err(Failure::work)?;
    let small = match profiles.iter().any(|profile| profile == "phantom") {
        true => " --profile phantom",
        false => "",
    };
    print(format_args!(
        "read it, then: expertgrid plan {}{small}",
        shell::bytes(path.as_os_str().as_encoded_bytes())
    ));
    Ok(Done::Whole)
}

/// What a new manifest is made of.
struct Draft {
    path: PathBuf,
    folder: PathBuf,
    base: PathBuf,
    data: PathBuf,
    found: GuessedSpec,
}

impl Draft {
    /// The text with the smallest crop up to the largest image that cuts off no mask.
    fn fitting(&self, dataset: &Dataset) -> Result<String, Failure> {
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
            let read = manifest::parse(&self.path, &text, PAPER, &[]).map_err(Failure::input)?;
            if fit(dataset, &read).problems.is_empty() {
                return Ok(text);
            }
            last = text;
        }
        Ok(last)
    }

    fn text(&self, dataset: &Dataset, crop: usize) -> String {
        let names = ExpertNames::new(&self.found.spec.experts);
        let quoted = |expert: &u8| match names.of((*expert).into()) {
            Some(name) => format!("\"{name}\""),
            None => expert.to_string(),
        };
        let (others, new) = match dataset.experts.as_slice() {
            [one] => (&[][..], std::slice::from_ref(one)),
            all => all.split_at(all.len() - (all.len() / 3).clamp(1, 2)),
        };
        let list = |experts: &[u8]| experts.iter().map(quoted).join(", ");
        let training = dataset.training.len();
        let samples = [8, 4, 2, 1].map(|part| (training / part).max(1));
        let samples = samples.into_iter().dedup().join(", ");
        let starts = MOST_STARTS.min(training);
        let starts = (0..starts).map(|i| 1 + i * training / starts).join(", ");
        let title = dataset.label.replace(['"', '\\'], "'");
        let mut out = String::new();
        let _ = write!(
            out,
            "# Made by `expertgrid new` from what is in the folder; every key can be edited.\n\
             extends = \"{}\"\ntitle = \"own data, {title}\"\n\n[dataset]\n",
            self.relative_to_it(&self.base),
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
        let _ = write!(
            out,
            "samples = [{samples}]\nstarts = [{starts}]\n\n[image]\ncrop = {crop}\nreduce = 1\n",
        );
        out
    }

    /// A path from the folder of the manifest, with `/`; absolute where it is given so.
    fn relative_to_it(&self, path: &Path) -> String {
        let relative = path.strip_prefix(&self.folder).ok();
        let inner = relative.filter(|_| !self.folder.as_os_str().is_empty());
        let shown = match (
            inner,
            self.folder.as_os_str().is_empty() || path.is_absolute(),
        ) {
            (Some(inner), _) => inner.to_owned(),
            (None, true) => path.to_owned(),
            (None, false) => std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
        };
        shown.to_string_lossy().replace('\\', "/")
    }
}
