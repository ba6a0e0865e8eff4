//! What is wrong with a text that is not TOML, in the words of somebody who edits a manifest.
//!
//! The rule: the place is where the mistake was made, not where the parser noticed it. A mistake
//! that is none of the usual ones keeps the parser's words.

use std::ops::Range;

/// A mistake: the byte where it was made, and what to do.
pub(super) struct Mistake {
    pub at: usize,
    pub message: String,
}

/// Explains the errors of the parser. What only follows from a mistake is left out.
pub(super) fn explain_all<'a>(
    text: &str,
    errors: impl IntoIterator<Item = (Range<usize>, &'a str)>,
) -> Vec<Mistake> {
    let errors: Vec<(Range<usize>, &str)> = errors.into_iter().collect();
    if errors.is_empty() {
        return Vec::new();
    }
    if let Some(mistake) = other_language(text).or_else(|| open_bracket(text)) {
        return vec![mistake];
    }
    let mut explained = Vec::new();
    let mut others = Vec::new();
    for (span, message) in errors {
        match explain(text, span.clone(), message) {
            Some(mistake) => explained.push(mistake),
            None => others.push((floor(text, span.start), message)),
        }
    }
    let line = |at: usize| TextLine::of(text, at).begin;
    // The parser goes on behind a mistake and stumbles over the rest of the line.
    others.retain(|(at, _)| {
        explained
            .iter()
            .all(|mistake| line(mistake.at) != line(*at))
    });
    explained.extend(
        others
            .into_iter()
            .map(|(at, message)| not_toml(at, message.trim().to_owned())),
    );
    explained
}

/// Explains an error of the parser; none where it is none of the usual mistakes.
fn explain(text: &str, span: Range<usize>, message: &str) -> Option<Mistake> {
    let at = floor(text, span.start);
    let line = TextLine::of(text, at);
    let found = match message {
        "duplicate key" => repeated(text, at..floor(text, span.end)),
        _ => line.unclosed().or_else(|| open_lines(text, at)),
    };
    found
        .or_else(|| line.escape(message))
        .or_else(|| line.value(at, message))
}

/// A text in another language than TOML.
fn other_language(text: &str) -> Option<Mistake> {
    let begin = text.find(|c: char| !c.is_whitespace())?;
    text[begin..].starts_with('{').then(|| {
        not_toml(
            begin,
            "this is JSON; in TOML a section is `[name]` and a value `key = value`".to_owned(),
        )
    })
}

/// A list or the head of a section that is not closed, before another key or section begins.
fn open_bracket(text: &str) -> Option<Mistake> {
    if text.contains("\"\"\"") || text.contains("'''") {
        return None;
    }
    let mut open: Vec<usize> = Vec::new();
    let mut begin = 0;
    for row in text.split_inclusive('\n') {
        let line = TextLine {
            text: row.trim_end(),
            begin,
        };
        if let Some(first) = open.first()
            && line.begins_anew()
        {
            return Some(unclosed_bracket(*first));
        }
        let (quoted, end) = line.quoted();
        if quoted.iter().any(|(_, close)| close.is_none()) {
            return None;
        }
        let inside = |i: usize| quoted.iter().any(|(from, to)| *from < i && Some(i) < *to);
        for (i, c) in line.text[..end].char_indices().filter(|(i, _)| !inside(*i)) {
            match c {
                '[' => open.push(begin + i),
                ']' => drop(open.pop()),
                _ => {}
            }
        }
        begin += row.len();
    }
    open.first().map(|first| unclosed_bracket(*first))
}

fn unclosed_bracket(at: usize) -> Mistake {
    not_toml(
        at,
        "a bracket is missing: no `]` closes the one that stands here".to_owned(),
    )
}

/// The largest boundary of characters up to a byte.
fn floor(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at)
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0)
}

fn not_toml(at: usize, why: String) -> Mistake {
    Mistake {
        at,
        message: format!("not valid TOML: {why}"),
    }
}

/// One line of a text.
struct TextLine<'a> {
    text: &'a str,
    begin: usize,
}

