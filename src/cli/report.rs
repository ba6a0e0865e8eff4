//! `expertgrid report`: tables from what has been run, beside published values and under the
//! paper's claims.

use std::{collections::BTreeSet, io::IsTerminal, path::Path, sync::Arc};

use anyhow::anyhow;
use clap::{Args, ValueEnum};

use super::{
    Done, Failure, Picked, Selection, inventory,
    output::print,
    terminals::{columns, in_locale, style},
    verify::verify,
};
use crate::{
    manifest::Experiment,
    paper,
    plan::{self, Plan, StageId},
    report::{
        self, Claim, Document, Format, PublishedMeans, RicherTable, Table, Tabled, Tables, Verdict,
        Versus, WrittenPages,
    },
    results::{self, Results},
    store::Store,
    sweep::Written,
    variant::Folders,
};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  expertgrid report experiments/table2.toml --profile phantom
  expertgrid report experiments/table*.toml --profile phantom --format latex > tables.tex
  expertgrid report experiments/table2.toml --dataset QUBIQ --reference
  expertgrid report experiments/table*.toml --profile phantom --claims --strict

The tables are written to RESULTS/<name>/<profile>/ as .csv, .md and .tex, with runs.csv beside
them; overrides and another data set are part of the folder's name. With --reference or --claims
only that comparison is written. Nothing is written over a table that has more results.
Exit codes: 0 complete, 1 runs are missing (or, with --strict, a claim does not hold), 2 the input
is wrong.")]
pub(super) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// Format of what is printed [default: terminal on a terminal, markdown elsewhere].
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<FormatChoice>,
    /// Print the results beside the values that the manifest names under `[reference]`, and write
    /// <name>-vs-paper.md.
    #[arg(long, conflicts_with_all = ["claims", "only"])]
    reference: bool,
    /// Test the paper's claims on the results, print the verdicts, and write <name>-claims.md.
    #[arg(long, conflicts_with = "only")]
    claims: bool,
    /// Compute every score again from the stored predictions and compare; exit with 1 where one
    /// differs.
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    only: Picked,
    /// Write also over tables that have more results than there are now.
    #[arg(long, conflicts_with = "only")]
    force: bool,
    /// Exit with 1 where a claim does not hold; undecided claims do not matter.
    #[arg(long, requires = "claims")]
    strict: bool,
}

/// The format of printed tables.
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
            Self::Terminal => Format::Terminal(style(), columns()),
        };
        let text = report::render(documents, format);
        let text = match self {
            Self::Terminal => in_locale(text),
            _ => text,
        };
        print(text.trim_end());
    }
}

/// Prints the tables of a sweep that others have run.
pub(super) fn of_sweep(selection: &Selection, only: &Picked) -> Result<Done, Failure> {
    run(&Arguments {
        selection: selection.clone(),
        format: None,
        reference: false,
        claims: false,
        verify: false,
        only: only.clone(),
        force: false,
        strict: false,
    })
}

pub(super) fn run(arguments: &Arguments) -> Result<Done, Failure> {
    let selection = &arguments.selection;
    let experiments = selection.experiments()?;
    let references = match arguments.reference {
        true => read_references(&experiments)?,
        false => Vec::new(),
    };
    let dataset = selection.open_dataset(&experiments)?;
    let inventory = inventory(&experiments, &dataset)?;
    let mut plan = plan::build(experiments, &inventory);
    arguments.only.narrow(&mut plan)?;
    let store = Store::within(&selection.results);
    let results = results::collect(&plan, &store, &|_: StageId| None);
    say_damaged(&results.damaged);
    let missing = missing(&results, &plan, &selection.results)?;
    let format = FormatChoice::or_default(arguments.format);
    let mut done = Done::Whole;
    let dataset = Arc::new(dataset);
    if arguments.verify && verify(&plan, &store, dataset.clone())? > 0 {
        done = Done::WithFailures;
    }
    let dir = selection.results_dir();
    // A selection of runs is printed, and never replaces the files of all runs.
    let folders = match arguments.only.is_all() {
        true => Folders::claim(&plan.experiments, &dataset, &dir),
        false => Folders::find(&plan.experiments, Some(&dataset), &dir),
    };
    let tables = Tables::of(&results, &dataset, &store, &folders, paper::claims);
    let report = Report {
        results: &results,
        folders: &folders,
        tables: &tables,
        writes: arguments.only.is_all() && (arguments.force || !say_richer(&tables.richer())),
    };
    let compares = arguments.reference || arguments.claims;
    if report.writes {
        folders.notes().for_each(|note| eprintln!("note: {note}"));
    }
    let written = match report.writes && !compares {
        true => write(&tables),
        false => Ok(WrittenPages::default()),
    };
    if arguments.reference {
        report.against(&references, format)?;
    } else if arguments.claims {
        let broken = report.claims(format)?;
        if arguments.strict && broken > 0 {
            done = Done::WithFailures;
        }
    } else {
        print_tables(&tables.each, format);
        if report.writes && written.is_ok() {
            say_where(&tables.each);
        }
    }
    if missing > 0 {
        eprintln!(
            "note: {missing} of {} runs have not been run yet",
            plan.runs.len()
        );
        done = Done::WithFailures;
    }
    // A folder that can only be read keeps nobody from the tables, which have been printed.
    match say_pages(&written?, false) {
        Done::Whole => Ok(done),
        other => Ok(other),
    }
}

