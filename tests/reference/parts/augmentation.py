"""Resampling and blurring by SciPy: writes augmentation.json.

Images are whole numbers, which single precision holds. The geometry of a rotation with zoom: the
coordinates of the window's pixels relative to its centre, turned, multiplied by the factor, moved to the centre.
"""

import numpy as np
from course import numbers
from scipy import ndimage

from .files import versions, write_json

# Image, window's origin and size, degrees, factor, value outside.
RESAMPLED = [
    ((24, 31), (3, 5), (12, 16), 0.0, 1.0, -900.0),
    ((24, 31), (3, 5), (12, 16), 30.0, 1.2, 0.0),
    ((24, 31), (6, 9), (11, 11), 90.0, 1.0, 0.0),
    ((24, 31), (6, 9), (12, 12), -137.5, 0.7, -900.0),
    ((24, 31), (6, 9), (12, 12), 180.0, 0.85, -900.0),
    ((24, 31), (0, 0), (12, 12), 44.0, 1.4, -900.0),
    ((24, 31), (12, 19), (12, 12), -10.0, 1.3, 250.0),
    ((24, 31), (0, 19), (13, 12), 179.0, 1.0, 0.0),
    ((9, 7), (0, 0), (14, 15), 20.0, 1.1, -900.0),
    ((9, 7), (0, 0), (9, 7), -63.0, 1.4, 77.0),
    ((31, 5), (4, 1), (20, 3), 3.0, 0.95, 0.0),
    ((17, 17), (1, 2), (14, 14), 12.0, 1.0, 0.0),
]
BLURRED = [
    ((16, 13), 0.5),
    ((16, 13), 0.6180339887),
    ((16, 13), 0.75),
    ((16, 13), 1.0),
    ((9, 20), 0.874),
    ((9, 20), 1.5),
    ((3, 2), 1.0),
    ((3, 2), 2.5),
    ((1, 11), 1.0),
    ((12, 1), 0.9),
]


def picture(shape, stream):
    return np.round(1000 * numbers(shape[0] * shape[1], 20_000 + stream).astype(np.float64)).reshape(shape)


def coordinates(origin, size, degrees, factor):
    centre = [o + (n - 1) / 2 for o, n in zip(origin, size)]
    y, x = np.mgrid[0 : size[0], 0 : size[1]]
    y, x = y - (size[0] - 1) / 2, x - (size[1] - 1) / 2
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([(y * cosine + x * sine) * factor + centre[0], (x * cosine - y * sine) * factor + centre[1]])


def resampled(index, shape, origin, size, degrees, factor, outside):
    image = picture(shape, index)
    # Blobs, so that a mask has an inside.
    mask = (ndimage.gaussian_filter(picture(shape, 100 + index), 1.2) > 0).astype(np.float64)
    at = coordinates(origin, size, degrees, factor)
    for axis in range(2):
        # On the border or clearly on one side of it: rounding decides nothing.
        for border in (0, shape[axis] - 1):
            away = np.abs(at[axis] - border)
            assert np.all((away == 0) | (away > 1e-9)), (index, away.min())
    soft = ndimage.map_coordinates(mask, at, order=1, mode="constant", cval=0.0)
    assert np.abs(soft - 0.5).min() > 1e-6, (index, np.abs(soft - 0.5).min())
    found = ndimage.map_coordinates(image, at, order=1, mode="constant", cval=outside)
    return {
        "shape": shape, "origin": origin, "size": size, "degrees": degrees, "factor": factor, "outside": outside,
        "outside_pixels": int(sum(np.any((c < 0) | (c > np.array(shape) - 1)) for c in at.reshape(2, -1).T)),
        "image": image.astype(int).ravel().tolist(), "mask": mask.astype(int).ravel().tolist(),
        "resampled": found.ravel().round(9).tolist(), "resampled_mask": (soft >= 0.5).astype(int).ravel().tolist(),
    }


def blurred(index, shape, sigma):
    image = picture(shape, 200 + index)
    found = ndimage.gaussian_filter(image, sigma, mode="reflect", truncate=4.0)
    return {"shape": shape, "sigma": sigma, "image": image.astype(int).ravel().tolist(), "blurred": found.ravel().round(9).tolist()}


def main():
    write_json(
        "augmentation.json",
        versions("scipy", "numpy"),
        resampled=[resampled(index, *case) for index, case in enumerate(RESAMPLED)],
        blurred=[blurred(index, *case) for index, case in enumerate(BLURRED)],
    )
