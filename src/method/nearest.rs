//! The remedy for a word that nobody knows: the nearest word that is known.

/// What to do about a word that is not known: take the nearest, or one of all.
pub(super) fn nearest(found: &str, known: &[&str]) -> String {
    let distances = known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(found, known), known));
    // About as near as a slip of the pen.
    let likeliest = distances
        .min()
        .filter(|(distance, known)| *distance <= 1 + known.len() / 3);
    match likeliest {
        Some((_, known)) => format!("did you mean \"{known}\"?"),
        None => {
            let quoted: Vec<String> = known.iter().map(|known| format!("\"{known}\"")).collect();
            format!("known here: {}", quoted.join(", "))
        }
    }
}
