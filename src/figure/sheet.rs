//! A drawing as a list of shapes, before it has a format.
//!
//! Lengths are in units of the drawing: a unit is a pixel of an SVG at its own size. x grows to the
//! right, y downwards.

use super::{bitmap::Bitmap, colour::Colour, outline::Polyline, pen::Pen};

/// Shapes on white paper.
#[derive(Clone, Debug)]
pub struct Sheet {
    /// Its width.
    pub width: f64,
    /// Its height.
    pub height: f64,
    /// What it shows, in words.
    pub says: String,
    /// From the lowest to the uppermost.
    pub shapes: Vec<Shape>,
}

/// A rectangle.
#[derive(Clone, Copy, Debug)]
pub struct Area {
    /// Its left edge.
    pub x: f64,
    /// Its upper edge.
    pub y: f64,
    /// Its width.
    pub width: f64,
    /// Its height.
    pub height: f64,
}

impl Area {
    /// The same without a strip along its sides.
    pub fn inset(&self, by: f64) -> Self {
        Self {
            x: self.x + by,
            y: self.y + by,
            width: self.width - 2.0 * by,
            height: self.height - 2.0 * by,
        }
    }
}

/// Which point of a text is placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// Its left end.
    Start,
    /// Its middle.
    Middle,
    /// Its right end.
    End,
}

/// A part of a drawing.
#[derive(Clone, Debug)]
pub enum Shape {
    /// Shapes that belong together.
    Group {
        /// What they are: `contour`.
        class: &'static str,
        /// Whose they are, where there are several of the class: an expert's number.
        of: String,
        /// What they show, in words; may be empty.
        says: String,
        /// From the lowest to the uppermost.
        shapes: Vec<Shape>,
    },
    /// A filled rectangle.
    Filled {
        /// Its place.
        area: Area,
        /// Its colour.
        colour: Colour,
    },
    /// An image, stretched over a rectangle.
    Picture {
        /// Its place.
        area: Area,
        /// Its pixels.
        bitmap: Bitmap,
        /// Whether each pixel keeps its edges.
        has_edges: bool,
    },
    /// Lines, each through its points.
    Lines {
        /// Their points.
        lines: Vec<Polyline>,
        /// What they are drawn with.
        pen: Pen,
    },
    /// A line of text.
    Text {
        /// Where its anchor is; y is that of the line the letters stand on.
        at: [f64; 2],
        /// The words.
        text: String,
        /// Size of the letters.
        size: f64,
        /// Which of its points is at that place.
        anchor: Anchor,
        /// Whether it is bold.
        is_bold: bool,
        /// Its colour.
        colour: Colour,
    },
}

impl Shape {
    /// A text in ink that begins at a place.
    pub fn text(at: [f64; 2], size: f64, text: impl Into<String>) -> Self {
        Self::Text {
            at,
            text: text.into(),
            size,
            anchor: Anchor::Start,
            is_bold: false,
            colour: Colour::INK,
        }
    }

    /// The same text at another anchor.
    pub fn anchored(mut self, to: Anchor) -> Self {
        if let Self::Text { anchor, .. } = &mut self {
            *anchor = to;
        }
        self
    }

    /// The same text in bold.
    pub fn bold(mut self) -> Self {
        if let Self::Text { is_bold, .. } = &mut self {
            *is_bold = true;
        }
        self
    }

    /// The same text or rectangle in another colour.
    pub fn coloured(mut self, to: Colour) -> Self {
        if let Self::Text { colour, .. } | Self::Filled { colour, .. } = &mut self {
            *colour = to;
        }
        self
    }
}

impl Sheet {
    /// All texts on it.
    pub fn texts(&self) -> Vec<&str> {
        fn collect<'a>(shapes: &'a [Shape], texts: &mut Vec<&'a str>) {
            for shape in shapes {
                match shape {
                    Shape::Group { shapes, .. } => collect(shapes, texts),
                    Shape::Text { text, .. } => texts.push(text),
                    Shape::Filled { .. } | Shape::Picture { .. } | Shape::Lines { .. } => {}
                }
            }
        }
        let mut texts = Vec::new();
        collect(&self.shapes, &mut texts);
        texts
    }
}
