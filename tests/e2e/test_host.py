"""What this host or this network lacks: one line, the documented exit code, no traceback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lab.client import Sevpn, flags
from lab.peers import Peer
from lab.process import wait_for
from lab.server import FAR_IP, LAN_IP
from lab.topology import SERVER_IP, UNUSED_PORT
from sevpn.errors import EXIT_HOST, EXIT_NETWORK, EXIT_PROTOCOL, EXIT_USAGE

if TYPE_CHECKING:
    from lab.certs import Certificates
    from lab.dhcp import Dnsmasq
    from lab.server import SoftEther
    from lab.topology import Namespace

PEER_PORT = 8443
_NO_TUN = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /dev/net && exec "$@"', "sh")


def test_a_tun_device_is_made_where_that_is_allowed(
    host: Namespace, server: SoftEther, dhcp: Dnsmasq
) -> None:
    with Sevpn(host, *flags(), prefix=_NO_TUN) as run:
        run.wait_line("ready")
        run.stop()


def test_no_tun_device(host: Namespace) -> None:
    with Sevpn(host, *flags(), prefix=_NO_TUN, setpriv=("--bounding-set=-mknod",)) as run:
        line = run.expect_exit(EXIT_HOST)
    assert "/dev/net/tun" in line
    assert "--device /dev/net/tun" in line


def test_no_capability(host: Namespace) -> None:
    with Sevpn(host, *flags(), setpriv=("--bounding-set=-net_admin",)) as run:
        line = run.expect_exit(EXIT_HOST)
    assert "NET_ADMIN" in line


def test_only_net_admin_is_needed(host: Namespace, server: SoftEther, dhcp: Dnsmasq) -> None:
    """As in a container: root, but no other capability than NET_ADMIN."""
    few = ("--bounding-set=-all,+net_admin", "--inh-caps=-all")
    further = ("-accept-default-gateway", "-policy-route-table", "200")
    with Sevpn(host, *flags(*further), setpriv=few) as run:
        run.wait_address()
        host.wait_ping(LAN_IP)
        run.stop()


def test_name_that_does_not_resolve(host: Namespace) -> None:
    with Sevpn(host, *flags("-once", host="nobody-knows.test")) as run:
        line = run.expect_exit(EXIT_NETWORK, 30.0)
    assert "nobody-knows.test" in line


def test_refused_port(host: Namespace, server: SoftEther) -> None:
    with Sevpn(host, *flags("-once", "-port", str(UNUSED_PORT))) as run:
        line = run.expect_exit(EXIT_NETWORK)
    assert "refused" in line.lower()


def test_unreachable_network(host: Namespace) -> None:
    with Sevpn(host, *flags("-once", host="203.0.113.99")) as run:
        run.expect_exit(EXIT_NETWORK)


def test_another_https_server(
    host: Namespace, server: SoftEther, certificates: Certificates
) -> None:
    with Peer(server.namespace, "http", PEER_PORT, certificates.good):
        with Sevpn(host, *flags("-once", "-port", str(PEER_PORT))) as run:
            line = run.expect_exit(EXIT_PROTOCOL)
    assert "SoftEther" in line


def test_server_without_tls(host: Namespace, server: SoftEther) -> None:
    """What answers is plain HTTP."""
    with Peer(server.namespace, "http", PEER_PORT):
        with Sevpn(host, *flags("-once", "-port", str(PEER_PORT))) as run:
            assert "SoftEther" in run.expect_exit(EXIT_NETWORK)


def test_server_that_closes(host: Namespace, server: SoftEther) -> None:
    with Peer(server.namespace, "closing", PEER_PORT):
        with Sevpn(host, *flags("-once", "-port", str(PEER_PORT))) as run:
            assert "SoftEther" in run.expect_exit(EXIT_NETWORK)


@pytest.mark.parametrize(
    "further",
    [
        ("-port", "0"),
        ("-mac", "01:00:00:00:00:01"),
        ("-tap", "a-name-that-is-too-long"),
        ("-policy-route-table", "4294967296"),
        ("-reconnect-delay", "0"),
    ],
    ids=lambda words: words[0],
)
def test_unusable_values(host: Namespace, further: tuple[str, str]) -> None:
    with Sevpn(host, *flags(), *further) as run:
        run.expect_exit(EXIT_USAGE)


def test_two_at_once(host: Namespace, server: SoftEther, dhcp: Dnsmasq) -> None:
    """Two TAPs of one user at the same time: two MACs, two addresses, both work."""
    with Sevpn(host, *flags()) as first:
        one = first.wait_address()
        with Sevpn(host, *flags(tap="vpn1")) as second:
            two = second.wait_address()
            assert first.mac() != second.mac()
            assert one != two
            assert len(server.sessions()) == 2
            host.wait_ping(LAN_IP, source="vpn0")
            server.namespace.wait_ping(one)
            second.stop()
        host.wait_ping(LAN_IP)
        first.stop()


@pytest.mark.parametrize("first_ends_first", [False, True])
def test_two_at_once_share_the_server_route(
    host: Namespace, server: SoftEther, dhcp: Dnsmasq, first_ends_first: bool
) -> None:
    """Both pin the server's address; whoever ends first must not take it from the other."""
    with Sevpn(host, *flags()) as plain:
        plain.wait_address()
        with Sevpn(host, *flags("-accept-default-gateway", tap="vpn1")) as routed:
            routed.wait_address()
            host.wait_ping(FAR_IP)
            first, second = (plain, routed) if first_ends_first else (routed, plain)
            first.stop()
            assert _device_to(host, SERVER_IP) == "eth0"
            host.wait_ping(FAR_IP if first_ends_first else LAN_IP)
            second.stop()


def test_two_default_routes(host: Namespace, server: SoftEther, dhcp: Dnsmasq) -> None:
    """The newer one carries the traffic; when it ends, the older one does again."""
    with Sevpn(host, *flags("-accept-default-gateway")) as first:
        first.wait_address()
        host.wait_ping(FAR_IP)
        with Sevpn(host, *flags("-accept-default-gateway", tap="vpn1")) as second:
            second.wait_address()
            wait_for(lambda: _device_to(host, FAR_IP) == "vpn1", 5.0, "the newer default route")
            host.wait_ping(FAR_IP)
            assert _device_to(host, SERVER_IP) == "eth0"
            second.stop()
        assert _device_to(host, FAR_IP) == "vpn0"
        host.wait_ping(FAR_IP)
        first.stop()


def _device_to(host: Namespace, address: str) -> str:
    return str(host.ip("route", "get", address)[0]["dev"])


def test_same_tap_twice(host: Namespace, server: SoftEther, dhcp: Dnsmasq) -> None:
    with Sevpn(host, *flags()) as first:
        first.wait_address()
        with Sevpn(host, *flags()) as second:
            assert "vpn0" in second.expect_exit(EXIT_HOST)
        host.wait_ping(LAN_IP)
        first.stop()


def test_kernel_names_the_tap(host: Namespace, server: SoftEther, dhcp: Dnsmasq) -> None:
    with Sevpn(host, *flags(tap="")) as run:
        run.tap = "tap0"
        run.wait_address()
        run.stop()


def test_tap_removed_while_running(host: Namespace, server: SoftEther, dhcp: Dnsmasq) -> None:
    """Somebody deletes the interface: it ends, saying so, and undoes the rest."""
    with Sevpn(host, *flags("-accept-default-gateway", "-once")) as run:
        run.wait_address()
        host.ip_batch("link del vpn0\n")
        run.expect_exit(EXIT_HOST, 10.0)
