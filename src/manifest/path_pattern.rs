//! Patterns of the paths of a data set's files, such as `images/{case}.png`.
//!
//! The rule: a pattern is split at `/`, and each part is matched with one name. `{word}` stands for
//! a part of the name, at least one character; the same word stands for the same text everywhere.
//! `*` stands for anything, or nothing. Where several texts fit, earlier ones are as long as
//! possible.

use serde::{Deserialize, Serialize};

/// What stands for the expert in a pattern.
pub const EXPERT_PART: &str = "expert";
/// What stands for the folder, or the part of a name, that tells training from test cases.
pub const SPLIT_PART: &str = "split";
/// What a case is called by.
pub const CASE_PART: &str = "case";

/// Most of `{word}` and `*` in the name of one file or folder: matching tries their lengths.
const MOST_OPEN: usize = 4;
/// Most names of a path.
const MOST_NAMES: usize = 8;

/// A pattern of relative paths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PathPattern {
    /// As it was written.
    text: String,
    names: Vec<Vec<Piece>>,
}

/// A piece of the pattern of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Anything,
    Part(String),
}

/// The texts that the words of a pattern stand for, in the order in which they were found.
pub type Parts = Vec<(String, String)>;

/// The text of a word.
pub fn part<'a>(parts: &'a Parts, word: &str) -> Option<&'a str> {
    let found = parts.iter().find(|(known, _)| known == word);
    found.map(|(_, text)| text.as_str())
}

impl TryFrom<String> for PathPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<PathPattern> for String {
    fn from(pattern: PathPattern) -> Self {
        pattern.text
    }
}

impl PathPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it, and what to write.
    pub fn parse(text: &str) -> Result<Self, String> {
        let example = "write for example \"images/{case}.png\", relative to the data set's folder";
        if text.is_empty() || text.starts_with('/') || text.contains('\\') {
            return Err(format!(
                "\"{text}\" is no relative path with `/`; {example}"
            ));
        }
        let names: Vec<Vec<Piece>> = text.split('/').map(pieces).collect::<Result<_, _>>()?;
        if names.len() > MOST_NAMES {
            return Err(format!(
                "\"{text}\" has more than {MOST_NAMES} names; {example}"
            ));
        }
        Ok(Self {
            text: text.to_owned(),
            names,
        })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How many names a path has that fits.
    pub fn depth(&self) -> usize {
        self.names.len()
    }

    /// The words in braces, each once, in their order.
    pub fn words(&self) -> Vec<&str> {
        let mut words: Vec<&str> = Vec::new();
        for piece in self.names.iter().flatten() {
            if let Piece::Part(word) = piece
                && !words.contains(&word.as_str())
            {
                words.push(word);
            }
        }
        words
    }

    /// The parts of a path once the name at `depth` is `name`, given those of the names before it;
    /// `None` where it does not fit. `accepts` says which texts a word may stand for.
    pub fn fit(
        &self,
        depth: usize,
        name: &str,
        before: &Parts,
        accepts: &dyn Fn(&str, &str) -> bool,
    ) -> Option<Parts> {
        let mut parts = before.clone();
        fit(self.names.get(depth)?, name, &mut parts, accepts).then_some(parts)
    }

    /// The path with these parts; what is not among them, and `*`, stay as they are.
    pub fn filled(&self, parts: &Parts) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Anything => "*".to_owned(),
            Piece::Part(word) => {
                part(parts, word).map_or_else(|| format!("{{{word}}}"), str::to_owned)
            }
        };
        let names = self.names.iter();
        let names: Vec<String> = names.map(|name| name.iter().map(piece).collect()).collect();
        names.join("/")
    }
}

/// Whether a name fits a text in which `*` stands for anything.
pub fn glob_fits(glob: &str, name: &str) -> bool {
    let mut pieces: Vec<Piece> = Vec::new();
    for (i, text) in glob.split('*').enumerate() {
        if i > 0 && pieces.last() != Some(&Piece::Anything) {
            pieces.push(Piece::Anything);
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text.to_owned()));
        }
    }
    fit(&pieces, name, &mut Parts::new(), &|_, _| true)
}

