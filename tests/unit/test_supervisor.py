"""One whole run over real sockets, with a socket pair for the TAP and a host that only notes."""

from __future__ import annotations

import itertools
import socket
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sevpn.config import Config
from sevpn.errors import (
    CertificateError,
    HostError,
    ProtocolError,
    ServerError,
    SevpnError,
    TransportError,
)
from sevpn.io import tap
from sevpn.io.loop import Cancelled, Loop
from sevpn.session import resume
from sevpn.session.state import (
    AUTHENTICATING,
    CONFIGURING,
    CONNECTING,
    READY,
    RECONNECTING,
    STOPPING,
)
from sevpn.supervisor import BACKOFF_FACTOR, Backoff, Supervisor
from support import fakeserver
from support.fake_host import FakeHost
from support.fakeserver import FakeServer, Visit
from support.running import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DELAY_S = 0.05

# --- the delay between attempts ---

delays = st.floats(0.001, 1e5)
dice = st.lists(st.integers(0, 255), min_size=1, max_size=60)


@given(delays, delays, dice)
def test_backoff_grows_to_its_cap(first_s: float, cap_s: float, rolls: list[int]) -> None:
    backoff = Backoff(first_s, cap_s)
    limit_s = max(first_s, cap_s)
    found = [backoff.next_s(roll) for roll in rolls]
    assert found[0] == first_s
    for number, delay_s in enumerate(found):
        expected_s = min(limit_s, first_s * BACKOFF_FACTOR**number)
        assert 0.9 * expected_s <= delay_s * 1.000001
        assert delay_s <= 1.1 * expected_s * 1.000001
        assert delay_s >= 0.9 * first_s
    backoff.reset()
    assert backoff.next_s(rolls[0]) == first_s


@given(delays, delays, dice, delays)
def test_backoff_keeps_the_least(
    first_s: float, cap_s: float, rolls: list[int], least_s: float
) -> None:
    backoff = Backoff(first_s, cap_s)
    assert all(backoff.next_s(roll, least_s) >= least_s for roll in rolls)


# --- runs ---


