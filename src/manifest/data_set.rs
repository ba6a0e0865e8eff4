//! Reads and writes the keys of `[dataset]` that describe a data set.

use std::path::PathBuf;

use itertools::Itertools;

use super::{
    choices::{FileAxis, KeepSlices, SliceAxis},
    data_keys::{self, MOST_CHANNEL, MOST_LABEL, SIZES_MM},
    data_spec::{CaseSplit, Channel, DataSpec, FileLayout, FileReading, Slices},
    document::{TomlNode, TomlValue, quoted, real},
    kind::Key,
    path_pattern::{EXPERT_PART, PathPattern, SPLIT_PART},
    problem::Place,
    reader::{FromNode, Located, Misfit, Section},
};

/// The texts of `{split}` for training and test cases, where the manifest names none.
const USUAL_PARTS: [&str; 2] = ["Training", "Validation"];
/// QUBIQ's patterns, each of which counts where only the other one is given.
const USUAL_IMAGES: &str = "{split}/{case}/image.nii*";
const USUAL_MASKS: &str = "{split}/{case}/task01_seg{expert}.nii*";

/// A whole number or a text.
#[derive(Clone, Debug)]
pub(super) enum NumberOrName {
    Number(usize),
    Name(String),
}

impl FromNode for NumberOrName {
    fn from_node(node: &TomlNode) -> Result<Self, Misfit> {
        match &node.value {
            TomlValue::Text(text) => Ok(Self::Name(text.clone())),
            _ => usize::from_node(node).map(Self::Number),
        }
    }
}

/// A number or a text.
enum ShareOrName {
    Share(f64),
    Name(String),
}

impl FromNode for ShareOrName {
    fn from_node(node: &TomlNode) -> Result<Self, Misfit> {
        match &node.value {
            TomlValue::Text(text) => Ok(Self::Name(text.clone())),
            _ => f64::from_node(node).map(Self::Share).map_err(|_| {
                "the share of the cases, such as 0.25, or names of cases in quotes".into()
            }),
        }
    }
}

/// Reads the keys that describe a data set; `path` is one that a manifest names.
pub(super) fn read(section: &Section<'_>, path: Option<PathBuf>, experts: Vec<String>) -> DataSpec {
    let files = layout(section);
    let reading = FileReading {
        labels: labels(section),
        channel: channel(section),
        channel_axis: choice(section, &data_keys::CHANNEL_AXIS, FileAxis::ALL),
        slices: slices(section.section("slice")),
        spacing_mm: spacing(section),
    };
    DataSpec {
        path,
        files,
        experts,
        reading,
    }
}

fn choice<T: Copy>(section: &Section<'_>, key: &Key, words: &[(&str, T)]) -> Option<T> {
    let options = words.iter().map(|(word, value)| (*word, Some(*value)));
    section.choice(key.last(), &options.collect_vec(), None)
}

/// Whole numbers within bounds, each once.
fn labels(section: &Section<'_>) -> Vec<u32> {
    let key = &data_keys::LABEL;
    let list = section.optional::<Vec<Located<usize>>>(key.last());
    let mut labels = Vec::new();
    for Located { value, place } in list.iter().flatten() {
        match u32::try_from(*value) {
            Ok(label) if labels.contains(&label) => {
                section.note(place, format!("`dataset.label` names {label} twice"));
            }
            Ok(label) if label <= MOST_LABEL => labels.push(label),
            _ => section.note(
                place,
                format!("`dataset.label` is {value}; a label is from 0 to {MOST_LABEL}"),
            ),
        }
    }
    if list.is_some_and(|list| list.is_empty()) {
        let place = section.place_of(key.last());
        section.note(
            place,
            "`dataset.label` is empty; write for example `label = 2`",
        );
    }
    labels
}

fn channel(section: &Section<'_>) -> Option<Channel> {
    let key = &data_keys::CHANNEL;
    let place = section.place_of(key.last());
    match section.optional::<NumberOrName>(key.last())? {
        NumberOrName::Number(index) if index as u64 <= MOST_CHANNEL => Some(Channel::One(index)),
        NumberOrName::Name(word) if word == "sum" => Some(Channel::Sum),
        NumberOrName::Name(word) if word == "mean" => Some(Channel::Mean),
        NumberOrName::Number(found) => {
            let message = format!(
                "`dataset.channel` is {found}; channels count from 0, up to {MOST_CHANNEL}"
            );
            section.note(place, message);
            None
        }
        NumberOrName::Name(word) => {
            let message = format!(
                "`dataset.channel` is \"{word}\"; it is the number of a channel, from 0, \"sum\" \
                 or \"mean\""
            );
            section.note(place, message);
            None
        }
    }
}

fn slices(section: Section<'_>) -> Option<Slices> {
    let asked = section.optional::<String>("axis").is_some();
    let axis = choice(&section, &data_keys::SLICE_AXIS, SliceAxis::ALL);
    let kept = section.optional::<String>("keep").is_some();
    let keep = choice(&section, &data_keys::SLICE_KEEP, KeepSlices::ALL);
    if kept && !asked {
        section.note(
            section.place(),
            "`dataset.slice.axis` is missing; write for example `slice = { axis = \"z\" }`",
        );
    }
    section.finish();
    Some(Slices {
        axis: axis?,
        keep: keep.unwrap_or(KeepSlices::Foreground),
    })
}

