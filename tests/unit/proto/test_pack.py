"""Names and shapes on top of the codec."""

from __future__ import annotations

import pytest

from sevpn.errors import PackError
from sevpn.proto.pack import Pack
from support import oracle_pack as oracle


def test_each_type_there_and_back() -> None:
    pack = Pack()
    pack.add_int("i", 7)
    pack.add_ints("Port", [443, 992])
    pack.add_int64("q", 1 << 60)
    pack.add_data("d", b"\0\1")
    pack.add_str("s", "söft")
    pack.add_unistr("u", "é")
    pack.add_ip("Ip", "192.0.2.1")
    again = Pack.from_bytes(pack.to_bytes())
    assert again.int("i") == 7
    assert again.ints("Port") == [443, 992]
    assert again.int("Port") == 443
    assert again.int64("q") == 1 << 60
    assert again.data("d") == b"\0\1"
    assert again.str("s") == "söft"
    assert again.unistr("u") == "é"
    assert again.ip("Ip") == "192.0.2.1"
    assert again.names()[:3] == ["i", "Port", "q"]


def test_names_ignore_ascii_case_only() -> None:
    pack = Pack.from_bytes(oracle.encode([("HubName", 2, ["x"]), ("\xc9k", 0, [1])]))
    assert pack.str("hubname") == pack.str("HUBNAME") == "x"
    assert pack.int("\xc9K") == 1 or pack.names()[1] == "\xc9k"
    assert pack.int("\xe9k") == 0
    assert pack.int("\u212a") == 0


def test_a_getter_of_another_type_finds_nothing() -> None:
    pack = Pack.from_bytes(
        oracle.encode([("i", 0, [7]), ("q", 4, [8]), ("d", 1, [b"x"]), ("s", 2, ["x"])])
    )
    assert pack.int("q") == pack.int("d") == pack.int("s") == pack.int("absent") == 0
    assert pack.int("q", 5) == 5
    assert pack.int64("i") == 0
    assert pack.ints("s") == []
    assert pack.data("s") == b""
    assert pack.str("d") == pack.str("i") == pack.unistr("s") == ""
    assert pack.str("d", "none") == "none"
    assert pack.ip("q") is None
    assert pack.ip("absent") is None


def test_an_ipv6_address_is_no_ipv4_address() -> None:
    pack = Pack()
    pack.add_int("Ip", 0)
    pack.add_int("Ip@ipv6_bool", 1)
    assert pack.ip("ip") is None


def test_errors() -> None:
    pack = Pack()
    pack.add_int("hubname", 1)
    pack.add_int("HubName", 1)
    with pytest.raises(PackError, match="two elements"):
        pack.to_bytes()
    with pytest.raises(PackError):
        Pack.from_bytes(b"")
    with pytest.raises(ValueError, match="IPv4"):
        Pack().add_ip("Ip", "::1")
