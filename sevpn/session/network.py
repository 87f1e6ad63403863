"""A lease put into force on this host, and taken back. Layer 3.

The tunnel says what it wants (`want`); a task of its own brings the host there, one change
after another, while the bridge goes on moving frames.
"""

from sevpn import log
from sevpn.errors import HostError
from sevpn.host import plan
from sevpn.host.resolv_watch import fingerprint, watched_path
from sevpn.io import child
from sevpn.io.loop import Loop, Task, now_s

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sevpn.config import Config
    from sevpn.dhcp.lease import Lease
    from sevpn.session.hostside import HostSide
    from sevpn.session.shortfall import Shortfall

    Step = tuple[Any, ...]

SETTLE_TIMEOUT_S = 5.0
REFUSED_SHOWN = 8  # routes; a hostile server pushes hundreds with each lease
_STEERING = ("default_route", "dns", "rule")  # steps that say where traffic goes


def describe_lease(lease: "Lease") -> str:
    """Return the one line about a lease that a person wants to see."""
    parts = [f"{lease.address}/{lease.prefix_len} from {lease.server_id}"]
    forever = lease.lease_s == 0xFFFFFFFF
    parts.append("for ever" if forever else f"for {lease.lease_s} s")
    gateway = lease.default_gateway(with_static_routes=False)
    if gateway:
        parts.append(f"gateway {gateway}")
    if lease.dns:
        parts.append("DNS " + " ".join(lease.dns))
    return ", ".join(parts)


def describe_steps(steps: "list[Step]") -> str:
    """Return the routes and the DNS of a plan, for the log ("" = neither)."""
    shown = []
    for step in steps:
        bare = plan.bare(step)
        if bare[0] == "route":
            _kind, network, prefix_len, gateway, ifname, _metric, table = bare
            via = f" via {gateway}" if gateway else ""
            extra = "" if table == plan.TABLE_MAIN else f" table {table}"
            name = "default" if prefix_len == 0 else f"{network}/{prefix_len}"
            shown.append(f"{name}{via} dev {ifname}{extra}")
        elif bare[0] == "default_route":
            via = f" via {bare[1]}" if bare[1] else ""
            shown.append(f"default{via} dev {bare[2]}")
        elif bare[0] == "rule":
            shown.append(f"rule from {bare[1]} table {bare[2]}")
        elif bare[0] == "dns":
            shown.append("DNS " + " ".join(bare[1]))
    return ", ".join(shown)


def _question(lease: "Lease") -> "tuple[str, int, str]":
    """Return what `worker.in_force` has to know of a lease: address, prefix, a neighbour."""
    neighbour = next((n for n in (*lease.routers, lease.server_id) if n != lease.address), "")
    return lease.address, lease.prefix_len, neighbour


