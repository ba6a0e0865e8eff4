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
        let steps = [self.steps(), other.steps()];
        let tolerance = ROUNDING * steps.into_iter().flatten().fold(f64::INFINITY, f64::min);
        let near = |a: [f64; 3], b: [f64; 3], tolerance: f64| {
            std::iter::zip(a, b).all(|(a, b)| {
                // Files hold single precision.
                let stored = 2.0 * f64::from(f32::EPSILON) * a.abs().max(b.abs());
                let finite = a.is_finite() && b.is_finite();
                // What is not finite agrees with itself alone.
                a.to_bits() == b.to_bits() || (finite && (a - b).abs() <= tolerance + stored)
            })
        };
        near(self.along_x, other.along_x, tolerance)
            && near(self.along_y, other.along_y, tolerance)
            && near(self.first, other.first, tolerance * (1 + moved) as f64)
    }

    /// Why an affine (`form`: qform or sform) is none that an image can have.
    fn fault(&self, form: &str) -> Option<Fault> {
        let Self {
            first,
            along_x,
            along_y,
        } = self;
        let finite = [first, along_x, along_y]
            .into_iter()
            .flatten()
            .all(|v| v.is_finite());
        let [x, y] = self.steps();
        let what = if !finite {
            "places its pixels by values that are not finite"
        } else if x == 0.0 || y == 0.0 {
            "gives its pixels no size"
        } else if self.cosine().abs() > 1.0 - ROUNDING {
            "gives x and y one direction"
        } else {
            return None;
        };
        Some(Fault::new(
            format!("has a header that {what} ({form})"),
            "write its affine anew",
        ))
    }

    /// The cosine of the angle between x and y.
    fn cosine(&self) -> f64 {
        let [x, y] = self.steps();
        let product = std::iter::zip(self.along_x, self.along_y).map(|(a, b)| a / x * (b / y));
        product.sum()
    }
}

/// A number of millimetres with no more digits than matter.
pub(in crate::data) fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4 + 0.0
}

/// Whether two spacings are the same but for rounding.
pub(in crate::data) fn same_spacing(a: SpacingMm, b: SpacingMm) -> bool {
    let near = |a: f64, b: f64| (a - b).abs() <= ROUNDING * a.min(b);
    near(a.x_mm, b.x_mm) && near(a.y_mm, b.y_mm)
}

