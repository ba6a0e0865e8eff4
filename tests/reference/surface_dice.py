"""Writes tests/fixtures/surface_dice.json, the surface Dice of DeepMind's package surface-distance.

    pip install -r requirements-surface-dice.txt
    python surface_dice.py FIXTURES_FOLDER

Each case is a pair of masks with a spacing and the surface Dice at several tolerances.
Python 3.11: the package needs an older NumPy and SciPy than those of requirements.txt.
"""

import json
import sys
import warnings
from importlib.metadata import version

import numpy as np
import surface_distance

# The package uses names that this SciPy still has, with a warning.
warnings.simplefilter("ignore", DeprecationWarning)

TOLERANCES = [0.0, 0.5, 0.7, 1.0, 1.3, 2.0, 3.5, 10.0, 1000.0]


def disk(cy, cx, r, shape=(64, 64)):
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    return (y - cy) ** 2 + (x - cx) ** 2 <= r * r


def rect(r0, c0, r1, c1, shape=(64, 64)):
    """Rows r0 to r1 and columns c0 to c1, the ends left out."""
    mask = np.zeros(shape, bool)
    mask[r0:r1, c0:c1] = True
    return mask


def noise(seed, density, shape):
    return np.random.default_rng(seed).random(shape) < density


EMPTY = np.zeros((64, 64), bool)
BIG = disk(30, 30, 12)
HOLE = disk(32, 32, 14) & ~disk(33, 31, 6)
# Two pixels that touch by a corner, either way.
FALLING = rect(5, 5, 6, 6) | rect(6, 6, 7, 7)
RISING = rect(5, 6, 6, 7) | rect(6, 5, 7, 6)

PAIRS = [
    ("equal disks", BIG, BIG, (1.0, 1.0)),
    ("moved square", rect(10, 10, 30, 30), rect(13, 14, 33, 34), (1.0, 1.0)),
    ("disks in each other", disk(32, 32, 8), disk(32, 32, 11), (1.0, 1.0)),
    ("single pixels", rect(20, 20, 21, 21), rect(23, 24, 24, 25), (1.0, 1.0)),
    ("a far speck", BIG | rect(2, 58, 5, 61), BIG, (1.0, 1.0)),
    ("a hole against none", HOLE, disk(32, 32, 14), (1.0, 1.0)),
    ("a hole in another place", HOLE, HOLE.T, (0.7, 1.3)),
    ("upper left borders touched", rect(0, 0, 20, 40), rect(0, 0, 24, 37), (1.0, 1.0)),
    ("lower right borders touched", rect(40, 30, 64, 64), rect(44, 32, 64, 64), (2.0, 0.7)),
    ("the whole image", np.ones((16, 16), bool), rect(0, 0, 16, 8, (16, 16)), (1.0, 1.0)),
    ("corners that touch", FALLING, RISING, (1.0, 1.0)),
    ("corners that touch, anisotropic", RISING, FALLING, (0.5, 1.3)),
    ("rows far apart", disk(28, 32, 9), disk(32, 30, 10), (3.5, 1.0)),
    ("columns far apart", disk(28, 32, 9), disk(32, 30, 10), (0.55, 1.3)),
    ("one pixel of one image", np.ones((1, 1), bool), np.ones((1, 1), bool), (0.5, 0.7)),
    ("one row", rect(0, 2, 1, 7, (1, 9)), rect(0, 4, 1, 9, (1, 9)), (1.0, 0.5)),
    ("one column", rect(2, 0, 7, 1, (9, 1)), rect(4, 0, 9, 1, (9, 1)), (1.0, 0.5)),
    ("no prediction", EMPTY, BIG, (1.0, 1.0)),
    ("no reference", BIG, EMPTY, (1.0, 1.0)),
] + [
    (f"noise {seed}", noise(seed, p, (19, 23)), noise(seed + 50, q, (19, 23)), spacing)
    for seed, (p, q, spacing) in enumerate(
        [
            (0.05, 0.05, (1.0, 1.0)),
            (0.3, 0.1, (1.0, 1.0)),
            (0.5, 0.5, (1.3, 0.7)),
            (0.8, 0.6, (0.35, 2.0)),
            (0.02, 0.9, (1.0, 1.0)),
            (0.97, 0.02, (0.9, 1.1)),
        ]
    )
]


def runs(mask):
    """[row, first column, column after the last] of every horizontal run of foreground."""
    found = []
    for row, line in enumerate(mask):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], line.astype(np.int8), [0]])))
        found += [[row, int(a), int(b)] for a, b in zip(edges[::2], edges[1::2])]
    return found


def case(name, prediction, reference, spacing):
    distances = surface_distance.compute_surface_distances(reference, prediction, spacing)
    return {
        "id": name,
        "shape": list(prediction.shape),
        "spacing": list(spacing),
        "pred": runs(prediction),
        "ref": runs(reference),
        "dice": [
            float(surface_distance.compute_surface_dice_at_tolerance(distances, tolerance))
            for tolerance in TOLERANCES
        ],
    }


def main():
    (folder,) = sys.argv[1:]
    names = ["surface-distance", "numpy", "scipy"]
    made_by = ", ".join(f"{name} {version(name)}" for name in names)
    lines = ",\n  ".join(json.dumps(case(*pair)) for pair in PAIRS)
    with open(f"{folder}/surface_dice.json", "w") as file:
        # One case per line keeps the file small and its changes readable.
        file.write(
            f'{{\n "made_by": {json.dumps(made_by)},\n "tolerances": {json.dumps(TOLERANCES)},\n'
            f' "cases": [\n  {lines}\n ]\n}}\n'
        )


if __name__ == "__main__":
    main()
