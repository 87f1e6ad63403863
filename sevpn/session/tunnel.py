"""Tunnel mode: frames, keepalives, the lease, and noticing that it is over.

Layer 3. The bridge moves frames in C; this task wakes for what is rare: a keepalive, a
DHCP or ARP message, a silent server. Times are monotonic seconds.
"""

import gc
import posix

from sevpn import log
from sevpn._bridge import (
    BROKEN,
    CAPTURE_ARP,
    CAPTURE_DHCP,
    CAPTURED,
    CLOSED,
    FRAMING,
    TAP_LOST,
    Bridge,
)
from sevpn.errors import BlockError, HostError
from sevpn.io.loop import Cancelled, Loop, now_s
from sevpn.proto.keepalive import dead_at_s, keepalive_size_bytes, next_keepalive_s
from sevpn.session.roaming import Roamer
from sevpn.session.state import DEGRADED, READY, RunState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sevpn.session.leasing import LeaseKeeper
    from sevpn.session.login import Established
    from sevpn.session.network import Network

# While the host is being configured, look after it this often.
BUSY_POLL_S = 0.05
# After a change of the local network that seems to leave the connection alone, this long
# may pass without a word from the server.
DOUBT_LIMIT_S = 2.0
# When the gateway is silent too, so long without a TCP acknowledgement is the end.
SILENT_LIMIT_S = 1.5
CODE_AUTO_DISCONNECT = 126


# Each login leaves a session behind that the server keeps until it times out.
PROXY_PATIENCE_S = 60.0


class Lost(Exception):
    """The connection is over; `str` says why. Not an error by itself: resume or log in."""


class Moved(Lost):
    """The connection's path is gone with the network that this host was in."""


