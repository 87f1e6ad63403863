"""Password hashes of the login (protocol.md 4.1).

Layer 1, pure. The hashed password is as good as the password: it is never printed.
"""

from sevpn import _sha0

HASH_BYTES = 20


def wire_bytes(text: str) -> bytes:
    """Return a user name or password as the bytes that are hashed and sent.

    UTF-8; bytes of the command line that are none go out as they came in.
    """
    return text.encode("utf-8", "surrogateescape")


def hash_password(password: str, user: str) -> bytes:
    """Return SHA-0(password + USER): 20 bytes, what the server stores.

    Only a-z of the user name are raised; bytes from 0x80 on stay (protocol.md 4.1).
    """
    return _sha0.digest(wire_bytes(password) + wire_bytes(user).upper())


def secure_password(hashed: bytes, random: bytes) -> bytes:
    """Return SHA-0(hashed + random): 20 bytes, the answer to the Hello's challenge."""
    return _sha0.digest(hashed + random)
