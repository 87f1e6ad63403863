"""Password hashes: case, encodings, and the vectors are in tests/wire."""

from __future__ import annotations

from sevpn.proto.auth import hash_password, secure_password, wire_bytes
from support import oracle_sha0 as oracle


def test_only_ascii_letters_are_raised() -> None:
    assert hash_password("p", "jürgenß") == oracle.digest(b"p" + "JüRGENß".encode())
    assert hash_password("p", "uSeR") == hash_password("p", "USER")
    assert hash_password("p", "user") != hash_password("P", "user")


def test_empty_and_odd_bytes() -> None:
    assert hash_password("", "u") == oracle.digest(b"U")
    odd = b"\xff".decode("utf-8", "surrogateescape")
    assert wire_bytes(odd) == b"\xff"
    assert hash_password(odd, "u") == oracle.digest(b"\xffU")


def test_secure_password_depends_on_the_challenge() -> None:
    hashed = hash_password("p", "u")
    assert len(secure_password(hashed, bytes(20))) == 20
    assert secure_password(hashed, bytes(20)) != secure_password(hashed, b"\1" * 20)
