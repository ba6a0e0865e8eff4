//! How the files of a data set are found and read: the keys of `[dataset]` that describe one.
//!
//! The rule: without these keys a data set has QUBIQ's folders, its experts are numbers, and a file
//! is read as it is. What they change is content of the data set, which enters keys of stages by
//! its digests; none of them enters a key itself.

use std::path::PathBuf;

use itertools::Itertools;
use serde::{Deserialize, Serialize};

use super::{
    choices::{FileAxis, KeepSlices, SliceAxis},
    path_pattern::{CASE_PART, PathPattern, SPLIT_PART},
};

/// A data set as the manifest describes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DataSpec {
    /// Its folder, where none is named on the command line.
    pub path: Option<PathBuf>,
    /// Where its files lie; absent: in QUBIQ's folders.
    pub files: Option<FileLayout>,
    /// The names of the experts, whose numbers count from 1; empty where they have none.
    pub experts: Vec<String>,
    /// How a file becomes images or masks.
    pub reading: FileReading,
}

/// Where the files of a data set lie.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileLayout {
    /// Paths of images.
    pub images: PathPattern,
    /// Paths of masks.
    pub masks: PathPattern,
    /// Which cases are test cases.
    pub split: CaseSplit,
}

/// Which cases are test cases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum CaseSplit {
    /// A share of them, drawn from their names and a seed.
    Share {
        /// The share, above 0 and below 1.
        test: f64,
        /// Another one draws others.
        seed: u64,
    },
    /// Those whose name, or the text of `{split}`, is one of these texts, `*` for anything.
    Named {
        /// Of training cases; empty: all that are no test cases.
        training: Vec<String>,
        /// Of test cases.
        test: Vec<String>,
    },
}

/// How a file becomes images or masks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FileReading {
    /// The labels of a mask that are inside; empty: the one value above 0.
    pub labels: Vec<u32>,
    /// Which channel of an image; absent: it has one.
    pub channel: Option<Channel>,
    /// The axis of channels; absent: the fourth or fifth of the file, or else the third.
    pub channel_axis: Option<FileAxis>,
    /// The slices of a volume, each an image; absent: a file is one image.
    pub slices: Option<Slices>,
    /// Width and height of a pixel to resample to; absent: nothing is resampled.
    pub spacing_mm: Option<[f64; 2]>,
}

/// Which channel of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Channel {
    /// One, from 0.
    One(usize),
    /// The sum of all.
    Sum,
    /// The mean of all.
    Mean,
}

/// The slices of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slices {
    /// The axis along which they follow each other.
    pub axis: SliceAxis,
    /// Which of them are cases.
    pub keep: KeepSlices,
}

impl DataSpec {
    /// An expert as results show him: by his name, or his number.
    pub fn expert(&self, number: u8) -> String {
        let name = usize::from(number).checked_sub(1);
        let name = name.and_then(|at| self.experts.get(at));
        name.cloned().unwrap_or_else(|| number.to_string())
    }

    /// What was done to images and masks on their way from the files; `None` where nothing was.
    pub fn preparation(&self) -> Option<String> {
        self.reading.preparation()
    }

    /// The word by which a case goes to one side of a split by share: the first of its name.
    pub fn split_word(&self) -> &str {
        let words = self.files.iter().flat_map(|files| files.images.words());
        let mut words = words.filter(|word| *word != SPLIT_PART);
        words.next().unwrap_or(CASE_PART)
    }
}

impl FileReading {
    /// What is done to images and masks; `None` where nothing is.
    pub fn preparation(&self) -> Option<String> {
        let Self {
            labels,
            channel,
            channel_axis: _,
            slices,
            spacing_mm,
        } = self;
        let channel = channel.map(|channel| match channel {
            Channel::One(index) => format!("channel {index} of each image"),
            Channel::Sum => "the sum of each image's channels".to_owned(),
            Channel::Mean => "the mean of each image's channels".to_owned(),
        });
        let slices = slices.map(|Slices { axis, keep }| {
            let which = match keep {
                KeepSlices::Foreground => "the slices with a mask",
                KeepSlices::All => "all slices",
            };
            format!("{which} along {}", axis.word())
        });
        let labels = match labels.as_slice() {
            [] => None,
            [label] => Some(format!("label {label} of each mask")),
            labels => Some(format!(
                "labels {} of each mask",
                labels.iter().format(", ")
            )),
        };
        let spacing = spacing_mm.map(|[x, y]| format!("resampled to pixels of {x} x {y} mm"));
        let said = [channel, slices, labels, spacing];
        let said = said.into_iter().flatten().join("; ");
        (!said.is_empty()).then_some(said)
    }
}
