"""A report for a person: every line as it is printed."""

from __future__ import annotations

from typing import Any

import pytest

from sevpn.commands.text import byte_size, describe, duration

BEFORE = """\
sevpn 9.9 on vpn0, process 4711
  state        connecting for 1 min 15 s, since 2026-11-22 19:33:14 UTC
  server       vpn.test, port 443: not connected
  TAP          vpn0, MAC 5e:01:02:03:04:05
  traffic      up 0 frames, 0 B
               down 0 frames, 0 B
  dropped      nothing
  so far       0 reconnects, 0 resumed sessions, 0 renewals
"""

READY = """\
sevpn 9.9 on vpn0, process 4711
  state        ready for 1 min 15 s, since 2026-11-22 19:33:14 UTC
  server       vpn.test, [2001:db8::9]:992, SoftEther 4.42
  session      SID-U-1, hub H, user u
  cipher       TLSv1.3 X
  sent by      bbr (congestion control)
  TAP          vpn0, MAC 5e:01:02:03:04:05
  address      10.77.0.50/24, gateway 10.77.0.1
  lease        from 10.77.0.2, DNS 10.77.0.1 10.77.0.2, domain lab.test
               renewal in 3 min 20 s, rebinding in 7 min 5 s, ends in 8 min 20 s
  routes       default via 10.77.0.1 dev vpn0 metric 50
               10.9.0.0/16 dev vpn0 table 200
  rules        from 10.77.0.50 table 200
  DNS set      10.77.0.1, search lab.test
  traffic      up 3 frames, 999 B
               down 4 frames, 1.2 MB
  dropped      2 by the TAP's full queue, 1 invalid
  so far       1 reconnects, 2 resumed sessions, 3 renewals
  WARNING      0.0.0.0/1 on eth0 bypasses the tunnel
  last error   it  broke (10 s ago)
"""


def route(network: str, gateway: str | None, metric: int, table: int) -> dict[str, Any]:
    where = {"interface": "vpn0", "metric": metric, "table": table}
    return {"network": network, "gateway": gateway, **where}


def test_before_the_first_connection(sample: Any) -> None:
    assert describe(sample()) == BEFORE


def test_ready(sample: Any) -> None:
    lease = {
        "address": "10.77.0.50",
        "prefix_len": 24,
        "gateway": "10.77.0.1",
        "server": "10.77.0.2",
        "dns": ["10.77.0.1", "10.77.0.2"],
        "domain": "lab.test",
        "mtu": None,
        "lease_s": 600,
        "renew_in_s": 200,
        "rebind_in_s": 425,
        "expires_in_s": 500,
    }
    counters = {
        "frames_up": 3,
        "bytes_up": 999,
        "frames_down": 4,
        "bytes_down": 1_234_567,
        "reconnects": 1,
        "resumes": 2,
        "renewals": 3,
        "tap_drops": 2,
        "drops_invalid": 1,
    }
    report = sample(
        state="ready",
        server={
            "host": "vpn.test",
            "address": "2001:db8::9",
            "port": 992,
            "product": "SoftEther 4.42",
        },
        session={
            "name": "SID-U-1",
            "hub": "H",
            "user": "u",
            "cipher": "TLSv1.3 X",
            "congestion": "bbr",
        },
        lease=lease,
        routes=[
            route("0.0.0.0/0", "10.77.0.1", 50, 254),
            route("10.9.0.0/16", None, 0, 200),
        ],
        rules=[{"from": "10.77.0.50", "table": 200}],
        dns={"servers": ["10.77.0.1"], "search": ["lab.test"]},
        hijacks=[{"network": "0.0.0.0/1", "interface": "eth0"}],
        counters=counters,
        last_error={"message": "it\n\x1bbroke", "at": "", "ago_s": 10.2},
    )
    assert describe(report) == READY
    lease["expires_in_s"] = None
    assert "\n               for ever\n" in describe(report)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.9, "59 s"), (60, "1 min 0 s"), (3661, "1 h 1 min"), (90061, "1 d 1 h")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (2_500_000, "2.5 MB"), (10**16, "10000.0 TB")],
)
def test_byte_size(count: int, text: str) -> None:
    assert byte_size(count) == text
