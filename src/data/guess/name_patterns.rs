//! Patterns of paths, the split and the names of experts, guessed from the names of files.
//!
//! The rule: what differs between the paths of images is a case, or a side of the split where the
//! words are those of one; what differs between the masks of a case is an expert.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use itertools::Itertools;

use crate::manifest::{CaseSplit, FileLayout, PathPattern};

/// A file of a data set.
#[derive(Clone, Debug)]
pub(super) struct NamedFile {
    pub(super) path: PathBuf,
    /// The names of its path from the data set's folder.
    pub(super) names: Vec<String>,
}

/// The share of test cases, where nothing says which they are.
const SHARE: f64 = 0.25;
/// What folders of training and of test cases are called.
const TRAINING: [&str; 4] = ["training", "train", "tr", "imagestr"];
const TEST: [&str; 6] = ["validation", "valid", "val", "test", "testing", "ts"];

/// Patterns and split, and the names of experts where they have no numbers.
pub(super) fn layout(
    images: &[NamedFile],
    masks: &[NamedFile],
) -> Option<(FileLayout, Vec<String>)> {
    let depth = images[0].names.len();
    if images.iter().any(|image| image.names.len() != depth) {
        return None;
    }
    let at = |place: usize| -> BTreeSet<&str> {
        images
            .iter()
            .map(|image| image.names[place].as_str())
            .collect()
    };
    let varying = (0..depth)
        .filter(|place| at(*place).len() > 1)
        .collect_vec();
    let split = varying
        .iter()
        .copied()
        .find_map(|place| Some((place, sides(&at(place))?)));
    let of_names = varying
        .iter()
        .copied()
        .filter(|place| split.as_ref().is_none_or(|(split, _)| split != place))
        .collect_vec();
    let last = *of_names.last()?;
    // With the whole name as the case's, or without what all names begin with.
    [false, true].into_iter().find_map(|shorter| {
        let words = NamePlaces::of(
            images,
            &of_names,
            last,
            split.as_ref().map(|(at, _)| *at),
            shorter,
        );
        let (masks, experts) = words.masks(images, masks)?;
        let split = match &split {
            Some((_, split)) => split.clone(),
            None => CaseSplit::Share {
                test: SHARE,
                seed: 0,
            },
        };
        let layout = FileLayout {
            images: PathPattern::parse(&words.pattern(&images[0])).ok()?,
            masks: PathPattern::parse(&masks).ok()?,
            split,
        };
        Some((layout, experts))
    })
}

/// The split that folders of these names make.
fn sides(names: &BTreeSet<&str>) -> Option<CaseSplit> {
    let side = |words: &[&str]| -> Vec<String> {
        let is = |name: &&str| words.contains(&name.to_lowercase().as_str());
        names
            .iter()
            .copied()
            .filter(is)
            .map(str::to_owned)
            .collect()
    };
    let (training, test) = (side(&TRAINING), side(&TEST));
    let whole = training.len() + test.len() == names.len();
    (whole && !training.is_empty() && !test.is_empty())
        .then_some(CaseSplit::Named { training, test })
}

/// Where the words of the images' pattern stand.
struct NamePlaces {
    /// The words in braces by the place of their name in a path.
    places: BTreeMap<usize, String>,
    /// The place of the case's name, what stands before and behind it.
    case: usize,
    before: String,
    behind: String,
}

impl NamePlaces {
    fn of(
        images: &[NamedFile],
        places: &[usize],
        case: usize,
        split: Option<usize>,
        shorter: bool,
    ) -> Self {
        let names = images
            .iter()
            .map(|image| image.names[case].as_str())
            .collect_vec();
        let is_file = case + 1 == images[0].names.len();
        let behind = match is_file {
            true => common_end(&names),
            false => String::new(),
        };
        let before = match shorter {
            true => common_start(&names),
            false => String::new(),
        };
        let mut words: BTreeMap<usize, String> = BTreeMap::new();
        for (i, place) in places.iter().filter(|place| **place != case).enumerate() {
            let word = ["patient", "series"].get(i).copied().map(str::to_owned);
            words.insert(*place, word.unwrap_or_else(|| format!("part{i}")));
        }
        words.extend(split.map(|place| (place, "split".to_owned())));
        words.insert(case, "case".to_owned());
        Self {
            places: words,
            case,
            before,
            behind,
        }
    }

    fn pattern(&self, image: &NamedFile) -> String {
        let name = |(place, name): (usize, &String)| match self.places.get(&place) {
            Some(word) if place == self.case => {
                format!("{}{{{word}}}{}", self.before, self.behind)
            }
            Some(word) => format!("{{{word}}}"),
            None => name.clone(),
        };
        image.names.iter().enumerate().map(name).join("/")
    }

    /// The texts of the words in the path of an image, the longest first.
    fn texts(&self, image: &NamedFile) -> Vec<(String, String)> {
        let text = |(place, word): (&usize, &String)| {
            let name = image.names[*place].as_str();
            let text = match *place == self.case {
                true => {
                    let name = name.strip_suffix(self.behind.as_str()).unwrap_or(name);
                    name.strip_prefix(self.before.as_str()).unwrap_or(name)
                }
                false => name,
            };
            (word.clone(), text.to_owned())
        };
        let mut texts = self.places.iter().map(text).collect_vec();
        texts.sort_by_key(|(_, text)| std::cmp::Reverse(text.len()));
        texts
    }