class Tunnel:
    """Serves established sessions, one after another, over one bridge."""

    __slots__ = (
        "_bridge",
        "_keepalive_s",
        "_keeper",
        "_loop",
        "_doubt_heard",
        "_doubt_s",
        "_network",
        "_roamer",
        "_seen",
        "_session",
        "_state",
        "_timeout_ms",
        "_end_s",
        "is_asked_to_reconnect",
        "is_proven",
        "was_ready",
    )

    def __init__(
        self,
        loop: Loop,
        bridge: Bridge,
        network: "Network",
        keeper: "LeaseKeeper | None",
        roamer: Roamer,
        state: RunState,
    ) -> None:
        self._loop = loop
        self._bridge = bridge
        self._network = network
        self._keeper = keeper  # None with -no-dhcp
        self._roamer = roamer
        self._seen = 0  # the roamer's look that was heeded
        self._doubt_s = 0.0  # since when the way to the server is doubted, 0 = it is not
        self._doubt_heard = 0  # what the bridge had heard by then
        self._state = state
        self._session: Established | None = None
        self._timeout_ms = 0
        self._keepalive_s = 0.0
        self.was_ready = False  # a session of this run has been usable
        self.is_proven = False  # the present one has
        self.is_asked_to_reconnect = False
        self._end_s: float | None = None  # when the AutoDisconnect policy ends it
        bridge.capture(CAPTURE_DHCP | CAPTURE_ARP if keeper is not None else 0)

    def start(self, session: "Established") -> None:
        """Begin with a new session: DHCP asks for the address of the one before it."""
        self.is_proven = False
        self._end_s = None
        if session.welcome.policy.get("AutoDisconnect"):
            self._end_s = now_s() + session.welcome.policy["AutoDisconnect"]
        if self._keeper is not None:
            self._keeper.policy = session.welcome.policy
            self._keeper.start(now_s())

    async def serve(self, session: "Established") -> None:
        """Serve until the connection is over.

        Raises Lost, BlockError, HostError, LeaseError (with -once), ServerError 126 when
        the server's AutoDisconnect policy ends the session.
        """
        welcome = session.welcome
        self._timeout_ms = welcome.timeout_ms
        self._bridge.attach(session.connection.stream, session.rest)
        self._session = session
        self._keepalive_s = now_s()
        self._doubt_s = 0.0
        self.is_asked_to_reconnect = False
        try:
            while True:
                now = now_s()
                if self.is_asked_to_reconnect:
                    raise Moved("a new connection was asked for")
                self._keep_alive(now)
                self._look_after_lease(now)
                self._look_after_path(now)
                if self._network.failure is not None:
                    raise self._network.failure
                if self._end_s is not None and now >= self._end_s:
                    from sevpn.proto.codes import error_for  # rare, and a large table

                    raise error_for(CODE_AUTO_DISCONNECT)
                reason = await self._loop.pump(self._bridge, self._deadline_s(now))
                self._react(reason)
        except Cancelled:
            self._release_lease()
            raise
        finally:
            self._bridge.detach()

    def _deadline_s(self, now: float) -> float:
        dead = dead_at_s(self._bridge.last_received_s, self._timeout_ms)
        deadline = min(self._keepalive_s, dead)
        if self._doubt_s:
            deadline = min(deadline, self._doubt_s + DOUBT_LIMIT_S)
        if self._keeper is not None:
            due = self._keeper.deadline_s()
            if due is not None:
                deadline = min(deadline, due)
        if self._network.is_busy:
            deadline = min(deadline, now + BUSY_POLL_S)
        return deadline if self._end_s is None else min(deadline, self._end_s)

    def _react(self, reason: int) -> None:
        if reason & CAPTURED:
            now = now_s()
            for frame in self._bridge.captured_frames():
                if self._keeper is not None:
                    self._keeper.receive(frame, now)
        if reason & TAP_LOST:
            raise HostError("the TAP device was removed", "start sevpn again")
        if reason & FRAMING:
            raise _framing_error(self._bridge.unparsed)
        if reason & (CLOSED | BROKEN):
            raise Lost("the server closed the connection" if reason & CLOSED else "connection lost")
        if now_s() >= dead_at_s(self._bridge.last_received_s, self._timeout_ms):
            raise Lost(f"no sign of life from the server for {self._timeout_ms / 1000:g} s")

    def _keep_alive(self, now: float) -> None:
        if now < self._keepalive_s:
            return
        dice = posix.urandom(3)
        due = next_keepalive_s(self._bridge.last_sent_s, self._timeout_ms, dice[0])
        if due > now:
            self._keepalive_s = due  # data went out meanwhile: that counts
            return
        size = keepalive_size_bytes(dice[1] << 8 | dice[2])
        self._bridge.keepalive(posix.urandom(size))
        self._keepalive_s = next_keepalive_s(now, self._timeout_ms, dice[0])
        self._network.check_dns()

    def _look_after_path(self, now: float) -> None:
        """Find out early that the connection is dead. Raises Lost."""
        session, roamer, keeper = self._session, self._roamer, self._keeper
        if session is None:
            return
        if roamer.looks != self._seen:
            self._seen = roamer.looks
            if roamer.addresses and session.connection.local[0] not in roamer.addresses:
                raise Moved("the local network changed")
            if keeper is not None and keeper.doubt(now):
                self._doubt_s = now
                self._doubt_heard = self._bridge.heard
        if self._doubt_s:
            if self._bridge.heard != self._doubt_heard:
                self._doubt_s = 0.0
            elif now >= self._doubt_s + DOUBT_LIMIT_S and not roamer.is_offline:
                raise Moved("the way to the server is dead since the local network changed")
        elif (
            keeper is not None
            and keeper.is_silent
            and session.connection.silent_s() > SILENT_LIMIT_S
            and not roamer.is_offline
        ):
            raise Lost("the way to the server is dead")

    def _look_after_lease(self, now: float) -> None:
        keeper = self._keeper
        if keeper is None:
            self._enter(DEGRADED if self._network.falls_short else READY, now)
            return
        keeper.tick(now)
        for frame in keeper.take_frames():
            self._bridge.inject(frame)
        self._state.renewals = keeper.renewals
        state = keeper.state()
        is_less = self._roamer.is_offline or self._network.falls_short
        self._enter(DEGRADED if state == READY and is_less else state, now)

    def _enter(self, state: str, now: float) -> None:
        if state == self._state.name:
            return
        is_short = state == DEGRADED and self._network.falls_short and not self._is_dead_end()
        if state == READY or is_short:
            if self._keeper is None:
                log.info("ready: the session stands (-no-dhcp: nothing was checked)")
            elif is_short:
                log.info("connected, but not as asked: see the warnings, or sevpn status")
            else:
                log.info("ready: traffic flows")
            self.was_ready = self.is_proven = True
            if self._keeper is not None:
                self._bridge.ask_with(self._keeper.queue_question())
            # What logging in took is not needed any more, and a collection by chance may be
            # hours away: without this a process grows by 190 kB with each reconnect.
            gc.collect()
        elif state == DEGRADED:
            offline = self._roamer.is_offline
            log.warning(
                "no network: waiting for one"
                if offline
                else "the gateway behind the tunnel does not answer"
            )
        self._state.enter(state, now)

    def _is_dead_end(self) -> bool:
        """Tell whether nothing gets through, whatever was asked for."""
        is_silent = self._keeper is not None and self._keeper.is_silent
        return is_silent or self._roamer.is_offline

    def _release_lease(self) -> None:
        """Tell the DHCP server that the address is free again, as far as that gets through."""
        if self._keeper is not None:
            self._keeper.release(now_s())
            for frame in self._keeper.take_frames():
                self._bridge.inject(frame)


def _framing_error(unparsed: bytes) -> BlockError:
    """Return what to say of bytes that are no block."""
    if not unparsed.startswith(b"HTTP/"):
        return BlockError(
            "the server broke the tunnel's framing", "is there a proxy in front of the server?"
        )
    error = BlockError(
        "an HTTP proxy in front of the server answers instead of passing the tunnel on",
        "have it pass this port on as TCP (nginx: stream, HAProxy: mode tcp)",
    )
    error.patience_s = PROXY_PATIENCE_S
    return error
