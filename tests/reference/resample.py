"""Images and masks resampled by SimpleITK, and again by SciPy: tests/fixtures/resample.json.

    pip install -r requirements-resample.txt
    python resample.py > ../fixtures/resample.json

The grid is the rule of src/data/resample.rs, written here from its words: pixels of the new size, as
many as cover the image (rounded), about the same centre. ITK is told that grid and interpolates;
SciPy interpolates at the same places; the two have to agree.
"""

import json
import math

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import map_coordinates

CASES = [
    # width, height, spacing, new spacing, degrees, origin
    (7, 5, (1.0, 1.0), (0.5, 0.5), 0, (0, 0)),
    (12, 9, (0.5, 0.5), (1.0, 1.0), 0, (3, -4)),
    (11, 8, (0.7, 1.3), (1.0, 1.0), 30, (10, 20)),
    (6, 10, (2.0, 1.0), (0.8, 1.0), 0, (-1, 5)),
    (9, 9, (1.0, 1.0), (1.5, 1.5), 90, (0, 0)),
    (20, 3, (0.25, 0.4), (0.6, 0.15), 200, (100, -50)),
]


def rounded(value):
    return math.floor(value + 0.5)


def one(width, height, spacing, size, degrees, origin):
    y, x = np.mgrid[0:height, 0:width]
    image = (((7 * x + 13 * y * y + x * y) % 97) - 20).astype(np.float32)
    mask = ((x - width / 3) ** 2 + (y - height / 2) ** 2 < (min(width, height) / 2.2) ** 2).astype(np.float32)
    turn = math.radians(degrees)
    direction = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    scale = np.array(size) / np.array(spacing)
    to = [rounded(n / s) for n, s in zip((width, height), scale)]
    first = [(n - 1 - (m - 1) * s) / 2 for n, m, s in zip((width, height), to, scale)]

    def by_itk(values):
        source = sitk.GetImageFromArray(values.astype(np.float64))
        source.SetSpacing(spacing)
        source.SetOrigin([float(v) for v in origin])
        source.SetDirection(direction.flatten().tolist())
        filter = sitk.ResampleImageFilter()
        filter.SetInterpolator(sitk.sitkLinear)
        filter.SetSize(to)
        filter.SetOutputSpacing(size)
        filter.SetOutputDirection(source.GetDirection())
        filter.SetOutputOrigin(source.TransformContinuousIndexToPhysicalPoint(first))
        filter.SetDefaultPixelValue(-1e9)
        return sitk.GetArrayFromImage(filter.Execute(source)), filter.GetOutputOrigin()

    def by_scipy(values):
        rows = first[1] + np.arange(to[1]) * scale[1]
        columns = first[0] + np.arange(to[0]) * scale[0]
        places = np.meshgrid(rows, columns, indexing="ij")
        return map_coordinates(values.astype(np.float64), places, order=1, mode="nearest")

    new_image, new_origin = by_itk(image)
    new_mask, _ = by_itk(mask)
    for values, itk in ((image, new_image), (mask, new_mask)):
        assert np.abs(by_scipy(values) - itk).max() < 1e-5, np.abs(by_scipy(values) - itk).max()
    return {
        "width": width,
        "height": height,
        "spacing": spacing,
        "new_spacing": size,
        # Columns of the affine, in the plane of the image.
        "along_x": (direction[:, 0] * spacing[0]).tolist(),
        "along_y": (direction[:, 1] * spacing[1]).tolist(),
        "origin": origin,
        "image": image.astype(int).flatten().tolist(),
        "mask": mask.astype(int).flatten().tolist(),
        "new_width": to[0],
        "new_height": to[1],
        "new_origin": list(new_origin),
        "new_image": [round(float(v), 5) for v in new_image.flatten()],
        # Sums of weights that are a half but for rounding count as one.
        "new_mask": (np.round(new_mask, 7) >= 0.5).astype(int).flatten().tolist(),
    }


print(json.dumps([one(*case) for case in CASES], indent=None, separators=(",", ":")).replace("},{", "},\n{"))
