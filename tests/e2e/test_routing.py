"""Routes, rules and DNS: what goes through the tunnel, what does not, and what is put back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lab import iperf
from lab.capture import Capture, Watch
from lab.client import TAP, Sevpn, flags, read_file, snapshot
from lab.dhcp import GATEWAY, NAME_SERVERS, Dnsmasq
from lab.process import wait_for
from lab.server import FAR_IP, LAN_IP, LAN_TAP
from lab.topology import CLIENT_GATEWAY, SERVER_IP, SERVER_IP6

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.server import SoftEther
    from lab.topology import Namespace, Topology

METRIC = 50
LAN_NET = "10.77.0.0/24"
FRAME_MAX_BYTES = 1514


def test_default_route_without_a_loop(
    host: Namespace, server: SoftEther, topology: Topology, dhcp: Dnsmasq
) -> None:
    with Sevpn(host, *flags("-accept-default-gateway")) as run:
        run.wait_address()
        host.wait_ping(FAR_IP)
        way = host.ip("route", "get", FAR_IP)[0]
        assert (way["dev"], way["gateway"]) == (TAP, LAN_IP)
        way = host.ip("route", "get", SERVER_IP)[0]
        assert (way["dev"], way["gateway"]) == ("eth0", CLIENT_GATEWAY)
        defaults = host.ip("-4", "route", "show", "default", "dev", TAP)
        assert [entry["metric"] for entry in defaults] == [METRIC]
        # The tunnel's own packets stay outside: none to the server on the TAP.
        with Watch(host, TAP, f"host {SERVER_IP}") as inside:
            with Watch(topology.router, "c0", f"host {FAR_IP}") as outside:
                assert host.ping(FAR_IP, count=20)
                assert outside.count() == 0
            assert inside.count() == 0
        run.stop()


def test_default_route_beats_one_without_a_metric(
    host: Namespace, server: SoftEther, topology: Topology, dhcp: Dnsmasq
) -> None:
    """In a Docker container the default route has metric 0, the best there is."""
    host.ip_batch(f"route replace default via {CLIENT_GATEWAY}\n")
    try:
        was = snapshot(host)
        with Sevpn(host, *flags("-accept-default-gateway")) as run:
            run.wait_address()
            host.wait_ping(FAR_IP)
            assert host.ip("route", "get", SERVER_IP)[0]["dev"] == "eth0"
            run.stop()
        assert was.differences(snapshot(host)) == []
    finally:
        host.ip_batch("route del default metric 0\n")


def test_ipv6_server_with_default_route(host: Namespace, server: SoftEther, dhcp: Dnsmasq) -> None:
    """The IPv4 default route must not disturb a tunnel over IPv6."""
    with Sevpn(host, *flags("-accept-default-gateway", host=SERVER_IP6)) as run:
        run.wait_address()
        host.wait_ping(FAR_IP)
        assert host.ip("-6", "route", "get", SERVER_IP6)[0]["dev"] == "eth0"
        run.stop()


def test_policy_routing_answers_through_the_tunnel(
    host: Namespace, server: SoftEther, dhcp: Dnsmasq
) -> None:
    """A stranger behind the LAN reaches us, though our default route is elsewhere."""
    with Sevpn(host, *flags("-policy-route-table", "200")) as run:
        address = run.wait_address()
        server.namespace.wait_ping(address, source=FAR_IP)
        rules = [rule for rule in host.ip("rule", "show") if rule.get("table") == "200"]
        assert [rule["src"] for rule in rules] == [address]
        table = host.ip("route", "show", "table", "200")
        assert [(r["dst"], r["gateway"], r["dev"]) for r in table] == [("default", LAN_IP, TAP)]
        assert host.ip("route", "get", FAR_IP)[0]["dev"] == "eth0"
        run.stop()


def test_without_policy_routing_no_answer(
    host: Namespace, server: SoftEther, dhcp: Dnsmasq
) -> None:
    """The counter-check of the test above."""
    with Sevpn(host, *flags()) as run:
        address = run.wait_address()
        server.namespace.wait_ping(address)
        assert not server.namespace.ping(address, source=FAR_IP, count=1, timeout_s=0.5)
        run.stop()


def test_all_flags_at_once(host: Namespace, server: SoftEther) -> None:
    further = ("-accept-default-gateway", "-accept-static-routes", "-accept-dns")
    options = [*GATEWAY, *NAME_SERVERS]
    with Dnsmasq(server.namespace, options=options):
        with Sevpn(host, *flags(*further, "-policy-route-table", "200")) as run:
            address = run.wait_address()
            host.wait_ping(FAR_IP)
            server.namespace.wait_ping(address, source=FAR_IP)
            run.stop()


def _as_file(host: Namespace) -> None:
    """Nothing to do: that is how the lab makes it; but with an unusual mode and owner."""
    host.run("chmod", "640", "/etc/resolv.conf")
    host.run("chown", "0:4", "/etc/resolv.conf")


def _as_symlink(host: Namespace) -> None:
    host.run("sh", "-c", "mkdir -p /run/dns; mv /etc/resolv.conf /run/dns/stub.conf")
    host.run("ln", "-s", "../run/dns/stub.conf", "/etc/resolv.conf")


def _as_dangling_symlink(host: Namespace) -> None:
    host.run("ln", "-sf", "/run/nowhere/resolv.conf", "/etc/resolv.conf")


def _as_bind_mount(host: Namespace) -> None:
    host.run("sh", "-c", "cp /etc/resolv.conf /run/mounted.conf")
    host.run("mount", "--bind", "/run/mounted.conf", "/etc/resolv.conf")


def _as_nothing(host: Namespace) -> None:
    host.run("rm", "/etc/resolv.conf")


KINDS = {
    "file": _as_file,
    "symlink": _as_symlink,
    "dangling symlink": _as_dangling_symlink,
    "bind mount": _as_bind_mount,
    "nothing": _as_nothing,
}


@pytest.fixture(params=KINDS)
def resolv_conf(request: pytest.FixtureRequest, topology: Topology) -> Iterator[str]:
    """Lay /etc/resolv.conf out in each way there is, and put the lab's back afterwards."""
    KINDS[request.param](topology.client)
    yield request.param
    topology.restore_resolv_conf()


