"""NIfTI files written by nibabel and SimpleITK, and how nibabel reads them: writes nifti_files.safetensors.

For each file: its bytes, the values as [x, y], the spacing in millimetres and, where the header has one, the sform affine.
SimpleITK must read the same values, except where it is known not to.
"""

import struct
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk

from .files import versions, write_tensors

TYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"]
ENDS = {"little": "<", "big": ">"}
# Not square, so that exchanged axes show.
SHAPE = (7, 5)
AFFINE = np.diag([0.5, 0.75, 2.0, 1.0]) + np.array([[0, 0, 0, -3], [0, 0, 0, 11], [0, 0, 0, 4.5], [0, 0, 0, 0]])
TURNED = np.array([[0, -0.75, 0, 20], [0.5, 0, 0, -8], [0, 0, 2, 0], [0, 0, 0, 1.0]])
SLOPE_AT = 112
PER_UNIT_MM = {"meter": 1e3, "micron": 1e-3, "mm": 1.0, "unknown": 1.0}
rng = np.random.default_rng(1848)


def values_of(dtype, shape=SHAPE):
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return (1e3 * rng.normal(size=shape)).astype(dtype)
    info = np.iinfo(dtype)
    values = rng.integers(info.min, info.max, size=shape, dtype=dtype, endpoint=True)
    values.flat[0], values.flat[-1] = info.min, info.max
    return values


def image(values, dtype, end="<", affine=AFFINE, slope=None, inter=None, unit="mm"):
    """`values` are stored as they are where a scaling is given, else nibabel may fit one."""
    header = nib.Nifti1Header(endianness=end)
    header.set_data_dtype(np.dtype(dtype))
    header.set_xyzt_units(unit)
    made = nib.Nifti1Image(values, affine, header)
    if slope is not None:
        # A new image forgets its header's scaling.
        made.header.set_slope_inter(slope, inter)
    return made


def patched(path, end, slope, inter):
    """Puts a scaling that nibabel would not write into an uncompressed file."""
    content = bytearray(path.read_bytes())
    struct.pack_into(f"{end}ff", content, SLOPE_AT, slope, inter)
    path.write_bytes(content)


def picture():
    """A head-like image in a full frame: an ellipse of structured, noisy intensities on background 0."""
    x, y = np.mgrid[0:256, 0:256]
    inside = ((x - 120) / 62) ** 2 + ((y - 139) / 78) ** 2 < 1
    intensity = 570 + 120 * np.sin(x / 9) * np.cos(y / 13) + rng.normal(0, 25, x.shape)
    return np.where(inside, intensity, 0).astype(np.int16)[:, :, None]


