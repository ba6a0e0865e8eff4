//! `expertgrid report`: tables from what has been run, beside published values and under the paper's claims.

use std::{io::IsTerminal, path::Path, sync::Arc};

use clap::{Args, ValueEnum};

use super::{Done, Failure, Picked, Selection, imports, output::print, verify::verify};
use crate::{
    data::Dataset,
    estimate,
    manifest::Experiment,
    paper,
    plan::{self, Inventory, Plan, StageId},
    report::{
        self, Claim, Document, Format, Provenance, Reference, Sources, Style, Table, Tabled,
        Unread, Verdict, Versus,
    },
    results::{self, Results},
    store::{Store, StoreError},
};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  expertgrid report experiments/table2.toml --profile phantom
  expertgrid report experiments/table*.toml --profile phantom --format latex > tables.tex
  expertgrid report experiments/table2.toml --dataset QUBIQ --reference
  expertgrid report experiments/table*.toml --profile phantom --claims --strict

The tables are always written to RESULTS/<name>/<profile>/ as .csv, .md and .tex, with runs.csv beside them.
Exit codes: 0 all there, 1 runs are missing (or, with --strict, a claim does not hold), 2 the input is wrong.")]
pub(super) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// What is printed [default: terminal on a terminal, markdown elsewhere].
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<FormatChoice>,
    /// Print the results beside the values that the manifest names under `[reference]`, and write <name>-vs-paper.md.
    #[arg(long, conflicts_with_all = ["claims", "only"])]
    reference: bool,
    /// Print what the results say of the paper's claims, and write <name>-claims.md.
    #[arg(long, conflicts_with = "only")]
    claims: bool,
    /// Compute every score again from the stored predictions and compare; exit with 1 where one differs.
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    only: Picked,
    /// Exit with 1 where a claim does not hold. One that is undecided is no failure.
    #[arg(long, requires = "claims")]
    strict: bool,
}

/// What a table is printed as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FormatChoice {
    /// Tables as code forges render them.
    Markdown,
    /// One row per cell, with everything behind it.
    Csv,
    /// A file that compiles as it is, with booktabs.
    Latex,
    /// A fragment for a page.
    Html,
    /// Aligned columns, bold and underlined.
    Terminal,
}

impl FormatChoice {
    fn or_default(choice: Option<Self>) -> Self {
        choice.unwrap_or(match std::io::stdout().is_terminal() {
            true => Self::Terminal,
            false => Self::Markdown,
        })
    }

    /// Prints documents, or the same as CSV.
    fn print(self, documents: &[Document], csv: impl FnOnce() -> Vec<u8>) {
        let format = match self {
            Self::Csv => {
                print(String::from_utf8_lossy(&csv()).trim_end());
                return;
            }
            Self::Markdown => Format::Markdown,
            Self::Latex => Format::Latex,
            Self::Html => Format::Html,
            Self::Terminal => Format::Terminal(style()),
        };
        print(report::render(documents, format).trim_end());
    }
}

