//! What the axes of a file are: width, height, slices, channels; and its planes.
//!
//! The rule: channels and slices are where the manifest says so, and nowhere else. A plane has a
//! header of its own, with the place of its slice.

use itertools::Itertools;

use super::{
    Fault, Header, Image, MAX_AXIS_PX, MAX_PIXELS, Mask, ReadMask, axis_fault, decode::Decoded,
    mask_values::Inside,
};
use crate::manifest::{Channel, FileAxis, FileReading, SliceAxis};

/// Most values of a volume that are read.
const MAX_VALUES: usize = 256 << 20;

/// What the axes of a file are, as indices into [`Header::dims`].
#[derive(Clone, Copy, Debug)]
pub(in crate::data) struct FileAxes {
    x: usize,
    y: usize,
    channels: Option<usize>,
    /// Whether that of channels is the third, which nobody named.
    assumed: bool,
    slices: Option<usize>,
}

/// One image of a file, before it is known to be an image or a mask.
#[derive(Clone, Debug)]
pub(in crate::data) struct FilePlane {
    /// Its place along the axis of slices, from 0; none in a file of one image.
    pub(in crate::data) slice: Option<usize>,
    /// A header of one plane.
    pub(in crate::data) header: Header,
    /// The values.
    pub(in crate::data) image: Image,
}

fn slice_index(axis: SliceAxis) -> usize {
    match axis {
        SliceAxis::X => 0,
        SliceAxis::Y => 1,
        SliceAxis::Z => 2,
    }
}

/// `one channel`, `3 channels`.
pub(in crate::data) fn channel_count(count: usize) -> String {
    match count {
        1 => "one channel".to_owned(),
        several => format!("{several} channels"),
    }
}

fn index(axis: FileAxis) -> usize {
    match axis {
        FileAxis::X => 0,
        FileAxis::Y => 1,
        FileAxis::Z => 2,
        FileAxis::T => 3,
    }
}

impl Header {
    /// What its axes are, by what the manifest says; those of a mask have no channels.
    pub(super) fn axes(&self, reading: &FileReading, is_mask: bool) -> Result<FileAxes, Fault> {
        let dims: Vec<usize> = self.dims().iter().map(|n| usize::from(*n)).collect();
        let slices = reading.slices.map(|slices| slice_index(slices.axis));
        if let Some(axis) = slices.filter(|axis| *axis >= dims.len()) {
            return Err(Fault::new(
                format!("has shape {dims:?}, and no axis {} of slices", axis + 1),
                "take `slice` out of `[dataset]`, or name another axis",
            ));
        }
        let channels = match reading.channel {
            Some(_) if !is_mask => self.channels(&dims, reading.channel_axis, slices)?,
            _ => None,
        };
        let assumed = channels == Some(2) && reading.channel_axis.is_none();
        if let Some(Channel::One(wanted)) = reading.channel.filter(|_| !is_mask) {
            let there = channels.map_or(1, |axis| dims[axis]);
            if wanted >= there {
                return Err(Fault::new(
                    format!(
                        "has {} (shape {dims:?}), and `channel = {wanted}` asks for another: they \
                         count from 0",
                        channel_count(there)
                    ),
                    "name a channel that there is, or their axis with `channel_axis`",
                ));
            }
        }
        if channels.is_none() && slices.is_none() {
            let [(x, _), (y, _)] = self.plane()?;
            return Ok(FileAxes {
                x,
                y,
                channels,
                assumed,
                slices,
            });
        }
        let others =
            (0..dims.len()).filter(|axis| Some(*axis) != channels && Some(*axis) != slices);
        let long: Vec<usize> = others.clone().filter(|axis| dims[*axis] != 1).collect();
        let plane = match long.as_slice() {
            [x, y] => Some((*x, *y)),
            [_] | [] => others.take(2).collect_tuple(),
            _ => None,
        };
        let Some((x, y)) = plane else {
            let axes = [("channels", channels), ("slices", slices)];
            let named = axes.iter().filter_map(|(what, axis)| {
                Some(format!("{what} along its axis {}", axis.as_ref()? + 1))
            });
            return Err(Fault::new(
                format!(
                    "has shape {dims:?}, which with {} is not made of 2-D images",
                    named.format(" and ")
                ),
                "say what the other axes are, with `slice` and `channel` under `[dataset]`",
            ));
        };
        Ok(FileAxes {
            x,
            y,
            channels,
            assumed,
            slices,
        })
    }

    /// The axis of channels.
    fn channels(
        &self,
        dims: &[usize],
        named: Option<FileAxis>,
        slices: Option<usize>,
    ) -> Result<Option<usize>, Fault> {
        if let Some(axis) = named.map(index) {
            return match axis < dims.len() && Some(axis) != slices {
                true => Ok(Some(axis)),
                false => Err(Fault::new(
                    format!("has shape {dims:?}, and no axis {} of channels", axis + 1),
                    "name another `channel_axis`",
                )),
            };
        }
        let several = (3..dims.len()).find(|axis| dims[*axis] > 1);
        let third = || {
            let is_long = |axis: &usize| dims[*axis] > 1;
            let all = (0..dims.len()).filter(is_long).count();
            (slices.is_none() && dims.len() > 2 && all == 3).then_some(2)
        };
        Ok(several.or_else(third))
    }

