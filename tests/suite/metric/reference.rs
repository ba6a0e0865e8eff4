//! The metrics against MedPy, SimpleITK and NumPy, on masks with holes, specks, borders and
//! textures.
//!
//! The expected values are in `tests/fixtures/metrics.json`; `tests/reference/extract_metrics.py`
//! wrote them.

use expertgrid::metric::{
    Assd, Definition, Directed, Hd95, MaskError, MaskView, Pixel, Reason, Score, Spacing, dice,
    directed, nearest, percentile, surface,
};
use serde::Deserialize;

use crate::support::common::scores;

#[derive(Deserialize)]
struct Fixture {
    tolerance_abs: f64,
    cases: Vec<Case>,
    full_size: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    shape: [usize; 2],
    spacing: [f64; 2],
    pred: Vec<[usize; 3]>,
    #[serde(rename = "ref")]
    reference: Vec<[usize; 3]>,
    n_pred: usize,
    n_ref: usize,
    n_inter: usize,
    dice: f64,
    #[serde(flatten)]
    surfaces: Option<Surfaces>,
    ours: Option<Ours>,
    simpleitk: Option<SimpleItk>,
}

#[derive(Deserialize)]
struct Surfaces {
    n_surf_pred: usize,
    n_surf_ref: usize,
    asd_pred_to_ref: f64,
    asd_ref_to_pred: f64,
    assd_micro: f64,
    assd_macro: f64,
    hd: f64,
    hd95_combined: f64,
    hd95_max_directed: f64,
    hd95_pred_to_ref: f64,
    hd95_ref_to_pred: f64,
    hd95_nearest_rank_max_directed: Option<f64>,
}

#[derive(Deserialize)]
struct Ours {
    dice: f64,
    assd: Option<f64>,
    hd95: Option<f64>,
    status: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum SimpleItk {
    Values {
        hausdorff: f64,
        average_hausdorff: f64,
        dice: f64,
    },
    Error {
        #[serde(rename = "error")]
        _error: String,
    },
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("../../fixtures/metrics.json"))
        .expect("the fixture is well formed")
}

/// A mask that owns the pixels its runs name.
struct Mask {
    shape: [usize; 2],
    pixels: Vec<bool>,
}

impl Mask {
    fn from_runs(shape: [usize; 2], runs: &[[usize; 3]]) -> Self {
        let mut pixels = vec![false; shape[0] * shape[1]];
        for &[row, first, end] in runs {
            pixels[row * shape[1] + first..row * shape[1] + end].fill(true);
        }
        Self { shape, pixels }
    }

    fn view(&self) -> MaskView<'_> {
        MaskView::new(self.shape[0], self.shape[1], &self.pixels).expect("the shape fits")
    }

    fn foreground(&self) -> Vec<Pixel> {
        let places = (0..self.pixels.len()).filter(|&place| self.pixels[place]);
        places
            .map(|place| Pixel {
                row: place / self.shape[1],
                column: place % self.shape[1],
            })
            .collect()
    }
}

impl Case {
    fn masks(&self) -> (Mask, Mask) {
        (
            Mask::from_runs(self.shape, &self.pred),
            Mask::from_runs(self.shape, &self.reference),
        )
    }

    fn spacing(&self) -> Spacing {
        Spacing {
            row: self.spacing[0],
            column: self.spacing[1],
        }
    }

    fn directed(&self) -> Directed {
        let (pred, reference) = self.masks();
        directed(pred.view(), reference.view(), self.spacing())
            .expect("comparable")
            .expect("neither is empty")
    }

    /// The distances from the prediction's surface to the reference's and back, sorted upwards.
    fn sides(&self) -> [Vec<f64>; 2] {
        let (pred, reference) = self.masks();
        let [pred, reference] = [pred, reference].map(|mask| surface(mask.view()));
        [(&pred, &reference), (&reference, &pred)].map(|(from, to)| {
            let mut side = nearest(from, to, self.spacing());
            side.sort_by(f64::total_cmp);
            side
        })
    }

    fn scores(&self, assd: Assd, hd95: Hd95) -> [Score; 3] {
        let (pred, reference) = self.masks();
        let definition = Definition {
            assd,
            hd95,
            ..Definition::default()
        };
        let scores =
            scores(pred.view(), reference.view(), self.spacing(), definition).expect("comparable");
        [scores.dice, scores.assd, scores.hd95]
    }
}

#[track_caller]
fn close(found: f64, expected: f64, tolerance: f64, what: &str) {
    assert!(
        (found - expected).abs() <= tolerance,
        "{what}: {found} is not {expected}"
    );
}

