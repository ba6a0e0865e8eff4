"""Two hundred random samples tested by SciPy, and Holm's correction of their p-values: writes samples.json.

Where a sample has no spread beyond rounding (1e-12 of its largest value), SciPy answers with NaN or with what rounding left;
the fixture then names the rule: `identical` (t = 0, p = 1) or `constant` (t infinite, p = 0).
"""

import warnings

import numpy as np
from scipy import stats

from .files import versions, write_json

SAMPLES = 200
ROUNDING = 1e-12


def sample(rng, index):
    """Two groups, of equal size where they are pairs."""
    n = 2 + index % 11
    m = n if index % 4 else int(rng.integers(2, 13))
    first, second = rng.normal(90, 2, n), rng.normal(90, 2, m)
    size = min(n, m)
    match (index // 11) % 9:
        case 0:
            first[:size] = second[:size] + rng.normal(0.5, 0.8, size)
            return first.round(2), second.round(2)
        case 1:
            return first, second
        case 2:
            # Ties, and sums of signs that meet exactly.
            first[:size] = second[:size] + rng.integers(-1, 2, size)
            return first.round(2), second.round(2)
        case 3:
            first[:size] = second[:size]
            return first, second
        case 4:
            # 0.5 is exact in binary, 0.1 is not: what is left of the spread is rounding.
            second = second.round(2)
            first[:size] = second[:size] + (0.5 if index % 2 else -0.1)
            return first, second
        case 5:
            first[:size] = second[:size] + 50 + rng.normal(0, 0.001, size)
            return first, second
        case 6:
            return first * 1e-9, second * 1e-9
        case 7:
            return rng.normal(1e4, 1, n), rng.normal(1e4 + 1, 1, m)
        case _:
            # One group or both without spread.
            constant = np.full(m, 0.1)
            return [(np.full(n, 0.1), constant), (np.full(n, 0.3), constant), (first, constant)][index % 3]


def rule(spread, difference, values):
    """What stands for a test without spread; nothing where there is one."""
    largest = np.abs(values).max()
    assert spread < 0.01 * ROUNDING * largest or spread > 1e4 * ROUNDING * largest, "rounding would decide"
    if spread > ROUNDING * largest:
        return None
    if abs(difference) <= ROUNDING * largest:
        return {"rule": "identical"}
    return {"rule": "constant", "sign": float(np.sign(difference))}


def tested(first, second):
    values = np.concatenate([first, second])
    spread = max(np.std(group, ddof=1) for group in (first, second))
    difference = first.mean() - second.mean()

    def entry(ruled, test):
        return ruled or {"t": float(test.statistic), "df": float(test.df), "p": float(test.pvalue)}

    with warnings.catch_warnings():
        # SciPy warns where there is no spread, which the rules answer.
        warnings.simplefilter("ignore")
        found = {
            "student": entry(rule(spread, difference, values), stats.ttest_ind(first, second)),
            "welch": entry(rule(spread, difference, values), stats.ttest_ind(first, second, equal_var=False)),
        }
        if len(first) == len(second):
            differences = first - second
            ruled = rule(np.std(differences, ddof=1), differences.mean(), values)
            found["paired"] = entry(ruled, stats.ttest_rel(first, second))
            found["sign_flip"] = sign_flip(differences, np.abs(values).max())
    return {"first": first.tolist(), "second": second.tolist(), **found}


def sign_flip(differences, largest):
    """SciPy's exhaustive permutation test of rounded numbers, so that sums that are equal on paper are."""
    scaled = np.round(differences / largest, 11)
    test = stats.permutation_test(
        (scaled,), lambda d, axis: np.round(np.sum(d, axis=axis), 10), vectorized=True, permutation_type="samples",
        n_resamples=np.inf, alternative="two-sided",
    )
    return min(float(test.pvalue), 1.0)


def holm(p):
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    remaining = len(p) - np.arange(len(p))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(remaining * p[order]))
    return adjusted


def families(cases):
    """The p-values in families of one, two, three, ... members, with their ties, zeros and ones."""
    outcome = {"identical": 1.0, "constant": 0.0}
    p = np.array([outcome.get(case["welch"].get("rule"), case["welch"].get("p")) for case in cases])
    found, size = [], 1
    while len(p):
        family, p = p[:size], p[size:]
        found.append({"p": family.tolist(), "adjusted": holm(family).tolist()})
        size += 1
    return found


def main():
    rng = np.random.default_rng(4021)
    cases = [tested(*sample(rng, index)) for index in range(SAMPLES)]
    write_json("samples.json", versions("scipy", "numpy"), cases=cases, holm=families(cases))
