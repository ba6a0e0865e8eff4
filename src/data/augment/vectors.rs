//! Test vectors: what SciPy makes of some planes, written by `tests/reference/`.

use serde_json::Value;

use crate::data::prepare::Plane;

/// Largest rounding error of numbers below 1024 in single precision: half their distance.
pub(super) const ROUNDING: f64 = 3.06e-5;

/// Those of the augmentation's steps.
pub(super) fn training() -> Value {
    let text = include_str!("../../../tests/fixtures/training.json");
    serde_json::from_str(text).unwrap()
}

/// The cases of a list that tests/reference/generate.py wrote.
pub(super) fn generated(list: &str) -> Vec<Value> {
    let text = include_str!("../../../tests/fixtures/augmentation.json");
    let file: Value = serde_json::from_str(text).unwrap();
    file[list].as_array().unwrap().clone()
}

pub(super) fn numbers(value: &Value) -> Vec<f64> {
    let numbers = value.as_array().unwrap().iter();
    numbers.map(|v| v.as_f64().unwrap()).collect()
}

pub(super) fn matrix(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().flat_map(numbers).collect()
}

pub(super) fn pair(value: &Value) -> [usize; 2] {
    [0, 1].map(|i| value[i].as_u64().unwrap() as usize)
}

pub(super) fn plane(case: &Value, name: &str) -> Plane {
    let [height, width] = pair(&case["shape"]);
    let values = numbers(&case[name]).iter().map(|v| *v as f32).collect();
    Plane {
        height,
        width,
        values,
    }
}

/// Asserts that single-precision numbers are the expected ones.
#[track_caller]
pub(super) fn close(found: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            (f64::from(*found) - expected).abs() < tolerance,
            "{found} against {expected}"
        );
    }
}
