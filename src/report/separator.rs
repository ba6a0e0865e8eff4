//! How a CSV file separates its fields and writes its numbers.
//!
//! The rule: the head says it. Columns are separated by semicolons or tabs where the head has these
//! and no comma, as spreadsheets write where the comma is decimal; then numbers may have commas.

use std::borrow::Cow;

/// What some programs write first in a file in UTF-8.
pub(super) const BYTE_ORDER_MARK: char = '\u{feff}';

/// The separator of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Separator(u8);

impl Separator {
    /// That of a text, by its first line that is no comment.
    pub fn of(text: &str) -> Self {
        let mut lines = text.trim_start_matches(BYTE_ORDER_MARK).lines();
        let head = lines.find(|line| !line.trim().is_empty() && !line.starts_with('#'));
        let head = head.unwrap_or_default();
        let others = [';', '\t'];
        let other = others
            .into_iter()
            .find(|c| head.contains(*c) && !head.contains(','));
        Self(other.map_or(b',', |c| c as u8))
    }

    /// As a byte.
    pub fn byte(self) -> u8 {
        self.0
    }

    /// A number with a decimal point.
    pub fn number(self, text: &str) -> Cow<'_, str> {
        let comma = text.bytes().filter(|byte| *byte == b',').count();
        match self.0 != b',' && comma == 1 && !text.contains('.') {
            true => text.replace(',', ".").into(),
            false => text.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_says_what_separates_and_whether_commas_are_decimal() {
        for (text, separator, number) in [
            ("# a;b\na,b\n1;2,3\n", b',', "1,5"),
            ("a;b\n", b';', "1.5"),
            ("\u{feff}# x, y\n\na\tb\n", b'\t', "1.5"),
            ("a\n", b',', "1,5"),
            ("", b',', "1,5"),
        ] {
            let found = Separator::of(text);
            assert_eq!(
                (found.byte(), &*found.number("1,5")),
                (separator, number),
                "{text:?}"
            );
        }
        assert_eq!(Separator(b';').number("1.234,5"), "1.234,5");
        assert_eq!(Separator(b';').number("1,234,5"), "1,234,5");
    }
}
