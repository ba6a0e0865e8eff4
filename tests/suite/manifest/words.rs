//! Every word that a manifest accepts is read and written as itself, and has a test of its effect.

use std::{collections::BTreeSet, fs, path::PathBuf};

use expertgrid::manifest;

use super::options::{experiment, known_keys, problems};
use crate::support::common::repository;

/// Each key of words with each of its words, and the name of a test of what the word does.
const WORDS: &[(&str, &str, &str)] = &[
    (
        "table.rows",
        "train_expert",
        "the_best_of_a_printed_row_is_bold_for_each_metric_and_no_other",
    ),
    (
        "table.rows",
        "samples",
        "the_markdown_has_the_papers_layout",
    ),
    (
        "table.rows",
        "experts",
        "without_pretraining_is_the_first_row_of_the_column_of_numbers_of_experts",
    ),
    (
        "table.rows",
        "expert",
        "every_axis_of_a_grid_can_stand_in_rows_and_in_columns",
    ),
    (
        "table.rows",
        "annotators",
        "every_axis_of_a_grid_can_stand_in_rows_and_in_columns",
    ),
    (
        "table.rows",
        "method",
        "every_axis_of_a_grid_can_stand_in_rows_and_in_columns",
    ),
    (
        "table.rows",
        "start",
        "every_axis_of_a_grid_can_stand_in_rows_and_in_columns",
    ),
    (
        "table.rows",
        "repeat",
        "repeats_of_the_pretraining_are_an_axis",
    ),
    (
        "grid.pairing",
        "crossed",
        "a_matched_grid_shares_the_pretrainings_of_a_crossed_one",
    ),
    (
        "grid.pairing",
        "matched",
        "matched_ways_of_sampling_have_a_pretraining_each",
    ),
    (
        "keep",
        "pretrained",
        "weights_are_kept_where_a_manifest_wants_them_and_scores_stay_what_they_are",
    ),
    (
        "keep",
        "all",
        "weights_are_kept_where_a_manifest_wants_them_and_scores_stay_what_they_are",
    ),
    (
        "grid.methods",
        "w/",
        "a_run_fills_every_cell_and_a_second_one_does_nothing",
    ),
    (
        "grid.methods",
        "w/o",
        "a_run_fills_every_cell_and_a_second_one_does_nothing",
    ),
    (
        "grid.methods",
        "single",
        "each_table_has_the_papers_number_of_trainings",
    ),
    ("grid.methods", "scratch", "arms_are_methods"),
    ("grid.methods", "customised", "arms_are_methods"),
    (
        "grid.methods",
        "customised-inherit",
        "methods_that_pretrain_alike_share_their_pretrainings_and_nothing_else",
    ),
    (
        "grid.methods",
        "customised-frozen",
        "methods_that_pretrain_alike_share_their_pretrainings_and_nothing_else",
    ),
    (
        "grid.methods",
        "customised-frozen-inherit",
        "methods_that_pretrain_alike_share_their_pretrainings_and_nothing_else",
    ),
    (
        "grid.methods",
        "original",
        "methods_that_pretrain_alike_share_their_pretrainings_and_nothing_else",
    ),
    (
        "grid.methods",
        "cohort-frozen",
        "methods_that_pretrain_alike_share_their_pretrainings_and_nothing_else",
    ),
    (
        "grid.methods",
        "cohort-full",
        "methods_that_pretrain_alike_share_their_pretrainings_and_nothing_else",
    ),
    (
        "grid.methods",
        "cohort-full-inherit",
        "methods_that_pretrain_alike_share_their_pretrainings_and_nothing_else",
    ),
    (
        "grid.methods",
        "heads",
        "a_frozen_head_network_moves_its_head_and_no_bit_of_anything_else",
    ),
    (
        "grid.methods",
        "pool",
        "one_branch_learns_from_all_masks_and_is_taken_as_it_is",
    ),
    (
        "grid.methods",
        "majority",
        "one_branch_learns_from_all_masks_and_is_taken_as_it_is",
    ),
    (
        "grid.methods",
        "staple",
        "one_branch_learns_from_all_masks_and_is_taken_as_it_is",
    ),
    (
        "grid.methods",
        "uncertainty",
        "the_mean_of_all_masks_is_the_target_of_the_uncertainty_network",
    ),
    (
        "grid.methods",
        "probabilistic",
        "a_latent_is_chosen_by_the_posterior_and_folded_into_the_network",
    ),
    (
        "grid.methods",
        "probabilistic-full",
        "a_frozen_probabilistic_network_moves_its_last_layers_alone",
    ),
    (
        "grid.methods",
        "uncertainty-map",
        "a_mask_is_moved_by_the_map_as_far_as_fits_the_cases",
    ),
    (
        "grid.methods",
        "uncertainty-map-full",
        "one_branch_learns_from_all_masks_and_is_taken_as_it_is",
    ),
    (
        "grid.methods",
        "uncertainty-full",
        "one_branch_learns_from_all_masks_and_is_taken_as_it_is",
    ),
    (
        "fusion.region",
        "slice",
        "the_region_of_staple_is_where_the_key_says",
    ),
    (
        "fusion.region",
        "box",
        "the_region_of_staple_is_where_the_key_says",
    ),
    (
        "image.crop_at",
        "foreground",
        "a_test_crop_lies_around_the_foreground_or_in_the_middle_of_the_image",
    ),
    (
        "image.crop_at",
        "centre",
        "a_test_crop_lies_around_the_foreground_or_in_the_middle_of_the_image",
    ),
    (
        "image.field_of_view",
        "crop",
        "a_test_crop_lies_around_the_foreground_or_in_the_middle_of_the_image",
    ),
    (
        "image.field_of_view",
        "full",
        "the_full_view_is_the_whole_image_padded_with_background_to_multiples_of_32",
    ),
    (
        "dataset.channel_axis",
        "x",
        "one_channel_or_their_sum_or_mean_is_the_image",
    ),
    (
        "dataset.channel_axis",
        "y",
        "channels_and_slices_lie_along_any_axis",
    ),
    (
        "dataset.channel_axis",
        "z",
        "channels_and_slices_lie_along_any_axis",
    ),
    (
        "dataset.channel_axis",
        "t",
        "channels_and_slices_lie_along_any_axis",
    ),
    (
        "dataset.slice.axis",
        "x",
        "each_slice_with_a_mask_is_a_case_and_a_volume_is_on_one_side",
    ),
    (
        "dataset.slice.axis",
        "y",
        "channels_and_slices_lie_along_any_axis",
    ),
    (
        "dataset.slice.axis",
        "z",
        "each_slice_with_a_mask_is_a_case_and_a_volume_is_on_one_side",
    ),
    (
        "dataset.slice.keep",
        "foreground",
        "each_slice_with_a_mask_is_a_case_and_a_volume_is_on_one_side",
    ),
    (
        "dataset.slice.keep",
        "all",
        "each_slice_with_a_mask_is_a_case_and_a_volume_is_on_one_side",
    ),
    (
        "image.cut_masks",
        "refuse",
        "a_data_set_that_does_not_fit_the_experiment_is_refused",
    ),
    (
        "image.cut_masks",
        "allow",
        "a_data_set_that_does_not_fit_the_experiment_is_refused",
    ),
    (
        "network.first_conv",
        "uniform",
        "the_first_convolution_is_initialised_like_a_replaced_layer_or_like_the_rest",
    ),
    (
        "network.first_conv",
        "kaiming",
        "the_first_convolution_is_initialised_like_a_replaced_layer_or_like_the_rest",
    ),
    (
        "training.reduction",
        "image",
        "the_loss_is_taken_over_each_image_or_over_the_pixels_of_the_batch",
    ),
    (
        "training.reduction",
        "batch",
        "the_loss_is_taken_over_each_image_or_over_the_pixels_of_the_batch",
    ),
    (
        "pretrain.expert_batching",
        "all",
        "one_expert_per_image_is_one_branch_for_each_slot_and_all_experts_in_turn",
    ),
    (
        "pretrain.expert_batching",
        "one_per_image",
        "one_expert_per_image_is_one_branch_for_each_slot_and_all_experts_in_turn",
    ),
    (
        "augment.translation",
        "random",
        "random_crops_reach_everywhere_that_keeps_the_foreground_in_view",
    ),
    (
        "augment.translation",
        "none",
        "without_translation_a_training_crop_lies_where_a_test_crop_would",
    ),
    (
        "metrics.assd",
        "pooled",
        "distances_are_joined_as_the_manifest_says",
    ),
    (
        "metrics.assd",
        "macro",
        "distances_are_joined_as_the_manifest_says",
    ),
    (
        "metrics.hd95",
        "pooled",
        "distances_are_joined_as_the_manifest_says",
    ),
    (
        "metrics.hd95",
        "max_directed",
        "distances_are_joined_as_the_manifest_says",
    ),
    (
        "metrics.spacing",
        "unit",
        "distances_are_in_pixels_or_in_the_headers_millimetres",
    ),
    (
        "metrics.spacing",
        "header",
        "distances_are_in_pixels_or_in_the_headers_millimetres",
    ),
    (
        "statistics.block",
        "table",
        "the_best_of_a_printed_table_is_bold_for_each_metric_and_no_other",
    ),
    (
        "statistics.block",
        "row",
        "the_best_of_a_printed_row_is_bold_for_each_metric_and_no_other",
    ),
    (
        "statistics.block",
        "column",
        "the_best_of_a_printed_column_is_bold_and_no_other",
    ),
    (
        "statistics.spread",
        "none",
        "the_standard_deviation_stands_beside_a_mean_where_the_manifest_wants_it",
    ),
    (
        "statistics.spread",
        "sd",
        "the_standard_deviation_stands_beside_a_mean_where_the_manifest_wants_it",
    ),
    (
        "statistics.paired",
        "student",
        "pairs_are_tested_as_independent_or_with_the_variance_of_overlapping_trainings",
    ),
    (
        "statistics.paired",
        "nadeau_bengio",
        "pairs_are_tested_as_independent_or_with_the_variance_of_overlapping_trainings",
    ),
    (
        "probabilistic.serve",
        "posterior",
        "a_latent_is_chosen_by_the_posterior_and_folded_into_the_network",
    ),
    (
        "probabilistic.serve",
        "relative",
        "a_relative_latent_moves_each_images_prior_as_the_cases_are_from_theirs",
    ),
    (
        "selection.rules",
        "mean",
        "rules_get_what_they_choose_and_contributions_are_what_experts_add",
    ),
    (
        "selection.rules",
        "agreement",
        "scores_and_choices_are_those_of_their_definitions",
    ),
    (
        "selection.rules",
        "cover",
        "scores_and_choices_are_those_of_their_definitions",
    ),
    (
        "selection.rules",
        "style",
        "scores_and_choices_are_those_of_their_definitions",
    ),
    (
        "selection.rules",
        "alike",
        "scores_and_choices_are_those_of_their_definitions",
    ),
    (
        "selection.rules",
        "unlike",
        "scores_and_choices_are_those_of_their_definitions",
    ),
    (
        "selection.rules",
        "branch",
        "rules_get_what_they_choose_and_contributions_are_what_experts_add",
    ),
    (
        "selection.rules",
        "best-elsewhere",
        "rules_get_what_they_choose_and_contributions_are_what_experts_add",
    ),
    (
        "selection.rules",
        "best",
        "rules_get_what_they_choose_and_contributions_are_what_experts_add",
    ),
    (
        "selection.rules",
        "worst",
        "rules_get_what_they_choose_and_contributions_are_what_experts_add",
    ),
    (
        "statistics.unpaired",
        "student",
        "unpaired_results_are_tested_with_one_variance_or_with_two",
    ),
    (
        "statistics.unpaired",
        "welch",
        "unpaired_results_are_tested_with_one_variance_or_with_two",
    ),
];