class Network:
    """Keeps the host in step with the wanted lease."""

    __slots__ = (
        "_config",
        "_dns_mark",
        "_dns_path",
        "_failed",
        "_host",
        "_ifname",
        "_loop",
        "_said",
        "_steps",
        "_task",
        "_wanted",
        "applied",
        "failure",
        "has_halves",
        "server_ips",
        "shortfalls",
    )

    def __init__(self, loop: Loop, config: "Config", host: "HostSide", ifname: str) -> None:
        self._loop = loop
        self._config = config
        self._host = host
        self._ifname = ifname
        self._task: Task | None = None
        self._wanted: Lease | None = None
        self._steps: list[Step] = []
        self._dns_path: str | None = None  # the resolv.conf we wrote
        self._dns_mark = ""
        self._failed: dict[str, str] = {}  # optional steps that failed, and why
        self.applied: Lease | None = None  # what the host is configured for now
        self.failure: HostError | None = None  # why the wanted lease is not in force
        self.server_ips: list[str] = []
        self.shortfalls: list[Shortfall] = []  # what was asked for and is not in force
        self.has_halves = False  # the default route stands as two halves
        self._said: list[str] = []
        if config.no_dhcp:
            from sevpn.session.shortfall import without_dhcp

            self.shortfalls = without_dhcp(config)
            for one in self.shortfalls:
                log.warning(str(one))

    @property
    def falls_short(self) -> bool:
        """Tell whether traffic goes another way than was asked for."""
        return any(one.degrades for one in self.shortfalls)

    @property
    def steps(self) -> "list[Step]":
        """The plan in force."""
        return self._steps

    @property
    def is_busy(self) -> bool:
        """Tell whether a change is under way."""
        return self._task is not None and not self._task.done

    def want(self, lease: "Lease | None") -> None:
        """Say which lease is to be in force; None takes everything of it back."""
        self._wanted = lease
        self.failure = None
        if not self.is_busy:
            self._task = self._loop.spawn("network", self._follow())

    def renew(self, lease: "Lease") -> None:
        """Take over a lease that changes nothing on the host."""
        if self._wanted is self.applied and not self.is_busy:
            self._wanted = self.applied = lease
        else:
            self.want(lease)

    def about(self) -> "tuple[Step | None, tuple[str, int, str] | None]":
        """Return what a look at the host is to look at for us: see `worker.survey`."""
        lease = self.applied
        if self.is_busy or lease is None:
            return None, None
        return self._step("keep_inbound"), _question(lease)

    def heed(self, found: "dict[str, Any]") -> None:
        """Mend what a look at the host found out of order, and say what is not in force."""
        if self.is_busy or self.applied is None:
            return
        default = self._step("default_route") if found["is_default_void"] else None
        inbound = self._step("keep_inbound") if found["is_inbound_stale"] else None
        if default is not None or inbound is not None:
            self._task = self._loop.spawn("mend", self._mend(default, inbound))
        elif found["in_force"]:
            self._conclude(self.applied, found["in_force"])

    async def _mend(self, default: "Step | None", inbound: "Step | None") -> None:
        """Make our default route win over somebody's new one; follow the old ways."""
        try:
            if default is not None:
                await self._host.apply([default])
        except HostError as error:
            log.warning(f"the default route through the tunnel has no effect: {error}")
        try:
            if inbound is not None:
                await self._host.hold_inbound(inbound)
        except HostError as error:
            log.warning(str(error))
        if self.applied is not None:
            await self._judge(self.applied)
        await self._follow()

    def _step(self, kind: str) -> "Step | None":
        """Return the step of this kind that is in force."""
        return next((bare for bare in map(plan.bare, self._steps) if bare[0] == kind), None)

    def check_dns(self) -> None:
        """Notice, and say once, that somebody else has written resolv.conf. Costs two stats."""
        if self._dns_path is None or self.is_busy:
            return
        if fingerprint(self._dns_path) != self._dns_mark:
            log.warning(
                f"somebody else has written {self._dns_path}: it is left to him (see -dns none)"
            )
            self._dns_path = None

    async def settle(self) -> None:
        """Wait for the end of a change that is under way."""
        if self._task is not None and not self._task.done:
            await self._loop.join(self._task, now_s() + SETTLE_TIMEOUT_S)

    async def clear(self) -> None:
        """Take everything of the lease back now (the link and the server's route stay)."""
        self._wanted = None
        await self.settle()
        if self._steps:
            await self._change(None)
        self.failure = None

    async def _follow(self) -> None:
        while self._wanted is not self.applied:
            wanted = self._wanted
            try:
                await self._change(wanted)
            except HostError as error:
                self.failure = error
                self._steps = []
                self.applied = None
                return

    async def _change(self, lease: "Lease | None") -> None:
        """Bring the host from the plan in force to the one of `lease`."""
        steps: list[Step] = []
        if lease is not None:
            own = await self._own_networks()
            steps = plan.session_plan(self._config, lease, self._ifname, self.server_ips, own)
            self._say_refused(plan.refused_routes(self._config, lease, self.server_ips, own))
        undo, apply = plan.change_plan(self._host.records, self._steps, steps)
        if lease is None and any(plan.bare(step)[0] in _STEERING for step in self._steps):
            log.warning("routes and DNS are taken back: traffic leaves outside the tunnel now")
        await self._host.undo(undo)
        self._steps = []
        self.applied = None
        failed = await self._host.apply(apply)
        # What failed is not in force; it is tried again with the next change.
        self._steps = [step for step in steps if plan.bare(step)[0] not in failed]
        apply = [step for step in apply if plan.bare(step)[0] not in failed]
        self._failed = failed
        await self._judge(lease)
        self.applied = lease
        self._dns_path = watched_path(self._host.records)
        if self._dns_path is not None:
            self._dns_mark = fingerprint(self._dns_path)
        shown = describe_steps(apply)
        if shown:
            log.info(f"routes: {shown}")

    def _say_refused(self, lines: list[str]) -> None:
        for line in lines[:REFUSED_SHOWN]:
            log.warning(line)
        if len(lines) > REFUSED_SHOWN:
            log.warning(f"and {len(lines) - REFUSED_SHOWN} more routes were refused")

    async def _judge(self, lease: "Lease | None") -> None:
        """Ask what is in force for this lease."""
        self.shortfalls = []
        if lease is None:
            return
        try:
            found = await child.call(
                self._loop, "sevpn.host.worker:in_force", self._ifname, *_question(lease)
            )
        except HostError as error:
            log.debug(f"cannot look what is in force: {error}")
            return
        if isinstance(found, dict):
            self._conclude(lease, found)

    def _conclude(self, lease: "Lease", found: "dict[str, Any]") -> None:
        """Compare what is in force with what was asked for, and say the difference once."""
        from sevpn.session.shortfall import find, unused

        self.has_halves = bool(found["has_halves"])
        self.shortfalls = find(self._config, lease, {**found, "tap": self._ifname}, self._failed)
        offered = unused(self._config, lease)
        lines = [f"warning: {one}" for one in self.shortfalls]
        lines += [f"not used: {offered}"] if offered else []
        if lines != self._said:
            self._said = lines
            for one in self.shortfalls:
                log.warning(str(one))
            if offered:
                log.info(f"not used: {offered}")

    async def _own_networks(self) -> "list[tuple[str, int]]":
        if not self._config.accept_static_routes:
            return []
        found = await child.call(self._loop, "sevpn.host.worker:own_networks", self._ifname)
        return found if isinstance(found, list) else []