/// The statements of one header.
#[derive(Clone, Copy, Debug)]
pub struct HeaderGeometry {
    /// What is stored as the size of a pixel (`pixdim`), along x and y.
    stored_size: [f64; 2],
    /// The size of a pixel, where what is stored is finite and not 0; its sign says nothing.
    size: Option<SpacingMm>,
    /// By the quaternion, where its code is above 0.
    quaternion: Option<PixelGrid>,
    /// By the affine matrix, where its code is above 0.
    sform: Option<PixelGrid>,
    /// Whether the spacing is what a writer leaves who knows none: 1 x 1 without a unit.
    default_size: bool,
    /// Whether it is that of a picture, whose format has no spacing.
    is_picture: bool,
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
            stored_size: [0.0; 2],
            size: None,
            quaternion: None,
            sform: None,
            default_size: false,
            is_picture: self.is_picture,
        };
        let Ok([(x, _), (y, _)]) = self.plane() else {
            return geometry;
        };
        let stored = [x, y].map(|axis| f64::from(h.pixdim[axis + 1]) * per_unit_mm);
        geometry.stored_size = stored;
        let mm = |size: f64| (size.is_finite() && size != 0.0).then_some(size.abs());
        if let [Some(x_mm), Some(y_mm)] = stored.map(mm) {
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
    /// See [`HeaderGeometry::spacing`].
    pub fn spacing(&self) -> Result<SpacingMm, Fault> {
        self.geometry().spacing()
    }

    /// The affine of the quaternion, as nifti1.h defines it.
    pub(super) fn by_quaternion(&self) -> [[f64; 4]; 3] {
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
        let mut sizes = [1, 2, 3].map(|axis| match f64::from(h.pixdim[axis]).abs() {
            0.0 => 1.0,
            size => size,
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

impl Header {
    /// The header of its plane resampled; `scale` is the step between pixels of the new grid and
    /// `first` the place of its first one, both in pixels of this one, along x and y.
    pub(in crate::data) fn resampled(
        &self,
        shape: [usize; 2],
        spacing: SpacingMm,
        scale: [f64; 2],
        first: [f64; 2],
    ) -> Result<Self, Fault> {
        let plane = self.plane()?.map(|(axis, _)| axis);
        let mut header = self.clone();
        let by_quaternion = self.by_quaternion();
        let per_unit_mm = match self.raw.xyzt_units & 7 {
            1 => 1e3,
            3 => 1e-3,
            _ => 1.0,
        };
        let sizes = [spacing.x_mm, spacing.y_mm];
        let raw = &mut header.raw;
        for (i, axis) in plane.into_iter().enumerate() {
            raw.dim[axis + 1] = shape[i] as u16;
            raw.pixdim[axis + 1] = (sizes[i] / per_unit_mm) as f32;
        }
        if plane.iter().all(|axis| *axis < 3) {
            let moved = |row: [f64; 4]| row[plane[0]] * first[0] + row[plane[1]] * first[1];
            for row in [&mut raw.srow_x, &mut raw.srow_y, &mut raw.srow_z] {
                let wide = row.map(f64::from);
                row[3] = (wide[3] + moved(wide)) as f32;
                for (axis, scale) in plane.into_iter().zip(scale) {
                    row[axis] = (wide[axis] * scale) as f32;
                }
            }
            let [x, y, z] = by_quaternion.map(moved);
            raw.quatern_x = (f64::from(raw.quatern_x) + x) as f32;
            raw.quatern_y = (f64::from(raw.quatern_y) + y) as f32;
            raw.quatern_z = (f64::from(raw.quatern_z) + z) as f32;
        }
        Ok(header)
    }
}

impl HeaderGeometry {
    /// Size of a pixel.
    ///
    /// # Errors
    /// The header gives no finite size, its affine another one, or its pixels have no right angles.
    pub fn spacing(&self) -> Result<SpacingMm, Fault> {
        if self.is_picture {
            return Err(Fault::new(
                "is a picture, which does not say how large its pixels are",
                "store it as NIfTI with the size of its pixels",
            ));
        }
        let size = self.one_size()?;
        let grids = [self.quaternion, self.sform].into_iter().flatten();
        match grids.into_iter().any(|grid| grid.cosine().abs() > ROUNDING) {
            false => Ok(size),
            true => Err(Fault::new(
                "has a header that gives x and y no right angle (sform), so that distances do not \
                 follow from the size of a pixel",
                "resample it to pixels with right angles",
            )),
        }
    }

    /// Size of a pixel, of whatever angles.
    fn one_size(&self) -> Result<SpacingMm, Fault> {
        let Some(size) = self.size else {
            let [x, y] = self.stored_size;
            return Err(Fault::new(
                format!("has a header that gives no spacing (pixdim {x} x {y})"),
                "write the size of its pixels to it",
            ));
        };
        if let Some([x_mm, y_mm]) = self.sform.map(|grid| grid.steps())
            && !same_spacing(size, SpacingMm { x_mm, y_mm })
        {
            return Err(Fault::new(
                format!(
                    "has a header that gives two spacings: {} x {} mm (pixdim) and {} x {} mm \
                     (sform)",
                    rounded(size.x_mm),
                    rounded(size.y_mm),
                    rounded(x_mm),
                    rounded(y_mm)
                ),
                "write the right one to both",
            ));
        }
        Ok(size)
    }

    /// Why there is not one answer to where the pixels lie and how large they are; `None` where
    /// there is one, and where the header says nothing.
    pub fn contradiction(&self) -> Option<Fault> {
        let says_nothing =
            self.stored_size == [0.0; 2] && self.quaternion.is_none() && self.sform.is_none();
        if says_nothing {
            return None;
        }
        self.grid().err().or_else(|| self.one_size().err())
    }

    /// [`HeaderGeometry::spacing`], where somebody set it.
    pub fn stated_spacing(&self) -> Option<SpacingMm> {
        self.stated_size().and(self.spacing().ok())
    }

    /// Where x and y lead, as two of the letters R, L, A, P, S and I: the nearest of the patient's
    /// axes. `None` where the header does not say, or says two places.
    pub fn orientation(&self) -> Option<String> {
        let grid = self.grid().ok()??;
        let letter = |step: [f64; 3]| {
            let named = std::iter::zip(step, [['R', 'L'], ['A', 'P'], ['S', 'I']]);
            let (length, [plus, minus]) =
                named.max_by(|(a, _), (b, _)| a.abs().total_cmp(&b.abs()))?;
            Some(if length < 0.0 { minus } else { plus })
        };
        [grid.along_x, grid.along_y]
            .map(letter)
            .into_iter()
            .collect()
    }

    /// A spacing that somebody set.
    pub(in crate::data) fn stated_size(&self) -> Option<SpacingMm> {
        let nobodys = self.default_size && self.quaternion.is_none() && self.sform.is_none();
        self.size.filter(|_| !nobodys)
    }

    /// Where the pixels lie; `None` where the header does not say.
    ///
    /// # Errors
    /// The quaternion and the affine matrix give two places, or one of them gives none.
    pub fn grid(&self) -> Result<Option<PixelGrid>, Fault> {
        let forms = [(self.quaternion, "qform"), (self.sform, "sform")];
        let mut faults = forms
            .into_iter()
            .filter_map(|(grid, form)| grid?.fault(form));
        if let Some(fault) = faults.next() {
            return Err(fault);
        }
        match (self.quaternion, self.sform) {
            (Some(a), Some(b)) if !a.agrees(&b, 0) => Err(Fault::new(
                "has a header that puts its pixels at two places (qform and sform)",
                "write the right one to both",
            )),
            (quaternion, sform) => Ok(sform.or(quaternion)),
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
