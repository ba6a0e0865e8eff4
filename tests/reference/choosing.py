"""Writes tests/fixtures/choosing.json: rules that choose annotators, by enumeration.

    pip install numpy scipy
    python choosing.py FIXTURES_FOLDER

Scores are written out from their definitions, contributions go through all orders in which experts
can be added, p-values through all permutations.
"""

import itertools
import json
import math
import sys

import numpy as np
from scipy import stats

MASKS = {
    "1": ["0011100000", "0001110000", "0111000000"],
    "2": ["0011110000", "0011110000", "0111100000"],
    "3": ["0111110000", "0011111000", "1111100000"],
    "4": ["0001000000", "0000100000", "0010000000"],
    "new": ["0011111000", "0011111000", "0111110000"],
}
EXPERTS = ["1", "2", "3", "4"]
masks = {who: [np.array([c == "1" for c in text]) for text in texts] for who, texts in MASKS.items()}


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def mean_dice(a, b):
    return float(np.mean([dice(x, y) for x, y in zip(a, b)]))


def majority(experts):
    cases = zip(*(masks[e] for e in experts))
    return [2 * np.sum(case, axis=0) > len(experts) for case in cases]


def log_area(who):
    return float(np.mean([math.log(mask.sum() + 1) for mask in masks[who]]))


usual = float(np.mean([log_area(e) for e in EXPERTS]))
mutual = {
    "+".join(pair): mean_dice(masks[pair[0]], masks[pair[1]])
    for pair in itertools.combinations(EXPERTS, 2)
}


def alike(experts):
    if len(experts) == 1:
        pairs = [name for name in mutual if experts[0] in name.split("+")]
    else:
        pairs = ["+".join(pair) for pair in itertools.combinations(experts, 2)]
    return float(np.mean([mutual[pair] for pair in pairs]))


RULES = {
    "agreement": lambda s: float(np.mean([mean_dice(masks[e], masks["new"]) for e in s])),
    "cover": lambda s: mean_dice(majority(s), masks["new"]),
    "alike": alike,
    "unlike": lambda s: -alike(s),
    "style": lambda s: -abs(np.mean([log_area(e) - usual for e in s]) - (log_area("new") - usual)),
}


def choice(k, rule):
    scores = {"+".join(s): float(RULES[rule](s)) for s in itertools.combinations(EXPERTS, k)}
    best = max(scores.values())
    chosen = next(name for name, score in scores.items() if score >= best - 1e-12)
    return {"k": k, "rule": rule, "scores": scores, "chosen": chosen}


def shapley(values, count):
    """The mean gain of each expert over all orders."""
    shares = np.zeros(count)
    orders = list(itertools.permutations(range(count)))
    for order in orders:
        before = []
        for expert in order:
            name = lambda members: "+".join(str(m + 1) for m in sorted(members))
            shares[expert] += values[name(before + [expert])] - values[name(before)]
            before.append(expert)
    return (shares / len(orders)).tolist()


def permutation(values, chosen, against=None):
    """The gain of choices and its two-sided p over all permutations of the items."""
    values = np.array(values)
    rows = range(len(values))

    def gain(order):
        permuted = values[:, list(order)]
        first = np.mean([permuted[r, chosen[r]] for r in rows])
        second = np.mean([permuted[r, against[r]] for r in rows]) if against else values.mean()
        return first - second

    observed = gain(range(values.shape[1]))
    all_gains = [gain(order) for order in itertools.permutations(range(values.shape[1]))]
    extreme = sum(abs(g) >= abs(observed) - 1e-9 for g in all_gains)
    return {"gain": float(observed), "p": extreme / len(all_gains)}


rng = np.random.default_rng(7)
subsets = [s for k in range(6) for s in itertools.combinations(range(5), k)]
names = ["+".join(str(m + 1) for m in s) for s in subsets]
toy = {name: round(80 + 0.4 * size + rng.normal(0, 0.5), 3) for name, size in zip(names, map(len, subsets))}
# Means like those of a table: only expert 2 stands out.
STANDS_OUT = {
    "": 80.0, "1": 80.4, "2": 81.3, "3": 80.2, "4": 80.1, "5": 80.5, "1+2": 81.4, "1+3": 80.3,
    "1+4": 80.9, "1+5": 80.6, "2+3": 81.2, "2+4": 81.1, "2+5": 81.5, "3+4": 80.0, "3+5": 80.4,
    "4+5": 80.3, "1+2+3": 81.0, "1+2+4": 81.6, "1+2+5": 81.3, "1+3+4": 80.5, "1+3+5": 80.2,
    "1+4+5": 80.8, "2+3+4": 80.7, "2+3+5": 81.1, "2+4+5": 81.0, "3+4+5": 79.9, "1+2+3+4": 80.9,
    "1+2+3+5": 80.6, "1+2+4+5": 81.2, "1+3+4+5": 80.1, "2+3+4+5": 80.3, "1+2+3+4+5": 80.2,
}
tables = []
for items, results in [(5, 4), (6, 3), (7, 5)]:
    values = np.round(rng.normal(85, 1, (results, items)), 2).tolist()
    chosen = rng.integers(0, items, results).tolist()
    same = [chosen[0]] * results
    other = rng.integers(0, items, results).tolist()
    for picks, against in [(chosen, None), (same, None), (chosen, other)]:
        found = permutation(values, picks, against)
        tables.append({"values": values, "chosen": picks, "against": against, **found})
ranks = []
for first, second in [
    ([1, 2, 3, 4, 5], [2, 1, 4, 3, 5]),
    ([0.87, 0.86, 0.85, 0.81, 0.79], [0.6, 1.32, 0.29, 0.09, 0.43]),
    ([1, 1, 2, 3], [5, 6, 6, 1]),
    ([3, 1, 2, 5, 4, 6, 7], [1, 2, 3, 4, 5, 6, 7]),
]:
    rho = stats.spearmanr(first, second).statistic
    each = [stats.spearmanr(first, order).statistic for order in itertools.permutations(second)]
    p = float(np.mean(np.abs(each) >= abs(rho) - 1e-9))
    ranks.append({"first": first, "second": second, "rho": float(rho), "p": p})

found = {
    "masks": MASKS,
    "mutual": mutual,
    "bias": {who: log_area(who) - usual for who in [*EXPERTS, "new"]},
    "choices": [choice(k, rule) for k in (1, 2, 3) for rule in RULES],
    "shapley": [{"values": v, "contributions": shapley(v, 5)} for v in (toy, STANDS_OUT)],
    "permutation": tables,
    "ranks": ranks,
}
with open(f"{sys.argv[1]}/choosing.json", "w") as file:
    json.dump(found, file, indent=1)
    file.write("\n")
