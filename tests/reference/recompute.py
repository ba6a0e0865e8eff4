"""Recomputes a table from its runs with pandas and SciPy, and fails where a number or a mark of the table disagrees.

    python3 tests/reference/recompute.py [FOLDER ...] [--alpha 0.05] [--block table|row|column] [--welch] [--fixture]

A folder holds runs.csv and the table beside it; without one, the phantom's three are taken. For every column the largest
deviation is printed, relative to the value (or to 1, where the value is smaller). Installs
tests/reference/requirements-recompute.txt into target/recompute (once).

With --fixture it writes tests/fixtures/recomputed.json instead: drawn runs, some undefined, failed or missing, and their cells
as computed here, for tests/suite/report/recomputed.rs.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
VENV = REPOSITORY / "target" / "recompute"
METRICS = ["dice_percent", "assd", "hd95"]
# p-values of very different tails are compared relatively; everything else is of the order of 1 to 100.
TOLERANCE = 1e-9


def in_venv():
    """Continues in the virtual environment, made where it is missing."""
    python = VENV / "bin" / "python"
    if Path(sys.executable) == python:
        return
    if not (VENV / "complete").exists():
        print(f"installing pandas and SciPy into {VENV} ...", flush=True)
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
        requirements = HERE / "requirements-recompute.txt"
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", requirements], check=True)
        (VENV / "complete").touch()
    os.execv(python, [str(python), *sys.argv])


class Cell:
    """One cell, computed from its runs alone."""

    def __init__(self, key, runs, metric):
        import numpy as np
        from scipy import stats

        self.new_expert, self.train_expert, self.method, self.experts, self.samples = key
        self.metric = metric
        values = runs[metric]
        has_scores = runs["status"].isin(["ok", "undefined"])
        self.values = {
            "runs": len(runs),
            "runs_defined": int(values.notna().sum()),
            "runs_undefined": int((has_scores & values.isna()).sum()),
            "runs_failed": int((runs["status"] == "failed").sum()),
            "runs_missing": int((runs["status"] == "missing").sum()),
        }
        self.complete = self.values["runs_defined"] == len(runs) > 0
        self.settled = bool(has_scores.all())
        self.by_start = runs.dropna(subset=[metric]).groupby("start")[metric].mean()
        n = len(self.by_start)
        self.mean = self.by_start.mean() if n else None
        sd = self.by_start.std(ddof=1) if n > 1 else None
        low, high = (None, None)
        if n > 1:
            error = sd / np.sqrt(n)
            low, high = stats.t.interval(0.95, n - 1, loc=self.mean, scale=error) if error else (self.mean,) * 2
        self.values |= {"n": n, "mean": self.mean, "sd": sd, "ci95_low": low, "ci95_high": high}
        self.values |= {"bold": False, "underline": False, "best": False}

    def better(self, other):
        return self.mean > other.mean if self.metric == "dice_percent" else self.mean < other.mean


def cells_of(runs):
    """All cells by position and metric."""
    cells = {}
    runs["train_expert"] = runs["annotators"].where(runs["method"] == "single", "").fillna("")
    keys = ["new_expert", "train_expert", "method", "experts", "samples"]
    for key, group in runs.groupby(keys):
        for metric in METRICS:
            cells[(*key, metric)] = Cell(key, group, metric)
    return cells


def holm(tests):
    """Adjusts the p-values of a family of (cell, p, column) and puts them down."""
    largest = 0.0
    for done, (cell, p, column) in enumerate(sorted(tests, key=lambda test: test[1])):
        largest = max(largest, min(1.0, p * (len(tests) - done)))
        cell.values[column] = largest


def compare(a, b, welch):
    """SciPy's test of two cells; paired unless a method is `single`."""
    from scipy import stats

    if "single" in (a.method, b.method):
        return stats.ttest_ind(a.by_start, b.by_start, equal_var=not welch)
    return stats.ttest_rel(a.by_start.sort_index(), b.by_start.sort_index())


