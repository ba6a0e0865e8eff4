"""Prints the first four 64-bit draws of a forked seed, as the test in src/seed.rs expects them.

    python seed.py

Needs the package blake3. ChaCha8 is written out after RFC 8439 with four double rounds, 64-bit counter and nonce 0.
"""

import struct

import blake3


def keyed(key, message):
    return blake3.blake3(message, key=key).digest()


def rotate(x, n):
    return ((x << n) | (x >> (32 - n))) & 0xFFFFFFFF


def chacha8_block(key, counter):
    state = list(struct.unpack("<4I", b"expand 32-byte k")) + list(struct.unpack("<8I", key))
    state += [counter & 0xFFFFFFFF, counter >> 32, 0, 0]
    w = state[:]

    def quarter_round(a, b, c, d):
        for i, j, k, n in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            w[i] = (w[i] + w[j]) & 0xFFFFFFFF
            w[k] = rotate(w[k] ^ w[i], n)

    for _ in range(4):
        for columns in ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15)):
            quarter_round(*columns)
        for diagonals in ((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)):
            quarter_round(*diagonals)
    return [(a + b) & 0xFFFFFFFF for a, b in zip(w, state)]


root = blake3.blake3(struct.pack("<Q", 7), derive_key_context="expertgrid 2026 experiment seed").digest()
seed = keyed(keyed(root, b"augment/noise"), b"\0" + struct.pack("<Q", 3))
block = chacha8_block(seed, 0)
for i in range(0, 8, 2):
    print(hex(block[i] | block[i + 1] << 32))
