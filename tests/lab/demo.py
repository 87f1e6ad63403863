"""What build/demo shows: one session from start to end, checked at every step."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

from lab import iperf
from lab.client import TAP, Sevpn, flags, read_file, snapshot
from lab.dhcp import GATEWAY, NAME_SERVERS, Dnsmasq, route_option
from lab.process import LabError, wait_for
from lab.server import FAR_IP, LAN_IP, PASSWORD, USER, SoftEther
from lab.topology import SERVER_IP, Topology, leftovers

if TYPE_CHECKING:
    from lab.topology import Namespace

FLAGS = ("-accept-default-gateway", "-accept-static-routes", "-accept-dns")
PUSHED_ROUTES = (("0.0.0.0", 0), ("172.16.0.0", 12), ("198.18.5.128", 25))


def say(text: str) -> None:
    """Print a heading."""
    print(f"== {text}", flush=True)


def show(text: str) -> None:
    """Print something indented below it."""
    for line in text.strip().splitlines():
        print(f"   {line}", flush=True)


def check(condition: object, what: str) -> None:
    """Say that something was so; raises LabError when it was not."""
    if not condition:
        raise LabError(f"not so: {what}")
    show(f"ok: {what}")


def show_host(host: Namespace) -> None:
    """Print the routes, rules and the DNS configuration of the client."""
    show(host.run("ip", "-4", "-brief", "address").stdout)
    show(host.run("ip", "-4", "route").stdout)
    show(host.run("ip", "rule").stdout)
    found = read_file(host, "/etc/resolv.conf")
    show(found.content.decode() if found else "(no /etc/resolv.conf)")


def use(host: Namespace, server: SoftEther, run: Sevpn) -> None:
    """Check a session that has come up: lease, routes, DNS, ping, traffic."""
    address = run.wait_address()
    wait_for(
        lambda: f"nameserver {LAN_IP}".encode() in read_file(host, "/etc/resolv.conf").content,  # type: ignore[union-attr]
        5.0,
        "the DNS configuration",
    )
    say("what sevpn says")
    show(run.log)
    say("the client with the tunnel")
    show_host(host)
    check(address.startswith("10.77.0."), f"the lease is {address}, from the LAN's DHCP server")
    names = [session.name for session in server.sessions()]
    check(len(names) == 1, f"the server lists one session: {' '.join(names)}")
    way = host.ip("route", "get", FAR_IP)[0]
    check(way["dev"] == TAP, f"{FAR_IP}, somewhere behind the LAN, is reached through {TAP}")
    way = host.ip("route", "get", SERVER_IP)[0]
    check(way["dev"] != TAP, f"the server {SERVER_IP} is reached outside of it: no loop")
    host.wait_ping(FAR_IP)
    check(host.ping(FAR_IP, count=10), f"10 pings to {FAR_IP}, 10 answers")
    found = host.run("getent", "ahostsv4", "files.office.test").stdout.split()[0]
    check(found == LAN_IP, f"files.office.test is {found}, says the LAN's DNS")

    say("traffic through the tunnel, 3 seconds each way")
    with iperf.IperfServer(server.namespace, LAN_IP):
        for name, down in (("up", False), ("down", True)):
            rate = iperf.measure(host, LAN_IP, seconds=3, down=down)
            check(rate.bytes_moved > 0, f"{name}: {rate.mbit_per_s:.0f} Mbit/s")
    memory = run.memory_kb()
    show(f"sevpn now: {memory['VmRSS']} kB resident, {memory['RssAnon']} kB of it anonymous")


def main() -> int:
    """Show it; return the exit code."""
    with ExitStack() as stack:
        topology = stack.enter_context(Topology())
        host = topology.client
        server = stack.enter_context(SoftEther(topology.server))
        options = [*GATEWAY, *NAME_SERVERS, route_option(121, PUSHED_ROUTES)]
        stack.enter_context(Dnsmasq(topology.server, options=options))
        show(f"server {SERVER_IP}, user {USER}, LAN {LAN_IP}/24 with dnsmasq")
        say("the client before")
        show_host(host)
        before = snapshot(host)

        words = flags(*FLAGS)
        shown = " ".join("'***'" if word == PASSWORD else word for word in words)
        say(f"sevpn {shown}")
        run = stack.enter_context(Sevpn(host, *words))
        use(host, server, run)

        say("ending sevpn by SIGTERM")
        took_s = run.stop()
        check(run.process.exit_code == 0, f"exit code 0 after {took_s:.2f} s")
        differences = before.differences(snapshot(host))
        show("\n".join(differences))
        check(not differences, "addresses, routes, rules and resolv.conf are as before")
    check(not leftovers(), "no namespace and no process is left")
    say("all of that was so")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LabError as failure:
        print(f"error: {failure}", file=sys.stderr)
        for note in getattr(failure, "__notes__", []):
            print(note, file=sys.stderr)
        sys.exit(1)
