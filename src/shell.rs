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

/// A word of any bytes; those that are not UTF-8 are escaped, as Bash and POSIX.1-2024 read them.
pub fn bytes(text: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(text) {
        return word(text);
    }
    let mut escaped = String::new();
    for chunk in text.utf8_chunks() {
        escaped += &chunk.valid().replace('\\', r"\\").replace('\'', r"\'");
        let bytes = chunk.invalid().iter();
        escaped.extend(bytes.map(|byte| format!(r"\x{byte:02x}")));
    }
    format!("$'{escaped}'")
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
            assert_eq!(bytes(text.as_bytes()), expected);
        }
        assert_eq!(bytes(b"d\xe4ten's"), r"$'d\xe4ten\'s'");
    }
}
