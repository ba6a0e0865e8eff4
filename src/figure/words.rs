//! The words of a figure: titles, notes, numbers.

use super::{
    bitmap::{OUTSIDE_PERCENT, usual_range},
    subject::CaseFigure,
};
use crate::{data::nifti::SpacingMm, plan::grouped};

/// Size of the title of the figure.
pub const TITLE_SIZE: f64 = 19.0;
/// Size of the titles of panels.
pub const PANEL_SIZE: f64 = 16.0;
/// Size of labels.
pub const TEXT_SIZE: f64 = 16.0;
/// Size of notes.
pub const NOTE_SIZE: f64 = 14.0;
/// Room for the title of a panel.
pub const PANEL_TITLE: f64 = 27.0;

/// The case and the data set.
pub fn title(figure: &CaseFigure<'_>) -> String {
    format!("{}, {}", figure.case.name, figure.dataset)
}

/// That the data are synthetic, where they are.
pub fn origin(figure: &CaseFigure<'_>) -> Option<String> {
    let (what, why) = figure.provenance.warning()?;
    Some(format!("{what}: {why}."))
}

/// The title of the contours.
pub fn contours_title(figure: &CaseFigure<'_>) -> String {
    match figure.experts.len() {
        1 => "(a) Contour of one expert".to_owned(),
        all => format!("(a) Contours of {all} experts"),
    }
}

/// Who has not annotated the case.
pub fn absent(figure: &CaseFigure<'_>) -> Option<String> {
    match figure.absent.as_slice() {
        [] => None,
        absent => Some(format!("No mask of this case: {}", absent.join(", "))),
    }
}

/// An area: `1,234 px`.
pub fn area(pixels: usize) -> String {
    match pixels {
        0 => "empty".to_owned(),
        pixels => format!("{} px", grouped(pixels)),
    }
}

/// The mean and the range of the matrix, where it has several pairs.
pub fn dice_summary(mean: f64, [low, high]: [f64; 2], pairs: usize) -> Option<String> {
    let [mean, low, high] = [mean, low, high].map(|dice| format!("{:.1}", 100.0 * dice));
    (pairs > 1).then(|| format!("mean {mean}, {low} to {high}; darker is higher"))
}

/// A number with four digits after the point at most.
pub fn number(value: f64) -> String {
    let text = format!("{value:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.to_owned()
}

/// The largest of 1, 2 and 5 times a power of ten that is no longer than `most`, which is finite
/// and positive.
pub fn round_length(most: f64) -> f64 {
    let mut power = 1.0;
    while power > most {
        power /= 10.0;
    }
    while power * 10.0 <= most {
        power *= 10.0;
    }
    let factors = [5.0, 2.0, 1.0].into_iter();
    let mut lengths = factors.map(|factor| factor * power);
    lengths.find(|length| *length <= most).unwrap_or(power)
}

/// What is shown of which image, and how.
pub fn notes(figure: &CaseFigure<'_>) -> String {
    let CaseFigure { case, crop, .. } = figure;
    let (width, height) = (case.image.width, case.image.height);
    let size = match figure.spacing {
        Some(SpacingMm { x_mm, y_mm }) => {
            format!(" of {} × {} mm", number(x_mm), number(y_mm))
        }
        None => ", whose size the file does not say".to_owned(),
    };
    let part = match (crop.width, crop.height) == (width, height) {
        true => "all of them are shown".to_owned(),
        false => format!(
            "{} × {} of them are shown, from column {} and row {} on",
            crop.width,
            crop.height,
            crop.left + 1,
            crop.top + 1
        ),
    };
    let [low, high] = usual_range(&case.image, crop);
    let mut notes = format!(
        "Image of {width} × {height} pixels{size}; {part}. Grey from {} \
         (black) to {} (white), percentiles {} and {}.",
        intensity(low),
        intensity(high),
        number(OUTSIDE_PERCENT),
        number(100.0 - OUTSIDE_PERCENT),
    );
    if figure.experts.iter().any(|expert| expert.area_px == 0) {
        notes += " Dice of two empty masks is 100, of an empty one and another 0.";
    }
    if let Some(preparation) = figure.preparation {
        notes += &format!(" Of the files: {preparation}.");
    }
    notes
}

/// An intensity with four digits that matter.
fn intensity(value: f32) -> String {
    let value = f64::from(value);
    let digits = match value.abs() {
        1000.0.. => 0,
        100.0.. => 1,
        10.0.. => 2,
        1.0.. => 3,
        _ => 4,
    };
    let text = format!("{value:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// The figure in words, for who cannot see it.
pub fn says(figure: &CaseFigure<'_>) -> String {
    let origin = origin(figure).map_or_else(String::new, |origin| format!(" {origin}"));
    let names: Vec<&str> = figure.experts.iter().map(|e| e.name.as_str()).collect();
    format!(
        "{}.{origin} The contours of {} over the image, how many of them marked each pixel, and \
         the Dice of every two.",
        title(figure),
        names.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_round() {
        let lengths = [0.03, 0.7, 1.0, 4.9, 5.0, 19.0, 36.0, 99.0, 1200.0];
        assert_eq!(
            lengths.map(round_length).map(number),
            ["0.02", "0.5", "1", "2", "5", "10", "20", "50", "1000"]
        );
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(area(1_234_567), "1,234,567 px");
        assert_eq!(area(999), "999 px");
        assert_eq!(area(0), "empty");
        assert_eq!([0.75, 1.0, 0.333_333].map(number), ["0.75", "1", "0.3333"]);
        let intensities = [-1024.0, 238.26, 12.0, 0.062_5, 0.0].map(intensity);
        assert_eq!(intensities, ["-1024", "238.3", "12", "0.0625", "0"]);
    }
}
