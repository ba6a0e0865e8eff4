"""Writes tests/fixtures/trends.json: Page's test of random blocks by SciPy.

    pip install numpy scipy
    python trends.py FIXTURES_FOLDER

Without ties SciPy's exact test; with ties, for which it has none, all orders within the blocks are enumerated.
"""

import itertools
import json
import sys

import numpy as np
from scipy import stats

rng = np.random.default_rng(1963)


def enumerated(blocks):
    ranks = [stats.rankdata(block) for block in blocks]
    places = np.arange(1, len(blocks[0]) + 1)
    observed = sum(float(r @ places) for r in ranks)
    of_each = [[float(np.array(order) @ places) for order in itertools.permutations(r)] for r in ranks]
    totals = np.array([sum(one) for one in itertools.product(*of_each)])
    return observed, float(np.mean(totals >= observed)), float(np.mean(totals <= observed))


def exact(blocks):
    rise = stats.page_trend_test(blocks, method="exact")
    fall = stats.page_trend_test([block[::-1] for block in blocks], method="exact")
    return float(rise.statistic), float(rise.pvalue), float(fall.pvalue)


def case(blocks, by):
    l, rise, fall = by(blocks)
    return {"blocks": [list(map(float, block)) for block in blocks], "l": l, "p_rise": rise, "p_fall": fall}


cases = []
for count, conditions, slope in [(2, 4, 0.3), (3, 3, -0.5), (10, 5, 0), (10, 5, 0.15), (10, 5, 0.4), (10, 5, -0.3), (6, 7, 0.1)]:
    blocks = rng.normal(88, 0.5, (count, conditions)) + slope * np.arange(conditions)
    cases.append(case(blocks.round(6), exact))
for count, conditions in [(2, 3), (3, 4), (4, 3), (2, 4)]:
    cases.append(case(rng.integers(0, 3, (count, conditions)), enumerated))

with open(f"{sys.argv[1]}/trends.json", "w") as file:
    rows = ",\n  ".join(json.dumps(one) for one in cases)
    file.write(f'{{\n "note": "Page\'s test; tests/reference/trends.py wrote this",\n "cases": [\n  {rows}\n ]\n}}\n')