impl<'a> TextLine<'a> {
    fn of(text: &'a str, at: usize) -> Self {
        let begin = text[..at].rfind('\n').map_or(0, |end| end + 1);
        let end = text[begin..]
            .find('\n')
            .map_or(text.len(), |end| begin + end);
        Self {
            text: text[begin..end].trim_end(),
            begin,
        }
    }

    /// Whether a key or a section begins with it.
    fn begins_anew(&self) -> bool {
        let content = self.text.trim_start();
        let name = |text: &str| {
            let plain = |c: char| c.is_alphanumeric() || "_-.\"' ".contains(c);
            text.starts_with(|c: char| c.is_alphabetic() || c == '_') && text.chars().all(plain)
        };
        let head = content
            .strip_prefix('[')
            .and_then(|rest| rest.split_once(']'));
        let key = content.split_once('=');
        head.is_some_and(|(head, _)| name(head)) || key.is_some_and(|(key, _)| name(key))
    }

    /// What is in quotes, where each begins and ends; the last may have no end. And where a comment
    /// begins, or the line ends.
    fn quoted(&self) -> (Vec<(usize, Option<usize>)>, usize) {
        let mut found: Vec<(usize, Option<usize>)> = Vec::new();
        let mut open = None;
        let mut escaped = false;
        for (i, c) in self.text.char_indices() {
            match (open, c) {
                (None, '#') => return (found, i),
                (None, '"' | '\'') => {
                    open = Some(c);
                    found.push((i, None));
                }
                (Some('"'), '\\') if !escaped => {
                    escaped = true;
                    continue;
                }
                (Some(quote), c) if c == quote && !escaped => {
                    open = None;
                    if let Some(last) = found.last_mut() {
                        last.1 = Some(i);
                    }
                }
                _ => {}
            }
            escaped = false;
        }
        (found, self.text.len())
    }

    /// A quote that opens and is not closed.
    fn unclosed(&self) -> Option<Mistake> {
        if self.text.contains("\"\"\"") || self.text.contains("'''") {
            return None;
        }
        let (quoted, _) = self.quoted();
        let (open, None) = quoted.last()? else {
            return None;
        };
        let quote = &self.text[*open..=*open];
        let why = match self.text.len() == open + 1 && !self.text[..*open].ends_with(['=', ' ']) {
            true => format!("a quote is missing: a text ends here with {quote} and none opens it"),
            false => format!(
                "a quote is missing: the text that begins here is not closed by {quote} on its line"
            ),
        };
        Some(not_toml(self.begin + open, why))
    }

    /// A backslash that is no escape sequence, as in a path.
    fn escape(&self, message: &str) -> Option<Mistake> {
        let (quoted, _) = self.quoted();
        let mut basic = quoted
            .iter()
            .filter(|(open, _)| self.text[*open..].starts_with('"'));
        let slash = basic.find_map(|(open, close)| {
            let inside = &self.text[*open..close.unwrap_or(self.text.len())];
            inside.find('\\').map(|at| open + at)
        })?;
        let about_strings = message.contains("string") || message.contains("escape");
        about_strings.then(|| {
            not_toml(
                self.begin + slash,
                "within \"quotes\" a backslash begins an escape sequence; write paths with `/`, or \
                 in 'single quotes'"
                    .to_owned(),
            )
        })
    }

    /// A value that needs quotes, a comma, or another spelling.
    fn value(&self, at: usize, message: &str) -> Option<Mistake> {
        let (quoted, end) = self.quoted();
        let content = &self.text[..end];
        let equals = content.find('=');
        if equals.is_none()
            && let Some(colon) = content.find(':')
            && !content.starts_with('[')
        {
            return Some(not_toml(
                self.begin + colon,
                "write `=` between a key and its value, not `:`".to_owned(),
            ));
        }
        let Some(equals) = equals else {
            return self.without_equals(content);
        };
        let column = (at - self.begin).clamp(equals + 1, end.max(equals + 1));
        let inside = |i: usize| {
            let within = |(open, close): &(usize, Option<usize>)| {
                *open < i && close.is_some_and(|close| i < close)
            };
            quoted.iter().any(within)
        };
        let delimits = |(i, c): &(usize, char)| "=,[]{}".contains(*c) && !inside(*i);
        let mut before = content[..column.min(content.len())].char_indices();
        // The value begins behind the equals sign, whatever quotes stand before it.
        let start = before.rfind(delimits).map_or(0, |(i, _)| i + 1);
        let start = start.max(equals + 1);
        let mut behind = content[start..].char_indices().map(|(i, c)| (start + i, c));
        let stop = behind.find(delimits).map_or(content.len(), |(i, _)| i);
        let value = content[start..stop].trim();
        let begin = start + content[start..stop].find(value)?;
        let listed = content[equals..start].contains('[');
        let key = content[..equals].trim();
        let why = misspelt(key, value, listed)
            .or_else(|| decimal_comma(key, &content[equals + 1..]))
            .or_else(|| no_value(value, message))?;
        Some(not_toml(self.begin + begin, why))
    }

