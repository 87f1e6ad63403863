"""Real TAP devices in a network namespace of their own."""

from __future__ import annotations

import ctypes
import errno
import os

import pytest

from sevpn.errors import HostError
from sevpn.io.tap import open_tap
from support.private_netns import ip, ip_json, run_inside

CAP_NET_ADMIN = 12
PR_CAPBSET_DROP = 24


@pytest.fixture(autouse=True)
def unchanged() -> None:
    """These tests have a namespace of their own: nothing of the lab is needed."""


def names() -> list[str]:
    return [link["ifname"] for link in ip_json("link", "show")]


def _made_and_gone() -> None:
    device = open_tap("svt0", offload=True)
    assert device.name == "svt0"
    assert device.tso
    assert "svt0" in names()
    device.close()
    assert "svt0" not in names()
    automatic = open_tap("", offload=False)
    assert automatic.name in names()
    assert automatic.offloads() == "none"
    automatic.close()


def test_made_and_gone() -> None:
    run_inside(_made_and_gone)


def _has_a_mac() -> None:
    device = open_tap("svt0", offload=False)
    device.set_mac(bytes.fromhex("5e0000000001"))
    (link,) = ip_json("link", "show", "svt0")
    assert link["address"] == "5e:00:00:00:00:01"
    with pytest.raises(HostError, match="cannot give svt0 the MAC 01:00:00:00:00:01"):
        device.set_mac(bytes.fromhex("010000000001"))  # a group's


def test_has_a_mac() -> None:
    run_inside(_has_a_mac)


def _busy_names() -> None:
    ip("tuntap", "add", "svt1", "mode", "tap")  # persistent, somebody else's
    ip("link", "add", "svt2", "type", "veth", "peer", "name", "svt3")
    first = open_tap("svt0", offload=True)
    for name in ("svt0", "svt1", "svt2"):
        with pytest.raises(HostError, match=f"{name} exists already|{name}") as caught:
            open_tap(name, offload=True)
        assert caught.value.errno in (errno.EBUSY, errno.EINVAL)
    first.close()
    open_tap("svt0", offload=True).close()


def test_busy_names() -> None:
    run_inside(_busy_names)


def _no_permission() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(PR_CAPBSET_DROP, CAP_NET_ADMIN, 0, 0, 0) == 0
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    with pytest.raises(HostError) as caught:
        open_tap("svt0", offload=True)
    assert caught.value.errno in (errno.EPERM, errno.EACCES)
    assert "--cap-add NET_ADMIN" in caught.value.hint


def test_no_permission() -> None:
    run_inside(_no_permission)
