"""A DHCP server of a page, for what dnsmasq will not do: 20-second leases, NAKs at will.

Run inside the server's namespace by `SmallDhcp(topology.server, lease_s=20)`. It gives
the addresses of one range in order, the same one to the same MAC, and prints a line per
message: "DISCOVER mac", "OFFER mac address", "REQUEST mac address select|reboot|renew",
"ACK mac address", "NAK mac address", "RELEASE mac address", "DECLINE mac address".
"""

from __future__ import annotations

import argparse
import socket
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from lab.process import Process
    from lab.topology import Namespace

MESSAGES = {1: "DISCOVER", 3: "REQUEST", 4: "DECLINE", 7: "RELEASE", 8: "INFORM"}
OFFER, ACK, NAK = 2, 5, 6
_MAGIC = b"\x63\x82\x53\x63"
_HEAD = struct.Struct("!4BIHH4s4s4s4s16s64s128s4s")  # RFC 2131 section 2, with the cookie


class SmallDhcp:
    """The server as a process; a context manager. `arguments` as in `_arguments` below."""

    def __init__(self, namespace: Namespace, *arguments: str) -> None:
        self.namespace = namespace
        self.arguments = arguments
        self.process: Process

    def __enter__(self) -> Self:
        self.process = self.namespace.start(
            sys.executable, "-u", str(Path(__file__).resolve()), *self.arguments
        )
        self.process.wait_line("^serving$", 5.0)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--interface", default="tap_lan")
    parser.add_argument("--server", default="10.77.0.1")
    parser.add_argument("--first", default="10.77.0.50", help="the first address to give")
    parser.add_argument("--lease", type=int, default=20, help="seconds; T1 is half of it")
    parser.add_argument("--router", default="10.77.0.1")
    parser.add_argument("--naks", type=int, default=0, help="refuse so many renewals, then move on")
    parser.add_argument("--deaf-to-renewals", action="store_true", help="leases expire")
    return parser.parse_args()


def _options(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    position = 0
    while position + 1 < len(data) and data[position] != 255:
        if data[position] == 0:
            position += 1
            continue
        length = data[position + 1]
        found[data[position]] = data[position + 2 : position + 2 + length]
        position += 2 + length
    return found


class _Server:
    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.me = socket.inet_aton(arguments.server)
        self.next_address = int.from_bytes(socket.inet_aton(arguments.first))
        self.naks = arguments.naks
        self.leases: dict[bytes, bytes] = {}
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        name = arguments.interface.encode()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name)
        self.socket.bind(("", 67))

    def address_for(self, mac: bytes) -> bytes:
        if mac not in self.leases:
            self.leases[mac] = self.next_address.to_bytes(4)
            self.next_address += 1
        return self.leases[mac]

    def answer(self, head: tuple[bytes, ...], kind: int, address: bytes) -> None:
        mac, client_address = head[11][:6], head[7]
        body = bytes([53, 1, kind, 54, 4]) + self.me
        if kind != NAK:
            lease_s = self.arguments.lease
            body += b"\x33\x04" + lease_s.to_bytes(4) + b"\x01\x04\xff\xff\xff\x00"
            body += b"\x3a\x04" + (lease_s // 2).to_bytes(4)
            body += b"\x3b\x04" + (lease_s * 7 // 8).to_bytes(4)
            body += b"\x03\x04" + socket.inet_aton(self.arguments.router)
        message = _HEAD.pack(
            *(2, 1, 6, 0, head[4], 0, head[6], client_address, address, self.me, head[10]),
            *(head[11], b"", b"", _MAGIC),
        )
        # A NAK is broadcast, and so is everything to a client without an address.
        to = "255.255.255.255"
        if client_address != bytes(4) and kind == ACK:
            to = socket.inet_ntoa(client_address)
        name = {OFFER: "OFFER", ACK: "ACK", NAK: "NAK"}[kind]
        print(name, mac.hex(":"), socket.inet_ntoa(address))
        self.socket.sendto(message + body + b"\xff", (to, 68))

    def handle(self, data: bytes) -> None:
        if len(data) < _HEAD.size:
            return
        head = _HEAD.unpack_from(data)
        options = _options(data[_HEAD.size :])
        kind, mac, client_address = options.get(53, b"\0")[0], head[11][:6], head[7]
        wanted = options.get(50, client_address)
        text = f"{MESSAGES.get(kind, kind)} {mac.hex(':')} {socket.inet_ntoa(wanted)}"
        how = "select" if 54 in options else "reboot" if 50 in options else "renew"
        print(f"{text} {how}" if kind == 3 else text)
        if kind == 1:
            self.answer(head, OFFER, self.address_for(mac))
        elif kind == 3 and options.get(54, self.me) == self.me:
            if how == "renew" and self.arguments.deaf_to_renewals:
                return
            if how == "renew" and self.naks:
                self.naks -= 1
                self.leases.pop(mac, None)
                self.answer(head, NAK, bytes(4))
            elif wanted == self.address_for(mac):
                self.answer(head, ACK, wanted)
            else:
                self.answer(head, NAK, bytes(4))


def main() -> None:
    """Serve until killed."""
    server = _Server(_arguments())
    print("serving")
    while True:
        server.handle(server.socket.recv(4096))


if __name__ == "__main__":
    main()
