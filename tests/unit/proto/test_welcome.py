"""Answers to a login: welcome, redirect, refusal, patience."""

from __future__ import annotations

import pytest

from sevpn.errors import HandshakeError, ServerError
from sevpn.proto.pack import Pack
from sevpn.proto.welcome import (
    POLICY_NAMES,
    Redirect,
    Welcome,
    parse_additional_reply,
    parse_reply,
)
from support import fakeserver_proto as fake
from support import oracle_pack as oracle


def welcome(pack: Pack) -> Welcome:
    result = parse_reply(pack)
    assert isinstance(result, Welcome)
    return result


def test_a_good_one() -> None:
    result = welcome(
        fake.welcome_pack(
            max_connection=8,
            message="Grüße\x07\nline".encode(),
            policy={"DHCPForce": 1, "MaxMac": 3, "Invented": 5, "AutoDisconnect": 0},
        )
    )
    assert result.session_name == "SID-TEST-1"
    assert result.connection_name == "CID-1"
    assert result.session_key == fake.SESSION_KEY
    assert result.max_connection == 8
    assert result.timeout_ms == 20_000
    assert not result.half_connection
    assert not result.use_compress
    assert not result.udp
    assert result.message == "Grüße  line"
    assert result.policy == {
        "Access": 1, "DHCPForce": 1, "NoBridge": 1, "NoRouting": 1, "MaxConnection": 32,
        "TimeOut": 20, "MaxMac": 3, "AutoDisconnect": 0,
    }  # fmt: skip


def test_the_policy_names_are_those_of_the_protocol() -> None:
    assert len(POLICY_NAMES.split()) == len(set(POLICY_NAMES.split())) == 39


@pytest.mark.parametrize(
    ("sent", "used"),
    [(0, 20_000), (1, 5_000), (5_000, 5_000), (60_000, 60_000), (0xFFFFFFFF, 60_000)],
)
def test_the_timeout_is_clamped(sent: int, used: int) -> None:
    assert welcome(fake.welcome_pack(timeout_ms=sent)).timeout_ms == used


@pytest.mark.parametrize(("sent", "used"), [(0, 1), (1, 1), (32, 32), (33, 32), (1 << 31, 32)])
def test_the_connections_are_clamped(sent: int, used: int) -> None:
    assert welcome(fake.welcome_pack(max_connection=sent)).max_connection == used


def test_no_encryption_is_refused() -> None:
    with pytest.raises(HandshakeError, match="encrypt"):
        parse_reply(fake.welcome_pack(use_encrypt=0))


@pytest.mark.parametrize("size", [0, 19, 21])
def test_a_key_of_another_size(size: int) -> None:
    with pytest.raises(HandshakeError, match="key"):
        parse_reply(fake.welcome_pack(session_key=bytes(size)))


def test_an_answer_that_is_none() -> None:
    with pytest.raises(HandshakeError, match="names no session"):
        parse_reply(Pack())
    with pytest.raises(HandshakeError, match="names no session"):
        parse_reply(fake.welcome_pack(session_name=""))


def test_text_of_the_server_is_cleaned_and_cut() -> None:
    result = welcome(
        fake.welcome_pack(session_name="a\x1b]0;x\x07" * 500, message=b"\xff\n" * 40_000)
    )
    assert result.session_name.isprintable()
    assert len(result.session_name) <= 255
    assert result.message.isprintable()
    assert len(result.message) <= 2_000


def test_patience_goes_before_all() -> None:
    pack = fake.welcome_pack()
    pack.add_int("noop", 2)
    pack.add_int("error", 9)
    assert parse_reply(pack) is None
    assert parse_additional_reply(pack) is None


def test_a_refusal_goes_before_a_welcome() -> None:
    pack = fake.welcome_pack()
    pack.add_int("error", 9)
    pack.add_int("Redirect", 1)
    for parse in (parse_reply, parse_additional_reply):
        with pytest.raises(ServerError) as caught:
            parse(pack)
        assert caught.value.code == 9


def test_a_redirect() -> None:
    result = parse_reply(fake.redirect_pack(ports=(992, 0, 70_000, 443)))
    assert isinstance(result, Redirect)
    assert result.ip == "192.0.2.7"
    assert result.ports == [992, 443]
    assert result.ticket == fake.TICKET
    assert result.certificate == fake.CERTIFICATE
    assert result.message == "this way"
    assert result.port(443) == 443
    assert result.port(5555) == 992


@pytest.mark.parametrize(
    ("pack", "words"),
    [
        (fake.redirect_pack(ip="0.0.0.0"), "address"),
        (fake.redirect_pack(ports=(0,)), "port"),
        (fake.redirect_pack(ticket=bytes(19)), "ticket"),
        (fake.redirect_pack(certificate=b""), "certificate"),
        (fake.redirect_pack(certificate=bytes(100_001)), "certificate"),
        (Pack.from_bytes(oracle.encode([("Redirect", 0, [1])])), "address"),
    ],
)
def test_a_redirect_that_lacks_something(pack: Pack, words: str) -> None:
    with pytest.raises(HandshakeError, match=words):
        parse_reply(pack)


@pytest.mark.parametrize("direction", [0, 1, 2])
def test_an_additional_connection(direction: int) -> None:
    pack = Pack()
    pack.add_int("error", 0)
    pack.add_int("direction", direction)
    result = parse_additional_reply(pack)
    assert result is not None
    assert result.direction == direction


def test_an_unknown_direction() -> None:
    pack = Pack()
    pack.add_int("direction", 3)
    with pytest.raises(HandshakeError, match="direction 3"):
        parse_additional_reply(pack)
