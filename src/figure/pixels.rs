//! A drawing as pixels, and as a PNG.
//!
//! The rule: no font of the machine is asked for; letters are filled outlines.

use tiny_skia::{
    Color, FillRule, FilterQuality, IntSize, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap,
    PixmapPaint, Rect, Stroke, StrokeDash, Transform,
};

use super::{
    bitmap::Bitmap,
    colour::Colour,
    lettering::{self, Glyph, GlyphStep},
    outline::is_closed,
    sheet::{Anchor, Area, Shape, Sheet},
};

/// Pixels to a unit of the drawing: 300 to an inch where the drawing is 145 mm wide.
const SCALE: f64 = 2.0;
/// The most pixels along a side.
const MOST_PX: f64 = 16_000.0;
/// The width of the line around bold letters, as a share of their size.
const BOLD: f32 = 0.05;
/// How much farther apart bold letters are.
const BOLD_STEP: f64 = 1.04;

impl Sheet {
    /// The drawing as the bytes of a PNG file in colour.
    pub fn png(&self) -> Vec<u8> {
        let scale = SCALE.min(MOST_PX / self.width.max(self.height));
        let [width, height] = [self.width, self.height].map(|side| (side * scale).ceil() as u32);
        let mut pixmap = Pixmap::new(width.max(1), height.max(1)).expect("the sides are bounded");
        pixmap.fill(Color::WHITE);
        let mut canvas = Canvas {
            pixmap,
            transform: Transform::from_scale(scale as f32, scale as f32),
        };
        for shape in &self.shapes {
            canvas.draw(shape);
        }
        let pixels = canvas.pixmap.pixels().iter();
        let bitmap = Bitmap {
            width: width as usize,
            height: height as usize,
            is_coloured: true,
            bytes: pixels
                .flat_map(|pixel| [pixel.red(), pixel.green(), pixel.blue()])
                .collect(),
        };
        bitmap.png()
    }

    /// The letters that a PNG shows as a question mark, each once.
    pub fn unknown_letters(&self) -> String {
        let texts = self.texts().into_iter();
        let mut unknown: Vec<char> = texts
            .flat_map(str::chars)
            .filter(|letter| !lettering::is_known(*letter))
            .collect();
        unknown.sort_unstable();
        unknown.dedup();
        unknown.into_iter().collect()
    }
}

/// Pixels that are drawn on.
struct Canvas {
    pixmap: Pixmap,
    /// From units of the drawing to pixels.
    transform: Transform,
}

impl Canvas {
    fn draw(&mut self, shape: &Shape) {
        match shape {
            Shape::Group { shapes, .. } => {
                for part in shapes {
                    self.draw(part);
                }
            }
            Shape::Filled { area, colour } => {
                let (x, y) = (area.x as f32, area.y as f32);
                let sides = Rect::from_xywh(x, y, area.width as f32, area.height as f32);
                if let Some(rect) = sides {
                    let paint = paint(*colour);
                    self.pixmap.fill_rect(rect, &paint, self.transform, None);
                }
            }
            Shape::Picture {
                area,
                bitmap,
                has_edges,
            } => self.picture(area, bitmap, *has_edges),
            Shape::Lines { lines, pen } => {
                let mut path = PathBuilder::new();
                for line in lines {
                    for (i, [x, y]) in line.iter().enumerate() {
                        match i {
                            0 => path.move_to(*x as f32, *y as f32),
                            _ => path.line_to(*x as f32, *y as f32),
                        }
                    }
                    if is_closed(line) {
                        path.close();
                    }
                }
                let dash = pen.dash.iter().map(|length| *length as f32).collect();
                let stroke = Stroke {
                    width: pen.width as f32,
                    line_cap: LineCap::Butt,
                    line_join: LineJoin::Round,
                    dash: StrokeDash::new(dash, 0.0),
                    ..Stroke::default()
                };
                if let Some(path) = path.finish() {
                    let paint = paint(pen.colour);
                    self.pixmap
                        .stroke_path(&path, &paint, &stroke, self.transform, None);
                }
            }
            Shape::Text {
                at: [x, y],
                text,
                size,
                anchor,
                is_bold,
                colour,
            } => {
                let step = if *is_bold { BOLD_STEP } else { 1.0 };
                let width = step * lettering::width(text, *size);
                let left = match anchor {
                    Anchor::Start => *x,
                    Anchor::Middle => x - width / 2.0,
                    Anchor::End => x - width,
                };
                self.text([left, *y], text, *size, *is_bold, *colour);
            }
        }
    }

