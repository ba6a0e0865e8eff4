"""Writes tests/fixtures/serving.json: what a pretrained network serves a new expert with, by whole numbers.

    python serving.py FIXTURES_FOLDER

Thresholds: candidates j = 1..31, inside where a byte is at least 8 j; the largest mean Dice, among equals the one nearest to
16, then the smaller. Maps of disagreement: the same j, inside where the probability and (j - 16)/32 of the map are together at
least 1/2. Consensus: floor((2 sum + E) / (2 E)) of E bytes.
"""

import json
import sys

PROBABILITY = [
    [[0, 20, 90, 100, 30], [10, 120, 200, 130, 40], [5, 127, 255, 128, 60], [0, 15, 64, 63, 8]],
    [[3, 40, 41, 39, 2], [70, 140, 180, 71, 9], [72, 150, 160, 69, 7], [1, 33, 35, 31, 0]],
]
DRAWN = [
    [[0, 0, 1, 1, 0], [0, 1, 1, 1, 0], [0, 1, 1, 1, 0], [0, 0, 1, 0, 0]],
    [[0, 0, 0, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 0, 0], [0, 0, 0, 0, 0]],
]
BRANCHES = [[200], [0, 255], [127, 128], [128, 127, 127], [255, 255, 0, 0, 128], [1, 2], [254, 255, 255]]


def constant(value):
    return [[[value] * 5 for _ in range(4)] for _ in range(2)]


def dice(a, b):
    a, b = sum(a, []), sum(b, [])
    total = sum(a) + sum(b)
    return 1.0 if total == 0 else 2 * sum(x & y for x, y in zip(a, b)) / total


def thresholds(name, masks):
    means = []
    for j in range(1, 32):
        inside = [[[int(byte >= 8 * j) for byte in row] for row in case] for case in PROBABILITY]
        means.append(sum(dice(a, b) for a, b in zip(inside, masks)) / len(masks))
    best = max(means)
    tied = [j for j, mean in enumerate(means, 1) if mean == best]
    chosen = min(tied, key=lambda j: (abs(j - 16), j))
    return {"name": name, "masks": masks, "mean_dice": means, "chosen": chosen}


MAPS = [[[(7 * b + 40 * r + 13 * c) % 256 for c in range(5)] for r in range(4)] for b in range(2)]


def map_weights(name, masks):
    means = []
    for j in range(1, 32):
        inside = [
            [[int(32 * p + (j - 16) * u >= 32 * 128) for p, u in zip(*rows)] for rows in zip(*case)]
            for case in zip(PROBABILITY, MAPS)
        ]
        means.append(sum(dice(a, b) for a, b in zip(inside, masks)) / len(masks))
    best = max(means)
    tied = [j for j, mean in enumerate(means, 1) if mean == best]
    chosen = min(tied, key=lambda j: (abs(j - 16), j))
    return {"name": name, "masks": masks, "mean_dice": means, "chosen": chosen}


cases = [thresholds("as drawn", DRAWN), thresholds("empty", constant(0)), thresholds("full", constant(1))]
written = {
    "probability": PROBABILITY,
    "thresholds": cases,
    "maps": MAPS,
    "map_weights": [map_weights("as drawn", DRAWN), map_weights("empty", constant(0)), map_weights("full", constant(1))],
    "consensus": [{"bytes": row, "byte": (2 * sum(row) + len(row)) // (2 * len(row))} for row in BRANCHES],
}
with open(f"{sys.argv[1]}/serving.json", "w") as file:
    json.dump(written, file, indent=1)
    file.write("\n")
