//! Words of commands as a POSIX shell takes them.

/// A word, in quotes where a shell would read it otherwise.
pub fn word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,+".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => quoted(text),
    }
}

/// A word in quotes.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_each_as_one_word() {
        for (text, expected) in [
            ("table2", "table2"),
            ("--set", "--set"),
            ("a=b,c", "a=b,c"),
            ("", "''"),
            ("my table", "'my table'"),
            ("it's", r"'it'\''s'"),
            ("$(x)", "'$(x)'"),
        ] {
            assert_eq!(word(text), expected);
        }
    }
}