/// One number for both sides of a pixel, or two: width and height.
fn spacing(section: &Section<'_>) -> Option<[f64; 2]> {
    let key = data_keys::SPACING_MM.last();
    let list = section.optional::<Vec<Located<f64>>>(key)?;
    let place = section.place_of(key);
    let sizes = match list.as_slice() {
        [both] => [both.value; 2],
        [x, y] => [x.value, y.value],
        _ => {
            section.note(
                place,
                "`dataset.spacing_mm` is the size of a pixel, or its width and height; write for \
                 example `spacing_mm = 1.0`",
            );
            return None;
        }
    };
    let [least, most] = SIZES_MM;
    if let Some(wrong) = sizes.iter().find(|size| !(least..=most).contains(*size)) {
        section.note(
            place,
            format!("`dataset.spacing_mm` is {wrong}; it must be from {least} to {most}"),
        );
        return None;
    }
    Some(sizes)
}

fn pattern(section: &Section<'_>, key: &Key) -> Option<Located<Option<PathPattern>>> {
    let text = section.optional::<String>(key.last())?;
    let place = section.place_of(key.last()).clone();
    let value = match PathPattern::parse(&text) {
        Ok(pattern) => Some(pattern),
        Err(why) => {
            section.note(&place, format!("`dataset.{}`: {why}", key.name));
            None
        }
    };
    Some(Located { value, place })
}

fn layout(section: &Section<'_>) -> Option<FileLayout> {
    let images = pattern(section, &data_keys::IMAGES);
    let masks = pattern(section, &data_keys::MASKS);
    let described = images.is_some() || masks.is_some();
    let usual = |text| PathPattern::parse(text).expect("it is a pattern");
    let place = [&images, &masks].into_iter().flatten().next();
    let place = place.map_or_else(|| section.place().clone(), |found| found.place.clone());
    let masks_place = masks.as_ref().map_or(&place, |masks| &masks.place).clone();
    let images = match images {
        None => Some(usual(USUAL_IMAGES)),
        Some(images) => images.value,
    };
    let masks = match masks {
        None => Some(usual(USUAL_MASKS)),
        Some(masks) => masks.value,
    };
    let split_section = SplitKeys::read(section);
    let (images, masks) = (images?, masks?);
    let words = images.words();
    if words.contains(&EXPERT_PART) {
        section.note(
            &place,
            "`dataset.images` names {expert}, and an image is of no expert; take it out",
        );
    } else if !words.iter().any(|word| *word != SPLIT_PART) {
        section.note(
            &place,
            "`dataset.images` does not say what tells the cases apart; write {case} where their \
             names stand",
        );
    }
    let mut of_masks = masks.words();
    of_masks.retain(|word| *word != EXPERT_PART);
    if of_masks.iter().sorted().ne(words.iter().sorted()) {
        section.note(
            &masks_place,
            format!(
                "`dataset.masks` and `dataset.images` are paired by the words in braces, and these \
                 differ: {} in masks (beside {{expert}}), {} in images",
                in_braces(&of_masks),
                in_braces(&words)
            ),
        );
    }
    if !described {
        split_section.refuse_alone(section);
        return None;
    }
    let split = split_section.split(section, words.contains(&SPLIT_PART))?;
    Some(FileLayout {
        images,
        masks,
        split,
    })
}

fn in_braces(words: &[&str]) -> String {
    match words {
        [] => "none".to_owned(),
        words => words.iter().map(|word| format!("{{{word}}}")).join(" "),
    }
}

/// What to write for a split.
const EXAMPLE: &str = "write for example `split = { test = 0.25, seed = 1 }`, or the names of the \
    test cases: `split = { test = [\"case21\", \"case3*\"] }`";

/// The keys of `split` as they are written.
struct SplitKeys {
    place: Place,
    test: Option<Vec<Located<ShareOrName>>>,
    training: Option<Vec<Located<String>>>,
    seed: Option<u64>,
}

impl SplitKeys {
    fn read(section: &Section<'_>) -> Self {
        let inner = section.section("split");
        let found = Self {
            test: inner.optional(data_keys::SPLIT_TEST.last()),
            training: inner.optional(data_keys::SPLIT_TRAINING.last()),
            seed: inner.optional(data_keys::SPLIT_SEED.last()),
            place: inner.place_of("test").clone(),
        };
        inner.finish();
        found
    }

    /// Notes that keys of a split split nothing.
    fn refuse_alone(&self, section: &Section<'_>) {
        if self.test.is_some() || self.training.is_some() || self.seed.is_some() {
            section.note(
                &self.place,
                "`dataset.split` needs `dataset.images` and `dataset.masks`, which say where the \
                 cases are",
            );
        }
    }

