"""The slow, obvious twin of sevpn._sha0: the oracle of its tests (FIPS 180, 1993)."""

from __future__ import annotations

MASK = 0xFFFFFFFF


def rotate(value: int, bits: int) -> int:
    return ((value << bits) | (value >> (32 - bits))) & MASK


def digest(data: bytes) -> bytes:
    """Return the SHA-0 digest of `data`: 20 bytes."""
    padded = data + b"\x80" + bytes(-(len(data) + 9) % 64) + (8 * len(data)).to_bytes(8, "big")
    h = [0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0]
    for block in range(0, len(padded), 64):
        w = [int.from_bytes(padded[block + 4 * i : block + 4 * i + 4], "big") for i in range(16)]
        for i in range(16, 80):
            w.append(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16])
        a, b, c, d, e = h
        for i in range(80):
            f, k = [
                ((b & c) | (~b & d), 0x5A827999),
                (b ^ c ^ d, 0x6ED9EBA1),
                ((b & c) | (b & d) | (c & d), 0x8F1BBCDC),
                (b ^ c ^ d, 0xCA62C1D6),
            ][i // 20]
            a, b, c, d, e = (rotate(a, 5) + f + e + k + w[i]) & MASK, a, rotate(b, 30), c, d
        h = [(old + new) & MASK for old, new in zip(h, (a, b, c, d, e), strict=True)]
    return b"".join(word.to_bytes(4, "big") for word in h)
