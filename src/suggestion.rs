//! The remedy for an unknown word: the nearest known one.

use itertools::Itertools;

/// How many known words are listed.
const MOST: usize = 24;

/// The remedy for an unknown word, as a text: the nearest known word, or the known ones.
pub fn nearest(found: &str, known: &[&str]) -> String {
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
            let quoted = known.iter().take(MOST);
            let quoted = quoted.map(|known| format!("\"{known}\"")).join(", ");
            match known.len().saturating_sub(MOST) {
                0 => format!("known here: {quoted}"),
                more => format!("known here: {quoted} and {more} more"),
            }
        }
    }
}
