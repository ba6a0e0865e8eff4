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

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{
    Claims, DataOrigin, Document, PublishedMeans, RicherTable, Table, claim::are_ours,
    claims_document, document::Element, lay_out, tabulate, versus,
};
use crate::{
    data::{Dataset, Provenance},
    key::Digest,
    manifest::{Experiment, PAPER},
    plan::Stage,
    results::Results,
    results_dir::VariantDir,
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
    /// The claims on these results, where some are about a table like this, and whose they are.
    claims: Option<(&'static str, Document)>,
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
            claims: (!claims.is_empty()).then(|| {
                let whose = match are_ours(&claims) {
                    true => "Claims of our own",
                    false => "The paper’s claims",
                };
                (
                    whose,
                    claims_document(&claims, &spec.name, spec, provenance),
                )
            }),
            versus,
            table,
        }
    }

    /// The caption of the tables, which is their first element.
    fn caption(&self) -> Option<&Element> {
        self.laid_out.elements.first()
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
    let bodies: Vec<Markup> = parts.iter().map(|part| section(sources, part)).collect();
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

/// A whole page. Its content security policy forbids to fetch anything.
fn page(
    sources: &PageSources<'_>,
    figure: &Markup,
    parts: &[PageSection<'_>],
    bodies: &[Markup],
) -> Markup {
    const POLICY: &str =
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";
    let title = title(parts);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                @if sources.underway.is_some() {
                    noscript { meta http-equiv="refresh" content="30"; }
                }
                title { (title) " · expertgrid" }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body {
                header.masthead {
                    p.eyebrow {
                        "expertgrid"
                        @if let Some(badge) = badge(sources.provenance.origin) {
                            " " span.badge { (badge) }
                        }
                    }
                    h1 { (title) }
                    @match parts {
                        [one] => p.lead { (sentence(&one.spec.title)) },
                        several => ul.lead { @for part in several {
                            li {
                                a href=(format!("#{}", part.anchor())) { (part.spec.name) }
                                ": " (part.spec.title)
                            }
                        } },
                    }
                    @if let Some(underway) = sources.underway { (banner(underway)) }
                    (contents(parts))
                }
                main {
                    @for (part, body) in parts.iter().zip(bodies) {
                        article id=(part.anchor()) {
                            h2 {
                                @if parts.len() == 1 { "Results" }
                                @else { (part.spec.name) ": " (part.spec.title) }
                            }
                            (body)
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
                div #pop popover="auto" role="dialog" aria-label="Details of the number"
                    tabindex="-1" {}
                script #data type="application/json" {
                    (PreEscaped(cell_data::json(sources, parts)))
                }
                script { (PreEscaped(include_str!("script.js"))) }
            }
        }
    }
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

fn title(parts: &[PageSection<'_>]) -> String {
    match parts {
        [one] => one.spec.name.clone(),
        several => {
            let names: Vec<&str> = several.iter().map(|p| p.spec.name.as_str()).collect();
            let (last, first) = names.split_last().expect("there are several");
            format!("{} and {last}", first.join(", "))
        }
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
const SECTIONS: [(&str, &str); 7] = [
    ("tables", "Tables"),
    ("plots", "Plots"),
    ("claims", "Claims"),
    ("published", "Beside the paper"),
    ("pictures", "Pictures"),
    ("training", "Training"),
    ("manifest", "Manifest"),
];

/// The parts that this section has.
fn sections(part: &PageSection<'_>) -> impl Iterator<Item = (&'static str, &'static str)> {
    let (claims, published) = (part.claims.is_some(), part.versus.is_some());
    SECTIONS.into_iter().filter(move |(id, _)| match *id {
        "claims" => claims,
        "published" => published,
        _ => true,
    })
}

/// One experiment: tables, plots, pictures, manifest.
fn section(sources: &PageSources<'_>, part: &PageSection<'_>) -> Markup {
    let anchor = part.anchor();
    let id = |which: usize| format!("{anchor}-{}", SECTIONS[which].0);
    let notes = part
        .laid_out
        .elements
        .iter()
        .skip(1)
        .filter(|element| matches!(element, Element::Paragraph(_)));
    html! {
        @if let Some(Element::Paragraph(caption)) = part.caption() {
            p.caption { (markup::text(caption)) }
        }
        section id=(id(0)) {
            h3 { "Tables" }
            p.hint.screen {
                "Point at a number, or tap it, for its tests, results and runs. With the keyboard: "
                "Tab to a table, arrows within it, Enter to open, Escape to close."
            }
            div.tables {
                @for element in &part.laid_out.elements {
                    @if let Element::Tabular(grid) = element { (markup::grid(grid, Some(&anchor))) }
                }
            }
            div.notes { @for element in notes { (markup::element(element)) } }
            p.files { "The same as files: " (files(part.spec, sources.folders.of(part.index))) }
        }
        section id=(id(1)) {
            h3 { "Plots" }
            (plot::curves(part))
        }
        @if let Some((whose, claims)) = &part.claims {
            section id=(id(2)) {
                h3 { (whose) }
                (against::claims(claims))
            }
        }
        @if let Some(versus) = &part.versus {
            section id=(id(3)) {
                h3 { "Beside the paper" }
                (against::published(part, versus))
            }
        }
        section id=(id(4)) {
            h3 { "Pictures" }
            (pictures::show(sources, part))
        }
        section id=(id(5)) {
            h3 { "Training" }
            (losses::show(sources, part.index))
        }
        section id=(id(6)) {
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

/// Names of the files beside the page; no links, since a page may be passed on alone.
fn files(spec: &Experiment, folder: &VariantDir) -> Markup {
    let folder = folder.shown();
    html! {
        code { (folder) "/" (spec.name) ".csv" } " (every cell), "
        code { (folder) "/runs.csv" } " (every run), "
        code { (folder) "/" (spec.name) ".md" } "."
    }
}
