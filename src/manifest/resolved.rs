//! An experiment as a manifest again: every key with the value that counts, in the order of the paper's manifests.
//!
//! The rule: what is written here reads back as the same experiment. A spec that learns a new key does not compile until
//! this file has written it.

use std::fmt::{Debug, Write};

use itertools::Itertools;

use super::{experiment::*, recipe::*};

/// The manifest with its profile, its overrides and all defaults filled in.
pub fn resolved(experiment: &Experiment) -> String {
    let Experiment {
        name: _,
        title,
        profile: _,
        // What was set is in the values already.
        overrides: _,
        seed,
        cohort,
        grid,
        recipe,
        pretrain,
        scratch,
        finetune,
        metrics,
        statistics,
        rows,
        cut_masks,
        keep,
        reference,
    } = experiment;
    let mut out = Toml::default();
    out.key("title", quoted(title));
    out.key("rows", quoted(rows.word()));
    out.key("seed", seed);
    out.key("keep", quoted(keep.word()));
    write_grid(&mut out, grid);
    let Cohort {
        training,
        test,
        experts,
    } = cohort;
    out.section("dataset");
    out.key("training", training);
    out.key("test", test);
    out.key("experts", experts);
    write_recipe(&mut out, recipe, cut_masks.word());
    out.section("pretrain");
    let Pretrain {
        budget,
        batching,
        start,
    } = pretrain;
    write_budget(&mut out, budget);
    out.key("expert_batching", quoted(batching.word()));
    if let Start::File(path) = start {
        out.key("from", quoted(&path.to_string_lossy()));
    }
    for (name, budget) in [("finetune", finetune), ("scratch", scratch)] {
        out.section(name);
        write_budget(&mut out, budget);
    }
    let Metrics {
        report,
        assd,
        hd95,
        spacing,
    } = &**metrics;
    out.section("metrics");
    let words = report.iter().map(|measure| quoted(measure.word()));
    out.key("report", format_args!("[{}]", words.format(", ")));
    out.key("assd", quoted(assd.word()));
    out.key("hd95", quoted(hd95.word()));
    out.key("spacing", quoted(spacing.word()));
    let Statistics {
        alpha,
        unpaired,
        block,
    } = statistics;
    out.section("statistics");
    out.key("alpha", real(*alpha));
    out.key("block", quoted(block.word()));
    out.key("unpaired", quoted(unpaired.word()));
    if let Some(Published {
        values,
        source,
        dataset,
    }) = reference
    {
        out.section("reference");
        out.key("values", quoted(&values.to_string_lossy()));
        out.key("source", quoted(source));
        out.key("dataset", quoted(dataset));
    }
    out.text
}

fn write_grid(out: &mut Toml, grid: &Grid) {
    let Grid {
        new_experts,
        arms,
        annotators: Annotators { from, choose },
        train_experts,
        samples,
        starts,
    } = grid;
    out.section("grid");
    out.key("new_experts", list(new_experts));
    let arms = arms.iter().map(|arm| quoted(&arm.to_string()));
    out.key("arms", format_args!("[{}]", arms.format(", ")));
    if !from.is_empty() {
        let (from, choose) = (list(from), list(choose));
        out.key(
            "annotators",
            format_args!("{{ from = {from}, choose = {choose} }}"),
        );
    }
    if !train_experts.is_empty() {
        out.key("train_experts", list(train_experts));
    }
    out.key("samples", list(samples));
    out.key("starts", list(starts));
}

fn write_recipe(out: &mut Toml, recipe: &Recipe, cut_masks: &str) {
    let Recipe {
        image,
        network,
        training,
        augment,
    } = recipe;
    let ImageSpec {
        crop,
        reduce,
        crop_at,
        field_of_view,
    } = image;
    out.section("image");
    out.key("crop", crop);
    out.key("reduce", reduce);
    out.key("crop_at", quoted(crop_at.word()));
    out.key("field_of_view", quoted(field_of_view.word()));
    out.key("cut_masks", quoted(cut_masks));
    let NetworkSpec {
        width,
        norm_eps,
        first_conv,
    } = network;
    out.section("network");
    out.key("width", width);
    out.key("norm_eps", real(*norm_eps));
    out.key("first_conv", quoted(first_conv.word()));
    let TrainingSpec {
        batch,
        reduction,
        smooth,
        lr_end,
        lr_power,
        beta1,
        beta2,
        eps,
    } = training;
    out.section("training");
    out.key("batch", batch);
    out.key("lr_power", real(*lr_power));
    out.key("lr_end", real(*lr_end));
    out.key("reduction", quoted(reduction.word()));
    out.key("smooth", real(*smooth));
    out.key("beta1", real(*beta1));
    out.key("beta2", real(*beta2));
    out.key("eps", real(*eps));
    write_augment(out, augment);
}

fn write_augment(out: &mut Toml, augment: &AugmentSpec) {
    let AugmentSpec {
        rotation,
        rotation_degrees,
        zoom,
        zoom_factors,
        noise,
        noise_sd,
        blur,
        blur_sigma,
        brightness,
        brightness_factor,
        translation,
    } = augment;
    out.section("augment");
    for (name, chance) in [
        ("rotation", rotation),
        ("rotation_degrees", rotation_degrees),
        ("zoom", zoom),
        ("noise", noise),
        ("blur", blur),
        ("brightness", brightness),
    ] {
        out.key(name, real(*chance));
    }
    for (name, range) in [
        ("zoom_factors", zoom_factors),
        ("noise_sd", noise_sd),
        ("blur_sigma", blur_sigma),
        ("brightness_factor", brightness_factor),
    ] {
        let (low, high) = (real(range.low), real(range.high));
        out.key(name, format_args!("[{low}, {high}]"));
    }
    out.key("translation", quoted(translation.word()));
}

fn write_budget(out: &mut Toml, budget: &Budget) {
    let Budget { steps, lr } = budget;
    out.key("steps", steps);
    out.key("lr", real(*lr));
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
}

/// The shortest digits that read back as the same number, with a point or an exponent as TOML wants them.
fn real(value: f64) -> String {
    format!("{value:?}")
}

fn list(values: &[impl Debug]) -> String {
    format!("{values:?}")
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
