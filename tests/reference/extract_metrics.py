"""Writes tests/fixtures/metrics.json and tests/fixtures/stats.json.

    python extract_metrics.py VECTORS_JSON FIXTURES_FOLDER

VECTORS_JSON holds reference values computed with MedPy, SciPy and SimpleITK (its `provenance` names the versions) on masks
described in words. This script turns the words into explicit pixel runs, checks them against the pixel counts
of the vectors and against MedPy once more, and adds what the vectors lack: full-size pairs (MedPy), exact
sign-flip tests (SciPy), far tails of the t distribution (mpmath) and quantiles (SciPy).
Needs medpy 0.5.2, scipy 1.17.1, numpy 2.4.6, mpmath 1.4.1.
"""

import json
import math
import sys
from importlib.metadata import version

import medpy.metric.binary as binary
import mpmath
import numpy as np
import scipy
from scipy import stats


def grid(shape):
    return np.mgrid[0 : shape[0], 0 : shape[1]]


def disk(cy, cx, r, shape=(64, 64)):
    y, x = grid(shape)
    return (y - cy) ** 2 + (x - cx) ** 2 <= r * r


def rect(r0, c0, r1, c1, shape=(64, 64)):
    """Half-open, as in the vectors."""
    mask = np.zeros(shape, bool)
    mask[r0:r1, c0:c1] = True
    return mask


def texture(a, b, c, modulus, below):
    y, x = grid((32, 48))
    return (a * x * x + b * y * y + c * x * y) % modulus < below


EMPTY = np.zeros((64, 64), bool)
BIG = disk(30, 30, 12)
MASKS = {
    "M01_identical_disk": (disk(32, 32, 12), disk(32, 32, 12)),
    "M02_shifted_square": (rect(10, 10, 30, 30), rect(13, 14, 33, 34)),
    "M03_concentric_disks": (disk(32, 32, 8), disk(32, 32, 11)),
    "M04_single_pixels_3_4_5": (rect(20, 20, 21, 21), rect(23, 24, 24, 25)),
    "M05_far_speck": (BIG | rect(2, 58, 5, 61), BIG),
    "M06_far_blob_percentile_split": (BIG | rect(1, 52, 8, 62), BIG),
    "M07_touches_border": (rect(0, 0, 20, 40), rect(0, 0, 24, 37)),
    "M08_hole_vs_filled": (disk(32, 32, 14) & ~disk(32, 32, 6), disk(32, 32, 14)),
    "M09_anisotropic_spacing": (disk(28, 32, 9), disk(32, 30, 10)),
    "M10_arithmetic_texture": (texture(1, 3, 7, 17, 6), texture(2, 1, 5, 19, 8)),
    "M11_tiny_pred_big_ref": (rect(32, 32, 33, 33), disk(32, 32, 12)),
    "M12_empty_pred": (EMPTY, disk(32, 32, 12)),
    "M13_both_empty": (EMPTY, EMPTY),
    "M14_full_image_ref": (rect(0, 0, 16, 8, (16, 16)), np.ones((16, 16), bool)),
}
KEPT = [
    "id", "shape", "spacing", "description", "n_pred", "n_ref", "n_inter", "n_surf_pred", "n_surf_ref",
    "asd_pred_to_ref", "asd_ref_to_pred", "assd_micro", "assd_macro", "hd", "hd95_combined", "hd95_max_directed",
    "hd95_pred_to_ref", "hd95_ref_to_pred", "hd95_nearest_rank_max_directed", "connectivity2", "ours", "simpleitk",
]


def runs(mask):
    """[row, first column, column after the last] of every horizontal run of foreground."""
    found = []
    for row, line in enumerate(mask):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], line.astype(np.int8), [0]])))
        found += [[row, int(a), int(b)] for a, b in zip(edges[::2], edges[1::2])]
    return found


def close(found, expected):
    assert abs(found - expected) <= 1e-9, (found, expected)


