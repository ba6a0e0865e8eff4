//! Fuzzing: whatever bytes the parsers are given, they neither panic nor hang, and hold no more
//! memory than a stated multiple of what they were given.
//!
//! `make fuzz` gives each a million inputs.

mod damage;
mod header_pairs;
mod manifest;
mod memory;
mod nifti;
mod path_patterns;
mod pictures;
mod safetensors;
mod scores;
mod watch;

use watch::Tally;

/// The inputs reach every layer: a good part is accepted, and a good part is not.
fn assert_mixed(tally: Tally) {
    let Tally {
        inputs, accepted, ..
    } = tally;
    if inputs >= 1000 {
        let refused = inputs - accepted;
        assert!(
            accepted > inputs / 10,
            "only {accepted} of {inputs} were accepted"
        );
        assert!(
            refused > inputs / 10,
            "only {refused} of {inputs} were refused"
        );
    }
}

#[test]
fn nifti_files_are_refused_or_read_within_their_bytes() {
    assert_mixed(watch::feed(nifti::Nifti, 10_000));
}

#[test]
fn pictures_are_refused_or_read_within_their_bytes() {
    assert_mixed(watch::feed(pictures::Pictures, 10_000));
}

#[test]
fn patterns_of_paths_are_refused_or_give_each_path_its_parts() {
    assert_mixed(watch::feed(path_patterns::PathPatterns, 20_000));
}

#[test]
fn headers_of_two_files_agree_or_contradict_each_other_both_ways() {
    assert_mixed(watch::feed(header_pairs::HeaderPairs, 20_000));
}

#[test]
fn checkpoints_are_refused_or_read_within_their_bytes() {
    assert_mixed(watch::feed(safetensors::Checkpoints, 20_000));
}

#[test]
fn predictions_are_refused_or_lie_within_their_images() {
    assert_mixed(watch::feed(safetensors::Predictions, 20_000));
}

#[test]
fn scores_are_refused_or_written_back_as_they_were() {
    assert_mixed(watch::feed(scores::AllScores, 20_000));
}

#[test]
fn manifests_are_refused_with_reasons_or_can_be_planned() {
    assert_mixed(watch::feed(manifest::Manifests, 5_000));
}
