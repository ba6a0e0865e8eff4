//! An image with the contour of one mask.

use super::{
    Sheet,
    bitmap::{Bitmap, usual_range},
    crop::ImageCrop,
    outline::{corners, rings},
    pen::of_expert,
    sheet::{Area, Shape},
};
use crate::data::{Image, Mask};

/// The longer side of the drawing.
const SIDE: f64 = 640.0;

/// All of an image in shades of grey, with the contour of a mask of the same shape. The longer side
/// is 640 units.
pub fn overlay(image: &Image, mask: &Mask) -> Sheet {
    let crop = ImageCrop {
        left: 0,
        top: 0,
        width: image.width,
        height: image.height,
    };
    let scale = SIDE / image.width.max(image.height) as f64;
    let [width, height] = [image.width, image.height].map(|side| side as f64 * scale);
    let contour = rings(mask).into_iter().map(|ring| {
        let ring = corners(&ring).into_iter();
        ring.map(|[x, y]| [x * scale, y * scale]).collect()
    });
    let pen = of_expert(0);
    let lines: Vec<_> = contour.collect();
    let shapes = vec![
        Shape::Picture {
            area: Area {
                x: 0.0,
                y: 0.0,
                width,
                height,
            },
            bitmap: Bitmap::grey(image, &crop, usual_range(image, &crop)),
            has_edges: false,
        },
        Shape::Lines {
            lines: lines.clone(),
            pen: pen.halo(),
        },
        Shape::Lines { lines, pen },
    ];
    Sheet {
        width,
        height,
        says: format!("An image with a mask of {} pixels.", mask.area_px()),
        shapes,
    }
}
