"""Values that cannot work are refused with one line and a remedy; all others are not."""

import pytest

from sevpn.config import Config
from sevpn.errors import UsageError
from sevpn.flags.validate import parse_mac, validate


def config(**values: bool | int | float | str) -> Config:
    return Config(**({"host": "vpn.example.com", "user": "alice"} | values))


def refusal(**values: bool | int | float | str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        validate(config(**values))
    error = caught.value
    assert error.exit_code == 2
    assert error.hint
    assert "\n" not in f"{error}{error.hint}"
    return error


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"user": "m\udcfcller", "password": "p\udce4ssw\udcf6rd\udca7"},
        {"password": "", "hub": "h" * 255, "user": "\u00f6" * 127},
        {"host": "192.0.2.1"},
        {"host": "2001:db8::1"},
        {"host": "::1"},
        {"host": "fe80::1%eth0"},
        {"host": "b\u00fccher.example"},
        {"port": 1},
        {"port": 65535},
        {"policy_route_table": 2**32 - 1},
        {"reconnect_delay": 0.001},
        # The Go tool knows no longest delay, so a long first one must not need a second flag.
        {"reconnect_delay": 3600.0},
    ],
)
def test_accepted(values: dict[str, bool | int | float | str]) -> None:
    validate(config(**values))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"host": ""}, "-host is missing"),
        ({"user": ""}, "-user is missing"),
        ({"hub": ""}, "-hub is empty"),
        ({"host": "https://vpn.example.com/"}, "more than a name"),
        ({"host": "vpn.example.com:992"}, "more than a name"),
        ({"host": "[2001:db8::1]"}, "brackets"),
        ({"host": "a b"}, "blank"),
        ({"host": "a\r\nX: y"}, "blank or control"),
        ({"host": "a" * 256}, "256 bytes"),
        ({"host": "\udcff"}, "not UTF-8"),
        ({"user": "\u00f6" * 128}, "256 bytes"),
        ({"user": "a\0b"}, "NUL"),
        ({"cert_sha256": ["x"]}, "-cert-sha256 x is no SHA-256"),
        ({"insecure": True, "ca_file": "x"}, "-insecure and -ca-file"),
        ({"insecure": True, "cert_sha256": ["00" * 32]}, "-insecure and -cert-sha256"),
        ({"hub": "\udcff"}, "-hub is not UTF-8"),
        ({"password": "a\0b"}, "-pass contains a NUL"),
        ({"password": "p" * 256}, "-pass is 256 bytes"),
        ({"hub": "h" * 256}, "-hub is 256 bytes"),
        ({"port": 0}, "-port 0"),
        ({"port": -1}, "-port -1"),
        ({"port": 65536}, "-port 65536"),
        ({"policy_route_table": -1}, "-policy-route-table -1"),
        ({"policy_route_table": 2**32}, "-policy-route-table 4294967296"),
        ({"reconnect_delay": 0.0}, "-reconnect-delay"),
        ({"reconnect_delay": -1.0}, "-reconnect-delay"),
        ({"reconnect_max_delay": 0.0}, "-reconnect-max-delay"),
        ({"mac": "x"}, "no MAC"),
        ({"tap": "a b"}, "-tap"),
        ({"state_dir": ""}, "-state-dir"),
        ({"congestion": "a b"}, '-congestion "a b" is no'),
        ({"congestion": "x" * 16}, "-congestion"),
    ],
)
def test_refused(values: dict[str, bool | int | float | str], words: str) -> None:
    assert words in str(refusal(**values))


def test_a_password_is_never_shown() -> None:
    error = refusal(password="secret" * 50)
    assert "secret" not in f"{error}{error.hint}"


# Each compared with what TUNSETIFF says on Linux 6.18; `lo` is taken in every namespace.
KERNEL_TAKES = [
    *["a", "vpn0", "...", "-", "ALL", "a@b", "x" * 15, "\u00e9", "\u65e5\u672c\u8a9e"],
    *["vpn%d", "%d", "a%dx", "all%d", "x" * 13 + "%d"],
]
KERNEL_REFUSES = [
    *[".", "..", "all", "default", "lo", "a/b", "a:b", "a b", "a\tb", "a\nb", "a\vb", "a\fb"],
    *["x" * 16, "\u65e5" * 6, "%", "a%", "%s", "%%d", "a%db%d", "x" * 14 + "%d"],
    *["\u00e0", "\u00a0"],  # C3 A0: the kernel's isspace() takes the second byte for a blank
]


@pytest.mark.parametrize("name", KERNEL_TAKES)
def test_interface_name_accepted(name: str) -> None:
    validate(config(tap=name))


@pytest.mark.parametrize("name", KERNEL_REFUSES)
def test_interface_name_refused(name: str) -> None:
    refusal(tap=name)


@pytest.mark.parametrize("name", ["\udcff", "a\0b"])
def test_interface_name_the_tools_could_not_read(name: str) -> None:
    refusal(tap=name)


@pytest.mark.parametrize("text", ["5E:3B:6F:63:A8:3E", "5e-3b-6f-63-a8-3e"])
def test_mac(text: str) -> None:
    assert parse_mac(text) == bytes.fromhex("5e3b6f63a83e")
    validate(config(mac=text))


def test_mac_need_not_be_locally_administered() -> None:
    assert parse_mac("00:00:00:00:00:01") == bytes([0, 0, 0, 0, 0, 1])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no MAC"),
        ("5e:3b:6f:63:a8", "no MAC"),
        ("5e:3b:6f:63:a8:3e:00", "no MAC"),
        ("5e:3b:6f:63:a8:3g", "no MAC"),
        ("5e:3b:6f:63:a8:3", "no MAC"),
        ("5e:3b:6f-63:a8:3e", "no MAC"),
        ("5e3b6f63a83e", "no MAC"),
        ("5e3b.6f63.a83e", "no MAC"),
        ("5e:3b:6f:63:a8:+1", "no MAC"),
        ("5e:3b:6f:63:a8:\u0661\u0661", "no MAC"),
        (" 5e:3b:6f:63:a8:3e", "no MAC"),
        ("x" * 1000, "no MAC"),
        ("01:00:5e:00:00:01", "multicast"),
        ("ff:ff:ff:ff:ff:ff", "multicast"),
        ("00:00:00:00:00:00", "all zero"),
        ("00:AE:01:02:03:04", "virtual hubs"),
    ],
)
def test_no_usable_mac(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        parse_mac(text)
    assert caught.value.hint
    assert len(str(caught.value)) < 100
