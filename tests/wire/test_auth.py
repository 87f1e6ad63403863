"""Vectors of protocol.md 4.1."""

from __future__ import annotations

import base64

from sevpn.proto.auth import hash_password, secure_password


def test_vectors() -> None:
    hashed = hash_password("secret", "admin")
    assert hashed.hex() == "e42fd00c3851b20799272935805af344ffab5d59"
    assert base64.b64encode(hashed) == b"5C/QDDhRsgeZJyk1gFrzRP+rXVk="
    hashed = hash_password("pwX", "UserX")
    assert base64.b64encode(hashed) == b"53H97HhiCY3fN067636nSdLZEC0="
    assert (
        secure_password(hashed, bytes(range(20))).hex()
        == "c34b4cc6c15e00451f74c2ba3f8905abd6dc2e2f"
    )