    /// `in_paths`: whether a pattern has {split}.
    fn split(self, section: &Section<'_>, in_paths: bool) -> Option<CaseSplit> {
        match self.test.as_deref() {
            None if in_paths && self.training.is_none() => {
                let [training, test] = USUAL_PARTS.map(|part| vec![part.to_owned()]);
                Some(CaseSplit::Named { training, test })
            }
            None => {
                let message = format!(
                    "`dataset.split.test` is missing: which cases are test cases is not said; \
                     {EXAMPLE}"
                );
                section.note(&self.place, message);
                None
            }
            Some(
                [
                    Located {
                        value: ShareOrName::Share(share),
                        ..
                    },
                ],
            ) => self.share(*share, section, in_paths),
            Some(items) => self.names(items, section),
        }
    }

    fn share(&self, share: f64, section: &Section<'_>, in_paths: bool) -> Option<CaseSplit> {
        let within = share > 0.0 && share < 1.0;
        if !within {
            section.note(
                &self.place,
                format!("`dataset.split.test` is {share}; a share is above 0 and below 1"),
            );
            return None;
        }
        if self.training.is_some() || in_paths {
            section.note(
                &self.place,
                "`dataset.split.test` is a share, and all others are training cases; take {split} \
                 and `split.training` out, or write names",
            );
        }
        Some(CaseSplit::Share {
            test: share,
            seed: self.seed.unwrap_or(0),
        })
    }

    fn names(&self, items: &[Located<ShareOrName>], section: &Section<'_>) -> Option<CaseSplit> {
        let texts = items.iter().map(|item| match &item.value {
            ShareOrName::Name(name) => Some(name.clone()),
            ShareOrName::Share(_) => None,
        });
        let texts: Option<Vec<String>> = texts.collect();
        let Some(test) = texts.filter(|texts| !texts.is_empty()) else {
            let message = format!("`dataset.split.test` is one share, or names; {EXAMPLE}");
            section.note(&self.place, message);
            return None;
        };
        if self.seed.is_some() {
            section.note(
                &self.place,
                "`dataset.split.seed` draws a share, and `test` is a list of names; take the seed \
                 out",
            );
        }
        let training = self.training.iter().flatten();
        Some(CaseSplit::Named {
            training: training.map(|name| name.value.clone()).collect(),
            test,
        })
    }
}

/// The keys that describe a data set, with their values as TOML writes them.
pub(super) fn written(spec: &DataSpec) -> Vec<(&'static str, String)> {
    let DataSpec {
        path,
        files,
        // They stand for the number of experts.
        experts: _,
        reading,
    } = spec;
    let FileReading {
        labels,
        channel,
        channel_axis,
        slices,
        spacing_mm,
    } = reading;
    let list = |texts: &[String]| {
        let texts = texts.iter().map(|text| quoted(text));
        format!("[{}]", texts.format(", "))
    };
    let mut keys = Vec::new();
    if let Some(path) = path {
        keys.push((data_keys::DATA_PATH.name, quoted(&path.to_string_lossy())));
    }
    if let Some(FileLayout {
        images,
        masks,
        split,
    }) = files
    {
        keys.push((data_keys::IMAGES.name, quoted(images.text())));
        keys.push((data_keys::MASKS.name, quoted(masks.text())));
        let split = match split {
            CaseSplit::Share { test, seed } => {
                format!("{{ test = {}, seed = {seed} }}", real(*test))
            }
            CaseSplit::Named { training, test } if training.is_empty() => {
                format!("{{ test = {} }}", list(test))
            }
            CaseSplit::Named { training, test } => {
                format!("{{ training = {}, test = {} }}", list(training), list(test))
            }
        };
        keys.push(("split", split));
    }
    if !labels.is_empty() {
        keys.push((data_keys::LABEL.name, format!("{labels:?}")));
    }
    if let Some(channel) = channel {
        let channel = match channel {
            Channel::One(index) => index.to_string(),
            Channel::Sum => quoted("sum"),
            Channel::Mean => quoted("mean"),
        };
        keys.push((data_keys::CHANNEL.name, channel));
    }
    if let Some(axis) = channel_axis {
        keys.push((data_keys::CHANNEL_AXIS.name, quoted(axis.word())));
    }
    if let Some(Slices { axis, keep }) = slices {
        let (axis, keep) = (quoted(axis.word()), quoted(keep.word()));
        keys.push(("slice", format!("{{ axis = {axis}, keep = {keep} }}")));
    }
    if let Some(sizes) = spacing_mm {
        let sizes = match sizes.map(real) {
            [x, y] if x == y => x,
            [x, y] => format!("[{x}, {y}]"),
        };
        keys.push((data_keys::SPACING_MM.name, sizes));
    }
    keys
}

/// The keys of `[dataset]` that describe a data set, as a manifest writes them: names and values.
pub fn data_set_keys(spec: &DataSpec) -> Vec<(&'static str, String)> {
    let names = spec.experts.iter().map(|name| quoted(name));
    let names = (!spec.experts.is_empty()).then(|| format!("[{}]", names.format(", ")));
    let names = names.map(|names| ("experts", names));
    names.into_iter().chain(written(spec)).collect()
}
