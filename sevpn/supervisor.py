"""Keeps a session up: connect, serve, resume, reconnect, and undo everything at the end.

Layer 4. What to do after an error is decided here, from its class alone:

    ServerError "no", CertificateError, HostError   end the program, if no session of this
                                                    run was usable before; else retried
    ServerError "slow"                              wait a minute at least
    everything else                                 wait -reconnect-delay, growing
"""

import _socket
import posix

from sevpn import log
from sevpn._bridge import Bridge
from sevpn.control.control import Control, socket_path
from sevpn.control.view import View
from sevpn.errors import (
    BusyError,
    CertificateError,
    HostError,
    ServerError,
    SevpnError,
    TransportError,
)
from sevpn.host import plan
from sevpn.host.lock import (
    Lock,
    is_resolv_lock_needed,
    journal_path,
    resolv_lock_path,
    tap_lock_path,
)
from sevpn.io import child
from sevpn.io import tap as tap_device
from sevpn.io.files import read_text
from sevpn.io.loop import Cancelled, Loop, Task, now_s
from sevpn.session.hostside import HostSide
from sevpn.session.identity import MacTurn, stable_mac
from sevpn.session.leasing import LeaseKeeper
from sevpn.session.login import Established, LoginAgent
from sevpn.session.network import Network
from sevpn.session.resume import resume
from sevpn.session.roaming import Roamer
from sevpn.session.state import CONFIGURING, RECONNECTING, REFUSED, STOPPING, RunState
from sevpn.session.tunnel import Lost, Moved, Tunnel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sevpn.config import Config

BACKOFF_FACTOR = 1.5
RESUMED_TOO_SHORT_S = 2.0  # a resumed connection that ends sooner is none (6.9)
MUTE_MAX = 2  # a server whose session is stuck goes on granting resumes for ever
MOVED_RECENTLY_S = 10.0  # a session that a change of networks has cost is replaced at once


class Backoff:
    """The delay before the next attempt: grows with failures, falls back after success."""

    __slots__ = ("_cap_s", "_current_s", "_first_s")

    def __init__(self, first_s: float, cap_s: float) -> None:
        self._first_s = first_s
        self._cap_s = max(first_s, cap_s)
        self._current_s = first_s

    def reset(self) -> None:
        """Start from the first delay again."""
        self._current_s = self._first_s

    def next_s(self, random_byte: int, least_s: float = 0.0) -> float:
        """Return the delay to use now (the first one is exact, later ones are jittered)."""
        delay_s = self._current_s
        if delay_s > self._first_s:
            delay_s *= 0.9 + 0.2 * random_byte / 255
        self._current_s = min(self._cap_s, self._current_s * BACKOFF_FACTOR)
        return max(delay_s, least_s)


async def clean_up_after_killed_runs(loop: Loop, state_dir: str) -> None:
    """Undo what a killed run left on this host, if anything shows that there was one."""
    try:
        names = posix.listdir(state_dir)
    except OSError:
        names = []
    if not any(name.endswith(".journal") for name in names) and not is_resolv_conf_ours():
        return
    try:
        lines = await child.call(loop, "sevpn.host.worker:cleanup", state_dir)
    except HostError as error:
        log.warning(f"could not clean up after an earlier run: {error}")
        return
    for line in lines if isinstance(lines, list) else ():
        # What belongs elsewhere is nobody's business at each start here.
        say = log.debug if "in another network namespace" in line else log.info
        say(f"after an earlier run that was killed: {line}")


def _is_refusal(error: SevpnError | None) -> bool:
    """Tell whether the login or the certificate was refused for good, as far as one can tell."""
    is_no = isinstance(error, (ServerError, CertificateError))
    return is_no and not isinstance(error, BusyError)


def is_resolv_conf_ours() -> bool:
    """Tell whether resolv.conf says that a sevpn made it."""
    return "sevpn" in read_text("/etc/resolv.conf", 256).partition("\n")[0]


