#!/usr/bin/env python3
"""The steps of a folder of check.sh as a table, beside PyTorch's best where it was timed.

    compare.py FOLDER
"""

import json
import sys
from pathlib import Path


def main():
    folder = Path(sys.argv[1])
    torch = folder / "torch.json"
    peers = json.loads(torch.read_text())["rows"] if torch.exists() else []
    ratios = []
    steps = [path for path in folder.glob("step-*.json") if path.stat().st_size]
    rows = [json.loads(path.read_text())[0] for path in steps]
    order = ["width", "size", "engine", "networks"]
    for row in sorted(rows, key=lambda row: [row[name] for name in order]):
        tf32, networks = "tf32" in row["engine"], row["networks"]
        shape = f"{row['width']}:{row['size']}:{row['batch']}"
        line = f"{shape} {'tf32' if tf32 else 'f32 '} {networks:2} at once: {row['step_ms']:.3f} ms"
        if row["device_memory_mib"] is not None:
            line += f", {row['device_memory_mib']:.0f} MiB in use"
        best = [p["step_ms"] for p in peers if p["shape"] == shape and p["tf32"] == tf32]
        if best:
            what = f"{shape}{' tf32' if tf32 else ''}{f' x {networks}' if networks > 1 else ''}"
            ratios.append(f"{what} {row['step_ms'] / min(best):.2f}")
            line += f"; PyTorch's best {min(best):.3f} ms, ratio {row['step_ms'] / min(best):.2f}"
        print(line)
    print("ratios to PyTorch's best: " + ", ".join(ratios) if ratios else "PyTorch was not timed")


if __name__ == "__main__":
    main()
