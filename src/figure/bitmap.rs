//! Pixels in grey or colour, and their PNG.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::crop::ImageCrop;
use crate::data::Image;

/// Rows of pixels, in grey or in red, green and blue.
#[derive(Clone, Debug)]
pub struct Bitmap {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Whether there are three bytes for each pixel, not one.
    pub is_coloured: bool,
    /// `height * width` pixels, row-major.
    pub bytes: Vec<u8>,
}

impl Bitmap {
    /// A part of an image in shades of grey, from black at the first intensity of a range to white
    /// at the last.
    pub fn grey(image: &Image, crop: &ImageCrop, [low, high]: [f32; 2]) -> Self {
        let scale = if high > low {
            255.0 / (high - low)
        } else {
            0.0
        };
        let values = crop.of(&image.pixels, image.width);
        Self {
            width: crop.width,
            height: crop.height,
            is_coloured: false,
            // The cast saturates.
            bytes: values.map(|v| ((v - low) * scale).round() as u8).collect(),
        }
    }

    /// Its PNG.
    ///
    /// # Panics
    /// There are more or fewer bytes than pixels, or no pixels.
    pub fn png(&self) -> Vec<u8> {
        let mut png = Vec::new();
        let mut encoder = png::Encoder::new(&mut png, self.width as u32, self.height as u32);
        encoder.set_color(match self.is_coloured {
            true => png::ColorType::Rgb,
            false => png::ColorType::Grayscale,
        });
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::High);
        let written = encoder
            .write_header()
            .and_then(|mut writer| writer.write_image_data(&self.bytes));
        written.expect("a buffer in memory can be written");
        png
    }

    /// Its PNG as an address within a page.
    pub fn data_uri(&self) -> String {
        format!("data:image/png;base64,{}", STANDARD.encode(self.png()))
    }
}

/// The darkest and the brightest pixel of a part of an image.
pub fn range(image: &Image, crop: &ImageCrop) -> [f32; 2] {
    let values = crop.of(&image.pixels, image.width);
    values.fold([f32::INFINITY, f32::NEG_INFINITY], |[low, high], value| {
        [low.min(value), high.max(value)]
    })
}

/// A share of the pixels that is darker than black, and one that is brighter than white.
pub const OUTSIDE_PERCENT: f64 = 0.5;

/// The range without the darkest and the brightest pixels, of which [`OUTSIDE_PERCENT`] are left
/// out at either end, so that a few bright ones do not darken all others.
pub fn usual_range(image: &Image, crop: &ImageCrop) -> [f32; 2] {
    let mut values: Vec<f32> = crop.of(&image.pixels, image.width).collect();
    values.sort_unstable_by(f32::total_cmp);
    let last = values.len() - 1;
    let outside = (last as f64 * OUTSIDE_PERCENT / 100.0).round() as usize;
    match [values[outside], values[last - outside]] {
        [low, high] if low < high => [low, high],
        _ => range(image, crop),
    }
}