class Supervisor:
    """One run of the program: one TAP, one session after another."""

    def __init__(self, loop: Loop, config: "Config", mac: bytes | None) -> None:
        self._loop = loop
        self._config = config
        self._locks: list[Lock] = []
        self._control: Control | None = None
        self._was_established = False  # the server has let us in once in this run
        self._open: Established | None = None  # to be closed at the very end
        self._backoff = Backoff(config.reconnect_delay, config.reconnect_max_delay)
        self._started_s = now_s()
        self.state = RunState(self._started_s)
        self._agent = LoginAgent(loop, config, self._enter)
        self._task: Task | None = None
        self._mac = mac or b""
        self._message = ""  # what the server said last
        self._is_hurried = False  # somebody asked for a connection now
        self._moved_s = -MOVED_RECENTLY_S  # when a change of networks cost a connection
        self._pinned: set[str] = set()  # server addresses with a host route of ours

    async def run(self) -> None:
        """Run until cancelled, or until an error says that going on makes no sense."""
        once = self._config.once
        self._task = self._loop.current
        await clean_up_after_killed_runs(self._loop, self._config.state_dir)
        self._tap = tap_device.open_tap(self._config.tap, offload=not self._config.no_offload)
        try:
            self._prepare()
        except BaseException:
            self._close()
            raise
        try:
            while True:
                try:
                    await self._one_session()
                except SevpnError as error:
                    if once or self._is_final(error):
                        self.state.fail(str(error), now_s())
                        raise
                    await self._pause(error)
                else:
                    if once:
                        raise TransportError("the session has ended")
                    await self._pause(None)
        finally:
            self._loop.shield()  # also when an error, not a signal, has ended the run
            self._enter(STOPPING)
            self._roamer.close()
            await self._roamer.settle()
            await self._network.settle()
            await self._host.undo_everything()
            if self._host.is_clean:
                log.info("everything was undone")
            if self._open is not None:
                self._open.connection.close()
            self._close()

    # --- start and end ---

    def _prepare(self) -> None:
        """Take the locks and put the parts together; nothing of the host is changed yet."""
        config, tap = self._config, self._tap
        ifindex = _socket.if_nametoindex(tap.name)
        if not self._mac:
            names = config.host, config.hub, config.user, config.state_dir
            with MacTurn():
                self._mac = stable_mac(*names, but_of=tap.name)
                tap.set_mac(self._mac)
        log.debug(f"TAP {tap.name}, MAC {self._mac.hex(':')}, offloads: {tap.offloads()}")
        journal = journal_path(config.state_dir, tap.name)
        self._lock(tap_lock_path(journal), f"the interface {tap.name}")
        if config.accept_dns and is_resolv_lock_needed(config.dns):
            self._lock(resolv_lock_path(config.state_dir), "/etc/resolv.conf")
        self._bridge = Bridge(tap.fd, tap.vnet_header, tap.uso, not config.no_offload)
        self._host = HostSide(self._loop, journal)
        self._network = Network(self._loop, config, self._host, tap.name)
        keeper = None
        if not config.no_dhcp:
            name = posix.uname().nodename
            keeper = LeaseKeeper(self._mac, name, self._network, config.once, posix.urandom)
        self._roamer = Roamer(self._loop, config, self._host, tap.name, ifindex)
        self._roamer.on_change = self._wake
        self._roamer.on_found = self._network.heed
        self._roamer.about = self._network.about
        self._tunnel = Tunnel(
            self._loop, self._bridge, self._network, keeper, self._roamer, self.state
        )
        self._view = View(
            config,
            self.state,
            tap.name,
            self._mac,
            self._bridge,
            self._network,
            keeper,
            self._roamer,
            self._started_s,
        )
        path = "" if config.no_control else socket_path(journal)
        self._control = Control(self._loop, self._view, path)

    def _lock(self, path: str, what: str) -> None:
        lock = Lock(path)
        warning = lock.acquire(what)
        if warning is not None:
            log.debug(warning)
        self._locks.append(lock)

    def _close(self) -> None:
        if self._control is not None:
            self._control.close()
        self._tap.close()
        for lock in reversed(self._locks):
            lock.release()

    def _wake(self) -> None:
        """The host's network changed: whoever waits looks at it now."""
        if self._task is not None:
            self._loop.poke(self._task)

    # --- what a signal asks for ---

    def reconnect(self) -> None:
        """Make a new connection now, or end the delay before the next one."""
        if self._control is None:
            return  # only just starting
        self._is_hurried = True
        self._tunnel.is_asked_to_reconnect = True
        self._wake()

    def tell(self) -> None:
        """Write to the log where the run stands."""
        if self._control is None:
            return
        state, session = self.state, self._view.session
        parts = [f"{state.name} for {now_s() - state.since_s:.0f} s"]
        if session is not None:
            parts.append(f"session {session.welcome.session_name}")
        lease = self._network.applied
        if lease is not None:
            parts.append(f"address {lease.address}")
        counts = self._bridge.statistics()
        parts.append(f"up {counts['bytes_up']} bytes, down {counts['bytes_down']} bytes")
        parts.append(f"{state.reconnects} reconnects, {state.resumes} resumed sessions")
        parts += [str(one) for one in self._network.shortfalls]
        if state.last_error:
            parts.append(f"last error: {state.last_error}")
        log.info("status: " + "; ".join(parts))

    def _enter(self, state: str) -> None:
        self.state.enter(state, now_s())

    # --- one login and what comes of it ---

    async def _one_session(self) -> None:
        """Log in, serve and resume until the session is gone for good."""
        session = self._view.session = await self._agent.log_in()
        try:
            await self._bring_up(session)
            is_resumed = False
            mute = 0  # resumed connections in a row on which nothing came
            while True:
                since_s, heard = now_s(), self._bridge.heard
                try:
                    await self._tunnel.serve(session)
                except Lost as lost:
                    log.warning(str(lost))
                    self.state.fail(str(lost), now_s())
                    if isinstance(lost, Moved):
                        self._moved_s = now_s()
                if self._tunnel.is_proven:
                    self._backoff.reset()
                session.connection.leave()
                self._view.session = None
                is_ours = self._moved_s >= since_s  # not the server's doing
                if is_resumed and not is_ours and now_s() - since_s < RESUMED_TOO_SHORT_S:
                    break
                is_mute = is_resumed and not is_ours and self._bridge.heard == heard
                mute = mute + 1 if is_mute else 0
                if mute == MUTE_MAX:
                    log.info("the server resumes the session and says nothing: logging in anew")
                    break
                self._enter(RECONNECTING)
                successor = await resume(self._loop, self._agent, self._roamer, session)
                if successor is None:
                    break
                self._loop.spawn("farewell", self._forget(session))
                session, is_resumed = successor, True
                self._view.session = session
                self.state.resumes += 1
        except Cancelled:
            # The server needs a moment for our last frame, DHCP's RELEASE: it would be lost
            # in the end of the connection. Undoing takes that moment.
            self._open = session
            raise
        except SevpnError:
            session.connection.close()
            await self._network.clear()
            raise
        finally:
            self._view.session = None
        session.connection.close()
        await self._network.clear()

    async def _forget(self, session: Established) -> None:
        """Close a connection that was left, once the server has forgotten it, too."""
        try:
            await self._loop.sleep(session.welcome.timeout_ms / 1000)
        finally:
            session.connection.close()

    async def _bring_up(self, session: Established) -> None:
        """Make the TAP and the way to the server ready for the first frame."""
        config, tap = self._config, self._tap
        welcome = session.welcome
        self._enter(CONFIGURING)
        log.info(f"session {welcome.session_name} on {session.product}")
        if welcome.message and welcome.message != self._message:
            self._message = welcome.message  # long ones at each new login would hide the rest
            log.info(f"message of the server: {welcome.message}")
        server_ip = session.connection.address.text
        steps = []
        if not self._host.records:
            steps += plan.link_plan(tap.name, self._mac, accept_ra=config.accept_ra)
        if server_ip not in self._pinned:
            steps += plan.server_route_plan(config, server_ip, tap.name)
        await self._host.apply(steps)
        self._pinned.add(server_ip)
        self._network.server_ips = sorted(self._pinned)
        is_here = session.connection.local[0] == server_ip
        if is_here and config.accept_default_gateway and not self._was_established:
            log.warning(
                "the server is at an address of this host: a forwarder's own way out would go "
                "through the tunnel (give its far end a host route by the old gateway)"
            )
        self._roamer.follow(server_ip)
        self._tunnel.start(session)
        self._was_established = True

    # --- after an error ---

    def _is_final(self, error: SevpnError) -> bool:
        """Tell whether trying again cannot help: a person must act first."""
        if isinstance(error, ServerError) and error.code == 126:
            return True  # AutoDisconnect: the server wants an end
        if _is_refusal(error):
            return not self._was_established and not self._config.retry_refused
        return isinstance(error, HostError) and not self._tunnel.was_ready

    async def _pause(self, error: SevpnError | None) -> None:
        if error is not None:
            self.state.fail(str(error), now_s())
        is_refused = _is_refusal(error)
        self._enter(REFUSED if is_refused else RECONNECTING)
        self.state.reconnects += 1
        if error is None and now_s() < self._moved_s + MOVED_RECENTLY_S:
            self._moved_s = -MOVED_RECENTLY_S  # once
            log.info("the local network changed: logging in anew")
            return
        least_s = error.patience_s if error is not None else 0.0
        if is_refused:
            least_s = max(least_s, self._config.retry_refused)
        delay_s = self._backoff.next_s(posix.urandom(1)[0], least_s)
        if error is not None:
            log.error(str(error), error.hint)
        log.info(f"reconnecting in {delay_s:.3g} s")
        generation, deadline_s = self._roamer.generation, now_s() + delay_s
        self._is_hurried = False
        while now_s() < deadline_s and not self._is_hurried:
            await self._loop.doze(deadline_s)
            # Another network does not change a refusal.
            if self._roamer.generation != generation and not isinstance(error, ServerError):
                log.info("the local network changed: reconnecting now")
                self._backoff.reset()
                return
