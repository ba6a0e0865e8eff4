//! The results as a page: one HTML file that needs no network, for one experiment or for several
//! with an overview.
//!
//! The rule: the same results give the same bytes. So the page holds no date of its own; its script
//! shows the file's, which is that of the last change, since a file that would not change is not
//! written. Nothing is computed here.
//!
//! Markup is written with maud, which escapes all text. The plots are SVG written the same way and
//! not with plotters or charming: plotters has no classes, titles or `currentColor`, so that
//! its plots cannot follow the light or dark scheme, react to the pointer, or be read aloud;
//! charming needs a JavaScript engine to draw. What a plot library would add is a scale with round
//! ticks, in [`plot::scale`].

mod against;
mod cell_data;
mod data_figure;
mod losses;
mod markup;
mod pictures;
mod plot;
mod provenance;
mod shell;

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

use maud::{Markup, PreEscaped, html};

use shell::shell;
pub use {plot::scale::Scale, shell::document_page};

use super::{
    Claim, Claims, DataOrigin, Document, PublishedMeans, RicherTable, Table, document::Element,
    lay_out, tabulate, versus,
};
use crate::{
    data::{Dataset, Provenance},
    key::Digest,
    manifest::{Experiment, PAPER},
    plan::Stage,
    results::Results,
    store::{Found, Store, StoreError, replace_file},
    variant::Folders,
};

/// What pages are made from.
#[derive(Clone, Copy, Debug)]
pub struct PageSources<'a> {
    /// The outcome of every run.
    pub results: &'a Results<'a>,
    /// Where predictions and training curves are.
    pub store: &'a Store,
    /// The images and masks.
    pub dataset: &'a Dataset,
    /// Where they come from.
    pub provenance: &'a DataOrigin,
    /// Where the pages go.
    pub folders: &'a Folders,
    /// Seconds of devices that stages have taken, as far as that was measured.
    pub spent: &'a HashMap<Digest, f64>,
    /// The claims that are tested on each table.
    pub claims: Claims,
    /// What could not be read for the pages, which they leave out.
    pub unread: &'a Unread,
    /// The sweep that is running, after which the pages are written again.
    pub underway: Option<&'a RunningSweep>,
    /// The tables on disk that have more results: finished pages over them stay.
    pub kept: &'a [RicherTable],
}

/// A running sweep.
#[derive(Clone, Debug)]
pub struct RunningSweep {
    /// How much of it is done, from 0 to 1.
    pub share: f64,
    /// How much is done, and how long the rest takes, in words.
    pub line: String,
    /// When that was, in seconds since 1970.
    pub at: f64,
    /// When the page loads itself again.
    pub again_after: Duration,
}

/// Artefacts in the store that could not be read, and why.
#[derive(Debug, Default)]
pub struct Unread(Mutex<BTreeSet<String>>);

impl Unread {
    /// The reasons, each once.
    pub fn reasons(&self) -> Vec<String> {
        let reasons = self
            .0
            .lock()
            .expect("no thread panics while it holds the lock");
        reasons.iter().cloned().collect()
    }
}

impl PageSources<'_> {
    /// One file of a stage's artefact, if it is there.
    fn file(&self, stage: &Stage, name: &str) -> Option<Vec<u8>> {
        match self.store.read(stage.spec.kind(), &stage.digest, &[name]) {
            Found::Intact(mut artefact) => artefact.files.remove(name),
            Found::Missing => None,
            Found::Damaged(why) => {
                let mut reasons = self
                    .unread
                    .0
                    .lock()
                    .expect("no thread panics while it holds the lock");
                reasons.insert(why);
                None
            }
        }
    }
}

/// An experiment with everything its part of a page shows.
struct PageSection<'a> {
    /// Its index in the plan.
    index: usize,
    spec: &'a Experiment,
    table: Table,
    laid_out: Document,
    /// The claims on these results; none where no claim is about a table like this.
    claims: Vec<Claim>,
    /// The published values beside these, where the manifest names some and a cell has one; or why
    /// they cannot be had.
    versus: Option<Result<Document, String>>,
}

