//! Header and pixels to the bytes of a NIfTI-1 file.
//!
//! The rule: the same pixels and header give the same bytes, compressed or not.

use std::{
    io::{self, Write},
    path::Path,
};

use ::nifti::{NiftiHeader, NiftiType};
use flate2::{Compression, GzBuilder};

use super::{DATA_OFFSET, Fault, Header};

/// Writes `pixels` of type `number`, little-endian, `shape` = `[width, height]`.
pub(super) fn write(
    path: &Path,
    header: &Header,
    shape: [usize; 2],
    number: NiftiType,
    pixels: Vec<u8>,
) -> Result<(), Fault> {
    let [(_, width), (_, height)] = header.plane()?;
    if [width, height] != shape {
        return Err(Fault::new(
            format!(
                "cannot hold {} x {} pixels under a header of {width} x {height}",
                shape[0], shape[1]
            ),
            "take the header of the same case",
        ));
    }
    let header = NiftiHeader {
        datatype: number as i16,
        bitpix: (8 * number.size_of()) as i16,
        vox_offset: DATA_OFFSET as f32,
        // Values are stored unscaled: the input's scaling and display range do not apply.
        scl_slope: 1.0,
        scl_inter: 0.0,
        cal_min: 0.0,
        cal_max: 0.0,
        ..header.raw.clone()
    };
    let mut bytes = header_bytes(&header);
    bytes.resize(DATA_OFFSET, 0);
    bytes.extend(pixels);
    if path.extension().is_some_and(|e| e == "gz") {
        bytes = compressed(&bytes).map_err(|e| unwritable(&e))?;
    }
    write_whole(path, &bytes).map_err(|e| unwritable(&e))
}

/// Writes a file whole or not at all: what is interrupted, or finds no space, leaves no part that
/// could be taken for an image.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".writing-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // As far as the user's mask allows.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder.unwrap_or(Path::new(".")))?;
    file.write_all(bytes)?;
    file.persist(path)?;
    Ok(())
}

fn compressed(bytes: &[u8]) -> io::Result<Vec<u8>> {
    // Without time, name and system in the gzip header, the same pixels give the same file.
    let mut gz = GzBuilder::new()
        .mtime(0)
        .operating_system(255)
        .write(Vec::new(), Compression::new(6));
    gz.write_all(bytes)?;
    gz.finish()
}

fn unwritable(error: &io::Error) -> Fault {
    Fault::new(
        format!("cannot be written ({})", error.kind()),
        "check the folder and the space on the disk",
    )
}

/// The 348 bytes of a single-file NIfTI-1 header, little-endian (nifti1.h).
fn header_bytes(h: &NiftiHeader) -> Vec<u8> {
    let mut out = Vec::with_capacity(DATA_OFFSET);
    macro_rules! put {
        ($($value:expr),* $(,)?) => { { $( out.extend($value.to_le_bytes()); )* } };
    }
    put!(348_i32);
    out.extend(h.data_type);
    out.extend(h.db_name);
    put!(h.extents, h.session_error, h.regular, h.dim_info);
    h.dim.iter().for_each(|v| put!(v));
    put!(h.intent_p1, h.intent_p2, h.intent_p3);
    put!(h.intent_code, h.datatype, h.bitpix, h.slice_start);
    h.pixdim.iter().for_each(|v| put!(v));
    put!(h.vox_offset, h.scl_slope, h.scl_inter);
    put!(h.slice_end, h.slice_code, h.xyzt_units);
    put!(h.cal_max, h.cal_min, h.slice_duration, h.toffset);
    put!(h.glmax, h.glmin);
    let mut description = h.descrip.clone();
    description.resize(80, 0);
    out.extend(description);
    out.extend(h.aux_file);
    put!(h.qform_code, h.sform_code);
    put!(h.quatern_b, h.quatern_c, h.quatern_d);
    put!(h.quatern_x, h.quatern_y, h.quatern_z);
    for row in [h.srow_x, h.srow_y, h.srow_z] {
        row.iter().for_each(|v| put!(v));
    }
    out.extend(h.intent_name);
    out.extend(b"n+1\0");
    out
}