def test_dns_is_set_and_restored(host: Namespace, server: SoftEther, resolv_conf: str) -> None:
    was = snapshot(host)
    with Dnsmasq(server.namespace, options=[*GATEWAY, *NAME_SERVERS]):
        with Sevpn(host, *flags("-accept-dns")) as run:
            run.wait_address()
            wait_for(lambda: f"nameserver {LAN_IP}" in _content(host), 5.0, "DNS")
            servers = [x for x in _content(host).splitlines() if x.startswith("nameserver")]
            assert servers == [f"nameserver {LAN_IP}", f"nameserver {FAR_IP}"]
            assert "office.test" in _content(host)
            found = host.run("getent", "ahostsv4", "files.office.test").stdout
            assert found.split()[0] == LAN_IP
            run.stop()
    assert was.differences(snapshot(host)) == []


def _content(host: Namespace) -> str:
    found = read_file(host, "/etc/resolv.conf")
    return found.content.decode() if found else ""


def test_dns_changed_by_somebody_else_is_kept(
    host: Namespace, topology: Topology, server: SoftEther
) -> None:
    """What was written meanwhile is not ours to undo."""
    theirs = "nameserver 192.0.2.53\n"
    with Dnsmasq(server.namespace, options=[*GATEWAY, *NAME_SERVERS]):
        with Sevpn(host, *flags("-accept-dns")) as run:
            run.wait_address()
            wait_for(lambda: f"nameserver {LAN_IP}" in _content(host), 5.0, "DNS")
            host.path("/etc/resolv.conf").write_text(theirs, encoding="ascii")
            run.stop()
            assert _content(host) == theirs
            assert "resolv.conf" in run.log
    topology.restore_resolv_conf()


@pytest.mark.parametrize("offload", ["", "-no-offload"], ids=["offload", "plain"])
def test_traffic(
    host: Namespace,
    server: SoftEther,
    dhcp: Dnsmasq,
    topology: Topology,
    offload: str,
) -> None:
    """Both ways at speed: what comes out on the LAN are whole, ordinary frames."""
    capture = Capture(
        server.namespace, LAN_TAP, topology.scratch / "lan.pcap", f"src net {LAN_NET} and tcp"
    )
    with Sevpn(host, *flags(*offload.split())) as run:
        address = run.wait_address()
        host.wait_ping(LAN_IP)
        with iperf.IperfServer(server.namespace, LAN_IP):
            for down in (False, True):
                result = iperf.measure(host, LAN_IP, seconds=1.5, down=down)
                print(f"\n{'down' if down else 'up'}: {result.mbit_per_s:.0f} Mbit/s", end="")
                assert result.mbit_per_s > 50
            with capture:
                iperf.measure(host, LAN_IP, amount="8M")
        memory = run.memory_kb()
        print(f"\nafter it: RSS {memory['VmRSS']} kB, anonymous {memory['RssAnon']} kB")
        run.stop()
    ours = f"ip.src == {address}"
    assert len(capture.rows(ours, "frame.len")) > 1000
    assert capture.rows(f"{ours} && frame.len > {FRAME_MAX_BYTES}", "frame.len") == []
    # The LAN's own frames come from its kernel, which leaves checksums to the device.
    assert (
        capture.rows(
            f"{ours} && (tcp.checksum.status == 0 || ip.checksum.status == 0)", "frame.number"
        )
        == []
    )


@pytest.mark.parametrize("offload", ["", "-no-offload"], ids=["offload", "plain"])
def test_bulk_is_intact(
    host: Namespace, server: SoftEther, dhcp: Dnsmasq, topology: Topology, offload: str
) -> None:
    """64 MB each way arrive with the same checksum."""
    data = topology.scratch / "bulk"
    host.run("dd", "if=/dev/urandom", f"of={data}", "bs=1M", "count=64", "status=none")
    wanted = host.run("sha256sum", str(data)).stdout.split()[0]
    with Sevpn(host, *flags(*offload.split())) as run:
        address = run.wait_address()
        host.wait_ping(LAN_IP)
        for source, target, to in (
            (host, server.namespace, LAN_IP),
            (server.namespace, host, address),
        ):
            with target.start("python3", "-c", _RECEIVE, to) as receiver:
                receiver.wait_line("listening")
                source.run("python3", "-c", _SEND, to, str(data))
                assert receiver.wait_line(r"^[0-9a-f]{64}$", 30.0)[0] == wanted
                receiver.wait()
        run.stop()


_RECEIVE = """
import hashlib, socket, sys
with socket.create_server((sys.argv[1], 7000)) as listener:
    print("listening", flush=True)
    stream, _ = listener.accept()
    state = hashlib.sha256()
    while part := stream.recv(1 << 20):
        state.update(part)
    print(state.hexdigest())
"""
_SEND = """
import socket, sys
with socket.create_connection((sys.argv[1], 7000)) as stream, open(sys.argv[2], "rb") as file:
    stream.sendfile(file)
"""
