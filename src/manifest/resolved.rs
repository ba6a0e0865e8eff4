//! An experiment as a manifest again: every key with its effective value, as it is declared.
//!
//! The rule: what is written here reads back as the same experiment. Specs write themselves; what
//! is written by hand is destructured without `..`, so that no new field is forgotten.

use std::fmt::{Debug, Write};

use itertools::Itertools;

use super::{
    data_set,
    data_spec::DataSpec,
    document::{bare, quoted},
    experiment::*,
    grid::{Annotators, Grid},
    recipe::*,
    sections::SectionSpec,
    selection::SelectionRules,
    table::{self, FusionOptions, LatentKeys, MoreGrid, MoreImage, MorePretrain, Top},
    table_spec::TableSpec,
};
use crate::method::{Method, Words};

/// The manifest with what it extends, its profile, its overrides and all defaults filled in.
pub fn resolved(experiment: &Experiment) -> String {
    let Experiment {
        name: _,
        path: _,
        title,
        profile: _,
        // What was set is in the values already.
        overrides: _,
        changes: _,
        warnings: _,
        document: _,
        sweep,
        seed,
        cohort,
        data,
        grid,
        recipe,
        pretrain,
        scratch,
        finetune,
        metrics,
        statistics,
        table,
        selection,
        fusion_region,
        latent,
        latent_lr_factor,
        latent_served,
        cut_masks,
        keep,
        reference,
    } = experiment;
    let mut out = Toml::default();
    let top = Top {
        title: title.clone(),
        seed: *seed,
        keep: *keep,
    };
    out.keys(top.written());
    write_table(&mut out, table);
    write_grid(&mut out, grid, &data.experts);
    write_data_set(&mut out, *cohort, data);
    let Recipe {
        image,
        network,
        training,
        augment,
    } = **recipe;
    out.spec("image", image.written());
    let cut_masks = *cut_masks;
    out.keys(MoreImage { cut_masks }.written());
    out.spec("network", network.written());
    // `lr` is in the budgets.
    out.spec("training", training.written());
    out.spec("augment", augment.written());
    write_pretrain(&mut out, pretrain);
    out.spec(
        "fusion",
        FusionOptions {
            region: *fusion_region,
        }
        .written(),
    );
    let probabilistic = LatentKeys {
        latent: latent.dimensions,
        beta: latent.beta,
        lr_factor: *latent_lr_factor,
        serve: *latent_served,
    };
    if probabilistic != LatentKeys::default() {
        out.spec("probabilistic", probabilistic.written());
    }
    out.spec("finetune", finetune.written());
    out.spec("scratch", scratch.written());
    out.spec("metrics", metrics.written());
    out.spec("statistics", statistics.written());
    if *selection != SelectionRules::default() {
        out.spec("selection", selection.written());
    }
    if let Some(Published {
        values,
        source,
        dataset,
    }) = reference
    {
        out.section("reference");
        out.key(table::VALUES.name, quoted(&values.to_string_lossy()));
        out.key(table::SOURCE.name, quoted(source));
        out.key(table::LABEL.name, quoted(dataset));
    }
    write_methods(&mut out, grid);
    if !sweep.is_empty() {
        out.section("sweep");
        for swept in sweep {
            let values = swept.values.iter().map(|value| &value.text);
            out.key(
                &quoted(&swept.key),
                format_args!("[{}]", values.format(", ")),
            );
        }
    }
    out.text
}

/// The methods of a grid that are not built in.
fn write_methods(out: &mut Toml, grid: &Grid) {
    for method in &grid.methods {
        let own = Method::named(&method.method.name).is_err();
        if let (true, Some(words)) = (own, method.method.words()) {
            out.section(&format!("method.{}", bare(&method.method.name)));
            for (key, word) in Words::KEYS.iter().map(|(key, _)| *key).zip(words.values()) {
                out.key(key, quoted(word));
            }
        }
    }
}

fn write_table(out: &mut Toml, table: &TableSpec) {
    let TableSpec {
        panels,
        rows,
        columns,
        average,
        results,
        compare,
    } = table;
    out.section("table");
    for (key, axes) in [
        (table::PANELS, panels),
        (table::ROWS, rows),
        (table::COLUMNS, columns),
        (table::AVERAGE, average),
        (table::RESULTS, results),
    ] {
        let axes = axes.iter().map(|axis| quoted(axis.word()));
        out.key(key.name, format_args!("[{}]", axes.format(", ")));
    }
    let compare = compare
        .iter()
        .map(|(axis, value)| quoted(&format!("{axis}={value}")));
    match compare.len() {
        0 => out.key(table::COMPARE.name, quoted("none")),
        _ => out.key(
            table::COMPARE.name,
            format_args!("[{}]", compare.format(", ")),
        ),
    }
}

fn write_data_set(out: &mut Toml, cohort: Cohort, data: &DataSpec) {
    out.section("dataset");
    for (key, value) in cohort.written() {
        match (key, data.experts.as_slice()) {
            ("experts", names @ [_, ..]) => out.key(key, list(names)),
            _ => out.key(key, value),
        }
    }
    out.keys(data_set::written(data));
}

fn write_pretrain(out: &mut Toml, pretrain: &Pretrain) {
    let Pretrain {
        budget,
        batching,
        limit,
        start,
    } = pretrain;
    out.spec("pretrain", budget.written());
    let AnnotationLimit {
        images,
        annotations,
    } = *limit;
    let more = MorePretrain {
        expert_batching: *batching,
        images,
        annotations,
    };
    out.keys(more.written());
    if let Start::File(path) = start {
        out.key(table::START.name, quoted(&path.to_string_lossy()));
    }
}

fn write_grid(out: &mut Toml, grid: &Grid, names: &[String]) {
    let Grid {
        new_experts,
        methods,
        annotators: Annotators { from, choose },
        train_experts,
        // They are in the lists.
        names: _,
        samples,
        starts,
        pairing,
        repeats,
    } = grid;
    out.section("grid");
    let list_of_experts = |experts: &[u8]| match names {
        [] => list(experts),
        names => {
            let named = experts
                .iter()
                .map(|expert| &names[usize::from(*expert) - 1]);
            list(&named.collect_vec())
        }
    };
    out.key("new_experts", list_of_experts(new_experts));
    let words = methods.iter().map(|method| quoted(&method.word));
    out.key("methods", format_args!("[{}]", words.format(", ")));
    if !from.is_empty() {
        let (from, choose) = (list_of_experts(from), list(choose));
        out.key(
            "annotators",
            format_args!("{{ from = {from}, choose = {choose} }}"),
        );
    }
    if !train_experts.is_empty() {
        out.key("train_experts", list_of_experts(train_experts));
    }
    out.key("samples", list(samples));
    out.key("starts", list(starts));
    let more = MoreGrid {
        pairing: *pairing,
        repeats: *repeats,
    };
    out.keys(more.written());
}

#[derive(Default)]
struct Toml {
    text: String,
}

impl Toml {
    fn section(&mut self, name: &str) {
        let _ = writeln!(self.text, "\n[{name}]");
    }

    fn key(&mut self, name: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.text, "{name} = {value}");
    }

    fn keys(&mut self, written: Vec<(&'static str, String)>) {
        for (name, value) in written {
            self.key(name, value);
        }
    }

    fn spec(&mut self, section: &str, written: Vec<(&'static str, String)>) {
        self.section(section);
        self.keys(written);
    }
}

fn list(values: &[impl Debug]) -> String {
    format!("{values:?}")
}