impl<'a> PageSection<'a> {
    fn of(sources: &PageSources<'a>, index: usize) -> Self {
        let PageSources {
            results,
            provenance,
            ..
        } = *sources;
        let spec = &results.plan.experiments[index];
        let table = tabulate(results, index);
        let claims = (sources.claims)(&table, results, index);
        let versus = spec.reference.as_ref().and_then(|published| {
            let reference = match PublishedMeans::read(published) {
                Ok(reference) => reference,
                Err(error) => return Some(Err(error.to_string())),
            };
            let versus = versus(&table, spec, &reference, provenance);
            let published = versus.pairs.iter().any(|pair| pair.published.is_some());
            published.then(|| Ok(versus.document(&table, results, index, provenance)))
        });
        Self {
            index,
            spec,
            laid_out: lay_out(&table, results, index, provenance),
            claims,
            versus,
            table,
        }
    }

    /// The caption of the tables, which is their first element.
    fn caption(&self) -> Option<&Element> {
        self.laid_out.elements.first()
    }

    /// The identifier of one of its parts.
    fn id(&self, part: &str) -> String {
        format!("{}-{part}", self.anchor())
    }

    /// Its identifier on the page, in links and in the data: the experiment's name, with
    /// characters that an HTML identifier cannot hold written as numbers.
    fn anchor(&self) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let letter = |c: char| match plain(c) {
            true => c.to_string(),
            false => format!(".{:x}.", u32::from(c)),
        };
        self.spec.name.chars().map(letter).collect()
    }
}

/// Writes `index.html` beside each experiment's tables and, where there are several, one page over
/// all of them. A file that would not change is not touched, nor a finished page over a table that
/// is kept. Returns the paths of the others.
///
/// # Errors
/// Where the folder cannot be written.
pub fn write_pages(sources: &PageSources<'_>) -> Result<Vec<PathBuf>, StoreError> {
    let experiments = &sources.results.plan.experiments;
    let parts: Vec<PageSection> = (0..experiments.len())
        .map(|index| PageSection::of(sources, index))
        .collect();
    let bodies: Vec<Body> = parts.iter().map(|part| Body::of(sources, part)).collect();
    let figure = data_figure::show(sources.dataset);
    let unfinished = sources.underway.is_some() || !sources.unread.reasons().is_empty();
    let mut paths = Vec::new();
    for (i, path) in sources.folders.pages().into_iter().enumerate() {
        let is_over = |kept: &RicherTable| match i < parts.len() {
            true => kept.folder == sources.folders.of(i).path(),
            false => true,
        };
        if sources.kept.iter().any(is_over) && is_whole_page(&path) {
            continue;
        }
        let page = match i < parts.len() {
            true => page(sources, &figure, &parts[i..=i], &bodies[i..=i]),
            false => page(sources, &figure, &parts, &bodies),
        };
        let mut page = page.into_string();
        if unfinished {
            page.push_str(UNFINISHED);
        }
        replace_file(&path, page.as_bytes())?;
        paths.push(path);
    }
    Ok(paths)
}

/// The end of a page for which something could not be read or was still to come. Such a page is
/// written again even where the tables are up to date.
const UNFINISHED: &str = "<!-- to be written again -->\n";

/// Whether a page exists that was written from all that it needs, after the last result.
pub fn is_whole_page(path: &Path) -> bool {
    fs::read_to_string(path).is_ok_and(|page| !page.ends_with(UNFINISHED))
}