def metric_case(vector):
    pred, ref = MASKS[vector["id"]]
    assert list(pred.shape) == vector["shape"] == list(ref.shape)
    sizes = (pred.sum(), ref.sum(), (pred & ref).sum())
    assert sizes == (vector["n_pred"], vector["n_ref"], vector["n_inter"]), (vector["id"], sizes)
    if vector.get("medpy_0_5_2_agrees"):
        spacing = vector["spacing"]
        close(binary.assd(pred, ref, voxelspacing=spacing), vector["assd_micro"])
        close(binary.hd95(pred, ref, voxelspacing=spacing), vector["hd95_combined"])
        close(binary.hd(pred, ref, voxelspacing=spacing), vector["hd"])
        close(binary.hd95(pred, ref, spacing, connectivity=2), vector["connectivity2"]["hd95_combined"])
    case = {key: vector[key] for key in KEPT if key in vector}
    case["dice"] = vector.get("ours", {}).get("dice", vector["dice_medpy_0_5_2"])
    return case | {"pred": runs(pred), "ref": runs(ref)}


def ring(seed, rough):
    """A wavy ring in 256x256, split at the midline, as the white-matter band is."""
    rng = np.random.default_rng(seed)
    y, x = grid((256, 256))
    y, x = y - 128.0 - rng.normal(0, 2), x - 128.0 - rng.normal(0, 2)
    angle, radius = np.arctan2(y, x), np.hypot(y / 1.2, x)
    wave = sum(rng.normal(0, rough) * np.cos(k * angle + rng.uniform(0, 6)) for k in range(2, 14))
    mask = np.abs(radius - 46 - wave) < 8 + 0.5 * wave
    return mask & (np.abs(x) > 2)


def full_size():
    cases = []
    for seed, rough, spacing in [(1, 0.8, (1.0, 1.0)), (2, 2.0, (1.0, 1.0)), (3, 1.5, (0.55, 1.3)), (4, 3.0, (2.0, 0.7))]:
        pred, ref = ring(seed, rough), ring(seed + 100, rough)
        ab = binary.__surface_distances(pred, ref, spacing, 1)
        ba = binary.__surface_distances(ref, pred, spacing, 1)
        cases.append({
            "id": f"full_size_ring_{seed}", "shape": [256, 256], "spacing": list(spacing),
            "description": "wavy rings in a full frame, measured by MedPy",
            "n_pred": int(pred.sum()), "n_ref": int(ref.sum()), "n_inter": int((pred & ref).sum()),
            "n_surf_pred": len(ab), "n_surf_ref": len(ba),
            "dice": binary.dc(pred, ref),
            "asd_pred_to_ref": binary.asd(pred, ref, spacing), "asd_ref_to_pred": binary.asd(ref, pred, spacing),
            "assd_micro": binary.assd(pred, ref, spacing), "assd_macro": float((ab.mean() + ba.mean()) / 2),
            "hd": binary.hd(pred, ref, spacing), "hd95_combined": binary.hd95(pred, ref, spacing),
            "hd95_pred_to_ref": np.percentile(ab, 95), "hd95_ref_to_pred": np.percentile(ba, 95),
            "hd95_max_directed": max(np.percentile(ab, 95), np.percentile(ba, 95)),
            "connectivity2": {
                "assd_micro": binary.assd(pred, ref, spacing, connectivity=2),
                "hd95_combined": binary.hd95(pred, ref, spacing, connectivity=2),
            },
            "pred": runs(pred), "ref": runs(ref),
        })
    return json.loads(json.dumps(cases, default=float))


def sign_flips(cases):
    """Exact two-sided sign-flip p for every paired sample, from SciPy's exhaustive permutation test."""
    found = []
    for case in cases:
        a, b = case["a"], case["b"]
        if len(a) != len(b) or len(a) < 2 or "nan" in a:
            continue
        # Decimal inputs: rounding them makes ties exact, which SciPy's own tolerance does not always.
        result = stats.permutation_test(
            (np.round(np.subtract(a, b), 9),), lambda d, axis: np.round(np.sum(d, axis=axis), 7), vectorized=True,
            permutation_type="samples", n_resamples=np.inf, alternative="two-sided",
        )
        found.append({"id": case["id"], "p": min(float(result.pvalue), 1.0)})
    return found


