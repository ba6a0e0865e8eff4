//! NIfTI-1 files field by field, with headers that the program itself would not write.

use std::{fs, path::Path};

/// Bytes of a single-file NIfTI-1, little-endian.
#[derive(Clone)]
pub struct NiftiFile(pub Vec<u8>);

impl NiftiFile {
    /// Pixels of a byte each, x fastest; 1 mm; a header that says nothing of the place.
    pub fn new(dims: &[i16], values: &[u8]) -> Self {
        let mut file = Self(vec![0; 352]);
        file.0.extend(values);
        file.put(0, 348_i32.to_le_bytes());
        let mut all = [1; 8];
        all[0] = dims.len() as i16;
        all[1..=dims.len()].copy_from_slice(dims);
        for (i, n) in all.iter().enumerate() {
            file.put(40 + 2 * i, n.to_le_bytes());
        }
        file.put(70, 2_i16.to_le_bytes());
        file.put(72, 8_i16.to_le_bytes());
        for i in 0..8 {
            file.put(76 + 4 * i, 1_f32.to_le_bytes());
        }
        file.put(108, 352_f32.to_le_bytes());
        file.put(112, 1_f32.to_le_bytes());
        file.put(123, [2]);
        file.put(344, b"n+1\0");
        file
    }

    /// A disc of 1 in a plane.
    pub fn disc([width, height]: [usize; 2], [x0, y0]: [i32; 2], radius: i32) -> Self {
        let values = disc([width, height], [x0, y0], radius);
        Self::new(&[width as i16, height as i16], &values)
    }

    pub fn put(&mut self, at: usize, value: impl AsRef<[u8]>) -> &mut Self {
        let value = value.as_ref();
        self.0[at..at + value.len()].copy_from_slice(value);
        self
    }

    /// The size of a pixel.
    pub fn pixdim(mut self, x: f32, y: f32) -> Self {
        self.put(80, x.to_le_bytes()).put(84, y.to_le_bytes());
        self
    }

    /// The affine matrix, and its code 2.
    pub fn sform(mut self, rows: [[f32; 4]; 3]) -> Self {
        self.put(254, 2_i16.to_le_bytes());
        for (i, value) in rows.as_flattened().iter().enumerate() {
            self.put(280 + 4 * i, value.to_le_bytes());
        }
        self
    }

    /// The quaternion's b, c, d, the offset, and its code 1.
    pub fn qform(mut self, bcd: [f32; 3], offset: [f32; 3]) -> Self {
        self.put(252, 1_i16.to_le_bytes());
        for (i, value) in bcd.iter().chain(&offset).enumerate() {
            self.put(256 + 4 * i, value.to_le_bytes());
        }
        self
    }

    pub fn write(&self, path: impl AsRef<Path>) {
        fs::write(path, &self.0).unwrap();
    }
}

/// 1 within a disc, 0 elsewhere, x fastest.
pub fn disc([width, height]: [usize; 2], [x0, y0]: [i32; 2], radius: i32) -> Vec<u8> {
    let pixel = |i: usize| {
        let (x, y) = ((i % width) as i32 - x0, (i / width) as i32 - y0);
        u8::from(x * x + y * y <= radius * radius)
    };
    (0..width * height).map(pixel).collect()
}

/// Every row from right to left.
pub fn mirrored(values: &[u8], width: usize) -> Vec<u8> {
    let rows = values.chunks(width);
    rows.flat_map(|row| row.iter().rev().copied()).collect()
}

/// Rows become columns.
pub fn transposed(values: &[u8], width: usize) -> Vec<u8> {
    let height = values.len() / width;
    let pixel = |i: usize| values[(i % height) * width + i / height];
    (0..values.len()).map(pixel).collect()
}

/// An affine of these two steps and this first pixel.
pub fn rows(x: [f32; 3], y: [f32; 3], first: [f32; 3]) -> [[f32; 4]; 3] {
    let z = [
        x[1] * y[2] - x[2] * y[1],
        x[2] * y[0] - x[0] * y[2],
        x[0] * y[1] - x[1] * y[0],
    ];
    std::array::from_fn(|i| [x[i], y[i], z[i], first[i]])
}

/// The affine of pixels of 1 mm at the origin.
pub const IDENTITY: [[f32; 4]; 3] = [
    [1.0, 0.0, 0.0, 0.0],
    [0.0, 1.0, 0.0, 0.0],
    [0.0, 0.0, 1.0, 0.0],
];