/// The words that a key accepts, as they are listed to those who write another.
fn accepted(key: &str) -> Vec<String> {
    let said = match key {
        "grid.methods" => problems("grid.methods=[\"unheard-of\"]"),
        _ => problems(&format!("{key}=\"another\"")),
    };
    let lists = ["it is one of ", "known here: \"", "the axes are "];
    let listed = said.lines().find_map(|line| {
        let (_, words) = lists.iter().find_map(|before| line.split_once(before))?;
        let words = words.split(", ").map(|word| word.trim_matches('"'));
        Some(words.map(str::to_owned).collect())
    });
    listed.unwrap_or_default()
}

#[test]
fn the_list_holds_every_word_that_a_manifest_accepts() {
    // The other keys of axes take the same words as the rows.
    let axes = [
        "table.panels",
        "table.columns",
        "table.average",
        "table.results",
    ];
    let accepted: BTreeSet<(String, String)> = known_keys()
        .into_iter()
        .filter(|key| !axes.contains(&key.as_str()))
        .flat_map(|key| {
            let words = accepted(&key);
            words.into_iter().map(move |word| (key.clone(), word))
        })
        .collect();
    let listed = WORDS.iter().map(|(key, word, _)| (*key, *word));
    let listed = listed.map(|(key, word)| (key.to_owned(), word.to_owned()));
    assert_eq!(listed.collect::<BTreeSet<_>>(), accepted);
}

