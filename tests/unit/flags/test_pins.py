"""A pin in each of its forms."""

import base64

import pytest

from sevpn.errors import UsageError
from sevpn.flags.pins import parse_pin

DIGEST = bytes(range(200, 232))
KEY = "sha256//" + base64.b64encode(DIGEST).decode()


@pytest.mark.parametrize(
    "text",
    [
        DIGEST.hex(),
        DIGEST.hex().upper(),
        ":".join(f"{byte:02X}" for byte in DIGEST),
        DIGEST.hex(":"),
    ],
)
def test_of_the_certificate(text: str) -> None:
    assert parse_pin(text) == (False, DIGEST)


def test_of_the_key() -> None:
    assert parse_pin(KEY) == (True, DIGEST)
    for number in range(256):
        digest = bytes([number]) * 32
        text = "sha256//" + base64.b64encode(digest).decode()
        assert parse_pin(text) == (True, digest)


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", DIGEST.hex()[:-1], DIGEST.hex() + "0", DIGEST.hex()[:-1] + "g"),
        *("sha256//", KEY[:-1], KEY + "=", KEY.replace("=", "A"), KEY[:-2] + "!="),
        *(KEY[:-2] + "B=", "sha256//" + DIGEST.hex(), "\udcff" * 64, "\u0661" * 64),
    ],
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(UsageError, match="is no SHA-256") as caught:
        parse_pin(text)
    assert caught.value.hint
