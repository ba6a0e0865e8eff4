"""Two hundred random pairs of masks measured by MedPy: writes mask_pairs.json.

Where MedPy has one definition only, the other is computed from its own surface distances. Undefined distances follow the
rule that an empty mask has none, where MedPy raises; two empty masks overlap perfectly, where MedPy says 0. Dice is checked
against SimpleITK.
"""

import medpy.metric.binary as binary
import numpy as np
import SimpleITK as sitk

from .files import versions, write_json

PAIRS = 200
FOUR_CONNECTED = 1
# Small and thin images, then the largest; the rest are drawn.
SHAPES = [(1, 1), (1, 17), (23, 1), (2, 2), (3, 64), (64, 64)]


def draw(rng, shape):
    height, width = shape
    y, x = np.mgrid[0:height, 0:width]
    cy, cx, r = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(0.1, 0.6) * max(shape)
    radius = np.hypot((y - cy) * rng.uniform(0.6, 1.6), x - cx)
    noise, density = rng.random(shape), rng.choice([0.02, 0.3, 0.5, 0.9])
    top, left = rng.integers(0, height), rng.integers(0, width)
    rectangle = (y >= top) & (x >= left) & (y < top + rng.integers(1, height + 1)) & (x < left + rng.integers(1, width + 1))
    kinds = [
        radius < r,
        (radius < r) & (radius >= 0.55 * r),
        rectangle,
        noise < density,
        (radius < r) & (noise < 0.9),
        (radius < 0.6 * r) | (noise < 0.01),
        (y + x) % 2 == 0,
        y % 3 == 0,
        np.ones(shape, bool),
    ]
    return kinds[rng.choice(len(kinds), p=[0.16, 0.16, 0.14, 0.1, 0.16, 0.16, 0.04, 0.04, 0.04])]


def disturbed(rng, mask):
    """Moved by up to three pixels, with a few pixels turned over."""
    moved = np.roll(mask, rng.integers(-3, 4, 2), (0, 1))
    return moved ^ (rng.random(mask.shape) < rng.choice([0.0, 0.01]))


def pair(rng, index):
    shape = SHAPES[index] if index < len(SHAPES) else tuple(int(n) for n in rng.integers(1, 65, 2))
    reference = draw(rng, shape)
    prediction = disturbed(rng, reference) if rng.random() < 0.6 else draw(rng, shape)
    empty = np.zeros(shape, bool)
    match index % 25:
        case 7:
            prediction = empty
        case 13:
            reference = empty
        case 19:
            prediction = reference = empty
        case 23:
            prediction = reference
    spacing = (1.0, 1.0) if index % 3 == 0 else tuple(float(v) for v in rng.uniform(0.3, 3.0, 2).round(3))
    return prediction, reference, spacing


def simpleitk_dice(prediction, reference):
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(*(sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in (reference, prediction)))
    return overlap.GetDiceCoefficient()


def close(found, expected):
    assert abs(found - expected) <= 1e-12 * max(1.0, abs(expected)), (found, expected)


def measured(prediction, reference, spacing):
    case = {
        "shape": prediction.shape, "spacing": spacing,
        "prediction": np.packbits(prediction).tobytes().hex(), "reference": np.packbits(reference).tobytes().hex(),
    }
    empty = not prediction.any(), not reference.any()
    if any(empty):
        for metric in (binary.assd, binary.hd95):
            try:
                metric(prediction, reference)
            except RuntimeError:
                continue
            raise AssertionError("MedPy measured an empty mask")
        reason = "both_empty" if all(empty) else "empty_prediction" if empty[0] else "empty_reference"
        return case | {"dice": 1.0 if all(empty) else 0.0, "undefined": reason}
    dice = binary.dc(prediction, reference)
    close(simpleitk_dice(prediction, reference), dice)
    there = binary.__surface_distances(prediction, reference, spacing, FOUR_CONNECTED)
    back = binary.__surface_distances(reference, prediction, spacing, FOUR_CONNECTED)
    assd = binary.assd(prediction, reference, spacing, FOUR_CONNECTED)
    close(np.mean(np.concatenate([there, back])), assd)
    return case | {
        "dice": float(dice),
        "assd_pooled": float(assd),
        "assd_macro": float((there.mean() + back.mean()) / 2),
        "hd95_pooled": float(binary.hd95(prediction, reference, spacing, FOUR_CONNECTED)),
        "hd95_max_directed": float(max(np.percentile(there, 95), np.percentile(back, 95))),
    }


def main():
    rng = np.random.default_rng(7330)
    cases = [measured(*pair(rng, index)) for index in range(PAIRS)]
    write_json("mask_pairs.json", versions("medpy", "scipy", "numpy", "SimpleITK"), cases=cases)