#[test]
fn every_word_is_read_and_written_as_itself() {
    for (key, word, _) in WORDS {
        let value = match *key {
            "grid.methods" | "table.rows" | "selection.rules" => format!("[\"{word}\"]"),
            _ => format!("\"{word}\""),
        };
        let needed: &[&str] = match *key {
            "dataset.slice.keep" => &["dataset.slice.axis=\"z\""],
            // Nothing is written of a usual latent.
            "probabilistic.serve" => &["probabilistic.latent=3"],
            "selection.rules" => &["grid.annotators.choose=[2]", "grid.repeats=2"],
            _ => &[],
        };
        let needed = needed.iter().map(|set| (*set).to_owned());
        let set = needed.clone().chain([format!("{key}={value}")]);
        let written = manifest::resolved(&experiment(&set.collect::<Vec<_>>()));
        let document: toml::Value = toml::from_str(&written).unwrap();
        let found = key.split('.').fold(&document, |table, part| &table[part]);
        let expected: toml::Value = toml::from_str(&format!("v = {value}")).unwrap();
        assert_eq!(*found, expected["v"], "{key}");
        let again = needed.chain([format!("{key}={found}")]);
        let again = experiment(&again.collect::<Vec<_>>());
        assert_eq!(manifest::resolved(&again), written, "{key} = {word}");
    }
}

fn sources(folder: PathBuf, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_word_names_a_test_that_there_is() {
    let mut text = String::new();
    for folder in ["src", "tests/suite"] {
        sources(repository().join(folder), &mut text);
    }
    for (key, word, test) in WORDS {
        let declared = format!("#[test]\nfn {test}() {{");
        let within = format!("#[test]\n    fn {test}() {{");
        assert!(
            text.contains(&declared) || text.contains(&within),
            "{key} = \"{word}\" names no test: {test}"
        );
    }
}
