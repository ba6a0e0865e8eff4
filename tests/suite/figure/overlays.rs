//! An image with the contour of one mask, as pixels.

use expertgrid::{
    data::{Image, Mask},
    figure::overlay,
};

/// Width, height and pixels of a PNG in colour.
fn decoded(bytes: &[u8]) -> (usize, usize, Vec<[u8; 3]>) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes))
        .read_info()
        .unwrap();
    let mut buffer = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut buffer).unwrap();
    let pixels = buffer.as_chunks::<3>().0.to_vec();
    (info.width as usize, info.height as usize, pixels)
}

#[test]
fn the_contour_lies_on_the_border_of_the_mask_and_the_image_is_seen_elsewhere() {
    let (height, width) = (20, 40);
    let at = |i: usize| (i / width, i % width);
    let image = Image {
        height,
        width,
        pixels: (0..height * width).map(|i| at(i).1 as f32).collect(),
    };
    let mask = Mask {
        height,
        width,
        pixels: (0..height * width)
            .map(|i| (5..15).contains(&at(i).0) && (10..30).contains(&at(i).1))
            .collect(),
    };
    let (wide, high, pixels) = decoded(&overlay(&image, &mask).png());
    assert_eq!(wide, 2 * high);
    let scale = wide as f64 / width as f64;
    let is_yellow = |pixel: &[u8; 3]| pixel[0] > 180 && pixel[1] > 180 && pixel[2] < 120;
    let yellow: Vec<[f64; 2]> = (0..pixels.len())
        .filter(|i| is_yellow(&pixels[*i]))
        .map(|i| [(i % wide) as f64 / scale, (i / wide) as f64 / scale])
        .collect();
    assert!(yellow.len() > 500);
    for [x, y] in &yellow {
        let from_border = (x - 10.0).abs().min((x - 30.0).abs());
        let from_border = from_border.min((y - 5.0).abs()).min((y - 15.0).abs());
        assert!(from_border < 0.6, "{x} {y}");
    }
    // Grey from dark to bright, and nothing over it, inside and outside.
    let grey = |x: f64, y: f64| {
        let pixel = pixels[(y * scale) as usize * wide + (x * scale) as usize];
        assert!(pixel[0] == pixel[1] && pixel[1] == pixel[2], "{pixel:?}");
        pixel[0]
    };
    assert!(grey(2.0, 10.0) < grey(20.0, 10.0) && grey(20.0, 10.0) < grey(38.0, 2.0));
    let none = Mask {
        pixels: vec![false; height * width],
        ..mask
    };
    let (.., pixels) = decoded(&overlay(&image, &none).png());
    assert!(!pixels.iter().any(is_yellow));
}