class Rig:
    """A supervisor without root: `run` until it ends by itself, or `until` says enough."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, state_dir: Path) -> None:
        self.host = FakeHost(monkeypatch)
        self.state_dir = state_dir
        self.states: list[str] = []
        self.device: tap.Tap | None = None
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self.theirs = theirs

        def open_tap(name: str, offload: bool) -> tap.Tap:
            assert not offload
            self.device = tap.Tap(ours.detach(), name, False, False, False)
            return self.device

        monkeypatch.setattr(tap, "open_tap", open_tap)
        monkeypatch.setattr(resume, "INTERVAL_S", DELAY_S)

    def run(
        self,
        server: FakeServer | None,
        *,
        until: Callable[[], bool] | None = None,
        limit_s: float = 10.0,
        **flags: str | bool | float,
    ) -> BaseException | None:
        """Return what the run ended with; a run that `until` ended gives Cancelled."""
        values: dict[str, str | bool | float] = {
            "insecure": True,
            "no_dhcp": True,
            "no_offload": True,
            "no_control": True,
            "reconnect_delay": DELAY_S,
            "reconnect_max_delay": 2 * DELAY_S,
            **flags,
        }
        config = Config(
            host="127.0.0.1",
            port=server.port if server is not None else 1,
            user="alice",
            tap="lo",
            state_dir=str(self.state_dir),
            **values,
        )
        loop = Loop()
        supervisor = Supervisor(loop, config, bytes(6))
        supervisor.state.listeners.append(self.states.append)
        task = loop.spawn("supervisor", supervisor.run())

        async def watch() -> None:
            watch = Stopwatch()
            while not task.done and watch.seconds < limit_s and not (until and until()):
                await loop.sleep(0.01)
            loop.cancel(task)

        loop.spawn("watch", watch())
        try:
            loop.run(task)
        except SevpnError as error:
            return error
        finally:
            loop.close()
            assert self.device is None or self.device.fd == -1
            assert self.host.now == []
        return task.error

    def reached(self, state: str, times: int = 1) -> Callable[[], bool]:
        return lambda: self.states.count(state) >= times


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Rig]:
    made = Rig(monkeypatch, tmp_path)
    yield made
    made.theirs.close()


def refuses(code: int) -> Callable[[Visit], None]:
    return lambda visit: visit.refuse(code)


def cut_soon(visit: Visit) -> None:
    visit.welcome()
    visit.tunnel(0.1)
    visit.cut()


def test_up_and_cancelled(rig: Rig) -> None:
    with FakeServer(fakeserver.usual) as server:
        assert isinstance(rig.run(server, until=rig.reached(READY)), Cancelled)
    assert rig.states == [AUTHENTICATING, CONFIGURING, READY, STOPPING]
    assert rig.host.changes() == ["apply", "undo_everything"]
    assert server.visits[0].has_ended


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (refuses(9), ServerError),
        (refuses(8), ServerError),
        (fakeserver.web_server, ProtocolError),
        (fakeserver.eof_in_tls, TransportError),
    ],
)
def test_once(rig: Rig, script: Callable[[Visit], None], error: type[Exception]) -> None:
    with FakeServer(script) as server:
        assert isinstance(rig.run(server, once=True), error)
    assert len(server.visits) == 1


def test_once_and_an_ended_session(rig: Rig) -> None:
    with FakeServer(cut_soon, refuses(13)) as server:
        error = rig.run(server, once=True)
    assert isinstance(error, TransportError)
    assert [visit.packs[0].str("method") for visit in server.visits] == [
        "login",
        "additional_connect",
    ]


@pytest.mark.parametrize("code", [7, 8, 9, 12, 87])
def test_final_codes_end_the_first_login(rig: Rig, code: int) -> None:
    """A wrong password must never be hammered."""
    with FakeServer(refuses(code)) as server:
        error = rig.run(server)
    assert isinstance(error, ServerError)
    assert len(server.visits) == 1


@pytest.mark.parametrize("code", [10, 16, 4_000_000_000])
def test_slow_codes_wait(rig: Rig, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    with FakeServer(refuses(code)) as server:
        rig.run(server, until=rig.reached(RECONNECTING), limit_s=2)
    assert len(server.visits) == 1
    assert "reconnecting in 60 s" in capsys.readouterr().err


@pytest.mark.parametrize("code", [9, 12])
def test_final_codes_after_a_session_are_retried_slowly(
    rig: Rig, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeServer(cut_soon, refuses(13), refuses(code)) as server:
        rig.run(server, until=rig.reached(RECONNECTING, 2), limit_s=5)
    assert len(server.visits) == 3
    assert "reconnecting in 60 s" in capsys.readouterr().err


@pytest.mark.parametrize(
    "script", [fakeserver.eof_in_tls, fakeserver.web_server, fakeserver.not_tls, refuses(11)]
)
def test_other_failures_are_retried(rig: Rig, script: Callable[[Visit], None]) -> None:
    with FakeServer(script, script, script, fakeserver.usual) as server:
        rig.run(server, until=rig.reached(READY))
    assert rig.states[-2:] == [READY, STOPPING]
    assert len(server.visits) == 4
    times = [visit.at_s for visit in server.visits]
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert min(gaps) >= DELAY_S * 0.9


def test_certificate_is_final(rig: Rig) -> None:
    with FakeServer(fakeserver.usual) as server:
        error = rig.run(server, insecure=False)
    assert isinstance(error, CertificateError)
    assert len(server.visits) == 1


def test_refused_host_change_is_final(rig: Rig) -> None:
    rig.host.fail.add("link")
    with FakeServer(fakeserver.usual) as server:
        error = rig.run(server)
    assert isinstance(error, HostError)
    assert str(error) == "link refused"


def test_lost_and_resumed(rig: Rig) -> None:
    def resumed(visit: Visit) -> None:
        visit.resume()
        visit.tunnel()

    with FakeServer(cut_soon, resumed) as server:
        rig.run(server, until=rig.reached(READY, 2))
    assert rig.states == [
        AUTHENTICATING,
        CONFIGURING,
        READY,
        RECONNECTING,
        READY,
        STOPPING,
    ]
    assert rig.host.changes() == ["apply", "undo_everything"]  # nothing was touched for it


def test_gone_and_logged_in_again(rig: Rig) -> None:
    with FakeServer(cut_soon, refuses(13), fakeserver.usual) as server:
        rig.run(server, until=rig.reached(READY, 2))
    methods = [visit.packs[0].str("method") for visit in server.visits]
    assert methods == ["login", "additional_connect", "login"]
    assert rig.states.count(CONNECTING) == 1  # the first one was the state from the start


def test_resumed_and_cut_at_once(rig: Rig) -> None:
    with FakeServer(cut_soon, fakeserver.resumed_and_cut, fakeserver.usual) as server:
        rig.run(server, until=rig.reached(READY, 3))
    methods = [visit.packs[0].str("method") for visit in server.visits]
    assert methods == ["login", "additional_connect", "login"]


@pytest.mark.parametrize("stage", ["connect", "hello", "change", "pause"])
def test_cancel_at_any_stage(rig: Rig, stage: str) -> None:
    rig.host.delay_s = 0.1 if stage == "change" else 0.0
    scripts = {
        "connect": lambda visit: visit.wait_end(),
        "hello": fakeserver.just_silent,
        "change": fakeserver.usual,
        "pause": fakeserver.eof_in_tls,
    }
    servers: list[FakeServer] = []
    waiting = {
        "connect": lambda: bool(servers[0].visits),
        "hello": rig.reached(AUTHENTICATING),
        "change": lambda: "apply" in rig.host.names(),
        "pause": rig.reached(RECONNECTING),
    }
    delay_s = 60.0 if stage == "pause" else DELAY_S
    with FakeServer(scripts[stage]) as server:
        servers.append(server)
        watch = Stopwatch()
        error = rig.run(
            server, until=waiting[stage], reconnect_delay=delay_s, reconnect_max_delay=delay_s
        )
        assert watch.seconds < 20
    assert isinstance(error, Cancelled)
    assert rig.states[-1] == STOPPING
    assert rig.host.running == 0


def test_signal_while_an_error_is_being_undone(rig: Rig) -> None:
    """The error is what the run ends with, and the undoing is not cut."""

    def broken(visit: Visit) -> None:
        visit.welcome()
        visit.send(fakeserver.TUNNEL_BLOCK_3201)
        visit.wait_end()

    rig.host.delay_s = 0.1
    with FakeServer(broken) as server:
        error = rig.run(server, once=True, until=lambda: "undo_everything" in rig.host.names())
    assert isinstance(error, ProtocolError)
    assert rig.host.running == 0


def test_two_runs_of_one_name(rig: Rig) -> None:
    """The second one ends before it has changed anything."""
    ended: list[BaseException | None] = []
    servers: list[FakeServer] = []

    def second() -> bool:
        server: FakeServer = servers[0]
        if not rig.reached(READY)():
            return False
        with pytest.MonkeyPatch.context() as patch:
            other = Rig(patch, rig.state_dir)
            ended.append(other.run(server))
            other.theirs.close()
            assert other.host.calls == []
        return True

    with FakeServer(fakeserver.usual) as server:
        servers.append(server)
        rig.run(server, until=second)
    assert isinstance(ended[0], HostError)
    assert len(server.visits) == 1
