//! The cases of a data set whose files the manifest describes by patterns.
//!
//! The rule: every visible file and folder that a pattern leads to is a part of a case or reported.
//! A file that fits both patterns is a mask where its case has an image of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use itertools::Itertools;

use super::{
    DataProblem, Expert,
    case_files::{CaseFiles, MaskNames},
    listing::{entries, natural},
    problem::some_of,
    split,
};
use crate::manifest::{DataSpec, EXPERT_PART, FileLayout, Parts, PathPattern, SPLIT_PART, part};

/// What tells a case from the others: the texts of the images' words, in their order.
type CaseParts = Vec<String>;

/// A file and the parts of its path.
struct Fitting {
    path: PathBuf,
    parts: Parts,
}

/// The files below a folder, by the patterns that they fit.
#[derive(Default)]
struct FittingFiles {
    images: Vec<Fitting>,
    masks: Vec<Fitting>,
    /// Those that fit both: as image, as mask.
    both: Vec<(Fitting, Fitting)>,
    /// Those that fit neither, by their names from the folder.
    others: Vec<PathBuf>,
}

/// The training and test cases below `dir`, in the numerical order of their names.
pub(super) fn list(
    dir: &Path,
    spec: &DataSpec,
    layout: &FileLayout,
    problems: &mut Vec<DataProblem>,
) -> [Vec<CaseFiles>; 2] {
    let mut unread = Vec::new();
    if entries(dir, &mut unread).is_none() {
        problems.extend(unread);
        return [Vec::new(), Vec::new()];
    }
    let mut found = FittingFiles::default();
    let walk = Walk { spec, layout };
    let start = [Some(Parts::new()), Some(Parts::new())];
    walk.through(dir, 0, &start, &mut found, problems);
    let words = layout.images.words();
    let mut cases: BTreeMap<CaseParts, CaseFiles> = BTreeMap::new();
    let FittingFiles {
        images,
        mut masks,
        both,
        others,
    } = found;
    let with_image = images.iter().chain(both.iter().map(|(image, _)| image));
    let with_image = with_image.counts_by(|image| case_parts(&words, &image.parts));
    let with_masks: BTreeSet<CaseParts> = masks
        .iter()
        .chain(both.iter().map(|(_, mask)| mask))
        .map(|mask| case_parts(&words, &mask.parts))
        .collect();
    let mut images = images;
    for (image, mask) in both {
        let of_case = case_parts(&words, &mask.parts);
        // The file itself is no image beside it.
        let itself = usize::from(of_case == case_parts(&words, &image.parts));
        let of_known_image = with_image.get(&of_case).copied().unwrap_or(0) > itself;
        let has_masks = with_masks.contains(&case_parts(&words, &image.parts));
        let of_known_expert = expert_of(spec, &mask.parts).is_some();
        match of_known_image || (of_known_expert && !has_masks) {
            true => masks.push(mask),
            false => images.push(image),
        }
    }
    for image in images {
        let parts = case_parts(&words, &image.parts);
        let case = CaseFiles::described(dir, layout, spec, &image.parts);
        let earlier = cases
            .entry(parts)
            .or_insert(case)
            .image
            .replace(image.path.clone());
        if let Some(earlier) = earlier {
            problems.push(twice(&image.path, "an image", &earlier));
        }
    }
    let without_image = add_masks(masks, &words, spec, &mut cases, problems);
    tell_of_others(dir, layout, others, problems);
    match cases.is_empty() {
        // That masks have no image follows from it.
        true => problems.push(no_case(dir, layout)),
        false => problems.extend(without_image.into_iter().map(|path| {
            DataProblem::error(
                path,
                "is a mask of a case which has no image that fits `dataset.images`",
                format!(
                    "add the image {}, or change the pattern",
                    layout.images.text()
                ),
            )
        })),
    }
    let mut cases: Vec<CaseFiles> = cases.into_values().collect();
    cases.sort_by_cached_key(|case| natural(Path::new(&case.name)));
    split::parts(dir, cases, spec.split_word(), &layout.split, problems)
}