/// Escape sequences go to a terminal alone, and not where NO_COLOR is set (no-color.org).
fn style() -> Style {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    match std::io::stdout().is_terminal() && !unwanted {
        true => Style::Escapes,
        false => Style::Characters,
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<Done, Failure> {
    let selection = &arguments.selection;
    let experiments = selection.experiments()?;
    let references = match arguments.reference {
        true => read_references(&experiments)?,
        false => Vec::new(),
    };
    let dataset = selection.open_dataset(&experiments)?;
    let inventory = Inventory {
        imports: imports(&experiments)?,
        ..Inventory::of(&dataset)
    };
    let mut plan = plan::build(experiments, &inventory);
    arguments.only.narrow(&mut plan)?;
    let store = Store::within(&selection.results);
    let results = results::collect(&plan, &store, &|_: StageId| None);
    say_damaged(&results);
    let missing = missing(&results, &plan, &selection.results)?;
    let format = FormatChoice::or_default(arguments.format);
    let mut done = Done::Whole;
    let dataset = Arc::new(dataset);
    if arguments.verify && verify(&plan, &store, dataset.clone())? > 0 {
        done = Done::WithFailures;
    }
    let report = Report::of(&results, &dataset, &selection.results);
    // A part is to be looked at, and never written over the whole.
    if arguments.only.is_all() {
        if let Done::WithFailures = report.write_pages(&store, &dataset)? {
            done = Done::WithFailures;
        }
        report.write()?;
    }
    if arguments.reference {
        report.against(&references, format)?;
    } else if arguments.claims {
        let broken = report.claims(format)?;
        if arguments.strict && broken > 0 {
            done = Done::WithFailures;
        }
    } else {
        report.print(format);
        if arguments.only.is_all() {
            report.say_where();
        }
    }
    if missing > 0 {
        eprintln!(
            "note: {missing} of {} runs have not been run yet",
            plan.runs.len()
        );
        done = Done::WithFailures;
    }
    Ok(done)
}

/// How many runs have not been run; an error where that is all of them.
fn missing(results: &Results<'_>, plan: &Plan, folder: &Path) -> Result<usize, Failure> {
    let tallies = (0..plan.experiments.len()).map(|i| results.tally(i).missing);
    let missing: usize = tallies.sum();
    match missing == plan.runs.len() {
        true => Err(Failure::Input(format!(
            "none of the {missing} runs has results in {} for this data set and profile; `expertgrid run` makes them",
            folder.display()
        ))),
        false => Ok(missing),
    }
}

/// How many damaged entries are named one by one.
const NAMED: usize = 5;

fn say_damaged(results: &Results<'_>) {
    for damaged in results.damaged.iter().take(NAMED) {
        eprintln!("warning: damaged, counted as missing: {damaged}");
    }
    if results.damaged.len() > NAMED {
        eprintln!(
            "warning: {} more are damaged; `expertgrid store verify` names them",
            results.damaged.len() - NAMED
        );
    }
}

/// The published values of every experiment that names some; at least one does.
fn read_references(experiments: &[Experiment]) -> Result<Vec<Option<Reference>>, Failure> {
    let mut references = Vec::new();
    for experiment in experiments {
        references.push(match &experiment.reference {
            Some(published) => Some(Reference::read(published).map_err(Failure::Input)?),
            None => None,
        });
    }
    if references.iter().all(Option::is_none) {
        return Err(Failure::Input(
            "there are no published values to hold these results against; name them in the manifest:\n  \
             [reference]\n  \
             values = \"FILE.csv\"   # relative to the manifest; experiments/reference has one\n  \
             source = \"WHO\"\n  \
             dataset = \"LABEL\"     # of the data they were published for"
                .to_owned(),
        ));
    }
    Ok(references)
}

/// Writes and prints the tables of all experiments, and their pages.
///
/// Pages take a moment, so they are written only where a table changes or a page is not whole, and before the tables: whatever
/// happens in between, tables that are up to date have pages that are or that say that they are not.
pub(super) fn write_tables(
    results: &Results<'_>,
    store: &Store,
    dataset: &Dataset,
    to: &Path,
) -> Result<Done, Failure> {
    say_damaged(results);
    let report = Report::of(results, dataset, to);
    let done = match report.is_written() {
        true => Done::Whole,
        false => report.write_pages(store, dataset)?,
    };
    report.write()?;
    report.print(FormatChoice::or_default(None));
    report.say_where();
    Ok(done)
}

/// What tables and pages say of a data set.
pub(super) fn provenance(dataset: &Dataset) -> Provenance {
    Provenance {
        dataset: dataset.label.clone(),
        origin: dataset.provenance,
    }
}

/// The tables of all experiments.
struct Report<'a> {
    results: &'a Results<'a>,
    provenance: Provenance,
    to: &'a Path,
    tables: Vec<Tabled>,
}

fn failed(error: StoreError) -> Failure {
    Failure::Work(error.to_string())
}

impl<'a> Report<'a> {
    fn of(results: &'a Results<'a>, dataset: &Dataset, to: &'a Path) -> Self {
        let provenance = provenance(dataset);
        let experiments = 0..results.plan.experiments.len();
        let tables = experiments.map(|i| report::table(results, i, &provenance, to));
        Self {
            tables: tables.collect(),
            results,
            provenance,
            to,
        }
    }

    /// Whether the files hold these tables, and pages are there with all that belongs to them.
    fn is_written(&self) -> bool {
        let pages = report::page_paths(&self.results.plan.experiments, self.to);
        self.tables.iter().all(Tabled::is_written)
            && pages.iter().all(|page| report::is_whole_page(page))
    }

    fn write(&self) -> Result<(), Failure> {
        let mut tables = self.tables.iter();
        tables.try_for_each(Tabled::write).map_err(failed)
    }

    fn say_where(&self) {
        for table in &self.tables {
            eprintln!("written to {}", table.folder.display());
        }
    }

    /// The same to look at; not whole where something that is there cannot be read.
    fn write_pages(&self, store: &Store, dataset: &Dataset) -> Result<Done, Failure> {
        let unread = Unread::default();
        let spent = estimate::spent(self.to);
        let sources = Sources {
            results: self.results,
            store,
            dataset,
            provenance: &self.provenance,
            spent: &spent,
            claims: paper::claims,
            unread: &unread,
            underway: false,
        };
        for page in report::write_pages(&sources, self.to).map_err(failed)? {
            eprintln!("page: {}", page.display());
        }
        let left_out = unread.reasons();
        for why in &left_out {
            eprintln!("warning: left out of the pages: {why}; running again repairs it");
        }
        Ok(match left_out.is_empty() {
            true => Done::Whole,
            false => Done::WithFailures,
        })
    }

    /// Every experiment with its table.
    fn each(&self) -> impl Iterator<Item = (&Experiment, &Tabled)> {
        self.results.plan.experiments.iter().zip(&self.tables)
    }

    fn print(&self, format: FormatChoice) {
        let documents: Vec<Document> = self.tables.iter().map(|t| t.document.clone()).collect();
        format.print(&documents, || {
            report::cells_csv(self.tables.iter().map(|tabled| &tabled.table))
        });
    }

    /// Beside the published values, where an experiment has some.
    fn against(
        &self,
        references: &[Option<Reference>],
        format: FormatChoice,
    ) -> Result<(), Failure> {
        let mut all: Vec<(&str, &Table, Versus)> = Vec::new();
        let mut documents = Vec::new();
        for (i, ((spec, tabled), reference)) in self.each().zip(references).enumerate() {
            let Some(reference) = reference else {
                eprintln!(
                    "note: {}.toml names no published values under `[reference]`; left out",
                    spec.name
                );
                continue;
            };
            let versus = report::versus(&tabled.table, spec, reference, &self.provenance);
            let document = versus.document(&tabled.table, self.results, i, &self.provenance);
            let path =
                report::write_beside(&document, spec, "vs-paper", self.to).map_err(failed)?;
            eprintln!("written to {}", path.display());
            all.push((&spec.name, &tabled.table, versus));
            documents.push(document);
        }
        format.print(&documents, || {
            let all = all.iter();
            report::versus_csv(all.map(|(name, table, versus)| (*name, *table, versus)))
        });
        Ok(())
    }

    /// Under the paper's claims; how many do not hold.
    fn claims(&self, format: FormatChoice) -> Result<usize, Failure> {
        let mut all: Vec<(&str, Claim)> = Vec::new();
        let mut documents = Vec::new();
        for (spec, tabled) in self.each() {
            let claims = paper::claims(&tabled.table, spec);
            let document = report::claims_document(&claims, &spec.name, spec, &self.provenance);
            let path = report::write_beside(&document, spec, "claims", self.to).map_err(failed)?;
            eprintln!("written to {}", path.display());
            documents.push(document);
            all.extend(claims.into_iter().map(|claim| (spec.name.as_str(), claim)));
        }
        format.print(&documents, || {
            report::claims_csv(all.iter().map(|(name, claim)| (*name, claim)))
        });
        let count = |verdict| all.iter().filter(|(_, c)| c.verdict() == verdict).count();
        let broken = count(Verdict::DoesNotHold);
        eprintln!(
            "{} claims hold, {broken} do not, {} are undecided",
            count(Verdict::Holds),
            count(Verdict::Undecided)
        );
        Ok(broken)
    }
}
