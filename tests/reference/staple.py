"""Writes tests/fixtures/staple.json, what SimpleITK's STAPLE filter makes of masks of several raters.

    pip install -r requirements-staple.txt
    python staple.py FIXTURES_FOLDER

Named cases, then 200 random ones. A mask is its pixels in rows, four to a hexadecimal digit, the first the highest bit.
ITK gives NaN where no rater marks anything or all mark everything; such sets are in the tests themselves.
"""

import json
import sys
from importlib.metadata import version

import numpy as np
import SimpleITK as sitk

HEIGHT, WIDTH = 10, 12
RANDOM = 200


def disk(cy, cx, r2):
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return (y - cy) ** 2 + (x - cx) ** 2 <= r2


EMPTY = np.zeros((HEIGHT, WIDTH), bool)
DISKS = [disk(5, 5, 16), disk(5, 6, 9), disk(5, 5, 24), disk(4, 5, 12), disk(5, 7, 16)]

NAMED = [
    ("one rater", DISKS[:1]),
    ("two nested", DISKS[:2]),
    ("two nested, the larger second", [DISKS[0], DISKS[2]]),
    ("two that overlap", [DISKS[1], DISKS[3]]),
    ("two disjoint", [disk(2, 2, 4), disk(7, 9, 4)]),
    ("three", DISKS[:3]),
    ("four", DISKS[:4]),
    ("five", DISKS),
    ("three alike", DISKS[:1] * 3),
    ("a ring and two disks", [DISKS[2] & ~DISKS[1], DISKS[0], DISKS[2]]),
    ("one of three empty", [*DISKS[:2], EMPTY]),
    ("two of three empty", [DISKS[0], EMPTY, EMPTY]),
    ("one of three full", [*DISKS[:2], ~EMPTY]),
    ("one of three inverted", [DISKS[0], DISKS[1], ~DISKS[0]]),
    ("two of three inverted", [DISKS[0], ~DISKS[0], ~DISKS[1]]),
    ("a pixel each", [disk(2, 2, 0), disk(5, 6, 0), disk(8, 9, 0)]),
]


def random_set(rng):
    """A disk as two to seven raters see it: moved, noisy, now and then empty, full, inverted or pure noise."""
    masks = []
    for _ in range(rng.integers(2, 8)):
        mask = disk(5 + rng.normal(), 6 + rng.normal(), rng.uniform(2, 26))
        mask ^= rng.random(mask.shape) < rng.choice([0.0, 0.02, 0.2])
        kind = rng.random()
        if kind < 0.05:
            mask = EMPTY
        elif kind < 0.08:
            mask = ~EMPTY
        elif kind < 0.12:
            mask = ~mask
        elif kind < 0.17:
            mask = rng.random(mask.shape) < 0.5
        masks.append(mask)
    return masks


def packed(mask):
    return np.packbits(mask).tobytes().hex()


def case(name, masks):
    filter = sitk.STAPLEImageFilter()
    images = [sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in masks]
    probability = sitk.GetArrayFromImage(filter.Execute(images))
    assert np.isfinite(probability).all(), name
    # Which pixels of a tie are above one half is left to rounding.
    assert not ((abs(probability - 0.5) > 1e-9) & (abs(probability - 0.5) < 1e-6)).any(), name
    return {
        "name": name,
        "masks": [packed(mask) for mask in masks],
        "inside": packed(probability > 0.5 + 1e-9),
        "rounds": filter.GetElapsedIterations(),
        "sensitivity": list(filter.GetSensitivity()),
        "specificity": list(filter.GetSpecificity()),
    }


def main():
    (folder,) = sys.argv[1:]
    rng = np.random.default_rng(20)
    sets = NAMED + [(f"random {i}", random_set(rng)) for i in range(RANDOM)]
    made_by = f"SimpleITK {version('SimpleITK')}, numpy {version('numpy')}"
    lines = ",\n  ".join(json.dumps(case(name, masks)) for name, masks in sets)
    with open(f"{folder}/staple.json", "w") as file:
        file.write(
            f'{{\n "made_by": {json.dumps(made_by)},\n "height": {HEIGHT},\n "width": {WIDTH},\n'
            f' "cases": [\n  {lines}\n ]\n}}\n'
        )


if __name__ == "__main__":
    main()
