"""Domain names from a server; option 119 with the example of RFC 3397."""

import pytest

from sevpn.dhcp.domains import decode_domain, decode_search, encode_search, is_domain_name


@pytest.mark.parametrize("name", ["a", "example.com", "_srv.x-y.corp", "a" * 63, "1.2.3.4"])
def test_names(name: str) -> None:
    assert is_domain_name(name)


@pytest.mark.parametrize(
    "name",
    ["", ".", "a..b", "a.", "-a", "a-", "a b", "a\n", "a\x1b[0m", "ä.de", "a" * 64, "a." * 130],
)
def test_no_names(name: str) -> None:
    assert not is_domain_name(name)


def test_domain_loses_the_nul_and_the_dot_that_servers_add() -> None:
    assert decode_domain(b"lan.example.\0") == "lan.example"
    assert decode_domain(b"lan\nnameserver 6.6.6.6") is None
    assert decode_domain(b"lan\0x") is None
    assert decode_domain(b"") is None


def test_rfc_3397_example() -> None:
    # RFC 3397 2: "eng.apple.com." and "marketing.apple.com." with a pointer to "apple.com."
    value = b"\x03eng\x05apple\x03com\x00\x09marketing\xc0\x04"
    assert decode_search(value) == ["eng.apple.com", "marketing.apple.com"]


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\x03en",
        b"\x03eng",
        b"\xc0",
        b"\xc0\x00",  # to itself
        b"\x01a\xc0\x00",  # to its own beginning
        b"\x01a\xc0\x09",  # ahead
        b"\x01a\xc0\x04\xc0\x02",  # two in a circle
        b"\x40" + b"a" * 64 + b"\0",  # reserved label type
        (b"\x3f" + b"a" * 63) * 4 + b"\0",  # 256 bytes of name
    ],
)
def test_broken_search_lists_are_none(value: bytes) -> None:
    assert decode_search(value) is None


def test_a_forbidden_name_is_left_out_alone() -> None:
    value = encode_search(["a.example"]) + b"\x03b\nc\0" + b"\x03d.e\0" + encode_search(["f"])
    assert decode_search(value) == ["a.example", "f"]


def test_hundreds_of_pointers_cost_little() -> None:
    name = b"\x01a" * 126 + b"\0"
    assert decode_search(name + b"\xc0\x00" * 600) == [".".join("a" * 126)]
