//! The remedy for an unknown word: the nearest known one.

/// The remedy for an unknown word, as a text: the nearest known word, or all of them.
pub(super) fn nearest(found: &str, known: &[&str]) -> String {
    let distances = known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(found, known), known));
    // As near as a typing error.
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
