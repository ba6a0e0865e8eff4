//! Which of a file's values marks the inside of a mask.
//!
//! The rule: a mask has 0 outside and one other value, above 0, inside. A file of other values is
//! refused with the values named; which of them is meant is for its owner to say.

use itertools::Itertools;

use super::Fault;

/// Most different values that a refusal lists.
const LISTED: usize = 12;

/// The value inside; `None` where all are 0.
pub(super) fn inside(values: &[f32]) -> Result<Option<f32>, Fault> {
    let (mut found, all_found) = different(values);
    found.sort_by(f32::total_cmp);
    match found[..] {
        [] | [0.0] => Ok(None),
        // A structure that fills the frame.
        [value @ (1.0 | 255.0)] => Ok(Some(value)),
        [0.0, value] => Ok(Some(value)),
        [value] => Err(Fault::new(
            format!("has the value {value} everywhere, so it does not say what is inside"),
            "store 1 inside and 0 outside",
        )),
        [low, high] => Err(Fault::new(
            format!("has the values {low} and {high}, so it does not say which is outside"),
            "store 1 inside and 0 outside",
        )),
        _ if all_found && found.iter().all(|value| value.fract() == 0.0) => Err(Fault::new(
            format!(
                "has more than two different values, the labels {}",
                found.iter().format(", ")
            ),
            "store the one that is meant in a file of its own, with 1 inside and 0 outside",
        )),
        _ => {
            let ends = values.iter().copied().minmax_by(f32::total_cmp);
            let (low, high) = ends.into_option().unwrap_or_default();
            Err(Fault::new(
                format!(
                    "has more than two different values, from {low} to {high}, so it is not a mask"
                ),
                "threshold it if it is a probability, at 0.5 of its full scale",
            ))
        }
    }
}

/// The different values, at most [`LISTED`], and whether these are all.
fn different(values: &[f32]) -> (Vec<f32>, bool) {
    let mut found: Vec<f32> = Vec::new();
    for value in values {
        if !found.contains(value) {
            if found.len() == LISTED {
                return (found, false);
            }
            found.push(*value);
        }
    }
    (found, true)
}
