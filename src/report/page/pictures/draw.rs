//! A part of an image with contours over it: a PNG within an SVG.

use maud::{Markup, html};

use crate::{
    data::{Image, Mask},
    figure::{
        ImageCrop,
        bitmap::{Bitmap, range},
        outline,
    },
};

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
    // From its darkest pixel to the brightest.
    let bitmap = Bitmap::grey(image, crop, range(image, crop));
    html! {
        svg.picture viewBox=(format!("{left} {top} {width} {height}"))
            role="img" aria-label=(says) {
            image x=(left) y=(top) width=(width) height=(height)
                href=(bitmap.data_uri()) {}
            @for (class, mask) in contours {
                @let path = outline::path(&outline::rings(mask));
                path.halo d=(path) {}
                path.(class) d=(path) {}
            }
        }
    }
}
