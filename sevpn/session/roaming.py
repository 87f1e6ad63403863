"""Follows the host from network to network. Layer 3.

When links, addresses or routes change, a child looks for the way to the server as it would
be without us. The server's host route is moved there at once, and whoever waits (a tunnel,
a reconnect delay) is told: a connection whose local address is not the one of the new way
is dead, and is replaced in milliseconds instead of after a timeout.
"""

from sevpn import log
from sevpn.errors import HostError
from sevpn.io import child
from sevpn.io.loop import Loop, Task, now_s
from sevpn.io.netwatch import NetWatch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from sevpn.config import Config
    from sevpn.session.hostside import HostSide

# Changes come in bursts (link, address, routes): look when they have settled a little. Where
# things change all the time that do not matter to us (a host of containers), look less often.
SETTLE_S = 0.08
SETTLE_MAX_S = 2.0
QUIET_S = 5.0  # so long without a change makes the next one interesting again


class Roamer:
    """Keeps the pinned routes of the servers in use on the way that reaches them now.

    `looks` grows with each look, `generation` only when the way to the server is another one
    than before. `addresses` are the host's addresses on the interface that leads to the
    server now, empty when there is no way, None before the first look. `on_change` is called
    after each look; `on_found` with what a look has found, for which `about` names what else
    is to be looked at (the last arguments of `worker.survey`). `hijacks` are the foreign
    routes that took traffic out of the tunnel since the session began
    (TunnelVision).
    """

    __slots__ = (
        "_asked_ip",
        "_baseline",
        "_config",
        "_delay_s",
        "_host",
        "_is_dirty",
        "_looked_s",
        "_loop",
        "_path",
        "_task",
        "_watch",
        "about",
        "addresses",
        "generation",
        "hijacks",
        "ifname",
        "looks",
        "on_change",
        "on_found",
        "server_ip",
    )

    def __init__(
        self, loop: Loop, config: "Config", host: "HostSide", ifname: str, ifindex: int
    ) -> None:
        self._loop = loop
        self._config = config
        self._host = host
        self._task: Task | None = None
        self._is_dirty = False
        self._delay_s = SETTLE_S
        self._looked_s = 0.0
        self._path: object = None  # what leads to the server, as last seen
        self._asked_ip = ""  # to this one
        self._baseline: set[tuple[str, int, str]] | None = None
        self.ifname = ifname
        self.server_ip = ""
        self.generation = 0
        self.looks = 0
        self.addresses: list[str] | None = None
        self.hijacks: list[tuple[str, int, str]] = []
        self.on_change: Callable[[], None] = _nothing
        self.on_found: Callable[[dict[str, Any]], None] = _nothing
        self.about: Callable[[], tuple[object, ...]] = tuple
        self._watch = NetWatch(loop, ifindex, self.look)

    def close(self) -> None:
        """Stop watching."""
        self._watch.close()

    async def settle(self) -> None:
        """Wait until no look is under way."""
        if self._task is not None and not self._task.done:
            await self._loop.join(self._task)

    @property
    def is_offline(self) -> bool:
        """Tell whether no way leads to the server at present."""
        return self.addresses is not None and not self.addresses

    async def doze(self, deadline_s: float) -> bool:
        """Wait until `deadline_s`; True when the way to the server changed before."""
        generation = self.generation
        while self.generation == generation and now_s() < deadline_s:
            await self._loop.doze(deadline_s)
        return self.generation != generation

    def follow(self, server_ip: str) -> None:
        """Name the server address to keep pinned, and look what the routes are now."""
        self.server_ip = server_ip
        self._baseline = None
        self.look()

    def look(self) -> None:
        """Look at the ways now, or again once the look under way has ended."""
        self._is_dirty = True
        if self._task is None or self._task.done:
            self._task = self._loop.spawn("roaming", self._follow())

    async def _follow(self) -> None:
        while self._is_dirty:
            if now_s() > self._looked_s + QUIET_S:
                self._delay_s = SETTLE_S
            await self._loop.sleep(self._delay_s)
            self._is_dirty = False
            before, before_ip = self._path, self._asked_ip
            try:
                await self._look()
            except HostError as error:
                log.debug(f"cannot look at the routes: {error}")
                continue
            finally:
                self._looked_s = now_s()
            self.looks += 1
            # Another question has another answer: that is no change of the network.
            if self._path == before or self._asked_ip != before_ip:
                self._delay_s = min(SETTLE_MAX_S, self._delay_s * 2)
            else:
                self._delay_s = SETTLE_S
                self.generation += 1
            self.on_change()

    async def _look(self) -> None:
        server_ip = self._asked_ip = self.server_ip
        if not server_ip:
            # Nobody was reached yet: a change may be the network that was missing.
            self._path = int(now_s() / QUIET_S)
            return
        found = await child.call(
            self._loop, "sevpn.host.worker:survey", self.ifname, [server_ip], *self.about()
        )
        if not isinstance(found, dict):
            return
        path = found["paths"].get(server_ip)
        addresses = list(path["addresses"]) if path else []
        if addresses != self.addresses:
            where = f"{path['source']} on {path['ifname']}" if path else "nowhere: no network"
            log.debug(f"the way to {server_ip} starts at {where}")
        self.addresses = addresses
        self._path = path
        if path and not self._config.no_dhcp:
            await self._host.repin(server_ip, self.ifname)
        self.on_found(found)
        self._judge_routes([(n, p, i) for n, p, i in found["routes"]])

    def _judge_routes(self, routes: "list[tuple[str, int, str]]") -> None:
        """Warn of routes that appear on other links while we hold the default route."""
        if self._baseline is None or not self._config.accept_default_gateway:
            self._baseline = set(routes)
            return
        new = [route for route in routes if route not in self._baseline]
        for network, prefix_len, ifname in new:
            if (network, prefix_len, ifname) not in self.hijacks:
                log.warning(
                    f"a new route {network}/{prefix_len} on {ifname} takes traffic out of the "
                    "tunnel (a rogue DHCP server can do this: TunnelVision)"
                )
        self.hijacks = new


def _nothing(*_told: object) -> None:
    """Nobody wants to be told."""