def sign_flip(a, b):
    """SciPy's exact test over all assignments of signs."""
    import numpy as np
    from scipy import stats

    differences = (a.by_start - b.by_start).to_numpy()
    test = stats.permutation_test((differences,), np.sum, permutation_type="samples", n_resamples=np.inf)
    return test.pvalue


def counterparts(cells, alpha):
    families = {}
    for key, cell in cells.items():
        without = cells.get((cell.new_expert, "", "w/o", 0, cell.samples, cell.metric))
        if cell.method != "w/" or without is None or not (cell.complete and without.complete):
            continue
        test = compare(cell, without, welch=False)
        low, high = test.confidence_interval(0.95)
        cell.values |= {
            "p_counterpart": test.pvalue,
            "p_counterpart_sign_flip": sign_flip(cell, without),
            "gain": cell.mean - without.mean,
            "gain_ci95_low": low,
            "gain_ci95_high": high,
            "underline": bool(test.pvalue < alpha and cell.better(without)),
        }
        families.setdefault((cell.new_expert, cell.metric), []).append((cell, test.pvalue, "p_counterpart_holm"))
    for family in families.values():
        holm(family)


def best(cells, alpha, within, welch):
    blocks = {}
    for cell in cells.values():
        blocks.setdefault((cell.new_expert, cell.metric, within(cell)), []).append(cell)
    for block in blocks.values():
        known = [cell for cell in block if cell.mean is not None]
        if not known or not all(cell.settled for cell in block):
            continue
        top = known[0]
        for cell in known[1:]:
            top = cell if cell.better(top) else top
        if not top.complete:
            continue
        top.values |= {"best": True, "bold": True, "p_best": 1.0, "p_best_holm": 1.0}
        family = []
        for cell in block:
            if cell is top or not cell.complete:
                continue
            p = compare(cell, top, welch).pvalue
            cell.values |= {"p_best": p, "bold": bool(p >= alpha)}
            family.append((cell, p, "p_best_holm"))
        holm(family)


def deviation(column, found, expected):
    """How far a field of the file is from what it should be; infinite where they cannot be compared."""
    if column in ("bold", "underline", "best"):
        return 0.0 if found == str(expected).lower() else float("inf")
    if expected is None or found == "":
        return 0.0 if expected is None and found == "" else float("inf")
    scale = abs(expected) if column.startswith("p_") else max(1.0, abs(expected))
    return abs(float(found) - expected) / max(scale, 1e-300)


def check(folder, options):
    import pandas as pd

    name = folder.parent.name
    text = {"annotators": str, "train_expert": str}
    runs = pd.read_csv(folder / "runs.csv", dtype=text)
    table = pd.read_csv(folder / f"{name}.csv", dtype=str, keep_default_na=False)
    cells = cells_of(runs)
    rows_by = "train_expert" if (runs["method"] == "single").any() else None
    rows_by = rows_by or ("samples" if runs["samples"].nunique() > 1 else "experts")
    within = {"table": lambda c: None, "row": lambda c: getattr(c, rows_by), "column": lambda c: c.method}[options.block]
    counterparts(cells, options.alpha)
    best(cells, options.alpha, within, options.welch)
    columns = [
        *["mean", "sd", "n", "ci95_low", "ci95_high", "p_best", "p_best_holm", "p_counterpart", "p_counterpart_holm"],
        *["p_counterpart_sign_flip", "gain", "gain_ci95_low", "gain_ci95_high", "bold", "underline", "best"],
        *["runs", "runs_defined", "runs_undefined", "runs_failed", "runs_missing"],
    ]
    largest = dict.fromkeys(columns, 0.0)
    wrong = []
    if len(table) != len(cells):
        wrong.append(f"{len(table)} rows for {len(cells)} cells")
    for row in table.to_dict("records"):
        where = [int(row["new_expert"]), row["train_expert"], row["method"], int(row["experts"]), int(row["samples"])]
        cell = cells.get((*where, row["metric"]))
        if cell is None:
            wrong.append(f"{where} {row['metric']}: no runs of this cell")
            continue
        for column in columns:
            expected = cell.values.get(column)
            off = deviation(column, row[column], expected)
            largest[column] = max(largest[column], off)
            if not off <= TOLERANCE:
                wrong.append(f"{where} {row['metric']} {column}: {row[column]!r} in the file, {expected!r} from the runs")
    print(f"{folder}: {len(runs)} runs, {len(table)} cells, {len(table) * len(columns)} fields, {len(wrong)} disagree")
    for column in columns:
        print(f"  {column:<24} {largest[column]:.1e}")
    for line in wrong[:20]:
        print(f"  {line}")
    return not wrong


