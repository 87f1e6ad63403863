"""Plans are data: what the flags and a lease come to, without a kernel."""

from __future__ import annotations

import marshal

import pytest

from sevpn.host import plan


class Flags:
    no_dhcp = False
    accept_default_gateway = False
    accept_static_routes = False
    accept_dns = False
    accept_ra = False
    keep_inbound = False
    dns = "auto"
    policy_route_table = 0

    def __init__(self, **values: object) -> None:
        self.__dict__.update(values)


class Lease:
    address = "10.1.0.5"
    prefix_len = 16
    broadcast: str | None = "10.1.255.255"
    mtu_bytes: int | None = None
    gateway: str | None = "10.1.0.1"

    def __init__(self, **values: object) -> None:
        self.dns = ["10.1.0.53"]
        self.domain = "lan.example"
        self.search: list[str] = []
        self.routes = [
            ("172.16.0.0", 12, "10.1.0.2"),
            ("10.2.3.4", 16, "0.0.0.0"),
            ("0.0.0.0", 0, "10.1.0.1"),
        ]
        self.__dict__.update(values)

    def default_gateway(self, *, with_static_routes: bool = True) -> str | None:
        return self.gateway


ADDRESS = ("address", "vpn0", "10.1.0.5", 16, "10.1.255.255")
DEFAULT = ("default_route", "10.1.0.1", "vpn0", 50)
ALL = Flags(
    accept_default_gateway=True, accept_static_routes=True, accept_dns=True, policy_route_table=7
)


def test_without_flags_only_the_address_is_set() -> None:
    assert plan.session_plan(Flags(), Lease(), "vpn0", []) == [ADDRESS]


def test_all_flags() -> None:
    steps = plan.session_plan(ALL, Lease(), "vpn0", ["198.51.100.1"])
    assert steps == [
        ADDRESS,
        ("optional", ("route", "10.2.0.0", 16, None, "vpn0", 0, 254)),
        ("optional", ("route", "172.16.0.0", 12, "10.1.0.2", "vpn0", 0, 254)),
        DEFAULT,
        ("route", "0.0.0.0", 0, "10.1.0.1", "vpn0", 0, 7),
        ("rule", "10.1.0.5", 7),
        ("optional", ("dns", ["10.1.0.53"], ["lan.example"], "auto", "vpn0", True)),
    ]
    assert marshal.loads(marshal.dumps(steps)) == steps


def test_the_old_way_is_kept_before_the_default_route_is_made() -> None:
    flags = Flags(accept_default_gateway=True, keep_inbound=True, accept_ra=True)
    steps = plan.session_plan(flags, Lease(), "vpn0", [])
    assert steps == [ADDRESS, ("optional", ("keep_inbound", "vpn0", True)), DEFAULT]
    assert plan.session_plan(Flags(keep_inbound=True), Lease(), "vpn0", []) == [ADDRESS]


def test_a_static_default_route_needs_the_other_flag() -> None:
    steps = plan.session_plan(Flags(accept_static_routes=True), Lease(), "vpn0", [])
    assert [
        step for step in map(plan.bare, steps) if "route" in step[0] and "0.0.0.0" in step
    ] == []


def test_no_gateway_no_default_route() -> None:
    steps = plan.session_plan(ALL, Lease(gateway=None), "vpn0", [])
    assert all(step[2] for step in map(plan.bare, steps) if step[0] == "route")
    assert all(step[0] != "rule" for step in steps)


def test_an_on_link_default_gateway() -> None:
    steps = plan.session_plan(
        Flags(accept_default_gateway=True), Lease(gateway="0.0.0.0"), "vpn0", []
    )
    assert ("default_route", None, "vpn0", 50) in steps


