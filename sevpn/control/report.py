"""What `sevpn status` shows: the present of a run as one object for JSON.

Layer 5; loaded when somebody asks. Times ending in `_s` are seconds, a null among them
means never; moments are UTC in ISO 8601. Nothing secret is in it: neither the password nor
the session key, which would let somebody take the session over.
"""

import posix
import time

from sevpn import __version__
from sevpn.constants import REPORT_FORMAT
from sevpn.host import plan
from sevpn.host.lock import namespace_id
from sevpn.io.files import read_text
from sevpn.log import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sevpn.control.view import View
    from sevpn.dhcp.lease import Lease

    Object = dict[str, Any]

FOREVER_S = 0xFFFFFFFF  # RFC 2131 3.3
_DHCP_COUNTERS = ("malformed", "strangers", "refused", "unexpected", "bad_options")


def report(view: "View", now_s: float, wall_s: float) -> "Object":
    """Return everything; `now_s` is the loop's clock, `wall_s` the time of day."""
    state = view.state
    return {
        "format": REPORT_FORMAT,
        "version": __version__,
        "pid": posix.getpid(),
        "started": _moment(wall_s - (now_s - view.started_s)),
        "state": state.name,
        "since": _moment(wall_s - (now_s - state.since_s)),
        "since_s": round(now_s - state.since_s, 3),
        "server": _server(view),
        "session": _session(view),
        "tap": {"name": view.tap_name, "mac": view.mac.hex(":"), "namespace": namespace_id()},
        "lease": _lease(view.keeper.lease if view.keeper is not None else None, now_s),
        **_host(view),
        "shortfalls": [
            {
                "asked": one.asked,
                "offered": one.offered,
                "applied": one.applied,
                "why": one.why,
                "hint": one.hint,
            }
            for one in view.network.shortfalls
        ],
        "hijacks": [
            {"network": f"{network}/{prefix_len}", "interface": ifname}
            for network, prefix_len, ifname in view.roamer.hijacks
        ],
        "counters": _counters(view),
        "last_error": {
            "message": clean(state.last_error),
            "at": _moment(wall_s - (now_s - state.last_error_s)),
            "ago_s": round(now_s - state.last_error_s, 3),
        }
        if state.last_error
        else None,
    }


def _moment(wall_s: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(wall_s))


def _server(view: "View") -> "Object":
    """Return whom we talk to; without a connection only whom we want to talk to."""
    session, config = view.session, view.config
    return {
        "host": clean(config.host),
        "address": session.connection.address.text if session is not None else None,
        "port": session.connection.port if session is not None else config.port,
        "product": clean(session.product) if session is not None else None,
    }


def _session(view: "View") -> "Object | None":
    session, config = view.session, view.config
    if session is None:
        return None
    return {
        "name": clean(session.welcome.session_name),
        "hub": clean(config.hub),
        "user": clean(config.user),
        "cipher": session.connection.stream.cipher(),
        "congestion": session.connection.congestion(),
        "local_address": session.connection.local[0],
        "timeout_s": session.welcome.timeout_ms / 1000,
    }


def _lease(lease: "Lease | None", now_s: float) -> "Object | None":
    if lease is None:
        return None

    def left_s(seconds: int) -> int | None:
        return None if seconds == FOREVER_S else max(0, round(lease.obtained_at + seconds - now_s))

    return {
        "address": lease.address,
        "prefix_len": lease.prefix_len,
        "gateway": lease.default_gateway(with_static_routes=False),
        "server": lease.server_id,
        "dns": list(lease.dns),
        "domain": clean(lease.domain),
        "mtu": lease.mtu_bytes,
        "lease_s": None if lease.lease_s == FOREVER_S else lease.lease_s,
        "renew_in_s": left_s(lease.t1_s),
        "rebind_in_s": left_s(lease.t2_s),
        "expires_in_s": left_s(lease.lease_s),
    }


def _host(view: "View") -> "Object":
    """Return what of the lease is in force on this host."""
    routes: list[Object] = []
    rules: list[Object] = []
    dns: Object | None = None
    for step in map(plan.bare, view.network.steps):
        if step[0] == "route":
            _kind, network, prefix_len, gateway, ifname, metric, table = step
            routes.append(_route(f"{network}/{prefix_len}", gateway, ifname, metric, table))
        elif step[0] == "default_route":
            _kind, gateway, ifname, metric = step
            halves = ["0.0.0.0/1", "128.0.0.0/1"] if view.network.has_halves else []
            for network in ("0.0.0.0/0", *halves):
                routes.append(_route(network, gateway, ifname, metric, plan.TABLE_MAIN))
        elif step[0] == "rule":
            rules.append({"from": step[1], "table": step[2]})
        elif step[0] == "dns":
            dns = {"servers": list(step[1]), "search": list(step[2])}
    return {"routes": routes, "rules": rules, "dns": dns}


def _route(network: str, gateway: str | None, ifname: str, metric: int, table: int) -> "Object":
    return {
        "network": network,
        "gateway": gateway,
        "interface": ifname,
        "metric": metric,
        "table": table,
    }


def _counters(view: "View") -> "Object":
    state, session = view.state, view.session
    counters: Object = {
        "reconnects": state.reconnects,
        "resumes": state.resumes,
        "renewals": state.renewals,
        **view.bridge.statistics(),
    }
    dropped = read_text(f"/sys/class/net/{view.tap_name}/statistics/tx_dropped", 32).strip()
    counters["tap_drops"] = int(dropped) if dropped.isdigit() else None
    tls = session.connection.stream.counters() if session is not None else {}
    counters.update({f"tls_{name}": count for name, count in tls.items()})
    if view.keeper is not None:
        ignored = view.keeper.ignored_messages
        counters.update({f"dhcp_{name}": getattr(ignored, name) for name in _DHCP_COUNTERS})
    return counters
