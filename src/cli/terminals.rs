//! What the terminal and the locale can show.

use std::{env, io::IsTerminal, sync::OnceLock};

use clap::ValueEnum;

use crate::report::Style;

/// When text is printed with escape sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Emphasis {
    /// On a terminal that takes them, unless NO_COLOR is set.
    Auto,
    /// Always, for example into `less -R`.
    Always,
    /// Never.
    Never,
}

static CHOSEN: OnceLock<Emphasis> = OnceLock::new();

/// Sets what the command line says, once.
pub(super) fn choose(emphasis: Emphasis) {
    let _ = CHOSEN.set(emphasis);
}

/// Whether standard output is a terminal that takes escape sequences.
pub(super) fn takes_escapes() -> bool {
    let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
    std::io::stdout().is_terminal() && !dumb
}

/// Escape sequences are for terminals, unless NO_COLOR is set (no-color.org); the command line
/// counts before both.
pub(super) fn style() -> Style {
    let unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let wanted = match CHOSEN.get() {
        Some(Emphasis::Always) => true,
        Some(Emphasis::Never) => false,
        Some(Emphasis::Auto) | None => takes_escapes() && !unwanted,
    };
    match wanted {
        true => Style::Escapes,
        false => Style::Characters,
    }
}

/// How wide text is printed: as the terminal is, at most a hundred characters.
pub(super) fn columns() -> usize {
    const USUAL: usize = 100;
    const NARROWEST: usize = 40;
    #[cfg(unix)]
    let found = rustix::termios::tcgetwinsize(std::io::stdout()).ok();
    #[cfg(unix)]
    let found = found.map(|size| usize::from(size.ws_col));
    #[cfg(not(unix))]
    let found = None;
    // A terminal that does not know its size says 0.
    let found = found.filter(|columns| *columns > 0);
    found.map_or(USUAL, |columns| columns.clamp(NARROWEST, USUAL))
}

/// A text with the signs that the locale has. A locale that is not named is taken to have all.
pub(super) fn in_locale(text: String) -> String {
    let named = ["LC_ALL", "LC_CTYPE", "LANG"].map(|name| env::var(name).unwrap_or_default());
    match named.iter().find(|value| !value.is_empty()) {
        Some(locale) if !has_all_signs(locale) => ascii(&text),
        Some(_) | None => text,
    }
}

fn has_all_signs(locale: &str) -> bool {
    let locale = locale.to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// The signs of tables in ASCII; letters stay as they are.
fn ascii(text: &str) -> String {
    let mut plain = String::new();
    for c in text.chars() {
        match c {
            '↑' => plain.push('^'),
            '↓' => plain.push('v'),
            '→' => plain.push_str("->"),
            '–' | '—' | '−' => plain.push('-'),
            '†' => plain.push('+'),
            '×' => plain.push('x'),
            '±' => plain.push_str("+-"),
            '≥' => plain.push_str(">="),
            '≤' => plain.push_str("<="),
            '‘' | '’' => plain.push('\''),
            '“' | '”' => plain.push('"'),
            '·' => plain.push('.'),
            '…' => plain.push_str("..."),
            c => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_have_ascii_forms_for_locales_without_them() {
        assert_eq!(
            ascii("ASSD (px) ↓, RAD → 0 †, – ±"),
            "ASSD (px) v, RAD -> 0 +, - +-"
        );
        for (locale, all) in [
            ("C", false),
            ("POSIX", false),
            ("en_US", false),
            ("C.UTF-8", true),
        ] {
            assert_eq!(has_all_signs(locale), all, "{locale}");
        }
        assert!(has_all_signs("de_DE.utf8"));
    }
}
