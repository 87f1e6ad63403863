"""Opening a TAP: what the kernel's refusals become. The real device is in tests/e2e."""

from __future__ import annotations

import errno
import fcntl
import os
import posix
import struct
from typing import TYPE_CHECKING

import pytest

from sevpn.errors import EXIT_HOST, HostError
from sevpn.io import tap
from support.require import require

if TYPE_CHECKING:
    from collections.abc import Callable


def kernel(
    monkeypatch: pytest.MonkeyPatch, *, opens: int = 0, attach: int = 0, offloads: int = 0xFF
) -> list[tuple[int, object]]:
    """Play a kernel that fails with these errno values and knows these offloads."""
    calls: list[tuple[int, object]] = []

    def fake_open(path: str, _flags: int) -> int:
        if opens:
            raise OSError(opens, os.strerror(opens))
        return real_open("/dev/null", posix.O_RDWR)

    def fake_ioctl(_fd: int, request: int, argument: bytes | int) -> bytes | int:
        calls.append((request, argument))
        if request == tap.TUNSETIFF:
            if attach:
                raise OSError(attach, os.strerror(attach))
            assert isinstance(argument, bytes)
            name, flags = struct.unpack("16sH22x", argument)
            return struct.pack("16sH22x", name if name.strip(b"\0") else b"tap7", flags)
        if request == tap.TUNSETOFFLOAD:
            assert isinstance(argument, int)
            if argument & ~offloads:
                raise OSError(errno.EINVAL, "no such offload")
        return 0

    real_open: Callable[[str, int], int] = posix.open
    monkeypatch.setattr(posix, "open", fake_open)
    monkeypatch.setattr(fcntl, "ioctl", fake_ioctl)
    return calls


@pytest.mark.parametrize(
    ("opens", "attach", "message", "hint"),
    [
        (errno.ENOENT, 0, "there is no /dev/net/tun", "--device /dev/net/tun"),
        (errno.ENODEV, 0, "there is no /dev/net/tun", "modprobe tun"),
        (errno.EACCES, 0, "cannot open /dev/net/tun: permission denied", "--cap-add NET_ADMIN"),
        (errno.EPERM, 0, "cannot open /dev/net/tun", "--device /dev/net/tun"),
        (0, errno.EPERM, "CAP_NET_ADMIN is missing", "--cap-add NET_ADMIN"),
        (0, errno.EBUSY, "the interface vpn0 exists already", "-tap"),
        (0, errno.EINVAL, "cannot make the TAP device vpn0: invalid argument", "-tap"),
    ],
)
def test_refusals(
    monkeypatch: pytest.MonkeyPatch, opens: int, attach: int, message: str, hint: str
) -> None:
    before = len(os.listdir("/proc/self/fd"))
    kernel(monkeypatch, opens=opens, attach=attach)
    with pytest.raises(HostError, match=message) as caught:
        tap.open_tap("vpn0", offload=True)
    assert hint in caught.value.hint
    assert caught.value.errno == (opens or attach)
    assert caught.value.exit_code == EXIT_HOST
    assert len(os.listdir("/proc/self/fd")) <= before  # garbage of others may go


@pytest.mark.parametrize(
    ("offloads", "tso", "uso", "shown"),
    [(0xFF, True, True, "TSO USO"), (0x0F, True, False, "TSO"), (0, False, False, "none")],
)
def test_offloads_as_far_as_the_kernel_has_them(
    monkeypatch: pytest.MonkeyPatch, offloads: int, tso: bool, uso: bool, shown: str
) -> None:
    kernel(monkeypatch, offloads=offloads)
    device = tap.open_tap("vpn0", offload=True)
    assert (device.tso, device.uso, device.offloads()) == (tso, uso, shown)
    assert device.vnet_header
    device.close()
    device.close()
    assert device.fd == -1


def test_without_offload(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = kernel(monkeypatch)
    device = tap.open_tap("", offload=False)
    assert device.name == "tap7"
    assert not device.vnet_header
    device.close()
    ((request, argument),) = calls
    assert request == tap.TUNSETIFF
    assert isinstance(argument, bytes)
    flags = struct.unpack("16sH22x", argument)[1]
    assert flags == tap.IFF_TAP | tap.IFF_NO_PI  # no TUN_EXCL: the kernel chooses the name


def test_named_device_is_never_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = kernel(monkeypatch)
    tap.open_tap("vpn0", offload=True).close()
    argument = calls[0][1]
    assert isinstance(argument, bytes)
    name, flags = struct.unpack("16sH22x", argument)
    assert name.rstrip(b"\0") == b"vpn0"
    assert flags & tap.IFF_TUN_EXCL
    assert flags & tap.IFF_VNET_HDR


def test_a_missing_node_is_made_for_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container without --device that may make nodes; nothing is left of it."""
    require(os.geteuid() == 0, "needs root")
    monkeypatch.setattr(tap, "TUN_DEVICE", "/dev/net/none")
    made = tap.open_tap("", offload=False)
    try:
        assert made.name in os.listdir("/sys/class/net")
    finally:
        made.close()
    assert not [name for name in os.listdir("/dev") if name.startswith("sevpn-tun")]


def test_a_node_that_must_not_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError(1, "no")

    monkeypatch.setattr(tap, "TUN_DEVICE", "/dev/net/none")
    monkeypatch.setattr(posix, "mknod", forbidden)
    with pytest.raises(HostError, match="there is no /dev/net/none") as caught:
        tap.open_tap("", offload=False)
    assert caught.value.hint.isascii()
