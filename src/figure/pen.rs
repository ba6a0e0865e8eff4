//! Pens: the colour and the dashes of each expert's contour.

use super::colour::Colour;

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pen {
    /// Its colour.
    pub colour: Colour,
    /// Its width.
    pub width: f64,
    /// Lengths of dashes and gaps in turn; none for a solid line.
    pub dash: &'static [f64],
}

/// The colours of Okabe and Ito (2008), with white for black, which would vanish on an image; the
/// darkest, blue, comes last.
const COLOURS: [[u8; 3]; 8] = [
    [0xf0, 0xe4, 0x42],
    [0x56, 0xb4, 0xe9],
    [0xe6, 0x9f, 0x00],
    [0xff, 0xff, 0xff],
    [0x00, 0x9e, 0x73],
    [0xcc, 0x79, 0xa7],
    [0xd5, 0x5e, 0x00],
    [0x00, 0x72, 0xb2],
];

/// From a solid line to dots: later ones leave gaps through which earlier ones are seen.
const DASHES: [&[f64]; 7] = [
    &[],
    &[14.0, 5.0],
    &[6.0, 4.0],
    &[14.0, 4.0, 5.0, 4.0],
    &[12.0, 3.0, 2.0, 3.0],
    &[12.0, 3.0, 2.0, 3.0, 2.0, 3.0],
    &[3.0, 2.5],
];

/// The pen of an expert, counted from 0: both colour and dashes differ from the next ones', and no
/// two of 56 are equal.
pub fn of_expert(index: usize) -> Pen {
    let [red, green, blue] = COLOURS[index % COLOURS.len()];
    Pen {
        colour: Colour([red, green, blue]),
        width: 1.8,
        dash: DASHES[(index + index / COLOURS.len()) % DASHES.len()],
    }
}

impl Pen {
    /// What lies below its line, so that it stands out from bright pixels.
    pub fn halo(self) -> Self {
        Self {
            colour: Colour::NIGHT,
            width: self.width + 1.2,
            ..self
        }
    }
}

/// The frame of a part of a picture.
pub const FRAME: Pen = Pen {
    colour: Colour::WHITE,
    width: 1.4,
    dash: &[],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_experts_have_one_pen() {
        let pens: Vec<Pen> = (0..56).map(of_expert).collect();
        for (i, pen) in pens.iter().enumerate() {
            assert!(!pens[..i].contains(pen), "{i}");
        }
        for pair in pens.windows(2) {
            assert_ne!(pair[0].colour, pair[1].colour);
            assert_ne!(pair[0].dash, pair[1].dash);
        }
    }
}
