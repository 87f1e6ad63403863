"""Logging in, and being refused, by a real server."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from lab.capture import Capture
from lab.client import Sevpn, flags
from lab.server import (
    HUB_OFFLINE,
    LAN_IP,
    PASSWORD,
    USER,
    USER_ANONYMOUS,
    SoftEther,
)
from lab.topology import CLIENT_IP6, SERVER_IP, SERVER_IP6, Topology
from sevpn.errors import EXIT_NETWORK, EXIT_REFUSED

if TYPE_CHECKING:
    from lab.dhcp import Dnsmasq
    from lab.topology import Namespace


def expect_session(run: Sevpn, server: SoftEther, user: str = USER) -> None:
    """Wait for the lease, then check with the server, by a ping, and end."""
    run.wait_address()
    assert [session.user for session in server.sessions()] == [user]
    run.namespace.wait_ping(LAN_IP)
    run.stop()


def test_hashed_password(host: Namespace, server: SoftEther, dhcp: Dnsmasq) -> None:
    with Sevpn(host, *flags()) as run:
        expect_session(run, server)
    assert server.sessions() == []


def test_plain_password(host: Namespace, server: SoftEther, dhcp: Dnsmasq) -> None:
    with Sevpn(host, *flags("-plain-password")) as run:
        expect_session(run, server)


def test_wrong_plain_password_is_refused(host: Namespace, server: SoftEther) -> None:
    with Sevpn(host, *flags("-plain-password", password="wrong")) as run:
        run.expect_exit(EXIT_REFUSED)


def test_anonymous_user(host: Namespace, server: SoftEther, dhcp: Dnsmasq) -> None:
    with Sevpn(host, *flags(user=USER_ANONYMOUS, password="")) as run:
        expect_session(run, server, USER_ANONYMOUS)


def test_runs_that_begin_in_the_same_instant(
    host: Namespace, server: SoftEther, dhcp: Dnsmasq
) -> None:
    """They share a user, and have different MACs and so different addresses."""
    with contextlib.ExitStack() as all_runs:
        runs = [all_runs.enter_context(Sevpn(host, *flags(tap=f"svt{n}"))) for n in range(4)]
        addresses = {run.wait_address() for run in runs}
        assert len(addresses) == len({run.mac() for run in runs}) == 4
        for run in runs:
            run.stop()


def test_names_in_other_letters(host: Namespace, server: SoftEther, dhcp: Dnsmasq) -> None:
    """The server ignores the case of names, so the hash must too."""
    with Sevpn(host, *flags("-hub", "default", user=USER.upper())) as run:
        run.wait_address()
        assert [session.user.lower() for session in server.sessions()] == [USER]
        run.stop()


@pytest.mark.parametrize("password", ["", "pä ß €", "x" * 200], ids=["empty", "umlauts", "long"])
def test_unusual_password(host: Namespace, server: SoftEther, dhcp: Dnsmasq, password: str) -> None:
    server.create_user("odd", password)
    try:
        with Sevpn(host, *flags(user="odd", password=password)) as run:
            expect_session(run, server, "odd")
    finally:
        server.command("UserDelete odd", hub="DEFAULT")


def test_other_port(host: Namespace, server: SoftEther, dhcp: Dnsmasq) -> None:
    with Sevpn(host, *flags("-port", "992")) as run:
        expect_session(run, server)


def test_host_name(host: Namespace, server: SoftEther, dhcp: Dnsmasq) -> None:
    with Sevpn(host, *flags(host="vpn.test")) as run:
        expect_session(run, server)


@pytest.mark.parametrize("name", [SERVER_IP6, "vpn6.test"])
def test_ipv6_server(host: Namespace, server: SoftEther, dhcp: Dnsmasq, name: str) -> None:
    with Sevpn(host, *flags("-accept-default-gateway", host=name)) as run:
        run.wait_address()
        assert server.sessions()[0].source == CLIENT_IP6
        host.wait_ping(LAN_IP)
        assert host.ping(SERVER_IP6)
        run.stop()


def test_wrong_password_is_not_hammered(
    host: Namespace, server: SoftEther, topology: Topology
) -> None:
    capture = Capture(server.namespace, "eth0", topology.scratch / "refused.pcap", "tcp port 443")
    with capture:
        with Sevpn(host, *flags(password="wrong")) as run:
            line = run.expect_exit(EXIT_REFUSED)
    assert "password" in line
    assert "9" in line
    assert len(capture.rows("tcp.flags.syn == 1 && tcp.flags.ack == 0", "tcp.srcport")) == 1


def test_unknown_user(host: Namespace, server: SoftEther) -> None:
    with Sevpn(host, *flags(user="nobody")) as run:
        assert "-user" in run.expect_exit(EXIT_REFUSED)


def test_unknown_hub(host: Namespace, server: SoftEther) -> None:
    with Sevpn(host, *flags("-hub", "NOWHERE")) as run:
        assert "hub does not exist" in run.expect_exit(EXIT_REFUSED)


def test_offline_hub_once(host: Namespace, server: SoftEther) -> None:
    with Sevpn(host, *flags("-hub", HUB_OFFLINE, "-once")) as run:
        assert "offline" in run.expect_exit(EXIT_NETWORK)


def test_offline_hub_is_retried_slowly(host: Namespace, server: SoftEther) -> None:
    with Sevpn(host, *flags("-hub", HUB_OFFLINE)) as run:
        delay = run.process.wait_line(r"reconnecting in ([\d.]+) ?s")
        assert float(delay[1]) >= 60
        run.stop()


def test_nothing_secret_is_shown(host: Namespace, server: SoftEther, dhcp: Dnsmasq) -> None:
    """Neither in the log at -v nor, once it runs, in the list of processes."""
    with Sevpn(host, *flags("-v")) as run:
        run.wait_address()
        assert PASSWORD not in run.log
        listed = host.run("ps", "-o", "args=", "-p", str(run.process.pid)).stdout
        assert PASSWORD not in listed
        assert SERVER_IP in listed
        run.stop()
        assert PASSWORD not in run.log
