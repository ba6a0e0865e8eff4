//! A part of an image with contours over it: a PNG within an SVG.

use base64::{Engine, engine::general_purpose::STANDARD};
use contour::ContourBuilder;
use maud::{Markup, html};

use super::super::plot::px;
use crate::data::{Image, Mask};

/// The smallest side of a picture, in pixels of the image.
const LEAST_SIDE_PX: usize = 64;

/// A square part of an image, in pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct ImageCrop {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

/// The square around all masks with a margin, kept within the image.
pub(super) fn crop(masks: &[&Mask]) -> ImageCrop {
    let (height, width) = (masks[0].height, masks[0].width);
    let inside = masks.iter().flat_map(|mask| {
        let pixels = mask
            .pixels
            .iter()
            .enumerate()
            .filter(|(_, inside)| **inside);
        pixels.map(|(i, _)| (i % mask.width, i / mask.width))
    });
    let bounds = inside.fold(None, |bounds: Option<[usize; 4]>, (x, y)| {
        let [left, top, right, bottom] = bounds.unwrap_or([x, y, x, y]);
        Some([left.min(x), top.min(y), right.max(x), bottom.max(y)])
    });
    let [left, top, right, bottom] = bounds.unwrap_or([0, 0, width - 1, height - 1]);
    let side = (right - left + 1).max(bottom - top + 1);
    let side = (side + side / 5).max(LEAST_SIDE_PX);
    let part = |low: usize, high: usize, whole: usize| {
        let side = side.min(whole);
        let start = ((low + high + 1).saturating_sub(side) / 2).min(whole - side);
        (start, side)
    };
    let (left, width) = part(left, right, width);
    let (top, height) = part(top, bottom, height);
    ImageCrop {
        left,
        top,
        width,
        height,
    }
}

/// The crop of an image with contours, each with its CSS class.
pub(super) fn picture(
    image: &Image,
    crop: &ImageCrop,
    contours: [(&str, &Mask); 2],
    says: &str,
) -> Markup {
    let ImageCrop {
        left,
        top,
        width,
        height,
    } = crop;
    html! {
        svg.picture viewBox=(format!("{left} {top} {width} {height}"))
            role="img" aria-label=(says) {
            image x=(left) y=(top) width=(width) height=(height)
                href=(data_uri(&png(image, crop))) {}
            @for (class, mask) in contours {
                @let path = outline(mask);
                path.halo d=(path) {}
                path.(class) d=(path) {}
            }
        }
    }
}

/// The outline of a mask, through the middles of the edges of its pixels.
fn outline(mask: &Mask) -> String {
    let values: Vec<f64> = mask
        .pixels
        .iter()
        .map(|inside| f64::from(u8::from(*inside)))
        .collect();
    let contours = ContourBuilder::new(mask.width, mask.height, true)
        .contours(&values, &[0.5])
        .expect("there is a value for every pixel");
    let polygons = contours.iter().flat_map(|contour| &contour.geometry().0);
    let mut path = String::new();
    for ring in
        polygons.flat_map(|polygon| std::iter::once(polygon.exterior()).chain(polygon.interiors()))
    {
        for (i, point) in ring.coords().enumerate() {
            path.push(if i == 0 { 'M' } else { 'L' });
            path.push_str(&px(point.x));
            path.push(' ');
            path.push_str(&px(point.y));
        }
        path.push('Z');
    }
    path
}

/// The crop as a PNG in shades of grey, from its darkest pixel to the brightest.
fn png(image: &Image, crop: &ImageCrop) -> Vec<u8> {
    let ImageCrop {
        left,
        top,
        width,
        height,
    } = *crop;
    let rows = (top..top + height).flat_map(|y| &image.pixels[y * image.width + left..][..width]);
    let pixels: Vec<f32> = rows.copied().collect();
    let low = pixels.iter().copied().fold(f32::INFINITY, f32::min);
    let high = pixels.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let scale = if high > low {
        255.0 / (high - low)
    } else {
        0.0
    };
    // The cast saturates.
    let grey: Vec<u8> = pixels
        .iter()
        .map(|v| ((v - low) * scale).round() as u8)
        .collect();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    let written = encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(&grey));
    written.expect("a buffer in memory can be written");
    bytes
}

fn data_uri(png: &[u8]) -> String {
    format!("data:image/png;base64,{}", STANDARD.encode(png))
}
