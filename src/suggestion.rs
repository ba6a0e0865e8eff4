//! The remedy for an unknown word: the nearest known one.

use itertools::Itertools;

/// How many known words are listed.
const MOST: usize = 24;

/// The known word that is as near as a typing error.
pub fn nearest_of<'a>(found: &str, known: &[&'a str]) -> Option<&'a str> {
    let distances = known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(found, known), *known));
    let (distance, likeliest) = distances.min()?;
    (distance <= 1 + likeliest.len() / 3).then_some(likeliest)
}

/// The remedy for an unknown word, as a text: the nearest known word, or the known ones.
pub fn nearest(found: &str, known: &[&str]) -> String {
    match nearest_of(found, known) {
        Some(known) => format!("did you mean \"{known}\"?"),
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
