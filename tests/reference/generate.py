"""Writes what tests/suite/fidelity and src/data/augment.rs expect, computed by PyTorch, SciPy, MedPy, nibabel and SimpleITK.

    python3 tests/reference/generate.py [training|uncertainty|probabilistic|augmentation|metrics|statistics|nifti|checkpoint|tensorboard ...]

Without a name all parts run; each writes its files to tests/fixtures and says so. The same packages on the same machine
write the same bytes. Installs tests/reference/requirements.txt into target/reference (a few GB, once).
"""

import importlib
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENV = HERE.parent.parent / "target" / "reference"
PARTS = ["training", "uncertainty", "probabilistic", "augmentation", "metrics", "statistics", "nifti", "checkpoint", "tensorboard"]


def in_venv():
    """Continues in the virtual environment, made where it is missing."""
    python = VENV / "bin" / "python"
    if Path(sys.executable) == python:
        return
    if not (VENV / "complete").exists():
        print(f"installing the references into {VENV} ...", flush=True)
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
        requirements = HERE / "requirements.txt"
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", requirements], check=True)
        (VENV / "complete").touch()
    # Some machines steer an older OpenBLAS by these; they slow NumPy down.
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        os.environ.pop(name, None)
    os.execv(python, [str(python), *sys.argv])


def main():
    chosen = sys.argv[1:] or PARTS
    unknown = set(chosen) - set(PARTS)
    if unknown:
        sys.exit(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    for name in chosen:
        importlib.import_module(f"parts.{name}").main()


if __name__ == "__main__":
    in_venv()
    main()
