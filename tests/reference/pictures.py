"""Writes the PNG files under tests/fixtures/pictures/ with Pillow, and an interlaced one with zlib.

The values are functions of the place, which the test computes again:

    python3 -m venv v && v/bin/pip install -r tests/reference/requirements-pictures.txt
    v/bin/python tests/reference/pictures.py
"""

import pathlib
import struct
import zlib

import numpy as np
from PIL import Image

HERE = pathlib.Path(__file__).resolve().parent
OUT = HERE.parent / "fixtures" / "pictures"
WIDTH, HEIGHT = 13, 9
# First column and row, and steps, of the passes of Adam7 (PNG specification, 8.2).
PASSES = [
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
]


def interlaced(values):
    rows = b""
    for left, top, right, down in PASSES:
        for row in values[top::down, left::right]:
            rows += b"\0" + row.tobytes()

    def chunk(name, data):
        return (
            struct.pack(">I", len(data))
            + name
            + data
            + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 0, 0, 0, 1)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def main():
    OUT.mkdir(exist_ok=True)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    byte = ((x * 7 + y * 11) % 256).astype(np.uint8)
    Image.fromarray(byte).save(OUT / "grey8.png")
    wide = ((x * 257 + y * 4099) % 65536).astype(np.uint16)
    Image.fromarray(wide).save(OUT / "grey16.png")
    Image.fromarray((x + y) % 3 == 0).save(OUT / "grey1.png")
    palette = Image.fromarray(((x + 2 * y) % 5).astype(np.uint8), mode="P")
    palette.putpalette([v for i in range(5) for v in (200 - 40 * i, 30 * i, 9)])
    palette.save(OUT / "palette.png")
    (OUT / "interlaced.png").write_bytes(interlaced(byte))
    # Pillow reads it as it was meant.
    assert (np.asarray(Image.open(OUT / "interlaced.png")) == byte).all()


if __name__ == "__main__":
    main()
