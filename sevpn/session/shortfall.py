"""What was asked for and is not in force. Layer 3, pure.

A person takes "ready" for "protected". So what a flag promised is compared with what the
server offered and with what the kernel does, and each difference is said once, stands in
`sevpn status`, and makes the run degraded where it concerns where traffic goes.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sevpn.config import Config
    from sevpn.dhcp.lease import Lease


class Shortfall:
    """One of them: the flag, what the server offered, what is done instead, why, what to do."""

    __slots__ = ("applied", "asked", "degrades", "hint", "offered", "why")

    def __init__(
        self, asked: str, offered: str, applied: str, why: str, hint: str, *, degrades: bool = True
    ) -> None:
        self.asked = asked
        self.offered = offered
        self.applied = applied
        self.why = why
        self.hint = hint
        self.degrades = degrades

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.asked}: {self.why}: {self.applied}{hint}"


_OUTSIDE = "traffic goes on outside the tunnel"
_GATEWAY = "-accept-default-gateway"


def without_dhcp(config: "Config") -> list[Shortfall]:
    """Return what -no-dhcp makes void."""
    flags = {
        _GATEWAY: config.accept_default_gateway,
        "-accept-dns": config.accept_dns,
        "-accept-static-routes": config.accept_static_routes,
        "-policy-route-table": config.policy_route_table,
    }
    return [
        Shortfall(
            flag, "nothing", "it has no effect", "-no-dhcp asks nobody", f"leave out {flag}",
            degrades=flag != "-accept-static-routes",
        )
        for flag, is_given in flags.items()
        if is_given
    ]  # fmt: skip


def find(
    config: "Config", lease: "Lease", found: "dict[str, Any]", failed: "dict[str, str]"
) -> list[Shortfall]:
    """Compare. `found`: what host.in_force.look returned; `failed`: steps' kinds and why."""
    shortfalls: list[Shortfall] = []
    if config.accept_default_gateway or config.policy_route_table:
        _judge_gateway(config, lease, found, shortfalls)
    if config.accept_default_gateway and found.get("default6"):
        ifname = found["default6"]
        shortfalls.append(
            Shortfall(
                _GATEWAY, "IPv4 only", f"IPv6 traffic leaves by {ifname}",
                f"IPv6 has a default route of its own on {ifname}",
                "block it: ip -6 route add unreachable default metric 1; or -accept-ra",
            )
        )  # fmt: skip
    if config.accept_dns and config.dns != "none":
        _judge_dns(lease, failed, shortfalls)
    if found.get("overlap"):
        elsewhere = found.get("neighbour") not in ("", found.get("tap"))
        shortfalls.append(
            Shortfall(
                f"the network {lease.address}/{lease.prefix_len}", "",
                f"hosts behind the tunnel are looked for on {found['overlap']}"
                if elsewhere
                else "one of the two hides the other",
                f"it is on {found['overlap']} as well as on {found.get('tap')}",
                "renumber one of them",
                degrades=elsewhere,
            )
        )  # fmt: skip
    return shortfalls


def _judge_gateway(
    config: "Config", lease: "Lease", found: "dict[str, Any]", shortfalls: list[Shortfall]
) -> None:
    asked = _GATEWAY if config.accept_default_gateway else "-policy-route-table"
    if lease.default_gateway(with_static_routes=config.accept_static_routes) is not None:
        if config.accept_default_gateway and not found.get("has_default"):
            shortfalls.append(
                Shortfall(
                    asked, f"gateway {lease.default_gateway()}", _OUTSIDE,
                    "the default route is not in force", "see ip route",
                )
            )  # fmt: skip
        return
    if lease.routers:
        shortfalls.append(
            Shortfall(
                asked, f"gateway {lease.routers[0]}, and static routes without a default one",
                _OUTSIDE,
                f"the DHCP server pushes static routes without a default one, so its gateway "
                f"{lease.routers[0]} is not used (RFC 3442)",
                "leave out -accept-static-routes",
            )
        )  # fmt: skip
    else:
        shortfalls.append(
            Shortfall(
                asked, "no gateway", _OUTSIDE, "the DHCP server names no gateway",
                "ask who runs the server",
            )
        )  # fmt: skip


def _judge_dns(lease: "Lease", failed: "dict[str, str]", shortfalls: list[Shortfall]) -> None:
    if not lease.dns:
        why, hint = "the DHCP server names no name server", "ask who runs the server"
    elif "dns" in failed:
        why, hint = failed["dns"], "make /etc/resolv.conf a file that can be written, or -dns none"
    else:
        return
    offered = "DNS " + " ".join(lease.dns) if lease.dns else "no DNS"
    shortfalls.append(
        Shortfall("-accept-dns", offered, "names are looked up outside the tunnel", why, hint)
    )


def unused(config: "Config", lease: "Lease") -> str:
    """Return what was offered and not asked for, with the flags that would take it."""
    parts = []
    gateway = lease.default_gateway(with_static_routes=False)
    if gateway and not config.accept_default_gateway and not config.policy_route_table:
        parts.append(f"default gateway {gateway} ({_GATEWAY})")
    if lease.dns and not config.accept_dns:
        parts.append(f"DNS {' '.join(lease.dns)} (-accept-dns)")
    return ", ".join(parts)
