//! What a header says of the size and the place of its pixels.
//!
//! The rule: it is read here alone. There is one answer, or a fault where the header's own
//! statements contradict each other. Lengths are in millimetres.

use super::{Fault, Header, SpacingMm};

/// Differences up to this share of a pixel are rounding.
const ROUNDING: f64 = 1e-4;

/// Where the pixels of an image lie in the space of a scanner or an atlas.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PixelGrid {
    /// The centre of the first pixel.
    pub first: [f64; 3],
    /// From a pixel to the next one of its row (along x).
    pub along_x: [f64; 3],
    /// From a pixel to the next one of its column (along y).
    pub along_y: [f64; 3],
}

impl PixelGrid {
    /// Lengths of the steps along x and along y.
    pub fn steps(&self) -> [f64; 2] {
        [self.along_x, self.along_y].map(|step| step.iter().map(|v| v * v).sum::<f64>().sqrt())
    }

    /// Whether another grid is the same but for rounding. `moved` is how many steps the first pixel
    /// was moved by to compare the two; each of them may carry the rounding of a step.
    pub fn agrees(&self, other: &Self, moved: usize) -> bool {
        let [x, y] = self.steps();
        let tolerance = ROUNDING * x.min(y);
        let near = |a: [f64; 3], b: [f64; 3], tolerance: f64| {
            std::iter::zip(a, b).all(|(a, b)| {
                // Files hold single precision.
                let stored = 2.0 * f64::from(f32::EPSILON) * a.abs().max(b.abs());
                (a - b).abs() <= tolerance + stored
            })
        };
        near(self.along_x, other.along_x, tolerance)
            && near(self.along_y, other.along_y, tolerance)
            && near(self.first, other.first, tolerance * (1 + moved) as f64)
    }
}

/// Whether two spacings are the same but for rounding.
pub(in crate::data) fn same_spacing(a: SpacingMm, b: SpacingMm) -> bool {
    let near = |a: f64, b: f64| (a - b).abs() <= ROUNDING * a.min(b);
    near(a.x_mm, b.x_mm) && near(a.y_mm, b.y_mm)
}

/// The statements of one header.
#[derive(Clone, Copy, Debug)]
pub struct HeaderGeometry {
    /// Size of a pixel (`pixdim`), where it is positive and finite.
    size: Option<SpacingMm>,
    /// By the quaternion, where its code is above 0.
    quaternion: Option<PixelGrid>,
    /// By the affine matrix, where its code is above 0.
    sform: Option<PixelGrid>,
    /// Whether the spacing is what a writer leaves who knows none: 1 x 1 without a unit.
    default_size: bool,
}

impl Header {
    /// What it says of the size and the place of its pixels.
    pub fn geometry(&self) -> HeaderGeometry {
        let h = &self.raw;
        let per_unit_mm = match h.xyzt_units & 7 {
            1 => 1e3,
            3 => 1e-3,
            _ => 1.0,
        };
        let mut geometry = HeaderGeometry {
            size: None,
            quaternion: None,
            sform: None,
            default_size: false,
        };
        let Ok([(x, _), (y, _)]) = self.plane() else {
            return geometry;
        };
        let mm = |axis: usize| {
            let size = f64::from(h.pixdim[axis + 1]) * per_unit_mm;
            (size.is_finite() && size > 0.0).then_some(size)
        };
        if let (Some(x_mm), Some(y_mm)) = (mm(x), mm(y)) {
            geometry.size = Some(SpacingMm { x_mm, y_mm });
            geometry.default_size = h.xyzt_units & 7 == 0 && (x_mm, y_mm) == (1.0, 1.0);
        }
        // An affine places the first three axes.
        if x > 2 || y > 2 {
            return geometry;
        }
        let grid = |rows: [[f64; 4]; 3]| {
            let column = |axis: usize| rows.map(|row| row[axis] * per_unit_mm);
            PixelGrid {
                first: column(3),
                along_x: column(x),
                along_y: column(y),
            }
        };
        geometry.quaternion = (h.qform_code > 0).then(|| grid(self.by_quaternion()));
        let rows = [h.srow_x, h.srow_y, h.srow_z].map(|row| row.map(f64::from));
        geometry.sform = (h.sform_code > 0).then(|| grid(rows));
        geometry
    }

