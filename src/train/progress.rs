//! The state of a training between two steps, as bytes: parameters, moments, the curve so far.
//!
//! The rule: a training that continues from these bytes ends with the same bytes as one that was
//! never stopped. All random numbers come from the seed and the step, so nothing else is saved.

use std::collections::HashMap;

use candle_core::{DType, Tensor};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};

use super::radam::{Moment, RAdam};
use crate::{event::Step, net::Parameter};

/// The state beside the tensors.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Course {
    /// The curve.
    steps: Vec<Step>,
    /// For each parameter, its own count of updates.
    updates: Vec<i32>,
}

const COURSE: &str = "course";

/// The state after the steps of the curve.
pub(super) fn to_bytes(
    parameters: &[Parameter],
    optimiser: &RAdam,
    steps: &[Step],
) -> candle_core::Result<Vec<u8>> {
    let moments = optimiser.moments()?;
    let mut rows: Vec<(String, Vec<u8>)> = Vec::new();
    for (i, (parameter, moment)) in parameters.iter().zip(&moments).enumerate() {
        let values = parameter.var.flatten_all()?.to_dtype(DType::F32)?;
        rows.push((format!("{i}/value"), bytes_of(&values.to_vec1()?)));
        rows.push((format!("{i}/first"), bytes_of(&moment.first)));
        rows.push((format!("{i}/second"), bytes_of(&moment.second)));
    }
    let views = rows.iter().map(|(name, bytes)| {
        let view = TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes)
            .expect("the bytes were made for this shape");
        (name, view)
    });
    let course = Course {
        steps: steps.to_vec(),
        updates: moments.iter().map(|moment| moment.updates).collect(),
    };
    let course = serde_json::to_string(&course).expect("a course is plain data");
    let metadata = HashMap::from([(COURSE.to_owned(), course)]);
    Ok(safetensors::serialize(views, Some(metadata)).expect("names are distinct"))
}

/// Sets parameters and optimiser to a stored state; returns the curve up to there. `None`, with
/// nothing changed, where the bytes are of another training.
pub(super) fn restore(
    bytes: &[u8],
    parameters: &[Parameter],
    optimiser: &mut RAdam,
) -> candle_core::Result<Option<Vec<Step>>> {
    let Some((course, tensors)) = parse(bytes, parameters) else {
        return Ok(None);
    };
    let mut moments = Vec::new();
    for ((parameter, [value, first, second]), updates) in
        parameters.iter().zip(tensors).zip(course.updates)
    {
        let var = &parameter.var;
        let value = Tensor::from_vec(value, var.shape(), var.device())?;
        var.set(&value.to_dtype(var.dtype())?)?;
        moments.push(Moment {
            updates,
            first,
            second,
        });
    }
    optimiser.restore(moments)?;
    Ok(Some(course.steps))
}

fn parse(bytes: &[u8], parameters: &[Parameter]) -> Option<(Course, Vec<[Vec<f32>; 3]>)> {
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
        let [value, first, second] = [
            tensor(i, "value")?,
            tensor(i, "first")?,
            tensor(i, "second")?,
        ];
        let fits = |moment: &Vec<f32>| moment.is_empty() || moment.len() == value.len();
        if value.len() != parameter.var.elem_count() || !fits(&first) || !fits(&second) {
            return None;
        }
        tensors.push([value, first, second]);
    }
    (course.updates.len() == parameters.len()).then_some((course, tensors))
}

fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}
