"""The Hello: what it must have."""

from __future__ import annotations

import pytest

from sevpn.errors import HandshakeError, ServerError
from sevpn.proto.hello import parse_hello
from sevpn.proto.pack import Pack


def hello_pack(random: bytes = bytes(20), product: str = "SoftEther VPN Server") -> Pack:
    pack = Pack()
    pack.add_data("random", random)
    pack.add_str("hello", product)
    pack.add_int("version", 501)
    pack.add_int("build", 9674)
    return pack


def test_a_good_one() -> None:
    hello = parse_hello(hello_pack(bytes(range(20))))
    assert hello.random == bytes(range(20))
    assert str(hello) == "SoftEther VPN Server 5.01 build 9674"


def test_a_name_with_control_characters_is_cleaned_and_cut() -> None:
    hello = parse_hello(hello_pack(product="evil\x1b[2J\n" + "x" * 10_000))
    assert hello.product.isprintable()
    assert len(hello.product) <= 255


@pytest.mark.parametrize("size", [0, 19, 21, 1000])
def test_a_challenge_of_another_size(size: int) -> None:
    with pytest.raises(HandshakeError, match=r"not a SoftEther VPN server.*challenge"):
        parse_hello(hello_pack(random=bytes(size)))


def test_no_name() -> None:
    with pytest.raises(HandshakeError, match=r"not a SoftEther VPN server.*name"):
        parse_hello(hello_pack(product="\n"))


def test_a_refusal() -> None:
    pack = hello_pack()
    pack.add_int("error", 105)
    with pytest.raises(ServerError) as caught:
        parse_hello(pack)
    assert caught.value.code == 105
