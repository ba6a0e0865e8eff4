//! The state of a training between two steps, as bytes: parameters, moments, means of parameters,
//! the curve so far.
//!
//! The rule: a training that continues from these bytes ends with the same bytes as one that was
//! never stopped. All random numbers come from the seed and the step, so nothing else is saved.

use std::collections::HashMap;

use candle_core::Tensor;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};

use super::{
    average::{Average, flat},
    radam::{Moment, RAdam},
};
use crate::{event::Step, net::Parameter};

/// The state beside the tensors.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Course {
    /// The curve.
    steps: Vec<Step>,
    /// For each parameter, its own count of updates.
    updates: Vec<i32>,
    /// The number of steps that were averaged.
    #[serde(default, skip_serializing_if = "is_none")]
    averaged: usize,
}

fn is_none(averaged: &usize) -> bool {
    *averaged == 0
}

const COURSE: &str = "course";

/// The state after the steps of the curve.
pub(super) fn to_bytes(
    parameters: &[Parameter],
    moments: &[Moment],
    average: &Average,
    steps: &[Step],
) -> candle_core::Result<Vec<u8>> {
    let mut rows: Vec<(String, Vec<u8>)> = Vec::new();
    for (i, (parameter, moment)) in parameters.iter().zip(moments).enumerate() {
        rows.push((format!("{i}/value"), bytes_of(&flat(parameter)?)));
        rows.push((format!("{i}/first"), bytes_of(&moment.first)));
        rows.push((format!("{i}/second"), bytes_of(&moment.second)));
    }
    for (i, mean) in average.means.iter().enumerate() {
        rows.push((format!("{i}/mean"), bytes_of(mean)));
    }
    let views = rows.iter().map(|(name, bytes)| {
        let view = TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes)
            .expect("the bytes were made for this shape");
        (name, view)
    });
    let course = Course {
        steps: steps.to_vec(),
        updates: moments.iter().map(|moment| moment.updates).collect(),
        averaged: average.steps,
    };
    let course = serde_json::to_string(&course).expect("a course is plain data");
    let metadata = HashMap::from([(COURSE.to_owned(), course)]);
    Ok(safetensors::serialize(views, Some(metadata)).expect("names are distinct"))
}

/// Sets parameters, optimiser and average to a stored state; returns the curve up to there. `None`,
/// with nothing changed, where the bytes are of another training.
pub(super) fn restore(
    bytes: &[u8],
    parameters: &[Parameter],
    optimiser: &mut RAdam,
    average: &mut Average,
) -> candle_core::Result<Option<Vec<Step>>> {
    let Some((course, tensors)) = parse(bytes, parameters) else {
        return Ok(None);
    };
    let mut moments = Vec::new();
    for ((parameter, stored), updates) in parameters.iter().zip(tensors).zip(course.updates) {
        let StoredTensors {
            value,
            first,
            second,
            mean,
        } = stored;
        average.means.extend(mean);
        let var = &parameter.var;
        let value = Tensor::from_vec(value, var.shape(), var.device())?;
        var.set(&value.to_dtype(var.dtype())?)?;
        moments.push(Moment {
            updates,
            first,
            second,
        });
    }
    average.steps = course.averaged;
    optimiser.restore(moments)?;
    Ok(Some(course.steps))
}

/// What is stored of one parameter.
struct StoredTensors {
    value: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
    mean: Option<Vec<f32>>,
}

fn parse(bytes: &[u8], parameters: &[Parameter]) -> Option<(Course, Vec<StoredTensors>)> {
    let (_, header) = SafeTensors::read_metadata(bytes).ok()?;
    let course = header.metadata().as_ref()?.get(COURSE)?;
    let course: Course = serde_json::from_str(course).ok()?;
    let file = SafeTensors::deserialize(bytes).ok()?;
    let tensor = |i: usize, name: &str| -> Option<Vec<f32>> {
        let view = file.tensor(&format!("{i}/{name}")).ok()?;
        let (words, _) = view.data().as_chunks::<4>();
        Some(words.iter().map(|word| f32::from_le_bytes(*word)).collect())
    };
    let mut tensors = Vec::new();
    for (i, parameter) in parameters.iter().enumerate() {
        let stored = StoredTensors {
            value: tensor(i, "value")?,
            first: tensor(i, "first")?,
            second: tensor(i, "second")?,
            mean: match course.averaged {
                0 => None,
                _ => Some(tensor(i, "mean")?),
            },
        };
        let size = parameter.var.elem_count();
        let fits = |moment: &Vec<f32>| moment.is_empty() || moment.len() == size;
        let mean_fits = stored.mean.as_ref().is_none_or(|mean| mean.len() == size);
        if stored.value.len() != size || !fits(&stored.first) || !fits(&stored.second) || !mean_fits
        {
            return None;
        }
        tensors.push(stored);
    }
    (course.updates.len() == parameters.len()).then_some((course, tensors))
}

fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}
