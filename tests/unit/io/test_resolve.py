"""Names to addresses: literals, order, names that do not resolve."""

from __future__ import annotations

import _socket

import pytest

from sevpn.errors import HostError, TransportError
from sevpn.io import child, resolve
from sevpn.io.resolve import Address, interleave, parse_literal
from support.running import Stopwatch, run

V4, V6 = _socket.AF_INET, _socket.AF_INET6


@pytest.mark.parametrize(
    ("text", "family", "shown"),
    [
        ("192.0.2.1", V4, "192.0.2.1"),
        ("2001:db8::1", V6, "2001:db8::1"),
        ("[2001:db8::1]", V6, "2001:db8::1"),
        ("::ffff:192.0.2.1", V6, "::ffff:192.0.2.1"),
    ],
)
def test_literal(text: str, family: int, shown: str) -> None:
    address = parse_literal(text)
    assert address is not None
    assert (address.family, address.text, repr(address)) == (family, shown, shown)
    assert address.is_ipv6 == (family == V6)


@pytest.mark.parametrize(
    "text", ["", "vpn.test", "192.0.2", "192.0.2.256", "0x7f.1", "[::1", "::1]", "1.2.3.4\0", "é"]
)
def test_no_literal(text: str) -> None:
    assert parse_literal(text) is None


def test_sockaddr() -> None:
    assert Address(V4, "192.0.2.1").sockaddr(443) == ("192.0.2.1", 443)
    assert Address(V6, "fe80::1", 3).sockaddr(443) == ("fe80::1", 443, 0, 3)


def test_equal_addresses() -> None:
    assert Address(V4, "192.0.2.1") == Address(V4, "192.0.2.1")
    assert Address(V4, "192.0.2.1") != Address(V4, "192.0.2.2")
    assert Address(V4, "192.0.2.1") != "192.0.2.1"
    assert len({Address(V4, "192.0.2.1"), Address(V4, "192.0.2.1")}) == 1


def test_interleave() -> None:
    found = [(V6, "::1", 0), (V6, "::2", 0), (V4, "1.1.1.1", 0), (V6, "::3", 0), (V4, "2.2.2.2", 0)]
    shown = [address.text for address in interleave(found)]
    assert shown == ["::1", "1.1.1.1", "::2", "2.2.2.2", "::3"]
    assert interleave([]) == []
    assert [a.text for a in interleave(found[2:3])] == ["1.1.1.1"]


def test_literal_needs_no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(child, "call")
    assert run(lambda loop: resolve.resolve(loop, "127.0.0.1", 443)) == [Address(V4, "127.0.0.1")]


def test_name_of_the_hosts_file() -> None:
    assert Address(V4, "127.0.0.1") in run(lambda loop: resolve.resolve(loop, "localhost", 443))


@pytest.mark.parametrize(
    "name", ["does-not-exist.invalid", "a..b", "x" * 64 + ".invalid", "ü" * 64 + ".invalid", "a b"]
)
def test_unresolvable(name: str) -> None:
    watch = Stopwatch()
    with pytest.raises(TransportError, match=f"^cannot resolve {name}: ") as caught:
        run(lambda loop: resolve.resolve(loop, name, 443))
    assert "-host" in caught.value.hint
    assert watch.seconds < 20


@pytest.mark.parametrize(
    ("code", "resolv_conf", "said"),
    [
        (_socket.EAI_AGAIN, "nameserver 10.1.1.1\n", "no answer from the name server 10.1.1.1"),
        (
            _socket.EAI_AGAIN,
            "#\nnameserver a\nnameserver b\n",
            "no answer from the name server a or b",
        ),
        (_socket.EAI_AGAIN, "search x\n", "no name server is set"),
        (_socket.EAI_NONAME, "", "there is no such name"),
        (_socket.EAI_FAIL, "", "the C library's words"),
    ],
)
def test_a_failed_lookup_is_explained_by_its_code(
    code: int, resolv_conf: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same on glibc and musl, whose word for "nobody answers" is "Try again"."""

    def fail(*_: object) -> None:
        raise _socket.gaierror(code, "the C library's words")

    monkeypatch.setattr(_socket, "getaddrinfo", fail)
    monkeypatch.setattr(resolve, "read_text", lambda *_: resolv_conf)
    with pytest.raises(HostError, match=f"^{said}"):
        resolve.lookup(b"vpn.test", 443)


def test_name_without_address(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: object, **__: object) -> list[object]:
        return []

    monkeypatch.setattr(child, "call", nothing)
    with pytest.raises(TransportError, match="it has no address"):
        run(lambda loop: resolve.resolve(loop, "vpn.test", 443))


def test_international_name(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    async def note(_loop: object, _target: str, name: object, *_: object, **__: object) -> object:
        asked.append(name)
        return [(V4, "192.0.2.1", 0)]

    monkeypatch.setattr(child, "call", note)
    run(lambda loop: resolve.resolve(loop, "bücher.test", 443))
    assert asked == [b"xn--bcher-kva.test"]
