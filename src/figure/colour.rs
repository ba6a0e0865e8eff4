//! Colours: those of experts, of counts, and of a share between two.
//!
//! The rule: people with any kind of colour vision can tell them apart, and a scale grows darker
//! throughout, so that it can be read in black and white.

/// Red, green and blue (sRGB).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour(pub [u8; 3]);

impl Colour {
    /// Paper.
    pub const WHITE: Self = Self([255; 3]);
    /// What is not background.
    pub const INK: Self = Self([0x1b, 0x1b, 0x19]);
    /// Below lines over an image.
    pub const NIGHT: Self = Self([0x10; 3]);
    /// Text of less weight.
    pub const SOFT: Self = Self([0x55, 0x54, 0x50]);
    /// Pixels and cells without a value.
    pub const EMPTY: Self = Self([0xf1, 0xf0, 0xec]);

    /// As CSS writes it: `#0072b2`.
    pub fn hex(self) -> String {
        let [red, green, blue] = self.0;
        format!("#{red:02x}{green:02x}{blue:02x}")
    }

    /// A colour between two: this one at a `share` of 0, the other one at 1.
    fn mixed(self, other: Self, share: f64) -> Self {
        let mix = |i: usize| {
            let [from, to] = [self, other].map(|colour| f64::from(colour.0[i]));
            (from + share * (to - from)).round() as u8
        };
        Self([mix(0), mix(1), mix(2)])
    }

    /// The colour of text that is legible on it.
    pub fn text(self) -> Self {
        let [red, green, blue] = self.0.map(u32::from);
        // ITU-R BT.601's weights.
        match 299 * red + 587 * green + 114 * blue > 118_000 {
            true => Self::INK,
            false => Self::WHITE,
        }
    }
}

/// Matplotlib's viridis from its light end to its dark end, at equal distances.
const VIRIDIS: [Colour; 9] = [
    Colour([0xfd, 0xe7, 0x25]),
    Colour([0xad, 0xdc, 0x30]),
    Colour([0x5e, 0xc9, 0x62]),
    Colour([0x28, 0xae, 0x80]),
    Colour([0x21, 0x91, 0x8c]),
    Colour([0x2c, 0x72, 0x8e]),
    Colour([0x3b, 0x52, 0x8b]),
    Colour([0x47, 0x2d, 0x7b]),
    Colour([0x44, 0x01, 0x54]),
];

/// The colour of a pixel that `count` of `all` experts marked.
pub fn of_count(count: usize, all: usize) -> Colour {
    match count {
        0 => Colour::EMPTY,
        count => {
            let steps = all.saturating_sub(1).max(1);
            // One expert alone is everyone.
            let step = if all <= 1 { 1 } else { count - 1 };
            let place = (VIRIDIS.len() - 1) as f64 * step as f64 / steps as f64;
            let from = (place as usize).min(VIRIDIS.len() - 2);
            VIRIDIS[from].mixed(VIRIDIS[from + 1], place - from as f64)
        }
    }
}

/// The colour of a value at a `share` of the way from the lowest, 0, to the highest, 1.
pub fn of_share(share: f64) -> Colour {
    let [light, dark] = [[0xe8, 0xf1, 0xf8], [0x00, 0x5a, 0x8c]].map(Colour);
    light.mixed(dark, share)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance (WCAG 2), to about a thousandth.
    fn luminance(colour: Colour) -> f64 {
        let linear = colour.0.map(|v| (f64::from(v) / 255.0).powf(2.2));
        0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    }

    #[test]
    fn more_experts_are_darker() {
        for all in 1..=20 {
            let each: Vec<f64> = (0..=all)
                .map(|count| luminance(of_count(count, all)))
                .collect();
            assert!(each.is_sorted_by(|a, b| a > b), "{all}: {each:?}");
        }
        assert_eq!(of_count(3, 3), VIRIDIS[8]);
        assert_eq!(of_count(1, 3), VIRIDIS[0]);
        assert_eq!(of_count(2, 3), VIRIDIS[4]);
    }

    #[test]
    fn numbers_on_colours_have_contrast() {
        for step in 0..=100 {
            let ground = of_share(f64::from(step) / 100.0);
            let [a, b] = [ground, ground.text()].map(|colour| luminance(colour) + 0.05);
            // WCAG's least for large text is 3, for small text 4.5.
            assert!(a.max(b) / a.min(b) > 4.0, "{step}: {ground:?}");
        }
    }
}