/// A whole page.
fn page(
    sources: &PageSources<'_>,
    figure: &Markup,
    parts: &[PageSection<'_>],
    bodies: &[Body],
) -> Markup {
    let title = title(sources, parts);
    let head = html! {
        @if sources.underway.is_some() {
            noscript { meta http-equiv="refresh" content="30"; }
        }
    };
    let body = html! {
        header.masthead {
            p.eyebrow {
                "expertgrid"
                @if let [one] = parts { " · " (one.spec.name) ", profile " (one.spec.profile) }
                @if let Some(badge) = badge(sources.provenance.origin) {
                    " " span.badge { (badge) }
                }
            }
            h1 { (title) }
            @if parts.len() > 1 {
                ul.lead {
                    @for part in parts {
                        li {
                            a href=(format!("#{}", part.anchor())) { (part.spec.name) }
                            ": " (part.spec.title)
                        }
                    }
                }
            }
            @if let Some(underway) = sources.underway { (banner(underway)) }
            (contents(parts))
        }
        main {
            @for (part, body) in parts.iter().zip(bodies) {
                // A page over several experiments lies in the folder of all results.
                @let folder = sources.folders.of(part.index);
                @let beside = match parts.len() { 1 => "", _ => folder.shown() };
                article id=(part.anchor()) {
                    h2 {
                        @if parts.len() == 1 { "Results" }
                        @else { (part.spec.name) ": " (part.spec.title) }
                    }
                    (body.caption)
                    section id=(part.id("tables")) {
                        (body.tables)
                        p.files {
                            "The same as files, in " code { (folder.shown()) } ": "
                            (files(part.spec, beside))
                        }
                    }
                    (body.rest)
                }
            }
            (provenance::summary(sources, figure, parts))
        }
        footer {
            p {
                "Made by expertgrid " (env!("CARGO_PKG_VERSION"))
                " from the results in its store. " span #dated {}
            }
        }
        div #tip role="tooltip" hidden {}
        div #pop popover="auto" role="dialog" aria-label="Details of the number"
            tabindex="-1" {}
        script #data type="application/json" {
            (PreEscaped(cell_data::json(sources, parts)))
        }
        script { (PreEscaped(include_str!("script.js"))) }
    };
    shell(&title, &head, &body)
}

/// What a running sweep does. The page's script loads it again.
fn banner(underway: &RunningSweep) -> Markup {
    let percent = format!("{:.0}", 100.0 * underway.share);
    let line = underway.line.replace("  ", "; ");
    html! {
        div #underway data-at=(format!("{:.0}", underway.at))
            data-again=(underway.again_after.as_millis()) role="status" {
            p { b { "This sweep is running." } " " (percent) " %; " (line) "." }
            progress value=(percent) max="100" aria-label="How much is done" {}
            p.hint {
                "What has not been run yet is marked “…”. The page loads itself again as results "
                "come." span #stale hidden {
                    " Nothing has come for some time: the sweep may have ended; "
                    code { "expertgrid status" } " tells."
                }
            }
        }
    }
}

fn title(sources: &PageSources<'_>, parts: &[PageSection<'_>]) -> String {
    match parts {
        [one] => sentence(&one.spec.title),
        several => format!(
            "{} tables on the data set {}",
            several.len(),
            sources.provenance.dataset
        ),
    }
}

/// The badge of a page over such data.
fn badge(origin: Provenance) -> Option<&'static str> {
    match origin {
        Provenance::Synthetic => Some("synthetic data"),
        Provenance::SimulatedExperts => Some("simulated experts"),
        Provenance::Acquired | Provenance::Undeclared => None,
    }
}

/// A title with a capital letter.
fn sentence(title: &str) -> String {
    let mut letters = title.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}

