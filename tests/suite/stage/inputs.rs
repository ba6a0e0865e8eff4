//! What stages share is read once: the data set by each worker, a pretraining for all that starts
//! from it.

use std::collections::BTreeMap;

use crate::support::{common::*, faults::*};

/// How often each worker opened each file that `wanted` names: the largest number, and of how many
/// files.
fn openings(watched: &Watched, wanted: &str) -> (usize, usize) {
    let mut openings: BTreeMap<_, usize> = BTreeMap::new();
    for step in watched.steps() {
        if step.role == "worker" && step.call == "open" && step.path.ends_with(wanted) {
            *openings.entry((step.process, step.path)).or_default() += 1;
        }
    }
    (
        openings.values().copied().max().unwrap_or(0),
        openings.len(),
    )
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "reading is watched on Linux only")]
fn a_worker_reads_the_data_set_once_and_a_pretraining_once_for_its_fine_tunings() {
    let folder = small();
    let watch = |under: &std::path::Path, log: &str, more: &[&str]| {
        let watched = Watched::new(under, &folder.path().join(log));
        let mut command = expertgrid(
            folder.path(),
            &small_run(&[&["--jobs", "1"], more].concat()),
        );
        watched.watch(&mut command, None);
        assert!(command.status().unwrap().success());
        watched
    };
    let store = watch(&folder.path().join("results/store"), "store", &[]);
    // Two fine-tunings have started from the one pretraining.
    assert_eq!(openings(&store, "weights.safetensors"), (1, 1));
    let data = watch(few(), "data", &["--set", "seed=4"]);
    // Nine stages have used the four images.
    assert_eq!(openings(&data, "image.nii.gz"), (1, 4));
}
