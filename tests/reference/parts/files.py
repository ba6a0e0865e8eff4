"""Writes fixtures: JSON with one case per line, and tensors in the safetensors format."""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np

FIXTURES = Path(__file__).resolve().parent.parent.parent / "fixtures"
LIMIT = 700_000
TYPES = {"float64": "F64", "float32": "F32", "int16": "I16", "uint8": "U8"}


def versions(*packages):
    return {package: version(package) for package in packages}


def write_json(name, about, **lists):
    """One case per line keeps the file small and its changes readable."""
    rows = [f' "{key}": {json.dumps(value)}' for key, value in about.items()]
    for key, cases in lists.items():
        lines = ",\n  ".join(json.dumps(case, allow_nan=False) for case in cases)
        rows.append(f' "{key}": [\n  {lines}\n ]')
    written(name, ("{\n" + ",\n".join(rows) + "\n}\n").encode())


def write_tensors(name, about, tensors):
    """Eight bytes of length, a header in JSON, the tensors one after the other: little-endian, row-major."""
    header, data, end = {"__metadata__": about}, [], 0
    # The widest first keeps every tensor aligned.
    for key, tensor in sorted(tensors.items(), key=lambda item: -item[1].itemsize):
        tensor = np.ascontiguousarray(tensor)
        first, end = end, end + tensor.nbytes
        header[key] = {"dtype": TYPES[tensor.dtype.name], "shape": tensor.shape, "data_offsets": [first, end]}
        data.append(tensor.astype(tensor.dtype.newbyteorder("<")).tobytes())
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    written(name, len(text).to_bytes(8, "little") + text + b"".join(data))


def written(name, content):
    assert len(content) < LIMIT, f"{name} has {len(content)} bytes"
    (FIXTURES / name).write_bytes(content)
    print(f"wrote {name}: {len(content)} bytes", flush=True)
