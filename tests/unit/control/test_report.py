"""The report: everything of a run, nothing secret, and JSON whatever the moment."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from sevpn.config import Config
from sevpn.control.control import Control, socket_path
from sevpn.control.report import report
from sevpn.control.view import View
from sevpn.dhcp.events import Counters
from sevpn.dhcp.lease import Lease
from sevpn.jsontext import to_json
from sevpn.session.state import READY, RunState

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sevpn.io.loop import Loop

NOW_S = 1000.0
WALL_S = 1_795_376_000.0  # 2026-11-22T19:33:20Z
SECRET = "do-not-tell-4711"
BRIDGE = {"frames_up": 3, "bytes_up": 300, "frames_down": 4, "bytes_down": 400}
STEPS = [
    ("address", "vpn0", "10.77.0.50", 24, None),
    ("default_route", "10.77.0.1", "vpn0", 50),
    ("optional", ("route", "10.9.0.0", 16, None, "vpn0", 0, 254)),
    ("rule", "10.77.0.50", 200),
    ("dns", ["10.77.0.1"], ["lab.test"], "auto", "vpn0", True),
    ("sysctl", "net/ipv6/conf/vpn0/accept_ra", "0"),
]


def session(name: str = "SID-U-1") -> Any:
    stream = SimpleNamespace(cipher=lambda: "TLSv1.3 X", counters=lambda: {"recv_calls": 9})
    connection = SimpleNamespace(
        address=SimpleNamespace(text="192.0.2.9"),
        port=992,
        local=("192.0.2.2", 4000),
        stream=stream,
        congestion=lambda: "bbr",
    )
    welcome = SimpleNamespace(session_name=name, timeout_ms=20000, session_key=SECRET.encode())
    return SimpleNamespace(connection=connection, welcome=welcome, product="SoftEther 4.42")


def lease(seconds: int = 600) -> Lease:
    made = Lease("10.77.0.50", "10.77.0.1", seconds)
    made.prefix_len = 24
    made.routers = ["10.77.0.1"]
    made.dns = ["10.77.0.1"]
    made.domain = "lab\x1b.test"
    made.obtained_at = NOW_S - 100
    return made


def view(**changes: Any) -> View:
    config = Config(host="vpn.test", user="u", password=SECRET)
    state = RunState(NOW_S - 50)
    keeper: Any = SimpleNamespace(lease=lease(), ignored_messages=Counters())
    bridge: Any = SimpleNamespace(statistics=lambda: dict(BRIDGE))
    network: Any = SimpleNamespace(steps=STEPS, shortfalls=[], has_halves=False)
    roamer: Any = SimpleNamespace(hijacks=[("0.0.0.0", 1, "eth0")])
    made = View(
        config, state, "sv-none", bytes.fromhex("5e0102030405"), bridge, network, keeper, roamer,
        NOW_S - 60,
    )  # fmt: skip
    made.session = session()
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def test_everything() -> None:
    run = view()
    run.state.fail("the server\x07 went away", NOW_S - 10)
    run.state.enter(READY, NOW_S - 5.5)
    found = report(run, NOW_S, WALL_S)
    assert found.pop("version")
    assert found.pop("format") == 1
    assert found.pop("pid") > 1
    assert found["tap"].pop("namespace") > 0
    counters = found.pop("counters")
    assert found == {
        "started": "2026-11-22T19:32:20Z",
        "state": "ready",
        "since": "2026-11-22T19:33:14Z",
        "since_s": 5.5,
        "server": {
            "host": "vpn.test",
            "address": "192.0.2.9",
            "port": 992,
            "product": "SoftEther 4.42",
        },
        "session": {
            "name": "SID-U-1",
            "hub": "DEFAULT",
            "user": "u",
            "cipher": "TLSv1.3 X",
            "congestion": "bbr",
            "local_address": "192.0.2.2",
            "timeout_s": 20.0,
        },
        "tap": {"name": "sv-none", "mac": "5e:01:02:03:04:05"},
        "lease": {
            "address": "10.77.0.50",
            "prefix_len": 24,
            "gateway": "10.77.0.1",
            "server": "10.77.0.1",
            "dns": ["10.77.0.1"],
            "domain": "lab .test",
            "mtu": None,
            "lease_s": 600,
            "renew_in_s": 200,
            "rebind_in_s": 425,
            "expires_in_s": 500,
        },
        "routes": [
            {
                "network": "0.0.0.0/0",
                "gateway": "10.77.0.1",
                "interface": "vpn0",
                "metric": 50,
                "table": 254,
            },
            {
                "network": "10.9.0.0/16",
                "gateway": None,
                "interface": "vpn0",
                "metric": 0,
                "table": 254,
            },
        ],
        "rules": [{"from": "10.77.0.50", "table": 200}],
        "dns": {"servers": ["10.77.0.1"], "search": ["lab.test"]},
        "shortfalls": [],
        "hijacks": [{"network": "0.0.0.0/1", "interface": "eth0"}],
        "last_error": {
            "message": "the server  went away",
            "at": "2026-11-22T19:33:10Z",
            "ago_s": 10.0,
        },
    }
    assert counters.items() >= BRIDGE.items()
    assert counters["tls_recv_calls"] == 9
    assert counters["dhcp_strangers"] == counters["reconnects"] == counters["resumes"] == 0
    assert counters["tap_drops"] is None  # there is no such interface


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"session": None},
        {"keeper": None},
        {"session": session("\x00\x1b[2J\ud800\U0001f600")},
        {"keeper": SimpleNamespace(lease=None, ignored_messages=Counters())},
        {"keeper": SimpleNamespace(lease=lease(0xFFFFFFFF), ignored_messages=Counters())},
    ],
)
def test_it_is_json_without_secrets(changes: dict[str, Any]) -> None:
    found = report(view(**changes), NOW_S, WALL_S)
    text = to_json(found)
    assert json.loads(text) == found
    assert SECRET not in text
    assert text.isascii()
    for section in ("server", "session", "tap", "lease", "routes", "rules", "dns", "counters"):
        assert section in found


def test_times_that_never_come_and_times_that_passed() -> None:
    keeper = SimpleNamespace(lease=lease(0xFFFFFFFF), ignored_messages=Counters())
    found = report(view(keeper=keeper), NOW_S, WALL_S)["lease"]
    assert [found[k] for k in ("lease_s", "renew_in_s", "rebind_in_s", "expires_in_s")] == [
        None
    ] * 4
    found = report(view(), NOW_S + 5000, WALL_S)["lease"]
    assert [found[k] for k in ("renew_in_s", "rebind_in_s", "expires_in_s")] == [0] * 3


def test_the_tap_counts_its_drops() -> None:
    found = report(view(tap_name="lo"), NOW_S, WALL_S)
    assert isinstance(found["counters"]["tap_drops"], int)


def test_control(
    loop: Loop, tmp_path: Path, turn: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parts together: the path, a question, the end; and no socket when none is wanted."""
    path = socket_path(str(tmp_path / "vpn0@7.journal"))
    assert path.endswith("/vpn0@7.sock")
    run = view()
    control = Control(loop, run, path)
    assert (tmp_path / "vpn0@7.sock").is_socket()
    assert json.loads(control._answer())["state"] == "connecting"
    control.close()
    assert list(tmp_path.iterdir()) == []
    Control(loop, run, "").close()
    assert run.state.listeners == []