def drawn_runs():
    """Runs of a grid of 3 combinations of two experts, two new experts, 3 numbers of samples and 5 ways of sampling."""
    import numpy as np
    import pandas as pd

    generator = np.random.default_rng(20240207)
    rows = []
    for new_expert, samples, start in itertools.product([6, 7], [5, 10, 20], [1, 4, 7, 10, 13]):
        for method, combination in [("w/", "1+2"), ("w/", "1+3"), ("w/", "2+3"), ("w/o", "")]:
            gain = 4.0 / samples if method == "w/" else 0.0
            dice = 85 + gain + generator.normal(0, 0.4)
            assd, hd95 = 2 - gain / 4 + generator.normal(0, 0.1), 6 - gain + generator.normal(0, 0.5)
            rows.append([new_expert, method, 2 if combination else 0, combination, samples, start, dice, assd, hd95, "ok"])
    columns = ["new_expert", "method", "experts", "annotators", "samples", "start", *METRICS, "status"]
    runs = pd.DataFrame(rows, columns=columns)
    # Of expert 7 nothing is whole: a run is undefined at n = 5, one failed at n = 10, one is missing at n = 20.
    broken = {5: "undefined", 10: "failed", 20: "missing"}
    for samples, status in broken.items():
        row = runs.index[(runs["new_expert"] == 7) & (runs["samples"] == samples)][samples % 7]
        runs.loc[row, "status"] = status
        lost = ["assd", "hd95"] if status == "undefined" else METRICS
        runs.loc[row, lost] = np.nan
    return runs


def write_fixture(path):
    """Writes drawn runs and their cells."""
    runs = drawn_runs()
    written = json.loads(runs.to_json(orient="records", double_precision=15))
    for row, (_, run) in zip(written, runs.iterrows()):
        row |= {metric: None if run[metric] != run[metric] else float(run[metric]) for metric in METRICS}
    cells = cells_of(runs)
    counterparts(cells, 0.05)
    best(cells, 0.05, lambda cell: None, False)
    plain = lambda value: value.item() if hasattr(value, "item") else value
    keys = ["new_expert", "train_expert", "method", "experts", "samples", "metric"]
    listed = [dict(zip(keys, key)) | {k: plain(v) for k, v in cell.values.items()} for key, cell in cells.items()]
    path.write_text(json.dumps({"runs": written, "cells": listed}, indent=0) + "\n")
    print(f"wrote {path}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--alpha", type=float, default=0.05)
    parser.add_argument("--block", choices=["table", "row", "column"], default="table")
    parser.add_argument("--welch", action="store_true")
    parser.add_argument("--fixture", action="store_true")
    options = parser.parse_args()
    if options.fixture:
        write_fixture(REPOSITORY / "tests" / "fixtures" / "recomputed.json")
        return
    folders = options.folders or [REPOSITORY / "results" / f"table{i}" / "phantom" for i in (1, 2, 3)]
    results = [check(folder.resolve(), options) for folder in folders]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    in_venv()
    main()