fn contents(parts: &[PageSection<'_>]) -> Markup {
    html! {
        nav aria-label="On this page" {
            ul {
                @for part in parts {
                    @match parts {
                        [_] => {
                            @for (id, name) in sections(part) {
                                li { a href=(format!("#{}-{id}", part.anchor())) { (name) } }
                            }
                        }
                        _ => li { a href=(format!("#{}", part.anchor())) { (part.spec.name) } }
                    }
                }
                li { a href="#provenance" { "Provenance" } }
            }
        }
    }
}

/// The parts of an experiment's section: identifier and title.
const SECTIONS: [(&str, &str); 8] = [
    ("tables", "Tables"),
    ("plots", "Plots"),
    ("claims", "Claims"),
    ("published", "Beside the paper"),
    ("pictures", "Pictures"),
    ("training", "Training"),
    ("runs", "Runs"),
    ("manifest", "Manifest"),
];

/// The parts that this section has.
fn sections(part: &PageSection<'_>) -> impl Iterator<Item = (&'static str, &'static str)> {
    let (claims, published) = (!part.claims.is_empty(), part.versus.is_some());
    SECTIONS.into_iter().filter(move |(id, _)| match *id {
        "claims" => claims,
        "published" => published,
        _ => true,
    })
}

/// An experiment's part of a page. It is on two pages, from which the files are named differently.
struct Body {
    /// What the tables are of.
    caption: Markup,
    /// The tables and their notes.
    tables: Markup,
    /// All sections after the tables.
    rest: Markup,
}

impl Body {
    fn of(sources: &PageSources<'_>, part: &PageSection<'_>) -> Self {
        Self {
            caption: html! {
                @if let Some(Element::Paragraph(caption)) = part.caption() {
                    p.caption { (markup::text(caption)) }
                }
            },
            tables: tables(part),
            rest: rest(sources, part),
        }
    }
}

fn tables(part: &PageSection<'_>) -> Markup {
    let anchor = part.anchor();
    let elements = &part.laid_out.elements;
    let notes = elements.iter().skip(1);
    let notes = notes.filter(|element| matches!(element, Element::Paragraph(_)));
    html! {
        h3 { "Tables" }
        p.hint.screen {
            "Point at a number for its test, click or tap it for results and runs. With the "
            "keyboard: Tab to a table, arrows within it, Enter to open, Escape to close."
        }
        div.tables {
            @for element in elements {
                @if let Element::Tabular(grid) = element { (markup::grid(grid, Some(&anchor))) }
            }
        }
        div.notes { @for element in notes { (markup::element(element)) } }
    }
}

/// Plots, claims, published values, pictures, losses, runs, manifest.
fn rest(sources: &PageSources<'_>, part: &PageSection<'_>) -> Markup {
    html! {
        section id=(part.id("plots")) {
            h3 { "Plots" }
            (plot::curves(part))
        }
        @if !part.claims.is_empty() {
            section id=(part.id("claims")) { (against::claims(&part.claims, sources.provenance)) }
        }
        @if let Some(versus) = &part.versus {
            section id=(part.id("published")) {
                h3 { "Beside the paper" }
                (against::published(part, versus))
            }
        }
        section id=(part.id("pictures")) {
            h3 { "Pictures" }
            (pictures::show(sources, part))
        }
        section id=(part.id("training")) {
            h3 { "Training" }
            (losses::show(sources, part.index))
        }
        section.screen id=(part.id("runs")) {
            h3 { "Runs" }
            details.screen data-runs=(part.anchor()) {
                summary { "Every run with its scores, to sort and to filter" }
                noscript {
                    p.hole { "The list needs a browser with scripts; runs.csv has it too." }
                }
            }
        }
        section id=(part.id("manifest")) {
            h3 { "Manifest" }
            details {
                summary {
                    code { (part.spec.name) ".toml" }
                    @if part.spec.profile != PAPER {
                        " with profile " code { (part.spec.profile) }
                    }
                    ", every key resolved"
                }
                pre tabindex="0" { code { (crate::manifest::resolved(part.spec)) } }
            }
        }
    }
}

/// Links to the files of a table. They lie beside the page, or in a folder below it.
fn files(spec: &Experiment, folder: &str) -> Markup {
    let link = |name: &str| {
        let path = match folder {
            "" => name.to_owned(),
            folder => format!("{folder}/{name}"),
        };
        html! { a href=(href(&path)) { (name) } }
    };
    let of_table = |extension: &str| link(&format!("{}.{extension}", spec.name));
    html! {
        (of_table("csv")) " (every cell), " (link("runs.csv")) " (every run), "
        (of_table("md")) ", " (of_table("tex")) "."
    }
}

/// A relative path as the target of a link.
fn href(path: &str) -> String {
    let plain = |c: &u8| c.is_ascii_alphanumeric() || b"-._~/+=,".contains(c);
    let byte = |c: u8| match plain(&c) {
        true => char::from(c).to_string(),
        false => format!("%{c:02X}"),
    };
    path.bytes().map(byte).collect()
}