/// Writes pages and tables.
fn write(tables: &Tables<'_>) -> Result<WrittenPages, Failure> {
    let pages = tables.write_pages().map_err(Failure::work)?;
    tables.write().map_err(Failure::work)?;
    Ok(pages)
}

/// How many runs have not been run; an error where that is all of them.
fn missing(results: &Results<'_>, plan: &Plan, folder: &Path) -> Result<usize, Failure> {
    let tallies = (0..plan.experiments.len()).map(|i| results.tally(i).missing);
    let missing: usize = tallies.sum();
    match missing == plan.runs.len() {
        true => Err(Failure::Input(anyhow!(
            "none of the {missing} runs has results in {} for this data set and profile; \
             `expertgrid run` computes them",
            folder.display()
        ))),
        false => Ok(missing),
    }
}

/// Names the tables that have more results than there are now; whether there are any.
fn say_richer(richer: &[RicherTable]) -> bool {
    for RicherTable {
        folder,
        there,
        here,
    } in richer
    {
        eprintln!(
            "warning: nothing is written: the table in {} has the scores of {there} runs, and \
             those of {here} are in the store; `expertgrid run` computes the others, `--force` \
             writes all the same",
            folder.display()
        );
    }
    !richer.is_empty()
}

/// How many damaged entries are named one by one.
const NAMED: usize = 5;

fn say_damaged(all: &[String]) {
    for damaged in all.iter().take(NAMED) {
        eprintln!("warning: damaged, counted as missing: {damaged}");
    }
    if all.len() > NAMED {
        eprintln!(
            "warning: {} more are damaged; `expertgrid store verify` names them",
            all.len() - NAMED
        );
    }
}

/// The published values of every experiment that names some; at least one does.
fn read_references(experiments: &[Experiment]) -> Result<Vec<Option<PublishedMeans>>, Failure> {
    let mut references = Vec::new();
    for experiment in experiments {
        references.push(match &experiment.reference {
            Some(published) => Some(PublishedMeans::read(published).map_err(Failure::input)?),
            None => None,
        });
    }
    if references.iter().all(Option::is_none) {
        return Err(Failure::refused(
            "there are no published values to compare these results with; name them in the \
             manifest:\n  \
             [reference]\n  \
             values = \"FILE.csv\"   # relative to the manifest; experiments/reference has one\n  \
             source = \"WHO\"\n  \
             dataset = \"LABEL\"     # of the data they were published for",
        ));
    }
    Ok(references)
}

/// Prints the tables that a sweep has written, and says where they and their pages are.
pub(super) fn say_written(written: &Written, quiet: bool) -> Done {
    say_damaged(&written.damaged);
    print_tables(&written.tables, FormatChoice::or_default(None));
    let is_kept = |table: &&Tabled| written.kept.iter().any(|k| k.folder == table.folder);
    if !quiet {
        say_where(written.tables.iter().filter(|table| !is_kept(table)));
    }
    for RicherTable {
        folder,
        there,
        here,
    } in &written.kept
    {
        eprintln!(
            "warning: the table in {}, with its page, has the scores of {there} runs and is kept; \
             those of {here} are in the store; `expertgrid report --force` writes it all the same",
            folder.display()
        );
    }
    // Last, where it is seen.
    let pages = say_pages(&written.pages, quiet);
    match written.whole && written.kept.is_empty() {
        true => pages,
        false => Done::WithFailures,
    }
}