    /// The pattern of the masks, and names of experts where they are no numbers.
    fn masks(&self, images: &[NamedFile], masks: &[NamedFile]) -> Option<(String, Vec<String>)> {
        let texts = images.iter().map(|image| self.texts(image)).collect_vec();
        let mut templates = BTreeSet::new();
        for mask in masks {
            let path = mask.names.join("/");
            let fits = texts.iter().filter_map(|texts| {
                let length: usize = texts.iter().map(|(_, text)| text.len()).sum();
                Some((length, template(&path, texts)?))
            });
            let (_, best) = fits.max_by_key(|(length, _)| *length)?;
            templates.insert(best);
        }
        let templates = templates.iter().map(String::as_str).collect_vec();
        if let [one] = templates.as_slice() {
            return Some(((*one).to_owned(), Vec::new()));
        }
        let (start, end) = common_parts(&templates);
        let middles = templates
            .iter()
            .map(|t| &t[start..t.len() - end])
            .collect_vec();
        let is_word = |word: &&&str| !word.is_empty() && !word.contains(['/', '{', '}']);
        if middles.iter().filter(is_word).count() < middles.len() {
            return None;
        }
        let first = templates[0];
        let pattern = format!(
            "{}{{expert}}{}",
            &first[..start],
            &first[first.len() - end..]
        );
        let numbers = middles.iter().map(|word| word.parse::<u8>().ok());
        let numbered = numbers
            .clone()
            .all(|n| n.is_some_and(|n| (1..=200).contains(&n)));
        let names = middles.iter().map(|word| (*word).to_owned());
        Some(match numbered {
            true => (pattern, Vec::new()),
            false => (pattern, names.collect()),
        })
    }
}

/// A path with its texts replaced by their words; `None` where one does not stand in it.
fn template(path: &str, texts: &[(String, String)]) -> Option<String> {
    let mut path = path.to_owned();
    for (word, text) in texts {
        let places = path.match_indices(text.as_str()).map(|(at, _)| at);
        let edge = |c: Option<char>, own: Option<char>| match (c, own) {
            (Some(c), Some(own)) if own.is_ascii_digit() => !c.is_ascii_digit(),
            (Some(c), _) => !c.is_alphanumeric(),
            (None, _) => true,
        };
        let stands = |at: &usize| {
            let (before, rest) = path.split_at(*at);
            let inside = before.rfind('{') > before.rfind('}');
            let after = rest[text.len()..].chars().next();
            edge(before.chars().next_back(), text.chars().next())
                && edge(after, text.chars().next_back())
                && !inside
        };
        let found = places.filter(stands).collect_vec();
        if found.is_empty() {
            return None;
        }
        for at in found.into_iter().rev() {
            path.replace_range(at..at + text.len(), &format!("{{{word}}}"));
        }
    }
    Some(path)
}

/// What all names end with, from a sign between words on.
fn common_end(names: &[&str]) -> String {
    let first = names[0];
    let shared = |end: &&str| {
        names
            .iter()
            .all(|name| name.len() > end.len() && name.ends_with(end))
    };
    let ends = first.char_indices().filter(|(_, c)| "._- ".contains(*c));
    let ends = ends.map(|(at, _)| &first[at..]);
    ends.filter(shared)
        .max_by_key(|end| end.len())
        .unwrap_or_default()
        .to_owned()
}

/// What all names begin with, but digits.
fn common_start(names: &[&str]) -> String {
    let (start, _) = common_parts(names);
    names[0][..start].to_owned()
}

/// How many bytes all texts begin and end with, without cutting a number or a word apart.
fn common_parts(texts: &[&str]) -> (usize, usize) {
    let first = texts[0];
    let shortest = texts
        .iter()
        .map(|text| text.len())
        .min()
        .unwrap_or_default();
    let starts =
        |n: &usize| first.is_char_boundary(*n) && texts.iter().all(|t| t.starts_with(&first[..*n]));
    let mut start = (0..=shortest).filter(starts).max().unwrap_or_default();
    let ends = |n: &usize| {
        let at = first.len() - n;
        first.is_char_boundary(at) && texts.iter().all(|t| t.ends_with(&first[at..]))
    };
    let mut end = (0..=shortest - start)
        .filter(ends)
        .max()
        .unwrap_or_default();
    let middles = || texts.iter().map(|text| &text[start..text.len() - end]);
    let digits = middles().all(|m| !m.is_empty() && m.chars().all(|c| c.is_ascii_digit()));
    let cut = |c: char| match digits {
        true => c.is_ascii_digit(),
        false => c.is_alphanumeric(),
    };
    while first[..start].chars().next_back().is_some_and(cut) {
        start -= first[..start].chars().next_back().map_or(1, char::len_utf8);
    }
    while first[first.len() - end..].chars().next().is_some_and(cut) {
        end -= first[first.len() - end..]
            .chars()
            .next()
            .map_or(1, char::len_utf8);
    }
    (start, end)
}
