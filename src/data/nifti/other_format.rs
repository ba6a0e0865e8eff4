//! What a file is that is not NIfTI-1, by its first bytes, and how it is converted.

use super::Fault;

/// How SimpleITK converts what it reads, spacing and place included.
const BY_ITK: &str = "convert it, with SimpleITK: \
    `sitk.WriteImage(sitk.ReadImage(\"old\"), \"new.nii.gz\")`";
/// How a picture becomes an image: it has no word of spacing and place.
const PICTURE: &str = "convert it, with SimpleITK: `sitk.WriteImage(sitk.ReadImage(\"old\", \
    sitk.sitkFloat32), \"new.nii.gz\")`; pictures have no spacing, so set it";
const FREESURFER: &str = "convert it with FreeSurfer: `mri_convert old new.nii.gz`";
const NUMPY: &str = "write it with its affine, with nibabel: \
    `nib.save(nib.Nifti1Image(np.load(\"old\"), affine), \"new.nii.gz\")`";
const UNPACK: &str = "unpack it; single files are read plain or compressed with gzip";

/// Where magic bytes stand, what they are, whose they are, and the remedy.
const FORMATS: [(usize, &[u8], &str, &str); 22] = [
    (128, b"DICM", "a DICOM file", BY_ITK),
    // Without the preamble: group 8, in little-endian order.
    (0, b"\x08\0\0\0UL\x04\0", "a DICOM file", BY_ITK),
    (0, b"\x08\0\x05\0CS", "a DICOM file", BY_ITK),
    (0, b"\x89PNG", "a PNG picture", PICTURE),
    (0, b"\xff\xd8\xff", "a JPEG picture", PICTURE),
    (0, b"II*\0", "a TIFF picture", PICTURE),
    (0, b"MM\0*", "a TIFF picture", PICTURE),
    (0, b"BM", "a BMP picture", PICTURE),
    (0, b"NRRD", "an NRRD file", BY_ITK),
    (0, b"ObjectType", "a MetaImage file", BY_ITK),
    (0, b"NDims", "a MetaImage file", BY_ITK),
    (0, b"\x89HDF", "an HDF5 or MINC file", BY_ITK),
    (0, b"CDF\x01", "a MINC file", BY_ITK),
    // Version 1, in big-endian order.
    (0, b"\0\0\0\x01\0\0", "an MGH file", FREESURFER),
    (0, b"\x93NUMPY", "a NumPy array", NUMPY),
    (0, b"PK\x03\x04", "a zip archive", UNPACK),
    (257, b"ustar", "a tar archive", UNPACK),
    (0, b"BZh", "compressed with bzip2", UNPACK),
    (0, b"\xfd7zXZ", "compressed with xz", UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "compressed with zstd", UNPACK),
    (
        0,
        b"version https://git-lfs",
        "a pointer of Git LFS",
        "fetch the file itself with `git lfs pull`",
    ),
    (
        0,
        b"<",
        "a page of HTML or XML",
        "download the file itself again",
    ),
];

/// The fault of a file that begins so; `None` where it may be NIfTI-1.
pub(super) fn named(start: &[u8]) -> Option<Fault> {
    let number = start.first_chunk().map(|four| i32::from_le_bytes(*four));
    let declares = |size: i32| number.is_some_and(|n| n == size || n.swap_bytes() == size);
    if declares(540) && (start[4..].starts_with(b"n+2") || start[4..].starts_with(b"ni2")) {
        return Some(Fault::new(
            "is NIfTI-2; NIfTI-1 is read",
            "convert it, with nibabel: \
             `nib.save(nib.Nifti1Image.from_image(nib.load(\"old.nii.gz\")), \"new.nii.gz\")`",
        ));
    }
    let pair = "convert both files into one, with nibabel: \
                `nib.save(nib.Nifti1Image.from_image(nib.load(\"old.hdr\")), \"new.nii.gz\")`";
    match start.get(344..348) {
        Some(b"ni1\0") if declares(348) => {
            return Some(Fault::new(
                "is the header of a pair (.hdr and .img), not a single-file NIfTI-1",
                pair,
            ));
        }
        Some(magic) if declares(348) && magic != b"n+1\0" => {
            return Some(Fault::new(
                "is not a NIfTI-1 file: its header has no magic number, as in Analyze 7.5 (.hdr \
                 and .img)",
                format!("{pair}; Analyze does not say which side is left"),
            ));
        }
        _ => {}
    }
    let is = |(at, magic, ..): &&(usize, &[u8], _, _)| {
        start.get(*at..).is_some_and(|rest| rest.starts_with(magic))
    };
    let (_, _, name, remedy) = FORMATS.iter().find(is)?;
    Some(Fault::new(
        format!("is {name}, not a NIfTI-1 file"),
        *remedy,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_is_named_with_a_way_to_convert_it() {
        for (at, magic, name, remedy) in FORMATS {
            let mut start = vec![0x20; 348];
            start[at..at + magic.len()].copy_from_slice(magic);
            let said = named(&start).unwrap().to_string();
            assert!(said.contains(name) && said.ends_with(remedy), "{said}");
            // Cut off before its end, it is not known.
            assert_eq!(named(&start[..at + magic.len() - 1]), None, "{name}");
        }
        assert_eq!(named(b""), None);
        assert_eq!(named(b"some words"), None);
    }
}
