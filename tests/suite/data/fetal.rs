//! The real-anatomy data set beside the project, against the figures published with it.

use std::path::Path;

use expertgrid::data::{self, Provenance};

/// The folder, if this checkout has it beside it.
fn fetal() -> Option<&'static Path> {
    let dir = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/fetal"));
    if !dir.is_dir() {
        eprintln!("skipped: {} is absent", dir.display());
        return None;
    }
    Some(dir)
}

#[test]
fn it_opens_whole_and_is_recognised_by_its_content() {
    let Some(dir) = fetal() else { return };
    let set = data::open(dir).unwrap();
    assert_eq!((set.training.len(), set.test.len()), (34, 5));
    assert_eq!(set.experts, [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(set.warnings, []);
    assert_eq!(set.provenance, Provenance::SimulatedExperts);
    assert!(
        set.label
            .starts_with("fetal (real anatomy, simulated experts;")
    );
    for case in set.cases() {
        assert_eq!((case.image.width, case.image.height), (256, 256));
    }
}

#[test]
fn its_figures_are_the_published_ones() {
    let Some(dir) = fetal() else { return };
    let check = data::check::check(dir);
    let figures = check.figures.unwrap();
    let near = |found: f64, published: f64, digits: i32| {
        let slack = 0.5 * 10_f64.powi(-digits) + 1e-9;
        assert!((found - published).abs() < slack, "{found} for {published}");
    };
    let (seventh, others): (Vec<_>, Vec<_>) =
        figures.mutual_dice.iter().partition(|((_, b), _)| *b == 7);
    let values = |pairs: &[(&(u8, u8), &f64)]| pairs.iter().map(|(_, d)| **d).collect::<Vec<_>>();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let others = values(&others);
    near(mean(&others), 0.884, 3);
    near(others.iter().copied().fold(1.0, f64::min), 0.859, 3);
    near(others.iter().copied().fold(0.0, f64::max), 0.899, 3);
    near(mean(&values(&seventh)), 0.838, 3);
    near(figures.consensus, 0.511, 3);
    near(figures.brain_share.mean, 0.22, 2);
    let areas: Vec<f64> = figures.mask_share.values().map(|s| s.mean).collect();
    near(mean(&areas), 0.078, 3);
}