fn pieces(name: &str) -> Result<Vec<Piece>, String> {
    if ["", ".", ".."].contains(&name) {
        return Err(format!(
            "\"{name}\" is no name of a file or folder; write the path from the data set's folder \
             downwards"
        ));
    }
    let mut pieces = Vec::new();
    let mut rest = name;
    while let Some(at) = rest.find(['*', '{', '}']) {
        let (text, open) = rest.split_at(at);
        if !text.is_empty() {
            pieces.push(Piece::Text(text.to_owned()));
        }
        if !pieces.is_empty() && text.is_empty() {
            return Err(format!(
                "\"{name}\" does not say where one part ends and the next begins; write a text \
                 between the two"
            ));
        }
        if let Some(after) = open.strip_prefix('*') {
            pieces.push(Piece::Anything);
            rest = after;
            continue;
        }
        let word = open.strip_prefix('{').and_then(|open| open.split_once('}'));
        let is_word = |word: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
            !word.is_empty() && word.chars().all(plain)
        };
        match word {
            Some((word, after)) if is_word(word) => {
                pieces.push(Piece::Part(word.to_owned()));
                rest = after;
            }
            _ => {
                return Err(format!(
                    "\"{name}\" has braces around no word; write {{case}}, {{expert}}, {{split}} \
                     or a word of your own, of letters, digits and `_`"
                ));
            }
        }
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    let open = pieces
        .iter()
        .filter(|piece| !matches!(piece, Piece::Text(_)));
    if open.count() > MOST_OPEN {
        return Err(format!(
            "\"{name}\" has more than {MOST_OPEN} parts that are open; name fewer"
        ));
    }
    Ok(pieces)
}

fn fit(
    pieces: &[Piece],
    name: &str,
    parts: &mut Parts,
    accepts: &dyn Fn(&str, &str) -> bool,
) -> bool {
    let Some((first, rest)) = pieces.split_first() else {
        return name.is_empty();
    };
    let (word, least) = match first {
        Piece::Text(text) => {
            let after = name.strip_prefix(text.as_str());
            return after.is_some_and(|after| fit(rest, after, parts, accepts));
        }
        Piece::Anything => (None, 0),
        Piece::Part(word) => (Some(word), 1),
    };
    if let Some(known) = word.and_then(|word| part(parts, word)) {
        let after = name.strip_prefix(known);
        return after.is_some_and(|after| fit(rest, after, parts, accepts));
    }
    let ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
    let ends: Vec<usize> = ends.skip(least).collect();
    for end in ends.into_iter().rev() {
        let (text, after) = name.split_at(end);
        let known = parts.len();
        if let Some(word) = word {
            if !accepts(word, text) {
                continue;
            }
            parts.push((word.clone(), text.to_owned()));
        }
        if fit(rest, after, parts, accepts) {
            return true;
        }
        parts.truncate(known);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, path: &str, accepts: &dyn Fn(&str, &str) -> bool) -> Option<String> {
        let pattern = PathPattern::parse(pattern).unwrap();
        let names: Vec<&str> = path.split('/').collect();
        if names.len() != pattern.depth() {
            return None;
        }
        let mut parts = Parts::new();
        for (depth, name) in names.iter().enumerate() {
            parts = pattern.fit(depth, name, &parts, accepts)?;
        }
        let each = parts.iter().map(|(word, text)| format!("{word}={text}"));
        Some(each.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn a_path_fits_with_one_text_for_each_word() {
        let any = |_: &str, _: &str| true;
        let digits =
            |word: &str, text: &str| word != "expert" || text.chars().all(|c| c.is_ascii_digit());
        for (pattern, path, found) in [
            ("images/{case}.png", "images/a 1.png", Some("case=a 1")),
            ("images/{case}.png", "images/.png", None),
            ("images/{case}.png", "images/a.PNG", None),
            ("{case}/{case}_seg.nii*", "a/a_seg.nii.gz", Some("case=a")),
            ("{case}/{case}_seg.nii*", "a/b_seg.nii", None),
            (
                "{case}_{expert}.png",
                "a_b_c.png",
                Some("case=a_b expert=c"),
            ),
            ("*a{case}x", "ax", None),
            ("*a{case}x", "aax", Some("case=a")),
            ("a*-{case}", "ab-c-d", Some("case=d")),
            ("{p}/m-{expert}/*.png", "x/m-3/y.png", Some("p=x expert=3")),
            ("{case}.png", "é.png", Some("case=é")),
        ] {
            let found = found.map(str::to_owned);
            assert_eq!(fits(pattern, path, &any), found, "{pattern} {path}");
        }
        let found = fits("{case}_{expert}.*", "a_1_x.y", &digits);
        assert_eq!(found, None);
        let found = fits("{case}_{expert}_*", "a_1_x.y", &digits);
        assert_eq!(found.as_deref(), Some("case=a expert=1"));
        assert!(glob_fits("case2*", "case21") && glob_fits("*", "") && glob_fits("a**b", "ab"));
        assert!(!glob_fits("case2*", "case12") && !glob_fits("case2", "case21"));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for (text, wanted) in [
            ("", "relative"),
            ("/data/{case}.png", "relative"),
            ("a//b", "no name"),
            ("../{case}.png", "no name"),
            ("{case", "braces"),
            ("{}.png", "braces"),
            ("{ca se}.png", "braces"),
            ("{case}{expert}.png", "between"),
            ("*{case}.png", "between"),
            ("{a}-{b}-{c}-{d}-{e}", "more than 4"),
            ("a/b/c/d/e/f/g/h/{case}", "more than 8"),
        ] {
            let why = PathPattern::parse(text).unwrap_err();
            assert!(why.contains(wanted), "{text}: {why}");
        }
    }
}