    /// The header of one plane of it.
    fn of_plane(&self, axes: &FileAxes, slice: usize) -> Self {
        let mut header = self.clone();
        header.assumed_channels = axes.assumed;
        if let Some(axis) = axes.slices
            && axis < 3
        {
            let moved = slice as f32;
            let by_quaternion = self.by_quaternion();
            let raw = &mut header.raw;
            for row in [&mut raw.srow_x, &mut raw.srow_y, &mut raw.srow_z] {
                row[3] += moved * row[axis];
            }
            let [x, y, z] = by_quaternion.map(|row| row[axis] as f32 * moved);
            raw.quatern_x += x;
            raw.quatern_y += y;
            raw.quatern_z += z;
        }
        for axis in [axes.slices, axes.channels].into_iter().flatten() {
            header.raw.dim[axis + 1] = 1;
        }
        header
    }
}

impl Decoded {
    /// The values of a picture, channel after channel.
    pub(in crate::data) fn of_picture(
        [width, height]: [usize; 2],
        channels: usize,
        values: Vec<f32>,
    ) -> Result<Self, Fault> {
        let mut header = Header::of_picture(width, height)?;
        if channels > 1 {
            header.raw.dim[0] = 4;
            header.raw.dim[4] = channels as u16;
        }
        let axes = FileAxes {
            x: 0,
            y: 1,
            channels: (channels > 1).then_some(3),
            assumed: false,
            slices: None,
        };
        Ok(Self {
            header,
            axes,
            values,
        })
    }
}

impl FileAxes {
    /// How many values the file has.
    pub(super) fn checked_count(&self, header: &Header) -> Result<usize, Fault> {
        let dims = header.dims();
        for axis in [Some(self.x), Some(self.y), self.channels, self.slices] {
            let length = axis.map_or(1, |axis| usize::from(dims[axis]));
            if length == 0 || length > MAX_AXIS_PX {
                return Err(axis_fault(length));
            }
        }
        let [width, height] = [self.x, self.y].map(|axis| usize::from(dims[axis]));
        if width * height > MAX_PIXELS {
            return Err(Fault::new(
                format!("has {width} x {height} pixels, more than {MAX_PIXELS}"),
                "check that the file is one 2-D slice",
            ));
        }
        let others = [self.channels, self.slices].into_iter().flatten();
        let planes: usize = others.map(|axis| usize::from(dims[axis])).product();
        match (width * height).checked_mul(planes) {
            Some(count) if count <= MAX_VALUES.max(width * height) => Ok(count),
            _ => Err(Fault::new(
                format!("has shape {dims:?}, more than {MAX_VALUES} values"),
                "store a part of it in a file of its own",
            )),
        }
    }

    /// The step from one value to the next along an axis.
    fn step(header: &Header, axis: usize) -> usize {
        let before = &header.dims()[..axis];
        before.iter().map(|n| usize::from(*n)).product()
    }

    /// `x = 3, y = 4` of a value.
    pub(super) fn position(&self, header: &Header, value: usize) -> String {
        let at = |axis: usize| {
            value / Self::step(header, axis) % usize::from(header.dims()[axis]).max(1)
        };
        let plane = [("x", Some(self.x)), ("y", Some(self.y))];
        let others = [("slice", self.slices), ("channel", self.channels)];
        let all = plane.into_iter().chain(others);
        all.filter_map(|(word, axis)| Some(format!("{word} = {}", at(axis?))))
            .join(", ")
    }
}

impl Decoded {
    /// Its planes: one for each slice, of the channel that is asked for.
    pub(in crate::data) fn planes(self, channel: Option<Channel>) -> Vec<FilePlane> {
        let Self {
            header,
            axes,
            values,
        } = self;
        if axes.slices.is_none() && axes.channels.is_none() {
            let [width, height] = [axes.x, axes.y].map(|axis| usize::from(header.dims()[axis]));
            let image = Image {
                height,
                width,
                pixels: values,
            };
            return vec![FilePlane {
                slice: None,
                header,
                image,
            }];
        }
        let length = |axis: usize| usize::from(header.dims()[axis]);
        let count = |axis: Option<usize>| axis.map_or(1, length);
        let step = |axis: usize| FileAxes::step(&header, axis);
        let steps = [axes.x, axes.y].map(step);
        let [width, height] = [axes.x, axes.y].map(length);
        let channels = count(axes.channels);
        let channel_step = axes.channels.map_or(0, step);
        let value = |at: usize| match channel {
            None => values[at],
            Some(Channel::One(index)) => values[at + index.min(channels - 1) * channel_step],
            Some(Channel::Sum | Channel::Mean) => {
                let each = (0..channels).map(|i| f64::from(values[at + i * channel_step]));
                let sum: f64 = each.sum();
                match channel {
                    Some(Channel::Mean) => (sum / channels as f64) as f32,
                    _ => sum as f32,
                }
            }
        };
        let plane = |slice: usize| {
            let first = slice * axes.slices.map_or(0, step);
            let places = (0..height).cartesian_product(0..width);
            FilePlane {
                slice: axes.slices.map(|_| slice),
                header: header.of_plane(&axes, slice),
                image: Image {
                    height,
                    width,
                    pixels: places
                        .map(|(y, x)| value(first + x * steps[0] + y * steps[1]))
                        .collect(),
                },
            }
        };
        (0..count(axes.slices)).map(plane).collect()
    }
}

impl FilePlane {
    /// The mask of what is inside.
    pub(in crate::data) fn mask(self, inside: &Inside) -> ReadMask {
        let Self { header, image, .. } = self;
        let pixels = image.pixels.iter();
        ReadMask {
            mask: Mask {
                height: image.height,
                width: image.width,
                pixels: pixels.map(|value| inside.holds(*value)).collect(),
            },
            header,
            inside: inside.value(),
            oddity: inside.oddity(),
        }
    }
}