/// Adds each mask to its case; returns those whose case has no image.
fn add_masks(
    masks: Vec<Fitting>,
    words: &[&str],
    spec: &DataSpec,
    cases: &mut BTreeMap<CaseParts, CaseFiles>,
    problems: &mut Vec<DataProblem>,
) -> Vec<PathBuf> {
    let mut without_image = Vec::new();
    let mut unknown: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for Fitting { path, parts } in masks {
        let Some(case) = cases.get_mut(&case_parts(words, &parts)) else {
            without_image.push(path);
            continue;
        };
        let Some(expert) = expert_of(spec, &parts) else {
            let word = part(&parts, EXPERT_PART).unwrap_or_default();
            unknown.entry(word.to_owned()).or_default().push(path);
            continue;
        };
        if let Some(earlier) = case.masks.insert(expert, path.clone()) {
            let what = format!("a mask of expert {}", spec.expert(expert));
            problems.push(twice(&path, &what, &earlier));
        }
    }
    let words: Vec<String> = unknown.keys().map(|word| format!("{word:?}")).collect();
    for (word, paths) in unknown {
        let shown = some_of(paths.iter().map(|path| path.display()));
        let first = paths.into_iter().next().unwrap_or_default();
        let (what, remedy) = match spec.experts.as_slice() {
            [] => (
                format!(
                    "is of expert \"{word}\", which is no number from 1 to 200, and is left out \
                     ({shown})"
                ),
                format!(
                    "name the experts: `experts = [{}]` under `[dataset]`",
                    words.iter().format(", ")
                ),
            ),
            names => (
                format!(
                    "is of expert \"{word}\", whom `dataset.experts` ({}) does not name, and is \
                     left out ({shown})",
                    names.iter().format(", ")
                ),
                "if it is an expert's mask, add the name there".to_owned(),
            ),
        };
        problems.push(DataProblem::warning(first, what, remedy));
    }
    without_image
}

/// The number of the expert whose mask it is; where the pattern names none, there is one.
fn expert_of(spec: &DataSpec, parts: &Parts) -> Option<Expert> {
    let Some(word) = part(parts, EXPERT_PART) else {
        return Some(1);
    };
    match spec.experts.as_slice() {
        [] => {
            let is_number = word.chars().all(|c| c.is_ascii_digit());
            let number = word
                .parse()
                .ok()
                .filter(|number| (1..=200).contains(number));
            number.filter(|_| is_number)
        }
        names => {
            let at = names.iter().position(|name| name == word)?;
            Expert::try_from(at + 1).ok()
        }
    }
}

fn case_parts(words: &[&str], parts: &Parts) -> CaseParts {
    let each = words
        .iter()
        .map(|word| part(parts, word).unwrap_or_default());
    each.map(str::to_owned).collect()
}

fn twice(path: &Path, what: &str, earlier: &Path) -> DataProblem {
    DataProblem::error(
        path,
        format!("is {what} of a case, and so is {}", earlier.display()),
        "make the pattern under `[dataset]` tell the two apart, or move one of them away",
    )
}

/// Tells of the files that fit no pattern.
fn tell_of_others(
    dir: &Path,
    layout: &FileLayout,
    others: Vec<PathBuf>,
    problems: &mut Vec<DataProblem>,
) {
    let what = format!(
        "fits neither `images = {:?}` nor `masks = {:?}` under `[dataset]` and is left out",
        layout.images.text(),
        layout.masks.text()
    );
    let remedy = "if it is an image or a mask, change the pattern so that it fits";
    let marker = dir.join(super::MARKER);
    let others = others.into_iter().filter(|path| *path != marker);
    problems.extend(others.map(|path| DataProblem::warning(path, &what, remedy)));
}