#[track_caller]
fn score(found: Score, expected: f64, what: &str) {
    close(
        found.value().expect("a value"),
        expected,
        fixture().tolerance_abs,
        what,
    );
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[test]
fn masks_are_those_of_the_reference() {
    for case in fixture().cases.iter().chain(&fixture().full_size) {
        let (pred, reference) = case.masks();
        assert_eq!(pred.foreground().len(), case.n_pred, "{}", case.id);
        assert_eq!(reference.foreground().len(), case.n_ref, "{}", case.id);
        let both = pred.pixels.iter().zip(&reference.pixels);
        let both = both.filter(|(p, r)| **p && **r).count();
        assert_eq!(both, case.n_inter, "{}", case.id);
    }
    assert_eq!(fixture().cases.len(), 14);
}

#[test]
fn dice_is_that_of_medpy() {
    let Fixture {
        cases,
        full_size,
        tolerance_abs,
    } = fixture();
    for case in cases.iter().chain(&full_size) {
        let (pred, reference) = case.masks();
        let found = dice(pred.view(), reference.view()).expect("same shape");
        close(found, case.dice, tolerance_abs, &case.id);
        if let Some(SimpleItk::Values { dice, .. }) = case.simpleitk {
            close(found, dice, tolerance_abs, &case.id);
        }
    }
}

#[test]
fn surface_distances_are_those_of_medpy() {
    let Fixture {
        cases,
        full_size,
        tolerance_abs,
    } = fixture();
    let mut compared = 0;
    for case in cases.iter().chain(&full_size) {
        let Some(expected) = &case.surfaces else {
            continue;
        };
        let [to_reference, to_prediction] = case.sides();
        let check = |value, expected| close(value, expected, tolerance_abs, &case.id);
        assert_eq!(to_reference.len(), expected.n_surf_pred);
        assert_eq!(to_prediction.len(), expected.n_surf_ref);
        check(mean(&to_reference), expected.asd_pred_to_ref);
        check(mean(&to_prediction), expected.asd_ref_to_pred);
        check(percentile(&to_reference, 95.0), expected.hd95_pred_to_ref);
        check(percentile(&to_prediction, 95.0), expected.hd95_ref_to_pred);
        let found = case.directed();
        check(
            found.assd(Assd::Macro),
            (expected.asd_pred_to_ref + expected.asd_ref_to_pred) / 2.0,
        );
        check(
            found.hd95(Hd95::MaxDirected),
            expected.hd95_pred_to_ref.max(expected.hd95_ref_to_pred),
        );
        let sides = [&to_reference, &to_prediction];
        let largest = sides.map(|side| *side.last().expect("neither is empty"));
        check(largest[0].max(largest[1]), expected.hd);
        if let Some(expected) = expected.hd95_nearest_rank_max_directed {
            let rank = |side: &[f64]| side[(0.95 * side.len() as f64).ceil() as usize - 1];
            check(rank(&to_reference).max(rank(&to_prediction)), expected);
        }
        compared += 1;
    }
    assert_eq!(compared, 12 + 4);
}

#[test]
fn scores_follow_the_definition() {
    let fixture = fixture();
    for case in fixture.cases.iter().chain(&fixture.full_size) {
        let Some(expected) = &case.surfaces else {
            continue;
        };
        let [overlap, assd, hd95] = case.scores(Assd::Pooled, Hd95::Pooled);
        score(overlap, case.dice, &case.id);
        score(assd, expected.assd_micro, &case.id);
        score(hd95, expected.hd95_combined, &case.id);
        let [_, assd, hd95] = case.scores(Assd::Macro, Hd95::MaxDirected);
        score(assd, expected.assd_macro, &case.id);
        score(hd95, expected.hd95_max_directed, &case.id);
    }
}

/// One speck far from a perfect disk: two definitions, two answers.
#[test]
fn a_far_speck_divides_the_definitions() {
    let fixture = fixture();
    let speck = fixture.cases.iter().find(|case| case.id.starts_with("M05"));
    let speck = speck.expect("M05 is in the fixture");
    let hd95 = |hd95| speck.scores(Assd::Pooled, hd95)[2];
    score(hd95(Hd95::Pooled), 27.049100375883466, "MedPy");
    score(hd95(Hd95::MaxDirected), 28.284271247461902, "MONAI");
}

#[test]
fn an_empty_mask_leaves_distances_undefined_and_says_why() {
    let mut checked = 0;
    for case in &fixture().cases {
        let Some(ours) = &case.ours else { continue };
        let reason = match ours.status.as_str() {
            "undefined_empty_pred" => Reason::EmptyPrediction,
            "undefined_both_empty" => Reason::BothEmpty,
            other => panic!("{} has the unknown status {other}", case.id),
        };
        assert_eq!((ours.assd, ours.hd95), (None, None));
        let undefined = Score::Undefined(reason);
        let found = case.scores(Assd::Pooled, Hd95::Pooled);
        assert_eq!(found, [Score::Value(ours.dice), undefined, undefined]);
        checked += 1;
    }
    assert_eq!(checked, 2);
    let (empty, full) = ([false; 6], [true; 6]);
    let [empty, full] =
        [&empty, &full].map(|pixels| MaskView::new(2, 3, pixels).expect("6 pixels"));
    let found = scores(full, empty, Spacing::default(), Definition::default()).expect("comparable");
    assert_eq!(found.dice, Score::Value(0.0));
    assert_eq!(found.hd95, Score::Undefined(Reason::EmptyReference));
    assert_eq!(found.assd.to_string(), "undefined: the reference is empty");
}

/// SimpleITK measures from every pixel of one mask to the other mask, not between surfaces: a test
/// of the distance transform alone. Its average is the mean of both directions. Its distance map is
/// in single precision.
#[test]
fn distance_transform_is_that_of_simpleitk() {
    let mut compared = 0;
    for case in &fixture().cases {
        let Some(SimpleItk::Values {
            hausdorff,
            average_hausdorff,
            ..
        }) = case.simpleitk
        else {
            continue;
        };
        let (pred, reference) = case.masks();
        let (pred, reference) = (pred.foreground(), reference.foreground());
        let there = nearest(&pred, &reference, case.spacing());
        let back = nearest(&reference, &pred, case.spacing());
        let largest = there.iter().chain(&back).fold(0.0, |a: f64, &b| a.max(b));
        close(largest, hausdorff, 1e-5, &case.id);
        close(
            (mean(&there) + mean(&back)) / 2.0,
            average_hausdorff,
            1e-5,
            &case.id,
        );
        compared += 1;
    }
    assert_eq!(compared, 12);
}

#[test]
fn what_cannot_be_compared_is_an_error() {
    let pixels = [true; 6];
    let error = MaskView::new(2, 4, &pixels).expect_err("8 is not 6");
    assert_eq!(error.to_string(), "a mask of 2x4 cannot hold 6 pixels");
    assert!(MaskView::new(usize::MAX, 2, &pixels).is_err());
    let wide = MaskView::new(2, 3, &pixels).expect("6 pixels");
    let tall = MaskView::new(3, 2, &pixels).expect("6 pixels");
    let spacing = Spacing::default();
    let error = scores(wide, tall, spacing, Definition::default()).expect_err("shapes differ");
    assert_eq!(
        error.to_string(),
        "the prediction is 2x3 pixels but the reference is 3x2"
    );
    for row in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let spacing = Spacing { row, column: 1.0 };
        let found = scores(wide, wide, spacing, Definition::default());
        assert!(matches!(found, Err(MaskError::Spacing(_))));
    }
    let nothing = MaskView::new(0, 0, &[]).expect("no pixels");
    let found = scores(nothing, nothing, spacing, Definition::default()).expect("same shape");
    assert_eq!(found.assd, Score::Undefined(Reason::BothEmpty));
}

#[test]
fn a_mean_with_an_undefined_image_is_undefined() {
    let undefined = Score::Undefined(Reason::EmptyPrediction);
    let all = [Score::Value(1.0), Score::Value(4.0)];
    assert_eq!(Score::mean(&all), Some(Score::Value(2.5)));
    assert_eq!(Score::mean(&[all[0], undefined, all[1]]), Some(undefined));
    assert_eq!(Score::mean(&[]), None);
}

/// The words that artefacts hold.
#[test]
fn scores_are_written_in_words() {
    let json = serde_json::to_string(&[Score::Value(0.5), Score::Undefined(Reason::BothEmpty)]);
    assert_eq!(
        json.expect("serialises"),
        r#"[{"value":0.5},{"undefined":"both_empty"}]"#
    );
}

#[test]
fn a_full_image_has_its_border_as_surface() {
    let pixels = [true; 20];
    let full = MaskView::new(4, 5, &pixels).expect("20 pixels");
    let found = surface(full);
    assert_eq!(found.len(), 14);
    assert!(!found.contains(&Pixel { row: 1, column: 1 }));
}
