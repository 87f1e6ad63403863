"""The default route through the tunnel, made so that it really is the one in force.

Layer 2, used in the short-lived child only. Ours has metric 50. Another default route
with that metric or a lesser one (a Docker container's has 0) would make it void. Then the
two halves of the address space are added: a longer prefix beats any metric, and nobody's
route has to be touched.
"""

from __future__ import annotations

from socket import AF_INET

from sevpn.host import codec
from sevpn.host.context import TABLE_MAIN, Host, ifindex_of, ifindex_or_zero
from sevpn.host.routes import add_or_find, dump, record_of, way_of, way_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sevpn.host.context import Step

HALVES = (("0.0.0.0", 1), ("128.0.0.0", 1))


def make_default_route(host: Host, step: Step) -> None:
    """Add the default route, and the two halves where it would be void without them.

    Made again when a stronger default route has appeared, it adds only what is missing.
    Raises HostError when one of the halves is taken by somebody else.
    """
    _, gateway, ifname, metric = step
    ours = codec.Route("0.0.0.0", 0, gateway, ifindex_of(ifname), metric)
    rivals = _rivals(dump(host, AF_INET, TABLE_MAIN), ours)
    if all(rival.metric != metric for rival in rivals):  # else our own place is taken
        add_or_find(host, record_of(step, ours, ifname), ours)
    if not rivals:
        return
    rival = rivals[0]
    count = len(host.records)
    for network, prefix_len in HALVES:
        half = codec.Route(network, prefix_len, gateway, ours.ifindex, metric)
        add_or_find(host, record_of(step, half, ifname), half)
    if len(host.records) > count:
        host.notes.append(
            f"the default route {way_text(rival)} has metric {rival.metric} and would win over "
            f"ours with {metric}: 0.0.0.0/1 and 128.0.0.0/1 were added, which win over it"
        )


def _rivals(present: list[codec.Route], ours: codec.Route) -> list[codec.Route]:
    """Return the default routes of others that make `ours` void, the strongest first."""
    rivals = [
        route
        for route in present
        if route.prefix_len == 0 and route.metric <= ours.metric and way_of(route) != way_of(ours)
    ]
    return sorted(rivals, key=lambda route: route.metric)


def is_void(host: Host, tap_ifname: str) -> bool:
    """Tell whether our default route stands but others' keep the traffic out of the tunnel.

    Then the step that made it is to be made again.
    """
    tunnel = ifindex_or_zero(tap_ifname)
    present = dump(host, AF_INET, TABLE_MAIN)
    marked = [
        route
        for route in present
        if route.ifindex == tunnel and route.protocol == codec.PROTOCOL_OURS
    ]
    halves = {(route.network, route.prefix_len) for route in marked}
    if halves.issuperset(HALVES):
        return False
    defaults = [route for route in marked if route.prefix_len == 0]
    return any(_rivals(present, route) for route in defaults)
