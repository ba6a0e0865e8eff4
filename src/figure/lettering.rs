//! Letters: their outlines, how wide a text is, and where it is broken or shortened.
//!
//! The rule: a figure does not depend on the fonts of a machine. Texts are measured by DejaVu Sans,
//! which is wider than most that show an SVG.

use std::{collections::HashMap, sync::LazyLock};

/// The outlines, which `glyphs.py` wrote.
const GLYPHS: &str = include_str!("glyphs.txt");
/// Units to the size of the letters.
const UNITS: f64 = 1000.0;
/// What stands for a letter that has no outline.
const UNKNOWN: char = '\u{fffd}';
/// How much wider bold letters are.
const BOLD: f64 = 1.12;

/// A letter's outline, as a share of the size of the letters.
#[derive(Clone, Copy, Debug)]
pub struct Glyph {
    /// Its width with the space around it.
    pub advance: f64,
    path: &'static str,
}

/// A step of an outline; y grows upwards from the line that letters stand on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GlyphStep {
    /// To a point, without a line.
    Move([f64; 2]),
    /// By a straight line.
    Line([f64; 2]),
    /// By a parabola with this control point.
    Curve([f64; 2], [f64; 2]),
    /// Back to where the outline began.
    Close,
}

static BY_LETTER: LazyLock<HashMap<char, Glyph>> = LazyLock::new(|| {
    let lines = GLYPHS.lines().filter(|line| !line.starts_with('#'));
    let glyphs = lines.map(|line| {
        let mut words = line.splitn(3, ' ');
        let mut next = || words.next().unwrap_or_default();
        let number = u32::from_str_radix(next(), 16);
        let letter = number.ok().and_then(char::from_u32);
        let advance: f64 = next().parse().expect("an advance is a number");
        let glyph = Glyph {
            advance: advance / UNITS,
            path: next(),
        };
        (letter.expect("a letter has a number"), glyph)
    });
    glyphs.collect()
});

impl Glyph {
    /// The outline of a letter; that of a question mark in a square where it has none.
    pub fn of(letter: char) -> Self {
        let known = BY_LETTER.get(&letter);
        *known.unwrap_or_else(|| &BY_LETTER[&UNKNOWN])
    }

    /// The steps of its outline.
    pub fn steps(&self) -> Vec<GlyphStep> {
        let starts = self.path.match_indices(char::is_alphabetic);
        let starts: Vec<usize> = starts.map(|(at, _)| at).collect();
        let ends = starts.iter().skip(1).copied().chain([self.path.len()]);
        let parts = starts.iter().zip(ends);
        let steps = parts.map(|(start, end)| {
            let numbers = self.path[start + 1..end].split_ascii_whitespace();
            let numbers: Vec<f64> = numbers
                .map(|word| word.parse::<f64>().expect("a coordinate is a number") / UNITS)
                .collect();
            match (self.path.as_bytes()[*start], numbers.as_slice()) {
                (b'M', [x, y]) => GlyphStep::Move([*x, *y]),
                (b'L', [x, y]) => GlyphStep::Line([*x, *y]),
                (b'Q', [cx, cy, x, y]) => GlyphStep::Curve([*cx, *cy], [*x, *y]),
                _ => GlyphStep::Close,
            }
        });
        steps.collect()
    }
}

/// Whether a letter has an outline.
pub fn is_known(letter: char) -> bool {
    letter == UNKNOWN || BY_LETTER.contains_key(&letter)
}

/// The width of a text in letters of a size.
pub fn width(text: &str, size: f64) -> f64 {
    let advances = text.chars().map(|letter| Glyph::of(letter).advance);
    size * advances.sum::<f64>()
}

/// The width of a text in bold letters.
pub fn bold_width(text: &str, size: f64) -> f64 {
    BOLD * width(text, size)
}

/// The lines of a text that are no wider than `most`; a word that alone is wider is broken.
pub fn lines(text: &str, size: f64, most: f64) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let mut line = lines.pop().unwrap_or_default();
        if !line.is_empty() {
            if width(&format!("{line} {word}"), size) <= most {
                line.push(' ');
            } else {
                lines.push(std::mem::take(&mut line));
            }
        }
        for letter in word.chars() {
            line.push(letter);
            if width(&line, size) > most && line.chars().nth(1).is_some() {
                line.pop();
                lines.push(std::mem::replace(&mut line, letter.to_string()));
            }
        }
        lines.push(line);
    }
    lines
}

/// A text, or its beginning and `…` where it is wider than `most`.
pub fn shortened(text: &str, size: f64, most: f64) -> String {
    if width(text, size) <= most {
        return text.to_owned();
    }
    let mut short = String::new();
    for letter in text.chars() {
        short.push(letter);
        if width(&short, size) + width("…", size) > most {
            short.pop();
            break;
        }
    }
    short + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outlines_begin_with_a_point_and_are_closed() {
        assert!(BY_LETTER.len() > 300, "{}", BY_LETTER.len());
        for letter in ('!'..='~').chain("éßŁ×·–…".chars()) {
            assert!(is_known(letter), "{letter}");
            let glyph = Glyph::of(letter);
            let steps = glyph.steps();
            assert!(
                matches!(steps[0], GlyphStep::Move(_)),
                "{letter}: {steps:?}"
            );
            assert_eq!(steps.last(), Some(&GlyphStep::Close), "{letter}");
            assert!((0.2..1.1).contains(&glyph.advance), "{letter}");
        }
        assert!(Glyph::of(' ').steps().is_empty());
        assert!(!is_known('脳'));
    }

    #[test]
    fn lines_are_no_wider_than_asked() {
        let text = "the experts' masks were drawn by a program, averylongwordwithoutanyspace";
        let all = lines(text, 10.0, 120.0);
        assert!(all.iter().all(|line| width(line, 10.0) <= 120.0), "{all:?}");
        assert!(all.len() > 3);
        assert_eq!(all.concat().replace(' ', ""), text.replace(' ', ""));
        assert_eq!(lines("short", 10.0, 120.0), ["short"]);
        let short = shortened(text, 10.0, 120.0);
        assert!(
            width(&short, 10.0) <= 120.0 && short.starts_with("the experts"),
            "{short}"
        );
    }
}
