"""A MAC and an id that stay the same across runs, and differ where they must."""

from __future__ import annotations

import posix
import time
from typing import TYPE_CHECKING

import pytest

from sevpn.session import identity

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

ME = ("vpn.test", "DEFAULT", "alice")


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "machine_name", lambda _dir: "0123456789abcdef")
    monkeypatch.setattr(identity, "used_macs", lambda _but_of="": set())


def take(monkeypatch: pytest.MonkeyPatch, macs: Iterable[bytes]) -> None:
    monkeypatch.setattr(identity, "used_macs", lambda _but_of="": set(macs))


def test_stable() -> None:
    mac = identity.stable_mac(*ME)
    assert mac == identity.stable_mac(*ME)
    assert len(mac) == 6
    assert mac[0] == 0x5E
    assert not mac[0] & 1  # unicast
    assert mac[0] & 2  # locally administered


def test_known_value() -> None:
    """A change of this would give every user a new address: it is not to happen by chance."""
    assert identity.stable_mac(*ME) == bytes.fromhex("5e902c65724c")


@pytest.mark.parametrize(
    "other",
    [
        ("vpn2.test", "DEFAULT", "alice"),
        ("vpn.test", "HUB", "alice"),
        ("vpn.test", "DEFAULT", "bob"),
    ],
)
def test_differs(other: tuple[str, str, str]) -> None:
    assert identity.stable_mac(*other) != identity.stable_mac(*ME)
    assert identity.unique_id(*other) != identity.unique_id(*ME)


def test_parts_do_not_run_together() -> None:
    assert identity.unique_id("a", "bc", "d") != identity.unique_id("ab", "c", "d")


def test_names_of_hub_and_user_have_no_case() -> None:
    assert identity.stable_mac("vpn.test", "default", "ALICE") == identity.stable_mac(*ME)


def test_differs_by_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    here = identity.stable_mac(*ME)
    monkeypatch.setattr(identity, "machine_name", lambda _dir: "other")
    assert identity.stable_mac(*ME) != here


def test_second_session_gets_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    first = identity.stable_mac(*ME)
    take(monkeypatch, [first])
    second = identity.stable_mac(*ME)
    take(monkeypatch, [first, second])
    third = identity.stable_mac(*ME)
    assert len({first, second, third}) == 3
    take(monkeypatch, [second])
    assert identity.stable_mac(*ME) == first


def test_one_run_after_the_other_chooses() -> None:
    """A run that finds another choosing waits for it; one that holds on is not waited for."""
    with identity.MacTurn():
        before_s = time.monotonic()
        with identity.MacTurn():
            waited_s = time.monotonic() - before_s
    assert waited_s > 0.1
    with identity.MacTurn() as free:
        assert free._sock is not None
        assert free._sock.getsockname() == b"\0sevpn-mac"


def test_unique_id() -> None:
    assert len(identity.unique_id(*ME)) == 16
    assert identity.unique_id(*ME) == identity.unique_id(*ME)


def test_odd_bytes_in_names() -> None:
    assert len(identity.unique_id("\udcff", "", "ü\0")) == 16


@pytest.fixture
def no_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without an id, as OpenWrt and most containers are."""
    monkeypatch.undo()
    monkeypatch.setattr(identity, "_MACHINE_FILES", ())
    monkeypatch.setattr(identity, "used_macs", lambda _but_of="": set())


@pytest.mark.usefixtures("no_id")
def test_two_machines_of_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their network cards tell them apart."""
    monkeypatch.setattr(identity, "hardware_address", lambda: "00:11:22:33:44:55")
    one = identity.stable_mac(*ME)
    assert one == identity.stable_mac(*ME)
    monkeypatch.setattr(identity, "hardware_address", lambda: "00:11:22:33:44:66")
    assert identity.stable_mac(*ME) != one
    monkeypatch.setattr(identity, "hardware_address", lambda: "")
    assert identity.machine_name("/run/sevpn") == posix.uname().nodename


@pytest.mark.usefixtures("no_id")
def test_kept_where_the_state_directory_persists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container gets another name and another card at each start."""
    monkeypatch.setattr(identity, "_VOLATILE", ("/run/",))
    state = str(tmp_path)
    monkeypatch.setattr(identity, "hardware_address", lambda: "one")
    first = identity.stable_mac(*ME, state)
    monkeypatch.setattr(identity, "hardware_address", lambda: "two")
    assert identity.stable_mac(*ME, state) == first
    assert (tmp_path / "identity").stat().st_mode & 0o777 == 0o600
    # A format of a later version is left alone, and so is one that was cut short.
    for text in ("sevpn identity 2: x\n", "sevpn identity 1: hal"):
        (tmp_path / "identity").write_text(text)
        assert identity.stable_mac(*ME, state) != first
        assert (tmp_path / "identity").read_text() == text
    # Nothing can be written: nothing is kept, and nothing is said.
    assert identity.machine_name("/nonexistent/dir") == identity.machine_name("/run/sevpn")


@pytest.mark.usefixtures("no_id")
def test_a_full_disk_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No error, and no torn file that a later start would leave as it is."""
    monkeypatch.setattr(identity, "_VOLATILE", ("/run/",))

    def full(_fd: int, _data: bytes) -> int:
        raise OSError(28, "full")

    with monkeypatch.context() as patch:
        patch.setattr(posix, "write", full)
        identity.stable_mac(*ME, str(tmp_path))
    assert not (tmp_path / "identity").exists()
    identity.stable_mac(*ME, str(tmp_path))
    assert (tmp_path / "identity").exists()


def test_hardware_address_is_of_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    places = "/sys/class/net/"
    texts = {
        f"{places}br0/addr_assign_type": "0\n",  # no device
        f"{places}br0/address": "02:00:00:00:00:01\n",
        f"{places}eth0/addr_assign_type": "0\n",
        f"{places}eth0/address": "02:00:00:00:00:02\n",
        f"{places}random0/addr_assign_type": "1\n",
    }

    def stat(path: str) -> None:
        if path != f"{places}eth0/device":
            raise FileNotFoundError

    monkeypatch.setattr(posix, "listdir", lambda _path: ["random0", "eth0", "br0"])
    monkeypatch.setattr(posix, "stat", stat)
    monkeypatch.setattr(identity, "read_text", lambda path, *_: texts.get(path, ""))
    assert identity.hardware_address() == "02:00:00:00:00:02"


def test_machine_with_an_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    files = {"/etc/machine-id": "\n", "/var/lib/dbus/machine-id": "abc\n"}
    monkeypatch.setattr(identity, "read_text", lambda path: files.get(path, ""))
    assert identity.machine_name("/run/sevpn") == "abc"


def test_used_macs_reads_sys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    texts = {"/sys/class/net/a/address": "02:00:00:00:00:01\n", "/sys/class/net/b/address": "zz"}
    monkeypatch.setattr(posix, "listdir", lambda _path: ["a", "b", "c"])
    monkeypatch.setattr(identity, "read_text", lambda path: texts.get(path, ""))
    assert bytes.fromhex("020000000001") in identity.used_macs()

    def missing(_path: str) -> list[str]:
        raise FileNotFoundError

    monkeypatch.setattr(posix, "listdir", missing)
    assert identity.used_macs() == set()
