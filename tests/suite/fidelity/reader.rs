//! Reads fixtures of tensors, and holds tensors against the rows that stand for them there.

use safetensors::{Dtype, SafeTensors};

use crate::train::course::numbers;

/// A file of tensors, all read as double precision.
pub struct Tensors(SafeTensors<'static>);

impl Tensors {
    pub fn read(bytes: &'static [u8]) -> Self {
        Self(SafeTensors::deserialize(bytes).expect("the fixture is well formed"))
    }

    pub fn names(&self) -> Vec<&str> {
        self.0.names()
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.tensor(name).is_ok()
    }

    pub fn shape(&self, name: &str) -> Vec<usize> {
        self.0.tensor(name).expect(name).shape().to_vec()
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        self.0.tensor(name).expect(name).data().to_vec()
    }

    pub fn values(&self, name: &str) -> Vec<f64> {
        let tensor = self.0.tensor(name).expect(name);
        let data = tensor.data();
        match tensor.dtype() {
            Dtype::F64 => {
                let words = data.as_chunks().0.iter();
                words.map(|word| f64::from_le_bytes(*word)).collect()
            }
            Dtype::F32 => {
                let words = data.as_chunks().0.iter();
                words.map(|word| f32::from_le_bytes(*word).into()).collect()
            }
            Dtype::I16 => {
                let words = data.as_chunks().0.iter();
                words.map(|word| i16::from_le_bytes(*word).into()).collect()
            }
            other => panic!("{name} holds {other:?}"),
        }
    }

    /// A matrix, row by row.
    pub fn rows(&self, name: &str) -> Vec<Vec<f64>> {
        let [_, columns] = self.shape(name)[..] else {
            panic!("{name} is no matrix");
        };
        let values = self.values(name);
        values.chunks(columns).map(<[f64]>::to_vec).collect()
    }
}

/// How far values are from those behind a row, of which `index` is the number: the largest
/// deviation of their norm, of their projections on two streams of numbers and of a strided sample
/// of them, relative to `scale`.
pub fn deviation(found: &[f64], row: &[f64], index: usize, scale: f64) -> f64 {
    assert!(scale > 0.0 && found.iter().all(|value| value.is_finite()));
    let (expected, sample) = row.split_at(3);
    let projection = |which: usize| -> f64 {
        let stream = numbers(found.len(), (10_000 + 2 * index + which) as u64);
        found
            .iter()
            .zip(stream)
            .map(|(value, number)| value * f64::from(number))
            .sum()
    };
    let whole = [norm(found), projection(0), projection(1)];
    let places = (0..sample.len()).map(|i| found[i * found.len() / sample.len()]);
    let pairs = whole
        .into_iter()
        .chain(places)
        .zip(expected.iter().chain(sample));
    pairs
        .map(|(found, expected)| (found - expected).abs() / scale)
        .fold(0.0, f64::max)
}

/// [`deviation`] relative to the norm of the values expected.
pub fn deviation_from(found: &[f64], row: &[f64], index: usize) -> f64 {
    deviation(found, row, index, row[0])
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

/// Asserts that a deviation is within its bound. What it was is shown by `--nocapture`.
#[track_caller]
pub fn within(bound: f64, deviation: f64, what: &str) {
    println!("{what}: {deviation:.1e}");
    assert!(
        deviation <= bound,
        "{what}: apart by {deviation:e}, not {bound:e}"
    );
}

/// The largest difference of two lists, in absolute terms.
#[track_caller]
pub fn largest_difference(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let differences = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    // Unlike `max`, a sum does not lose a NaN.
    let nan = found.iter().sum::<f64>() * 0.0;
    differences.fold(0.0, f64::max) + nan
}

/// A row as generate.py writes them, of numbers that are easily added up.
#[test]
fn one_wrong_value_among_many_is_a_deviation() {
    let values = vec![1.0; 1000];
    let dot = |which: u64| numbers(1000, 10_000 + which).map(f64::from).sum::<f64>();
    let row = [norm(&values), dot(0), dot(1), 1.0, 1.0, 1.0, 1.0];
    assert!(deviation_from(&values, &row, 0) < 1e-14);
    for place in [1, 333, 999] {
        let mut wrong = values.clone();
        wrong[place] += 1e-3;
        assert!(deviation_from(&wrong, &row, 0) > 1e-7, "{place}");
    }
}
