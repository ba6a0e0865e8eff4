//! What the terminal and the locale can show.

use std::{env, io::IsTerminal};

use crate::report::Style;

/// Whether standard output is a terminal that takes escape sequences.
pub(super) fn takes_escapes() -> bool {
    let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
    std::io::stdout().is_terminal() && !dumb
}

/// Escape sequences are for terminals, unless NO_COLOR is set (no-color.org).
pub(super) fn style() -> Style {
    let unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    match takes_escapes() && !unwanted {
        true => Style::Escapes,
        false => Style::Characters,
    }
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