def far_tails():
    mpmath.mp.dps = 60
    found = []
    for df in [1.0, 1.3, 2.0, 3.7, 9.0, 17.6764801393702, 18.0, 62.0, 138.0]:
        for t in [0.001, 0.05, 0.5, 0.999, 1.001, 1.9, 5.0, 12.0, 30.0, 100.0, 1e3, 1e5, 1e8]:
            d, x = mpmath.mpf(df), mpmath.mpf(t)
            p = mpmath.betainc(d / 2, 0.5, 0, d / (d + x * x), regularized=True)
            if p > mpmath.mpf("1e-300"):
                found.append({"df": df, "t": t, "p_two_sided": float(p)})
    return found


def intervals(cases):
    """95 % intervals of the differences, from SciPy's own confidence_interval."""
    found = []
    for case in cases:
        a, b = case["a"], case["b"]
        if min(len(a), len(b)) < 2 or "nan" in a:
            continue
        tests = {"student": stats.ttest_ind(a, b), "welch": stats.ttest_ind(a, b, equal_var=False)}
        if len(a) == len(b):
            tests["paired"] = stats.ttest_rel(a, b)
        for kind, test in tests.items():
            low, high = map(float, test.confidence_interval(0.95))
            if math.isfinite(low) and math.isfinite(high):
                found.append({"id": case["id"], "kind": kind, "difference": float(np.mean(a) - np.mean(b)),
                              "low": low, "high": high})
    return found


def main():
    vectors_path, folder = sys.argv[1:]
    vectors = json.load(open(vectors_path))
    provenance = vectors["provenance"]
    metrics = {
        "provenance": provenance,
        "note": "pred and ref are runs [row, first column, column after the last]. From the reference vectors, without the "
        "DeepMind surface metrics: they weigh marching-squares surface elements, another definition. "
        f"`full_size` was added with MedPy {version('medpy')} and NumPy {np.__version__}.",
        "tolerance_abs": vectors["tolerances"]["metrics_abs"],
        "cases": [metric_case(vector) for vector in vectors["metrics"]],
        "full_size": full_size(),
    }
    assert [case["id"] for case in metrics["cases"]] == list(MASKS)
    source = vectors["stats"]
    found = {
        "provenance": provenance,
        "note": f"From the reference vectors. Added: sign_flip and intervals with SciPy {scipy.__version__}, "
        f"far_tails with mpmath {mpmath.__version__} at 60 digits, summaries with NumPy {np.__version__}.",
        "tolerance_t_rel": vectors["tolerances"]["stats_t_rel"],
        "tolerance_p_rel": vectors["tolerances"]["stats_p_rel"],
        **source,
        "sign_flip": sign_flips(source["cases"]),
        "intervals": intervals(source["cases"]),
        "far_tails": far_tails(),
        "summaries": [
            {"values": case["a"], "mean": float(np.mean(case["a"])), "sd": float(np.std(case["a"], ddof=1))}
            for case in source["cases"] if len(case["a"]) > 1 and "nan" not in case["a"]
        ] + [{"values": [1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16], "mean": 1e9 + 10, "sd": math.sqrt(30)}],
    }
    for name, content in [("metrics", metrics), ("stats", found)]:
        with open(f"{folder}/{name}.json", "w") as file:
            # One case per line keeps the file small and its changes readable.
            lines = [f" {json.dumps(key)}: " + (
                "[\n  " + ",\n  ".join(json.dumps(item) for item in value) + "\n ]" if isinstance(value, list) else json.dumps(value)
            ) for key, value in content.items()]
            file.write("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
