"""Tunnel mode with a fake bridge: keepalives, the dead peer, reasons, the lease's frames."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, cast

import pytest

from sevpn._bridge import BROKEN, CAPTURED, CLOSED, FRAMING, TAP_LOST
from sevpn.errors import BlockError, HostError, LeaseError, ServerError
from sevpn.io.loop import Cancelled, Loop
from sevpn.session import tunnel as tunnel_module
from sevpn.session.state import CONFIGURING, DEGRADED, READY, RunState
from sevpn.session.tunnel import Lost, Tunnel

if TYPE_CHECKING:
    from collections.abc import Callable

    from sevpn._bridge import Bridge
    from sevpn.session.leasing import LeaseKeeper
    from sevpn.session.login import Established
    from sevpn.session.network import Network
    from sevpn.session.roaming import Roamer
from support.fake_tunnel import (
    LOOK,
    Clock,
    FakeBridge,
    FakeKeeper,
    FakeNetwork,
    FakeRoamer,
    FakeSession,
)


class Rig:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = Clock(monkeypatch)
        self.loop = Loop()
        self.bridge = FakeBridge(self.clock)
        self.network = FakeNetwork()
        self.roamer = FakeRoamer()
        self.state = RunState(self.clock.now)

    def serve(
        self,
        *,
        keeper: FakeKeeper | None = None,
        timeout_ms: int = 20_000,
        policy: dict[str, int] | None = None,
        session: FakeSession | None = None,
    ) -> Tunnel:
        """Serve to the end; what it raises comes out."""
        self.tunnel = Tunnel(
            self.loop,
            cast("Bridge", self.bridge),
            cast("Network", self.network),
            cast("LeaseKeeper | None", keeper),
            cast("Roamer", self.roamer),
            self.state,
        )
        served: Any = session or FakeSession(timeout_ms, policy or {})
        self.tunnel.start(served)
        self.task = self.loop.spawn("serve", self.tunnel.serve(cast("Established", served)))
        try:
            self.loop.run(self.task)
        finally:
            assert not self.bridge.is_attached
            self.loop.close()
        return self.tunnel


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    return Rig(monkeypatch)


# --- keepalives and the dead peer ---


@pytest.mark.parametrize("timeout_ms", [5_000, 20_000, 60_000])
def test_keepalive_cadence(rig: Rig, timeout_ms: int) -> None:
    """Between T/5 and T/2, as the reference does, whatever else happens."""
    limit_s = timeout_ms / 1000
    rig.bridge.hear_every(limit_s / 3, 20 * limit_s)
    with pytest.raises(Lost):
        rig.serve(timeout_ms=timeout_ms)
    times = [1000.0, *(at for at, _ in rig.bridge.keepalives)]
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert len(gaps) > 40
    assert min(gaps) >= limit_s / 5 - 0.01
    assert max(gaps) < limit_s / 2
    assert all(0 <= size <= 511 for _, size in rig.bridge.keepalives)
    assert len({size for _, size in rig.bridge.keepalives}) > 5


def test_busy_upload_needs_no_keepalive(rig: Rig) -> None:
    rig.bridge.hear_every(1.0, 100.0)
    rig.bridge.send_every(0.5, 100.0)
    with pytest.raises(Lost):
        rig.serve(timeout_ms=5_000)
    assert [at for at, _ in rig.bridge.keepalives if at < 1099.0] == []


def test_keepalive_without_room_is_tried_again(rig: Rig) -> None:
    rig.bridge.has_room = False
    rig.bridge.hear_every(1.0, 20.0)
    with pytest.raises(Lost):
        rig.serve(timeout_ms=5_000)
    assert 5 < len(rig.bridge.keepalives) < 40


@pytest.mark.parametrize("timeout_ms", [5_000, 20_000])
def test_dead_peer(rig: Rig, timeout_ms: int) -> None:
    limit_s = timeout_ms / 1000
    rig.bridge.hear_every(limit_s * 0.8, limit_s * 4)
    with pytest.raises(Lost, match=f"no sign of life from the server for {limit_s:g} s"):
        rig.serve(timeout_ms=timeout_ms)
    silent_s = rig.clock.now - rig.bridge.last_received_s
    assert limit_s <= silent_s < limit_s + 0.2
    assert rig.clock.now > 1000 + limit_s * 4


# --- reasons of the bridge ---


@pytest.mark.parametrize(
    ("reason", "error", "words"),
    [
        (CLOSED, Lost, "the server closed the connection"),
        (BROKEN, Lost, "connection lost"),
        (FRAMING, BlockError, "framing"),
        (TAP_LOST, HostError, "TAP device was removed"),
        (TAP_LOST | CLOSED, HostError, "TAP device was removed"),
    ],
)
def test_reasons(rig: Rig, reason: int, error: type[Exception], words: str) -> None:
    rig.bridge.at(1.0, lambda: reason)
    with pytest.raises(error, match=words):
        rig.serve()


def test_an_http_answer_is_a_proxy(rig: Rig) -> None:
    """And each try leaves a session behind on the server, so the next one is put off."""
    rig.bridge.unparsed = b"HTTP/1.1 400 Bad"
    rig.bridge.at(1.0, lambda: FRAMING)
    with pytest.raises(BlockError, match="HTTP proxy") as caught:
        rig.serve()
    assert caught.value.patience_s >= 60


def test_frames_for_the_lease(rig: Rig) -> None:
    keeper = FakeKeeper()

    def captured() -> int:
        rig.bridge.captured = [b"offer", b"arp"]
        return CAPTURED

    rig.bridge.at(1.0, captured)
    rig.bridge.at(2.0, lambda: CLOSED)
    with pytest.raises(Lost):
        rig.serve(keeper=keeper)
    assert keeper.received == [b"offer", b"arp"]
    assert rig.bridge.injected == [b"discover"]
    assert rig.bridge.mask != 0


def test_last_frames_count_even_at_the_end(rig: Rig) -> None:
    keeper = FakeKeeper()

    def both() -> int:
        rig.bridge.captured = [b"nak"]
        return CAPTURED | CLOSED

    rig.bridge.at(1.0, both)
    with pytest.raises(Lost):
        rig.serve(keeper=keeper)
    assert keeper.received == [b"nak"]


def test_states_are_told(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    keeper = FakeKeeper()
    heard: list[str] = []
    rig.state.listeners.append(heard.append)

    def become(state: str) -> Callable[[], int]:
        def change() -> int:
            keeper.current = state
            return LOOK

        return change

    for second, state in enumerate((READY, DEGRADED, READY), 1):
        rig.bridge.at(float(second), become(state))
    rig.bridge.at(5.0, lambda: CLOSED)
    with pytest.raises(Lost):
        rig.serve(keeper=keeper)
    assert heard == [CONFIGURING, READY, DEGRADED, READY]
    assert rig.tunnel.was_ready
    text = capsys.readouterr().err
    assert text.count("ready: traffic flows") == 2
    assert text.count("does not answer") == 1


def test_without_dhcp_it_is_ready_at_once(rig: Rig) -> None:
    rig.bridge.at(1.0, lambda: CLOSED)
    with pytest.raises(Lost):
        rig.serve()
    assert rig.tunnel.was_ready
    assert rig.state.name == READY
    assert rig.bridge.mask == 0


# --- ends that are not the server's ---


def test_cancel_releases_the_lease(rig: Rig) -> None:
    keeper = FakeKeeper()

    def cancel() -> int:
        rig.loop.cancel(rig.task)
        return LOOK

    rig.bridge.at(1.0, cancel)
    rig.serve(keeper=keeper)
    assert isinstance(rig.task.error, Cancelled)
    assert rig.bridge.injected == [b"discover", b"release"]


def test_failed_configuration_ends_the_session(rig: Rig) -> None:
    def fail() -> int:
        rig.network.failure = HostError("refused")
        return LOOK

    rig.bridge.at(1.0, fail)
    with pytest.raises(HostError, match="refused"):
        rig.serve()


def test_lease_error_comes_out(rig: Rig) -> None:
    keeper = FakeKeeper()
    keeper.error = LeaseError("nobody answers")
    with pytest.raises(LeaseError):
        rig.serve(keeper=keeper)


def test_auto_disconnect(rig: Rig) -> None:
    rig.bridge.hear_every(1.0, 100.0)
    with pytest.raises(ServerError) as caught:
        rig.serve(policy={"AutoDisconnect": 30})
    assert caught.value.code == 126
    assert 30.0 <= rig.clock.now - 1000.0 < 30.2


def test_busy_host_is_looked_after(rig: Rig) -> None:
    """The end of a change does not wake the bridge, so it is asked for."""
    rig.network.is_busy = True
    rig.bridge.at(1.0, lambda: CLOSED)
    with pytest.raises(Lost):
        rig.serve()
    assert rig.bridge.turns >= 1.0 / tunnel_module.BUSY_POLL_S - 2


# --- the local network ---


def roam(rig: Rig, *addresses: str) -> Callable[[], int]:
    def change() -> int:
        rig.roamer.looks += 1
        rig.roamer.addresses = list(addresses)
        return LOOK

    return change


def test_other_local_address_ends_the_connection_at_once(rig: Rig) -> None:
    rig.bridge.at(1.0, roam(rig, "198.51.100.9"))
    with pytest.raises(Lost, match="the local network changed"):
        rig.serve()
    assert rig.clock.now == pytest.approx(1001.0)


def test_same_local_address_is_doubted(rig: Rig) -> None:
    keeper = FakeKeeper()
    rig.bridge.at(1.0, roam(rig, "192.0.2.1", "192.0.2.2"))
    with pytest.raises(Lost, match="is dead since the local network changed"):
        rig.serve(keeper=keeper)
    assert keeper.doubts == 1
    assert rig.clock.now - 1001.0 == pytest.approx(tunnel_module.DOUBT_LIMIT_S, abs=0.1)


def test_word_of_the_server_ends_the_doubt(rig: Rig) -> None:
    keeper = FakeKeeper()
    rig.bridge.at(1.0, roam(rig, "192.0.2.2"))
    rig.bridge.hear_every(1.7, 17.0)
    with pytest.raises(Lost, match="no sign of life"):
        rig.serve(keeper=keeper, timeout_ms=5_000)
    assert rig.clock.now > 1017.0


def test_an_answer_in_the_same_millisecond_ends_the_doubt(rig: Rig) -> None:
    """A gateway next door answers within one, and an idle tunnel says nothing else for long."""
    keeper = FakeKeeper()
    change = roam(rig, "192.0.2.2")

    def change_and_answer() -> int:
        reason = change()
        # The question goes out, the answer comes at once: the bridge's clock is no finer.
        rig.bridge.at(0.0001, answer)
        return reason

    def answer() -> int:
        rig.bridge.heard += 1
        rig.bridge.last_received_s = int(rig.clock.now * 1000) / 1000
        return LOOK

    rig.bridge.at(1.0005, change_and_answer)
    with pytest.raises(Lost, match="no sign of life"):
        rig.serve(keeper=keeper, timeout_ms=5_000)
    assert keeper.doubts == 1


def test_no_network_keeps_the_session(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    """Without any way there is nothing to reconnect over: the timeout decides."""
    keeper = FakeKeeper()
    keeper.current = READY
    rig.bridge.at(1.0, roam(rig))
    with pytest.raises(Lost, match="no sign of life"):
        rig.serve(keeper=keeper, timeout_ms=5_000)
    assert rig.state.name == DEGRADED
    assert "no network" in capsys.readouterr().err


def test_silent_gateway_and_unacknowledged_data(rig: Rig) -> None:
    keeper = FakeKeeper()
    session = FakeSession(20_000, {})

    def silence() -> int:
        keeper.is_silent = True
        session.connection.silence_s = tunnel_module.SILENT_LIMIT_S + 0.1
        return LOOK

    rig.bridge.at(1.0, silence)
    with pytest.raises(Lost, match="the way to the server is dead"):
        rig.serve(keeper=keeper, session=session)
    assert rig.clock.now < 1002.0