/// Says where pages are; not whole where something that is there cannot be read.
fn say_pages(pages: &WrittenPages, quiet: bool) -> Done {
    for page in pages.paths.iter().filter(|_| !quiet) {
        eprintln!("page: {}", page.display());
    }
    for why in &pages.left_out {
        eprintln!("warning: left out of the pages: {why}; running again repairs it");
    }
    match pages.left_out.is_empty() {
        true => Done::Whole,
        false => Done::WithFailures,
    }
}

fn say_where<'a>(tables: impl IntoIterator<Item = &'a Tabled>) {
    for table in tables {
        eprintln!("written to {}", table.folder.display());
    }
}

fn print_tables(tables: &[Tabled], format: FormatChoice) {
    let documents: Vec<Document> = tables.iter().map(|t| t.document.clone()).collect();
    format.print(&documents, || {
        report::cells_csv(tables.iter().map(|tabled| &tabled.table))
    });
}

/// The tables of all experiments, to be compared with published values and claims.
struct Report<'a> {
    results: &'a Results<'a>,
    folders: &'a Folders,
    tables: &'a Tables<'a>,
    /// Whether files are written.
    writes: bool,
}

impl Report<'_> {
    /// Every experiment with its table.
    fn each(&self) -> impl Iterator<Item = (&Experiment, &Tabled)> {
        self.results.plan.experiments.iter().zip(&self.tables.each)
    }

    /// Writes a document beside the table of an experiment.
    fn write_beside(&self, document: &Document, what: &str, i: usize) -> Result<(), Failure> {
        if self.writes {
            let path = report::write_beside(document, what, self.folders.of(i));
            eprintln!("written to {}", path.map_err(Failure::work)?.display());
        }
        Ok(())
    }

    /// Every experiment beside the published values, where its manifest names some.
    fn against(
        &self,
        references: &[Option<PublishedMeans>],
        format: FormatChoice,
    ) -> Result<(), Failure> {
        let mut all: Vec<(&str, &Table, Versus)> = Vec::new();
        let mut documents = Vec::new();
        let mut doubted = BTreeSet::new();
        for (i, ((spec, tabled), reference)) in self.each().zip(references).enumerate() {
            let Some(reference) = reference else {
                eprintln!(
                    "note: {}.toml names no published values under `[reference]`; left out",
                    spec.name
                );
                continue;
            };
            let versus = report::versus(&tabled.table, spec, reference, &self.tables.provenance);
            let document = versus.document(&tabled.table, self.results, i, &self.tables.provenance);
            self.write_beside(&document, report::PUBLISHED, i)?;
            if doubted.insert(reference.path()) {
                self.say_doubts(reference, references);
            }
            all.push((&spec.name, &tabled.table, versus));
            documents.push(document);
        }
        format.print(&documents, || {
            let all = all.iter();
            report::versus_csv(all.map(|(name, table, versus)| (*name, *table, versus)))
        });
        Ok(())
    }

    /// Warns of what is odd about a file of published values, beside all tables that name it.
    fn say_doubts(&self, reference: &PublishedMeans, references: &[Option<PublishedMeans>]) {
        let same = |other: &Option<PublishedMeans>| {
            let other = other.as_ref();
            other.is_some_and(|other| other.path() == reference.path())
        };
        let tables = self.tables.each.iter().zip(references);
        let tables = tables.filter(|(_, other)| same(other));
        let cells = tables.flat_map(|(tabled, _)| &tabled.table.cells);
        for doubt in reference.doubts(cells.map(|cell| &cell.position)) {
            eprintln!("warning: {doubt}");
        }
    }

    /// The paper's claims on every experiment; returns how many do not hold.
    fn claims(&self, format: FormatChoice) -> Result<usize, Failure> {
        let mut all: Vec<(&str, Claim)> = Vec::new();
        let mut documents = Vec::new();
        for (i, (spec, tabled)) in self.each().enumerate() {
            let claims = paper::claims(&tabled.table, self.results, i);
            let document =
                report::claims_document(&claims, &spec.name, spec, &self.tables.provenance);
            self.write_beside(&document, report::CLAIMS, i)?;
            documents.push(document);
            all.extend(claims.into_iter().map(|claim| (spec.name.as_str(), claim)));
        }
        format.print(&documents, || {
            report::claims_csv(all.iter().map(|(name, claim)| (*name, claim)))
        });
        let count = |verdict| all.iter().filter(|(_, c)| c.verdict() == verdict).count();
        let broken = count(Verdict::DoesNotHold);
        eprintln!(
            "claims that hold: {}, that do not: {broken}, undecided: {}",
            count(Verdict::Holds),
            count(Verdict::Undecided)
        );
        Ok(broken)
    }
}
