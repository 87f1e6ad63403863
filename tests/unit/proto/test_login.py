"""The login Pack: the elements of protocol.md 4.4, each kind of authentication."""

from __future__ import annotations

import pytest

from sevpn.constants import CLIENT_NAME
from sevpn.errors import HandshakeError, UsageError
from sevpn.proto.auth import hash_password, secure_password
from sevpn.proto.hello import Hello
from sevpn.proto.login import (
    AdditionalConnect,
    Login,
    build_acknowledgement,
    build_additional,
    build_login,
)
from sevpn.proto.pack import Pack

HELLO = Hello(bytes(range(20)), "SoftEther VPN Server", 501, 9674)

# protocol.md 4.4: what a login with unique_id has, in the order it does not matter in.
ELEMENTS = {
    "method", "hubname", "username", "authtype", "secure_password", "client_str", "client_ver",
    "client_build", "hello", "version", "build", "client_id", "protocol", "max_connection",
    "use_encrypt", "use_compress", "half_connection", "qos", "require_bridge_routing_mode",
    "require_monitor_mode", "unique_id", "ClientProductName", "ServerProductName",
    "ClientOsName", "ClientOsVer", "ClientOsProductId", "ClientHostname", "ServerHostname",
    "ProxyHostname", "ClientProductVer", "ClientProductBuild", "ServerProductVer",
    "ServerProductBuild", "ClientPort", "ServerPort2", "ProxyPort", "UniqueId",
    *(
        f"{side}IpAddress{part}"
        for side in ("Client", "Server", "Proxy")
        for part in ("", "6", "@ipv6_bool", "@ipv6_array", "@ipv6_scope_id")
    ),
    *(
        f"V_{name}"
        for name in (
            "IsWindows", "IsNT", "IsServer", "IsBeta", "VerMajor", "VerMinor", "Build",
            "ServicePack", "Title",
        )
    ),
    "pencore",
}  # fmt: skip


def built(login: Login) -> Pack:
    return Pack.from_bytes(build_login(login, HELLO, b"pad").to_bytes())


def test_the_recommended_set() -> None:
    pack = built(Login("DEFAULT", "admin", "secret", unique_id=bytes(range(16))))
    assert set(pack.names()) == ELEMENTS
    assert pack.names()[-1] == "pencore"
    assert pack.str("method") == "login"
    assert pack.str("hubname") == "DEFAULT"
    assert pack.str("username") == "admin"
    assert pack.int("use_encrypt") == 1
    for name in ("use_compress", "half_connection", "qos", "require_bridge_routing_mode"):
        assert pack.int(name, 9) == 0
    assert pack.int("max_connection") == 1
    assert pack.data("UniqueId") == bytes(range(16))
    assert len(pack.data("unique_id")) == 20
    assert pack.data("pencore") == b"pad"


def test_our_name_does_not_ask_for_bridge_mode() -> None:
    assert "server" not in CLIENT_NAME.lower()
    assert "bridge" not in CLIENT_NAME.lower()
    pack = built(Login("H", "u", "p"))
    assert pack.str("client_str") == pack.str("hello") == CLIENT_NAME


def test_hashed() -> None:
    hashed = hash_password("pwX", "UserX")
    for login in (Login("H", "UserX", "pwX"), Login("H", "UserX", hashed_password=hashed)):
        pack = built(login)
        assert pack.int("authtype") == 1
        assert pack.data("secure_password") == secure_password(hashed, HELLO.random)
        assert "plain_password" not in pack.names()


def test_an_empty_password_is_a_password() -> None:
    pack = built(Login("H", "u", ""))
    assert pack.int("authtype") == 1
    assert pack.data("secure_password") == secure_password(hash_password("", "u"), HELLO.random)


def test_plain() -> None:
    pack = built(Login("H", "u", "pässword", plain=True))
    assert pack.int("authtype") == 2
    assert pack.str("plain_password") == "pässword"
    assert "secure_password" not in pack.names()
    with pytest.raises(HandshakeError, match="plain"):
        build_login(Login("H", "u", plain=True), HELLO, b"")


def test_anonymous() -> None:
    pack = built(Login("H", "u"))
    assert pack.int("authtype", 9) == 0


def test_a_ticket_goes_before_all() -> None:
    first = Login("H", "u", "p", plain=True, hostname="me", unique_id=bytes(16))
    login = first.with_ticket(bytes(20))
    pack = built(login)
    assert pack.int("authtype") == 99
    assert pack.data("ticket", b"none") == bytes(20)
    assert "plain_password" not in pack.names()
    assert pack.str("ClientHostname") == "me"
    assert first.ticket is None


def test_the_node_block_is_little_endian() -> None:
    data = build_login(Login("H", "u", "p", client_port=40000), HELLO, b"").to_bytes()
    assert b"ClientProductVer\0\0\0\0\0\0\0\1\xf6\x01\0\0" in data
    assert b"ServerPort2\0\0\0\0\0\0\0\1\xbb\x01\0\0" in data
    assert b"ClientPort\0\0\0\0\0\0\0\1\x40\x9c\0\0" in data


def test_addresses_of_both_families() -> None:
    pack = built(Login("H", "u", "p", client_ip="192.0.2.9", server_ip="192.0.2.1"))
    assert pack.ip("ClientIpAddress") == "192.0.2.9"
    assert pack.ip("ServerIpAddress") == "192.0.2.1"
    assert pack.data("ServerIpAddress6") == bytes(16)
    pack = built(Login("H", "u", "p", client_ip="fe80::1%eth0", server_ip="2001:db8::1"))
    assert pack.ip("ServerIpAddress") == "0.0.0.0"
    assert pack.data("ServerIpAddress6") == bytes.fromhex("20010db8" + "0" * 23 + "1")
    assert pack.data("ClientIpAddress6")[:2] == b"\xfe\x80"


@pytest.mark.parametrize("field", [0, 1, 2], ids=["hub", "user", "password"])
def test_too_long_for_the_protocol(field: int) -> None:
    words = ["H", "u", "p"]
    words[field] = "x" * 255
    Login(words[0], words[1], words[2])
    words[field] = "é" * 128
    with pytest.raises(UsageError, match="255 bytes"):
        Login(words[0], words[1], words[2])


def test_an_additional_connection() -> None:
    pack = Pack.from_bytes(build_additional(AdditionalConnect(bytes(20)), b"").to_bytes())
    assert pack.str("method") == "additional_connect"
    assert pack.data("session_key") == bytes(20)
    assert pack.str("client_str") == CLIENT_NAME
    with pytest.raises(HandshakeError):
        AdditionalConnect(bytes(19))


def test_an_acknowledgement_is_padding_only() -> None:
    assert build_acknowledgement(b"x").names() == ["pencore"]