fn no_case(dir: &Path, layout: &FileLayout) -> DataProblem {
    let mut unread = Vec::new();
    let there = entries(dir, &mut unread).unwrap_or_default();
    let names = there.iter().filter_map(|path| path.file_name());
    let shown = match there.is_empty() {
        true => "it is empty".to_owned(),
        false => format!(
            "it holds {}",
            some_of(names.map(|name| name.display()).collect_vec().into_iter())
        ),
    };
    DataProblem::error(
        dir,
        format!(
            "has no file that fits `images = {:?}` under `[dataset]`; {shown}",
            layout.images.text()
        ),
        "write the paths of the images from this folder, with {case} where their names stand",
    )
}

/// A walk through the folders that patterns lead into.
struct Walk<'a> {
    spec: &'a DataSpec,
    layout: &'a FileLayout,
}

impl Walk<'_> {
    fn patterns(&self) -> [&PathPattern; 2] {
        [&self.layout.images, &self.layout.masks]
    }

    /// `so_far` holds for each pattern the parts of the folder's path, if that fits.
    fn through(
        &self,
        folder: &Path,
        depth: usize,
        so_far: &[Option<Parts>; 2],
        found: &mut FittingFiles,
        problems: &mut Vec<DataProblem>,
    ) {
        let patterns = self.patterns();
        for path in entries(folder, problems).unwrap_or_default() {
            let Some(name) = path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
            else {
                continue;
            };
            let fits = |i: usize| self.fit(patterns[i], depth, &name, so_far[i].as_ref()?);
            let is_folder = path.is_dir();
            let ends = |pattern: &PathPattern| pattern.depth() == depth + 1;
            let fits = [fits(0), fits(1)];
            let wanted = |i: usize| fits[i].clone().filter(|_| ends(patterns[i]) != is_folder);
            match (is_folder, wanted(0), wanted(1)) {
                (true, None, None) => problems.push(DataProblem::warning(
                    path,
                    "is a folder that no pattern under `[dataset]` leads into, and is left out",
                    "if it holds images or masks, change the pattern so that it fits",
                )),
                (true, images, masks) => {
                    self.through(&path, depth + 1, &[images, masks], found, problems);
                }
                (false, None, None) => found.others.push(path),
                (false, Some(parts), None) => found.images.push(Fitting { path, parts }),
                (false, None, Some(parts)) => found.masks.push(Fitting { path, parts }),
                (false, Some(image), Some(mask)) => {
                    let fitting = |parts| Fitting {
                        path: path.clone(),
                        parts,
                    };
                    found.both.push((fitting(image), fitting(mask)));
                }
            }
        }
    }

    /// The parts of a name; known experts before others.
    fn fit(
        &self,
        pattern: &PathPattern,
        depth: usize,
        name: &str,
        before: &Parts,
    ) -> Option<Parts> {
        let is_known = |word: &str, text: &str| {
            let parts = vec![(EXPERT_PART.to_owned(), text.to_owned())];
            word != EXPERT_PART || expert_of(self.spec, &parts).is_some()
        };
        let known = pattern.fit(depth, name, before, &is_known);
        known.or_else(|| pattern.fit(depth, name, before, &|_, _| true))
    }
}

impl CaseFiles {
    /// The case whose image has these parts; without files yet.
    fn described(dir: &Path, layout: &FileLayout, spec: &DataSpec, parts: &Parts) -> Self {
        let words = layout.images.words();
        let kept = parts.iter().filter(|(word, _)| word != EXPERT_PART);
        let kept: Parts = kept.cloned().collect();
        let text = |word: &str| part(&kept, word).map(str::to_owned);
        Self {
            folder: dir.to_owned(),
            name: Self::name_of(&words, &kept),
            unit: text(spec.split_word()).unwrap_or_default(),
            part: text(SPLIT_PART),
            image: None,
            masks: BTreeMap::new(),
            mask_names: MaskNames::Pattern {
                pattern: layout.masks.clone(),
                parts: kept,
            },
        }
    }

    /// The texts of all words but `{split}`.
    fn name_of(words: &[&str], parts: &Parts) -> String {
        let words = words.iter().filter(|word| **word != SPLIT_PART);
        words.filter_map(|word| part(parts, word)).join("_")
    }
}