def written(folder):
    """Writes every file and yields its path."""

    def keep(name, content):
        path = folder / name
        if isinstance(content, sitk.Image):
            sitk.WriteImage(content, str(path))
        else:
            content.to_filename(path)
        return path

    for i, dtype in enumerate(TYPES):
        for j, (word, end) in enumerate(ENDS.items()):
            suffix = ".nii.gz" if (i + j) % 2 else ".nii"
            yield keep(f"{dtype}_{word}{suffix}", image(values_of(dtype), dtype, end))

    for word, end in ENDS.items():
        for label, slope, inter in [("zero", 0.0, 9.0), ("nan", np.nan, 9.0), ("nan_both", np.nan, np.nan), ("one", 1.0, 0.0)]:
            path = keep(f"slope_{label}_{word}.nii", image(values_of("i2"), "i2", end))
            patched(path, end, slope, inter)
            yield path
        for dtype, slope, inter in [("f4", 0.1, -3.0), ("f8", -2.5, 1e3), ("i4", 1e-3, 0.0), ("u8", 0.5, 1.0)]:
            path = keep(f"slope_{dtype}_{word}.nii", image(values_of(dtype), dtype, end))
            patched(path, end, slope, inter)
            yield path
        for dtype, slope, inter in [("u1", 0.25, -7.5), ("i2", 3.0, 1e4), ("u2", 0.1, 0.0), ("i1", -0.5, 2.0)]:
            yield keep(f"scaled_{dtype}_{word}.nii.gz", image(values_of(dtype), dtype, end, slope=slope, inter=inter))
        for dtype in ["u1", "i2"]:
            yield keep(f"fitted_{dtype}_{word}.nii.gz", image(rng.normal(size=SHAPE), dtype, end))

    mask = (rng.random(SHAPE) < 0.4).astype(np.float64)
    yield keep("mask_u1.nii.gz", image(mask, "u1"))
    yield keep("mask_f8_big.nii", image(mask, "f8", ">"))
    yield keep("mask_255.nii.gz", image(255 * mask, "u1", slope=1 / 255, inter=0.0))
    yield keep("mask_255_big.nii", image(255 * mask, "u1", ">", slope=1 / 255, inter=0.0))
    yield keep("mask_fitted.nii", image(mask, "i2"))
    yield keep("mask_offset_big.nii.gz", image(8 + 2 * mask, "i2", ">", slope=0.5, inter=-4.0))

    for label, shape in [("7_5_1", (7, 5, 1)), ("7_5_1_1", (7, 5, 1, 1)), ("1_7_5", (1, 7, 5)), ("7_1_5", (7, 1, 5))]:
        yield keep(f"shape_{label}.nii.gz", image(values_of("i2", shape), "i2"))
        yield keep(f"shape_{label}_big.nii", image(values_of("f4", shape), "f4", ">"))
    yield keep("shape_256_256_1.nii.gz", image(picture(), "i2", affine=np.eye(4)))

    for unit in ["meter", "micron", "unknown"]:
        yield keep(f"unit_{unit}.nii", image(values_of("u1"), "u1", unit=unit))
    yield keep("affine_turned.nii.gz", image(values_of("u1", (7, 5, 1)), "u1", affine=TURNED))
    quaternion_only = image(values_of("u1", (7, 5, 1)), "u1")
    quaternion_only.set_qform(TURNED, code=1)
    quaternion_only.set_sform(None, code=0)
    yield keep("affine_qform.nii", quaternion_only)

    for dtype in ["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"]:
        plain = sitk.GetImageFromArray(values_of(dtype).T.copy())
        plain.SetSpacing((0.5, 0.75))
        plain.SetOrigin((3.0, -2.0))
        yield keep(f"simpleitk_{dtype}.nii" + (".gz" if dtype[0] == "i" else ""), plain)
    slab = sitk.GetImageFromArray(values_of("f4").T[None].copy())
    slab.SetSpacing((0.5, 0.75, 3.0))
    yield keep("simpleitk_slab.nii.gz", slab)


def as_nibabel_reads(path):
    loaded = nib.load(path)
    header = loaded.header
    values = np.squeeze(loaded.get_fdata(dtype=np.float64))
    assert values.ndim == 2 and values.shape[0] != values.shape[1] or values.shape == (256, 256), path.name
    assert (header.endianness == ">") == ("big" in path.name), path.name
    if path.name.startswith(("scaled", "fitted", "mask_255", "mask_offset")):
        assert loaded.dataobj.slope != 1, path.name
    as_simpleitk_reads(path, values)
    if values.size > 1000:
        # A whole frame of whole numbers in two bytes each.
        assert np.array_equal(values, values.astype(np.int16))
        values = values.astype(np.int16)
    unit = PER_UNIT_MM[header.get_xyzt_units()[0]]
    zooms = [float(zoom) * unit for zoom, n in zip(header.get_zooms(), loaded.shape) if n != 1]
    found = {"file": np.frombuffer(path.read_bytes(), np.uint8), "values": values, "spacing": np.array(zooms)}
    sform = header.get_sform(coded=True)[0]
    return found if sform is None else found | {"affine": sform[:3]}


def as_simpleitk_reads(path, values):
    """SimpleITK gives scaled values in single precision."""
    found = np.squeeze(sitk.GetArrayFromImage(sitk.ReadImage(str(path)))).T
    if path.name.startswith(("slope_zero", "slope_nan_little", "slope_nan_big")):
        # It adds the intercept even where a slope of 0 or NaN switches scaling off (NIfTI-1: "if scl_slope != 0").
        found = found - 9.0
    scale = np.abs(values).max()
    assert found.shape == values.shape, path.name
    assert np.abs(found - values).max() <= 1e-6 * scale, (path.name, np.abs(found - values).max(), scale)


def main():
    tensors = {}
    with tempfile.TemporaryDirectory() as folder:
        for path in written(Path(folder)):
            assert f"{path.name}/file" not in tensors, path.name
            tensors |= {f"{path.name}/{key}": tensor for key, tensor in as_nibabel_reads(path).items()}
    write_tensors("nifti_files.safetensors", versions("nibabel", "SimpleITK", "numpy"), tensors)
