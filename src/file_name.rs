//! Names of files as file systems compare them.
//!
//! The rule: on the usual disks of macOS and Windows, names that differ in case only are one, and
//! on macOS those that differ in the encoding of a letter only: `é` as one character or as `e` with
//! an accent. Names that become files or folders are told apart by [`folded`].

use unicode_normalization_alignments::UnicodeNormalization;

/// A name without what some file system does not tell apart.
pub fn folded(name: &str) -> String {
    // Upper case first: `ß` is `SS`, and the Kelvin sign is a K.
    let decomposed = |text: &str| -> String { text.nfd().map(|(c, _)| c).collect() };
    decomposed(&decomposed(name).to_uppercase().to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_some_disk_takes_for_one_are_folded_alike() {
        for (one, other) in [
            ("Table2", "tABLE2"),
            ("caf\u{e9}", "cafe\u{301}"),
            ("CAF\u{c9}", "cafe\u{301}"),
            ("stra\u{df}e", "STRASSE"),
            ("\u{212a}elvin", "kelvin"),
            ("\u{3c3}\u{3b1}\u{3c2}", "\u{3a3}\u{391}\u{3a3}"),
        ] {
            assert_eq!(folded(one), folded(other), "{one} {other}");
        }
        for (one, other) in [("cafe", "caf\u{e9}"), ("table2", "table3"), ("a b", "a-b")] {
            assert_ne!(folded(one), folded(other), "{one} {other}");
        }
    }
}
