//! # expertgrid
//!
//! Turns TOML manifests into the plan of all their trainings, shares what these have in common by
//! content address, runs what is missing on the devices there are, and writes tables with the marks
//! of paired t-tests.
//!
//! ## The way data flows
//!
//! ```text
//! manifest.toml -> manifest -> plan ---------> run ----------> results -> report
//!                  typed,      runs and        stages in       scores     CSV, Markdown,
//!                  validated   stages, shared  worker          per run    LaTeX, HTML, page
//!                              by content      processes
//!                                               |     ^
//!                   data, net, engine, train,   |     | event: display, journal,
//!                   metric ---------- stage ----+     | and from it status, estimate
//!                                               v
//!                                             store: one folder per stage, named by its key
//! ```
//!
//! A **run** is a network for one new expert, made and tested: one value on every axis of its
//! grid (new expert, method, combination of annotation experts, samples, way of sampling, repeat of
//! the pretraining, swept keys). A cell of a table averages many. A **stage** is a piece of work
//! with a content key: `pretrain`, `finetune`, `scratch` (from random initialisation), `serve` (a
//! pretrained network as it is), `agree` (masks against masks, by which [`choosing`] picks
//! annotators), `evaluate`. Many runs share one.
//!
//! ## The invariants
//!
//! 1. A key names inputs, resolved and versioned: the kind and version of the stage, every setting
//!    with its default filled in, the digests of exactly the images and masks it uses, the keys of
//!    what comes before it. What only changes *how* it runs is never in it.
//! 2. A key's digest and its explanation come from the same walk ([`key`]).
//! 3. One truth: the artefact on disk ([`store`]). Everything else can be deleted.
//! 4. Same inputs, same bytes: whatever the processor, its instruction set, the threads, workers
//!    and interruptions. (Stages of another engine or device say so.)
//! 5. Nothing is dropped in silence: not an undefined metric, not a failed stage, not a missing
//!    run.
//! 6. A stage runs once, however many runs on one store need it at the same time: the process that
//!    runs it holds a lock, which the operating system releases. A training that was stopped
//!    continues to the same bytes.
//! 7. Only [`exec`] starts processes; only [`cli`] and [`progress`] print.
//! 8. Results never replace those of other inputs: [`variant`] names their folder, [`results_dir`]
//!    knows every path below it.
//!
//! [`sweep`] is the order of all this: plan, schedule, results, and the listeners to its events.
//! On a cluster, many processes share a sweep: [`cluster`] says how they are submitted, [`pilots`]
//! what they share beside the store, and [`site_check`] whether two of its nodes can. Each pilot
//! is a sweep as any other, with leases that count failures together. [`comparison`] sets the
//! results of two sweeps side by side.
//! [`card_check`] compares a card with the processor before it trains.
//! Beside the grid, [`cli`] uses the same parts for one network at a time: adapting it to one more
//! expert, predicting, scoring, exporting weights from the store and importing others; and for a
//! data set by itself: checking it, drawing a case ([`figure`]), fusing its masks ([`fusion`]).
//!
//! ## The modules, in reading order
//!
//! A file uses only its own module and those above it; a test holds this.

#![warn(clippy::print_stdout, clippy::print_stderr, clippy::too_many_lines)]

pub mod key;
pub mod seed;
pub mod shell;
pub mod host;
pub mod file_name;
pub mod suggestion;
pub mod metric;
pub mod stats;
pub mod method;
pub mod grid;
pub mod results_dir;

pub mod manifest;
pub mod data;
pub mod fusion;
pub mod choosing;
pub mod manifest_draft;
pub mod plan;
pub mod fused_masks;
pub mod store;
pub mod variant;

pub mod event;
pub mod artefact;
pub mod tensorboard;

pub mod engine;
pub mod net;
pub mod imports;
pub mod train;
pub mod card_check;
pub mod adaptation;
pub mod serving;
pub mod stage;

pub mod journal;
pub mod estimate;
pub mod schedule;
pub mod cluster;
pub mod pilots;
pub mod site_check;
pub mod exec;

pub mod progress;
pub mod figure;
pub mod results;
pub mod report;
pub mod comparison;
pub mod paper;
pub mod live_pages;

pub mod status;
pub mod why;
pub mod asked_engine;
pub mod sweep;
pub mod cli;
