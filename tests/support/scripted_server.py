"""A VPN server and its LAN in one process: quick logins, and a DHCP server with a will.

    python -m support.scripted_server PORT CERTIFICATE KEY

Run inside a namespace. The user's name says what happens in the session:

    renew     the first renewal brings another MTU, route and name server, the second is
              refused: another address must be asked for
    anything  one lease, and no changes

A lost session cannot be resumed (error 13). Each connection is a thread; the LAN behind it
has only a gateway, which answers ARP and DHCP.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
import threading

from sevpn._block import Parser, encode_group
from sevpn.dhcp.address import parse_ip
from sevpn.dhcp.arp import REQUEST, build_arp_reply, parse_arp
from sevpn.dhcp.frame import parse_udp_frame
from sevpn.dhcp.message import decode_message
from support.dhcp_server import DhcpServer
from support.fakeserver_proto import (
    RequestParser,
    error_response,
    hello_response,
    welcome_response,
)

GATEWAY_MAC = b"\x5e\0\0\0\0\xaa"
GATEWAY = "10.77.0.1"
POOL = ["10.77.0.50", "10.77.0.51", "10.77.0.52"]
SESSION_GONE = 13

_MASK, _ROUTER, _DNS, _DOMAIN, _MTU, _ROUTES = 1, 3, 6, 15, 26, 121


def _network(dns: str, route: bytes, mtu: int) -> dict[int, bytes]:
    default = b"\0" + parse_ip(GATEWAY)
    return {
        _MASK: parse_ip("255.255.255.0"),
        _ROUTER: parse_ip(GATEWAY),
        _DNS: parse_ip(dns),
        _DOMAIN: b"office.test",
        _MTU: mtu.to_bytes(2, "big"),
        _ROUTES: route + parse_ip(GATEWAY) + default,
    }


AT_FIRST = _network(GATEWAY, b"\x10\xac\x10", 1400)  # 172.16.0.0/16
LATER = _network("10.77.0.2", b"\x10\xac\x11", 1300)  # 172.17.0.0/16


class Lan:
    """The gateway behind the tunnel: frames in, frames out."""

    def __init__(self, user: str) -> None:
        self.user = user
        self.dhcp = DhcpServer(GATEWAY_MAC, GATEWAY, list(POOL), network=AT_FIRST)
        self.renewals = 0

    def receive(self, frame: bytes) -> list[bytes]:
        """Return the answers to one frame."""
        arp = parse_arp(frame)
        if arp is not None:
            if arp.operation == REQUEST and arp.target == GATEWAY:
                return [build_arp_reply(GATEWAY_MAC, GATEWAY, arp.sender_mac, arp.sender)]
            return []
        if self.user == "renew":
            self._change_mind(frame)
        return self.dhcp.receive(frame)

    def _change_mind(self, frame: bytes) -> None:
        with contextlib.suppress(Exception):
            datagram = parse_udp_frame(frame)
            if datagram is None or datagram.destination_port != 67:
                return
            client = decode_message(datagram.payload).client
            if client == "0.0.0.0":
                return
            self.renewals += 1
            if self.renewals == 1:
                self.dhcp.network = LATER
            else:
                self.dhcp.refused.add(client)


def serve(stream: ssl.SSLSocket) -> None:
    """Serve one connection until the client ends it."""
    parser = RequestParser()
    user = ""
    while not user:
        data = stream.recv(65536)
        if not data:
            return
        for request in parser.feed(data):
            if request.is_signature():
                stream.sendall(hello_response())
                continue
            pack = request.pack()
            if pack is None or pack.str("method") != "login":
                stream.sendall(error_response(SESSION_GONE))
                return
            user = pack.str("username") or "?"
            stream.sendall(welcome_response())
    lan, blocks = Lan(user), Parser()
    data = parser.take_rest()
    while True:
        answers = [answer for frame in blocks.feed(data) for answer in lan.receive(frame)]
        if answers:
            stream.sendall(encode_group(answers))
        data = stream.recv(65536)
        if not data:
            return


def main() -> None:
    """Serve until killed."""
    port, certificate, key = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def handle(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with context.wrap_socket(connection, server_side=True) as stream:
                serve(stream)

    with socket.create_server(("", int(port))) as listener:
        print("listening", flush=True)
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=handle, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()
