//! Import: a network that starts from another program's tensors, as far as they fit.
//!
//! The rule: every tensor of the file and of the network is accounted for, as loaded, skipped or
//! initialised; one that has the right name and the wrong shape or values is refused, with the
//! whole file.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use candle_core::{DType, Device};
use itertools::Itertools;
use serde::Serialize;

use super::{
    branches::Branches,
    checkpoint::{Checkpoint, CheckpointError, StoredTensor, prefix_before},
    parameters::{Declaration, Part},
    unet::UNet,
};
use crate::{manifest::NetworkSpec, seed::Seed};

/// What happened to every tensor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Import {
    /// Taken as they are.
    pub loaded: BTreeSet<String>,
    /// Taken after summing over the channels of colour images.
    pub summed: BTreeSet<String>,
    /// In the network only: initial values, as without the file.
    pub initialised: BTreeSet<String>,
    /// In the file only.
    pub skipped: BTreeSet<String>,
}

impl fmt::Display for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            loaded,
            summed,
            initialised,
            skipped,
        } = self;
        write!(f, "{} tensors loaded", loaded.len() + summed.len())?;
        for name in summed {
            write!(f, ", {name} summed over its input channels")?;
        }
        let groups = [
            (initialised, "not in the file, random"),
            (skipped, "not of this network, skipped"),
        ];
        for (names, what) in groups {
            if !names.is_empty() {
                write!(f, "; {} {what} ({})", names.len(), families(names))?;
            }
        }
        Ok(())
    }
}

impl Import {
    /// Where tensors of the network are left out that the file has under names with a prefix: one
    /// of them, and how many there are.
    fn half_loaded(&self) -> Option<String> {
        let found = self.initialised.iter().filter_map(|name| {
            let mut skipped = self.skipped.iter();
            let other = skipped.find(|other| prefix_before(name, other).is_some())?;
            Some((name, other))
        });
        let found = found.collect_vec();
        let (name, other) = found.first()?;
        Some(format!(
            "tensor {name} is not there, but {other} is; {} names differ from the network's by a \
             prefix, so take it off these names in the file",
            found.len()
        ))
    }
}

/// Names by their first part, `decoder.* (20), fc.bias`, so that a report fits a few lines.
fn families(names: &BTreeSet<String>) -> String {
    let mut counts: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for name in names {
        let family = name.split('.').next().unwrap_or(name);
        counts.entry(family).or_default().push(name);
    }
    let counts = counts.into_iter();
    counts
        .map(|(family, names)| match names[..] {
            [one] => one.to_owned(),
            _ => format!("{family}.* {}", names.len()),
        })
        .join(", ")
}

impl Checkpoint {
    /// A network in its initial state, with the file's tensors wherever their names are the
    /// network's; the names of a plain ResNet count as the encoder's. A norm or a head of one
    /// branch serves all experts.
    ///
    /// # Errors
    /// Where a tensor has another shape or type than the network's, or none fits.
    pub fn import(
        &self,
        spec: &NetworkSpec,
        branches: impl Into<Branches>,
        seed: &Seed,
        device: &Device,
    ) -> Result<(UNet, Import), CheckpointError> {
        let branches = branches.into();
        let bare = self.tensors.contains_key("conv1.weight");
        let in_file = |name: &str| match (bare, name.strip_prefix("encoder.")) {
            (true, Some(rest)) => rest.to_owned(),
            _ => name.to_owned(),
        };
        let mut import = Import::default();
        let mut used = BTreeSet::new();
        let mut refused = Vec::new();
        let net = UNet::with_values(
            spec,
            branches.clone(),
            device,
            DType::F32,
            &mut |declared| {
                let Declaration {
                    name, part, shape, ..
                } = *declared;
                let fresh = || declared.initial_values(seed);
                let there = in_file(name);
                if self.unread.contains_key(&there) {
                    refused.push(self.missing(&there));
                    return Ok(fresh());
                }
                let Some(found) = self.tensors.get(&there) else {
                    import.initialised.insert(name.to_owned());
                    return Ok(fresh());
                };
                if !used.contains(&there)
                    && let Err(error) = found.check_finite(&there)
                {
                    refused.push(error);
                }
                used.insert(there.clone());
                match fitted(found, part, shape, &branches) {
                    Some(Fitted::Whole(values)) => {
                        import.loaded.insert(name.to_owned());
                        Ok(values)
                    }
                    Some(Fitted::Summed(values)) => {
                        import.summed.insert(name.to_owned());
                        Ok(values)
                    }
                    None => {
                        let expected = match part {
                            Part::Expert(_) if branches.count > 1 => {
                                format!("{shape:?} or {:?}", branches.shape_in_file(part, shape))
                            }
                            Part::Shared | Part::Expert(_) => format!("{shape:?}"),
                        };
                        refused.push(CheckpointError::Mismatch(format!(
                            "tensor {there} is {:?}, the network's is {expected}",
                            found.shape
                        )));
                        Ok(fresh())
                    }
                }
            },
        )?;
        let more = refused.iter().map(ToString::to_string).unique().count();
        match refused.into_iter().next() {
            Some(CheckpointError::Mismatch(first)) if more > 1 => {
                let all = format!("{first} (and {} more)", more - 1);
                return Err(CheckpointError::Mismatch(all));
            }
            Some(first) => return Err(first),
            None => {}
        }
        if used.is_empty() {
            let some = self.tensors.keys().chain(self.unread.keys()).take(3);
            return Err(CheckpointError::Mismatch(format!(
                "no tensor has a name of this network's, like encoder.layer1.0.conv1.weight; \
                 it has {} and others",
                some.format(", ")
            )));
        }
        let all = self.tensors.keys().chain(self.unread.keys());
        import.skipped = all.filter(|name| !used.contains(*name)).cloned().collect();
        match import.half_loaded() {
            Some(why) => Err(CheckpointError::Mismatch(why)),
            None => Ok((net, import)),
        }
    }
}

enum Fitted {
    Whole(Vec<f32>),
    Summed(Vec<f32>),
}

/// The file's values for a parameter; `None` where the shapes differ.
fn fitted(
    found: &StoredTensor,
    part: Part,
    shape: &[usize],
    branches: &Branches,
) -> Option<Fitted> {
    let StoredTensor { shape: has, values } = found;
    if has == shape {
        return Some(Fitted::Whole(values.clone()));
    }
    match (part, has.as_slice(), shape) {
        (Part::Expert(branch), has, shape) if has == branches.shape_in_file(part, shape) => {
            let count: usize = shape.iter().product();
            let values = &values[branch * count..(branch + 1) * count];
            Some(Fitted::Whole(values.to_vec()))
        }
        // A grey image is a colour image with three equal channels, whose kernels add up.
        (Part::Shared, &[outputs, 3, 7, 7], &[expected, 1, 7, 7]) if outputs == expected => {
            let (maps, _) = values.as_chunks::<{ 3 * 49 }>();
            let sum = |map: &[f32; 3 * 49]| -> Vec<f32> {
                (0..49)
                    .map(|i| map[i] + map[49 + i] + map[98 + i])
                    .collect()
            };
            Some(Fitted::Summed(maps.iter().flat_map(sum).collect()))
        }
        _ => None,
    }
}