    /// A key with its value, and nothing between them.
    fn without_equals(&self, content: &str) -> Option<Mistake> {
        let words: Vec<&str> = content.split_whitespace().collect();
        let key = words.first().filter(|key| !key.starts_with('['))?;
        let why = match words.len() {
            1 => format!("`{key}` has no value; write `{key} = ` and the value"),
            _ => format!(
                "write `=` between a key and its value: `{key} = {}`",
                words[1..].join(" ")
            ),
        };
        Some(not_toml(self.begin + content.find(key)?, why))
    }
}

/// What stands in place of a value, where that is none of the usual mistakes.
fn no_value(value: &str, message: &str) -> Option<String> {
    let unknown = message.contains("string values must be quoted") && !value.is_empty();
    unknown.then(|| {
        format!("`{value}` is neither a number nor a text in quotes nor `true` or `false`")
    })
}

/// Characters that look like those of TOML, and what belongs to other languages.
fn foreign(key: &str, value: &str) -> Option<String> {
    const QUOTES: &str = "\u{201c}\u{201d}\u{201e}\u{2018}\u{2019}\u{201a}\u{ab}\u{bb}";
    const DASHES: &str = "\u{2212}\u{2013}\u{2014}";
    let quote = |c: char| QUOTES.contains(c);
    if value.starts_with(quote) {
        return Some(format!(
            "these quotes are those of printed text; write `{key} = \"{}\"`",
            value.trim_matches(quote)
        ));
    }
    let plain = value.replace(|c: char| DASHES.contains(c), "-");
    if plain != value && plain.parse::<f64>().is_ok() {
        return Some(format!(
            "this minus sign is that of printed text; write `{key} = {plain}`"
        ));
    }
    if let Some((before, _)) = value.split_once("//")
        && !value.starts_with(['"', '\''])
    {
        return Some(format!(
            "a comment begins with `#`, not with `//`; write `{key} = {} # ...`",
            before.trim()
        ));
    }
    let before = value.strip_suffix(';')?.trim_end();
    Some(format!("a line ends without `;`; write `{key} = {before}`"))
}

/// A number that TOML does not read as one.
fn number_like(key: &str, value: &str) -> Option<String> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (sign, bare) = match value.strip_prefix('-') {
        Some(bare) => ("-", bare),
        None => ("", value),
    };
    if digits(bare) && bare.len() > 1 && bare.starts_with('0') {
        let short = bare.trim_start_matches('0');
        let short = if short.is_empty() { "0" } else { short };
        return Some(format!(
            "a number does not begin with 0; write `{key} = {sign}{short}`"
        ));
    }
    if bare.parse::<f64>().is_ok()
        && let Some((whole, rest)) = bare.split_once('.')
    {
        let whole = if whole.is_empty() { "0" } else { whole };
        let rest = match rest.starts_with(|c: char| c.is_ascii_digit()) {
            true => rest.to_owned(),
            false => format!("0{rest}"),
        };
        return (format!("{whole}.{rest}") != bare).then(|| {
            format!("a point stands between digits; write `{key} = {sign}{whole}.{rest}`")
        });
    }
    const LONGEST_UNIT: usize = 3;
    let end = value.rfind(|c: char| c.is_ascii_digit())? + 1;
    let (number, unit) = value.split_at(end);
    let unit = unit.trim_start();
    let is_unit = !unit.is_empty()
        && unit.chars().count() <= LONGEST_UNIT
        && unit.chars().all(|c| c.is_alphabetic() || c == '%');
    (is_unit && number.parse::<f64>().is_ok())
        .then(|| format!("`{value}` is not a number; write it without `{unit}`"))
}