    /// Size of a pixel.
    ///
    /// # Errors
    /// The header gives no positive finite size, or two.
    pub fn spacing(&self) -> Result<SpacingMm, Fault> {
        self.geometry().spacing()
    }

    /// The affine of the quaternion, as nifti1.h defines it.
    fn by_quaternion(&self) -> [[f64; 4]; 3] {
        let h = &self.raw;
        let [mut b, mut c, mut d] = [h.quatern_b, h.quatern_c, h.quatern_d].map(f64::from);
        let square = b * b + c * c + d * d;
        let a = match 1.0 - square {
            rest if rest < 1e-7 => {
                let length = square.sqrt();
                [b, c, d] = [b, c, d].map(|v| v / length);
                0.0
            }
            rest => rest.sqrt(),
        };
        let mut sizes = [1, 2, 3].map(|axis| match f64::from(h.pixdim[axis]) {
            size if size > 0.0 => size,
            _ => 1.0,
        });
        if h.pixdim[0] < 0.0 {
            sizes[2] = -sizes[2];
        }
        let turned = [
            [
                a * a + b * b - c * c - d * d,
                2.0 * (b * c - a * d),
                2.0 * (b * d + a * c),
            ],
            [
                2.0 * (b * c + a * d),
                a * a + c * c - b * b - d * d,
                2.0 * (c * d - a * b),
            ],
            [
                2.0 * (b * d - a * c),
                2.0 * (c * d + a * b),
                a * a + d * d - b * b - c * c,
            ],
        ];
        let first = [h.quatern_x, h.quatern_y, h.quatern_z].map(f64::from);
        std::array::from_fn(|i| {
            let [x, y, z] = std::array::from_fn(|axis| turned[i][axis] * sizes[axis]);
            [x, y, z, first[i]]
        })
    }
}

impl HeaderGeometry {
    /// Size of a pixel.
    ///
    /// # Errors
    /// The header gives no positive finite size, or its affine another one.
    pub fn spacing(&self) -> Result<SpacingMm, Fault> {
        let Some(size) = self.size else {
            return Err(Fault::new(
                "its header has no spacing",
                "set its pixel size, or measure in pixels",
            ));
        };
        if let Some([x_mm, y_mm]) = self.sform.map(|grid| grid.steps())
            && !same_spacing(size, SpacingMm { x_mm, y_mm })
        {
            return Err(Fault::new(
                format!(
                    "its header gives two spacings: {} x {} mm (pixdim) and {x_mm} x {y_mm} mm \
                     (sform)",
                    size.x_mm, size.y_mm
                ),
                "write the right one to both, or measure in pixels",
            ));
        }
        Ok(size)
    }

    /// A spacing that somebody set.
    pub(in crate::data) fn stated_size(&self) -> Option<SpacingMm> {
        let nobodys = self.default_size && self.quaternion.is_none() && self.sform.is_none();
        self.size.filter(|_| !nobodys)
    }

    /// Where the pixels lie; `None` where the header does not say.
    ///
    /// # Errors
    /// The quaternion and the affine matrix give two places, or no two directions are given.
    pub fn grid(&self) -> Result<Option<PixelGrid>, Fault> {
        let grid = match (self.quaternion, self.sform) {
            (Some(a), Some(b)) if !a.agrees(&b, 0) => {
                return Err(Fault::new(
                    "its header puts its pixels at two places (qform and sform)",
                    "write the right one to both",
                ));
            }
            (quaternion, sform) => sform.or(quaternion),
        };
        match grid.filter(|grid| !grid.steps().iter().all(|step| *step > 0.0)) {
            Some(_) => Err(Fault::new(
                "its header gives its pixels no size (sform)",
                "write its affine anew",
            )),
            None => Ok(grid),
        }
    }

    /// Whether each statement of one is made by the other.
    pub(in crate::data) fn says_the_same_as(&self, other: &Self) -> bool {
        let same = |a: Option<PixelGrid>, b: Option<PixelGrid>| match (a, b) {
            (Some(a), Some(b)) => a.agrees(&b, 0),
            (a, b) => a.is_none() && b.is_none(),
        };
        let size = match (self.size, other.size) {
            (Some(a), Some(b)) => same_spacing(a, b),
            (a, b) => a.is_none() && b.is_none(),
        };
        size && same(self.quaternion, other.quaternion) && same(self.sform, other.sform)
    }
}