    fn picture(&mut self, area: &Area, bitmap: &Bitmap, has_edges: bool) {
        let channels = if bitmap.is_coloured { 3 } else { 1 };
        let opaque = |pixel: &[u8]| match pixel {
            [red, green, blue] => [*red, *green, *blue, 255],
            grey => [grey[0], grey[0], grey[0], 255],
        };
        let bytes = bitmap.bytes.chunks(channels).flat_map(opaque).collect();
        let size = IntSize::from_wh(bitmap.width as u32, bitmap.height as u32);
        let Some(pixels) = size.and_then(|size| Pixmap::from_vec(bytes, size)) else {
            return;
        };
        let paint = PixmapPaint {
            quality: match has_edges {
                true => FilterQuality::Nearest,
                false => FilterQuality::Bicubic,
            },
            ..PixmapPaint::default()
        };
        let stretch = [
            area.width / bitmap.width as f64,
            area.height / bitmap.height as f64,
        ];
        let [x, y] = stretch.map(|v| v as f32);
        let placed = Transform::from_row(x, 0.0, 0.0, y, area.x as f32, area.y as f32);
        let transform = self.transform.pre_concat(placed);
        self.pixmap
            .draw_pixmap(0, 0, pixels.as_ref(), &paint, transform, None);
    }

    fn text(
        &mut self,
        [left, base]: [f64; 2],
        text: &str,
        size: f64,
        is_bold: bool,
        colour: Colour,
    ) {
        let paint = paint(colour);
        let stroke = Stroke {
            width: BOLD * size as f32,
            line_join: LineJoin::Round,
            ..Stroke::default()
        };
        let step = if is_bold { BOLD_STEP } else { 1.0 };
        let mut x = left;
        for letter in text.chars() {
            let glyph = Glyph::of(letter);
            if let Some(path) = outline(&glyph, [x, base], size) {
                self.pixmap
                    .fill_path(&path, &paint, FillRule::Winding, self.transform, None);
                if is_bold {
                    self.pixmap
                        .stroke_path(&path, &paint, &stroke, self.transform, None);
                }
            }
            x += step * glyph.advance * size;
        }
    }
}

/// The outline of a letter at a place.
fn outline(glyph: &Glyph, [left, base]: [f64; 2], size: f64) -> Option<Path> {
    let place = |[x, y]: [f64; 2]| [(left + x * size) as f32, (base - y * size) as f32];
    let mut path = PathBuilder::new();
    for step in glyph.steps() {
        match step {
            GlyphStep::Move(to) => {
                let [x, y] = place(to);
                path.move_to(x, y);
            }
            GlyphStep::Line(to) => {
                let [x, y] = place(to);
                path.line_to(x, y);
            }
            GlyphStep::Curve(by, to) => {
                let ([cx, cy], [x, y]) = (place(by), place(to));
                path.quad_to(cx, cy, x, y);
            }
            GlyphStep::Close => path.close(),
        }
    }
    path.finish()
}

fn paint(colour: Colour) -> Paint<'static> {
    let [red, green, blue] = colour.0;
    let mut paint = Paint::default();
    paint.set_color_rgba8(red, green, blue, 255);
    paint.anti_alias = true;
    paint
}