/// What is wrong with the text of a value.
fn misspelt(key: &str, value: &str, listed: bool) -> Option<String> {
    if let Some(why) = foreign(key, value).or_else(|| number_like(key, value)) {
        return Some(why);
    }
    let words: Vec<&str> = value.split_whitespace().collect();
    let number = |word: &&str| word.parse::<f64>().is_ok();
    let whole = |word: &&str| number(word) || word.starts_with(['"', '\'']);
    if words.len() > 1 && words.iter().all(whole) {
        return Some(match listed {
            true => format!(
                "a comma is missing in `{value}`; write `{}`",
                words.join(", ")
            ),
            false => format!("`{key}` has one value, and `{value}` are several"),
        });
    }
    match value {
        "True" | "TRUE" | "yes" | "on" => return Some(format!("write `true`, not `{value}`")),
        "False" | "FALSE" | "no" | "off" => return Some(format!("write `false`, not `{value}`")),
        "None" | "null" | "nil" | "~" => {
            return Some(format!(
                "TOML has no `{value}`; leave the key out and it has its default"
            ));
        }
        "" | "true" | "false" | "inf" | "nan" => return None,
        _ => {}
    }
    let plain = |c: char| c.is_alphanumeric() || " _-./+".contains(c);
    let text = value.trim_end_matches(['"', '\'']);
    let begins = text.starts_with(|c: char| c.is_alphabetic() || c == '/' || c == '.');
    (begins && text.chars().all(plain) && !text.is_empty()).then(|| match listed {
        true => format!("`{value}` is a text; write it in quotes: `\"{text}\"`"),
        false => format!("`{value}` is a text; write it in quotes: `{key} = \"{text}\"`"),
    })
}

/// A number with a decimal comma in place of a point.
fn decimal_comma(key: &str, value: &str) -> Option<String> {
    let (whole, fraction) = value.trim().split_once(',')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits(whole.trim_start_matches('-')) && digits(fraction);
    number.then(|| format!("a number has a point: `{key} = {whole}.{fraction}`"))
}

/// A text over several lines that is not closed.
fn open_lines(text: &str, at: usize) -> Option<Mistake> {
    ["\"\"\"", "'''"].into_iter().find_map(|quotes| {
        let odd = text.matches(quotes).count() % 2 == 1;
        let open = text[..at].rfind(quotes).filter(|_| odd)?;
        let why = format!("the text that begins here is not closed by {quotes}");
        Some(not_toml(open, why))
    })
}

/// A key or a section that is there already.
fn repeated(text: &str, key: Range<usize>) -> Option<Mistake> {
    let line = TextLine::of(text, key.start).begin;
    let (mut section, mut all) = (String::new(), Vec::new());
    let mut begin = 0;
    for row in text.split_inclusive('\n') {
        let content = row.trim();
        if let Some(header) = content.strip_prefix('[') {
            section = header
                .split(']')
                .next()
                .unwrap_or_default()
                .trim()
                .to_owned();
            all.push((begin, section.clone(), true));
        } else if let Some((name, _)) = content.split_once('=')
            && !content.starts_with('#')
        {
            let name = name.trim();
            let full = match section.as_str() {
                "" => name.to_owned(),
                section => format!("{section}.{name}"),
            };
            all.push((begin, full, false));
        }
        begin += row.len();
    }
    let (_, name, is_section) = all.iter().find(|(begin, ..)| *begin == line)?;
    let under = format!("{name}.");
    let mut before = all.iter().take_while(|(begin, ..)| *begin < line);
    let (first, ..) = before.find(|(_, other, _)| other == name || other.starts_with(&under))?;
    let number = text[..*first].matches('\n').count() + 1;
    Some(Mistake {
        at: key.start,
        message: match is_section {
            true => format!(
                "`[{name}]` is there already, on line {number}; write the keys of both under one"
            ),
            false => format!("`{name}` is set already, on line {number}; take one of the two out"),
        },
    })
}
