//! Numbers as tables show them.

/// A difference with its sign: `+0.12`, `−0.30`.
pub fn signed(value: f64) -> String {
    let text = format!("{value:.2}");
    match text.strip_prefix('-') {
        // What is rounded to nothing has no sign.
        Some("0.00") => "+0.00".to_owned(),
        Some(size) => format!("−{size}"),
        None => format!("+{text}"),
    }
}

/// The p of a test: `.034`, `< .001`.
pub fn p_value(p: f64) -> String {
    match p < 0.001 {
        true => "< .001".to_owned(),
        false => format!("{p:.3}").replacen("0.", ".", 1),
    }
}
