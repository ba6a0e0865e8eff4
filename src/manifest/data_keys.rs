//! The keys of `[dataset]` that describe a data set.

use super::{
    choices::{FileAxis, KeepSlices, SliceAxis},
    kind::{Key, ValueKind, Word, from, number, optional, whole},
};

/// The greatest number of a channel.
pub(super) const MOST_CHANNEL: u64 = 4095;
/// Smallest and greatest size of a pixel to resample to, in millimetres.
pub(super) const SIZES_MM: [f64; 2] = [1e-3, 1e3];
/// The greatest label.
pub const MOST_LABEL: u32 = 1 << 24;

pub(super) const DATA_PATH: Key = optional(
    "path",
    ValueKind::Folder,
    false,
    "Folder of the data set, where `--dataset` names none; absent: data/phantom.",
);
pub(super) const IMAGES: Key = optional(
    "images",
    ValueKind::Text,
    false,
    "Paths of the images from the data set's folder, such as \"images/{case}.png\": {case} is the \
     case's name, {split} the folder or word that tells training from test cases, any other \
     {word} a further part of the name, `*` anything within a name; absent: QUBIQ's folders.",
);
pub(super) const MASKS: Key = optional(
    "masks",
    ValueKind::Text,
    false,
    "Paths of the masks, with the same words in braces and {expert}, an expert's number or name, \
     such as \"masks/{case}_{expert}.png\".",
);
pub(super) const SPLIT_TEST: Key = optional(
    "split.test",
    ValueKind::Either(&[number(0.0, 1.0), ValueKind::List(&ValueKind::Text)]),
    false,
    "Which cases are test cases: a share of them, drawn from names and `split.seed` (all cases \
     that agree in the first part of their name on one side), or names of cases, or of folders \
     where a pattern has {split}; `*` stands for anything. Absent, where a pattern has {split}: \
     those of the folder \"Validation\".",
);
pub(super) const SPLIT_TRAINING: Key = optional(
    "split.training",
    ValueKind::List(&ValueKind::Text),
    false,
    "Names of training cases, or of their folder; absent: all that are no test cases.",
);
pub(super) const SPLIT_SEED: Key = optional(
    "split.seed",
    from(0),
    false,
    "Seed of a split by share, 0 where it is absent; another one draws other test cases.",
);
pub(super) const LABEL: Key = optional(
    "label",
    ValueKind::List(&whole(0, MOST_LABEL as u64)),
    false,
    "The label of a mask that is inside, or several that are merged; all others are outside. \
     Absent: a mask has 0 and one other value, which is inside.",
);
pub(super) const CHANNEL: Key = optional(
    "channel",
    ValueKind::Either(&[whole(0, MOST_CHANNEL), ValueKind::Words(&CHANNEL_WORDS)]),
    false,
    "Which channel of an image that has several, from 0, or \"sum\" or \"mean\" of all.",
);
const CHANNEL_WORDS: [Word; 2] = [
    Word {
        word: "sum",
        doc: "The sum of all channels.",
    },
    Word {
        word: "mean",
        doc: "The mean of all channels.",
    },
];
pub(super) const CHANNEL_AXIS: Key = optional(
    "channel_axis",
    FileAxis::KIND,
    false,
    "Axis of a NIfTI file along which its channels lie; absent: the fourth or fifth, else the \
     third.",
);
pub(super) const SLICE_AXIS: Key = optional(
    "slice.axis",
    SliceAxis::KIND,
    false,
    "Axis along which the slices of a volume follow each other; each slice is a case, and all of \
     one volume are on one side of the split. Absent: a file is one image.",
);
pub(super) const SLICE_KEEP: Key = optional(
    "slice.keep",
    KeepSlices::KIND,
    false,
    "Which slices are cases; absent: \"foreground\".",
);
pub(super) const SPACING_MM: Key = optional(
    "spacing_mm",
    ValueKind::Either(&[
        number(SIZES_MM[0], SIZES_MM[1]),
        ValueKind::Pair {
            least: SIZES_MM[0],
            most: SIZES_MM[1],
        },
    ]),
    false,
    "Size of a pixel in millimetres, or its width and height, to which images (linearly) and \
     masks (linearly, inside from 0.5) are resampled; absent: nothing is resampled.",
);

/// The keys that describe a data set, in the order in which they are written.
pub(super) const ALL: [Key; 12] = [
    DATA_PATH,
    IMAGES,
    MASKS,
    SPLIT_TRAINING,
    SPLIT_TEST,
    SPLIT_SEED,
    LABEL,
    CHANNEL,
    CHANNEL_AXIS,
    SLICE_AXIS,
    SLICE_KEEP,
    SPACING_MM,
];