@pytest.mark.parametrize(
    ("offered", "wanted"), [(100, 576), (576, 576), (1400, 1400), (1500, None), (9000, None)]
)
def test_the_mtu_is_kept_in_bounds(offered: int, wanted: int | None) -> None:
    steps = plan.session_plan(Flags(), Lease(mtu_bytes=offered), "vpn0", [])
    found = [step[3] for step in map(plan.bare, steps) if step[0] == "link"]
    assert found == ([] if wanted is None else [wanted])


def test_option_119_wins_over_15() -> None:
    steps = plan.session_plan(Flags(accept_dns=True), Lease(search=["a.test", "b.test"]), "v", [])
    servers, search = ["10.1.0.53"], ["a.test", "b.test"]
    assert plan.bare(steps[-1]) == ("dns", servers, search, "auto", "v", False)
    assert plan.session_plan(Flags(accept_dns=True, dns="none"), Lease(), "v", []) == steps_without(
        "dns", steps
    )


def steps_without(kind: str, steps: list[plan.Step]) -> list[plan.Step]:
    return [("address", "v", *step[2:]) for step in map(plan.bare, steps) if step[0] != kind]


def test_dangerous_routes_are_left_out_and_told() -> None:
    lease = Lease(
        routes=[("198.51.100.1", 32, "10.1.0.2"), ("192.168.1.128", 25, "10.1.0.2")],
    )
    servers, own = ["198.51.100.1"], [("192.168.1.0", 24)]
    steps = plan.session_plan(ALL, lease, "vpn0", servers, own)
    assert "optional" not in [step[0] for step in steps[:-1]]
    first, second = plan.refused_routes(ALL, lease, servers, own)
    assert "VPN server" in first
    assert "192.168.1.0/24" in second
    assert plan.refused_routes(Flags(), lease, servers, own) == []


def test_the_pin_is_required_only_with_a_default_route() -> None:
    address = "198.51.100.1"
    step = ("server_route", address, None)
    assert plan.server_route_plan(Flags(no_dhcp=True), address) == []
    assert plan.server_route_plan(Flags(), address) == [("optional", step)]
    assert plan.server_route_plan(Flags(accept_default_gateway=True), address) == [step]


def test_link_plan() -> None:
    steps = plan.link_plan("vpn0", bytes.fromhex("5e3b6f63a83e"))
    assert steps[-1] == ("link", "vpn0", "5e:3b:6f:63:a8:3e", 1500, True)
    assert plan.bare(steps[0])[1:] == ("net/ipv6/conf/vpn0/accept_ra", "0")
    steps = plan.link_plan("vpn0", None, accept_ra=True)
    assert plan.bare(steps[0])[1:] == ("net/ipv6/conf/vpn0/accept_ra", "2")


def records_of(steps: list[plan.Step]) -> list[plan.Record]:
    return [{"step": list(plan.bare(step))} for step in steps]


def test_an_equal_lease_changes_nothing() -> None:
    steps = plan.session_plan(ALL, Lease(), "vpn0", [])
    assert plan.change_plan(records_of(steps), steps, list(steps)) == ([], [])


def test_changed_dns_touches_only_resolv_conf() -> None:
    old = plan.session_plan(ALL, Lease(), "vpn0", [])
    new = plan.session_plan(ALL, Lease(dns=["10.1.0.54"]), "vpn0", [])
    to_undo, to_apply = plan.change_plan(records_of(old), old, new)
    assert [record["step"][0] for record in to_undo] == ["dns"]
    assert to_apply == new[-1:]


def test_a_changed_address_makes_all_that_hangs_on_it_anew() -> None:
    old = plan.session_plan(ALL, Lease(), "vpn0", [])
    new = plan.session_plan(ALL, Lease(address="10.1.0.6"), "vpn0", [])
    pin = {"step": ["server_route", "198.51.100.1", None]}
    to_undo, to_apply = plan.change_plan([pin, *records_of(old)], old, new)
    kinds = ["address", "route", "route", "default_route", "route", "rule"]
    assert [record["step"][0] for record in to_undo] == kinds
    assert to_apply == new[:-1]
