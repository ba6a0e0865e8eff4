//! Where a part of an image lies on a sheet.

use super::{crop::ImageCrop, sheet::Area, subject::CaseFigure};

/// The rectangle of an image's part.
#[derive(Clone, Copy, Debug)]
pub struct PicturePlace {
    /// On the sheet.
    pub area: Area,
    /// The part.
    pub crop: ImageCrop,
}

impl PicturePlace {
    /// As large as a square at (`x`, `y`) allows, in the proportions that the size of a pixel
    /// gives.
    pub fn within(figure: &CaseFigure<'_>, crop: ImageCrop, [x, y]: [f64; 2], side: f64) -> Self {
        let [width, height] = figure.extent(&crop);
        let scale = side / width.max(height);
        Self {
            area: Area {
                x,
                y,
                width: width * scale,
                height: height * scale,
            },
            crop,
        }
    }

    /// The place of a point of the image, in pixels of it.
    pub fn of(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let Self { area, crop } = self;
        [
            area.x + (x - crop.left as f64) * area.width / crop.width as f64,
            area.y + (y - crop.top as f64) * area.height / crop.height as f64,
        ]
    }

    /// The place of a part of the image.
    pub fn of_part(&self, part: &ImageCrop) -> Area {
        let [x, y] = self.of([part.left as f64, part.top as f64]);
        let Self { area, crop } = self;
        Area {
            x,
            y,
            width: part.width as f64 * area.width / crop.width as f64,
            height: part.height as f64 * area.height / crop.height as f64,
        }
    }

    /// The width of a pixel of the image.
    pub fn pixel_width(&self) -> f64 {
        self.area.width / self.crop.width as f64
    }
}
