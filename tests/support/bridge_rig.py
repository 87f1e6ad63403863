"""A bridge between a socket pair that stands for the TAP and a TLS peer, turned by hand.

A SOCK_SEQPACKET socket keeps message borders as a TAP does; `rig.host` is the host's side
of it. The kernel's limit on unread messages plays the TAP's queue.
"""

from __future__ import annotations

import contextlib
import select
import socket

from sevpn._block import Parser
from sevpn._bridge import Bridge
from support.tls_peer import Link

VNET_HEADER = bytes(10)
MESSAGE_MAX_BYTES = 66_000


def frame(number: int, size: int = 60) -> bytes:
    """Return an Ethernet frame of no known type, told apart by its number."""
    head = b"\x5e\0\0\0\0\1\x5e\0\0\0\0\2\x88\xb5" + number.to_bytes(4, "big")
    return (head + bytes((number + at) % 251 for at in range(max(0, size - 18))))[:size]


class Rig:
    """`bridge` over `link`; close() or use as a context."""

    def __init__(
        self,
        *,
        vnet: bool = False,
        udp: bool = False,
        batch: bool = True,
        rest: bytes = b"",
        socket_bytes: int = 0,
    ) -> None:
        self.host, self.tap = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for sock in (self.host, self.tap):
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        self.vnet = vnet
        self.socket_bytes = socket_bytes  # 0: as large as the kernel makes them
        self.wake = select.epoll()
        self.bridge = Bridge(self.tap.fileno(), vnet, udp, batch)
        self.links: list[Link] = []
        self.link = self.new_link(rest)

    def new_link(self, rest: bytes = b"") -> Link:
        """Attach a fresh stream, as after a resume."""
        self.link = Link()
        self.link.shake()
        self.links.append(self.link)
        if self.socket_bytes:
            client, server = self.link.client, self.link.peer.sock
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.socket_bytes)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.socket_bytes)
        self.parser = Parser()
        self.bridge.attach(self.link.stream, rest)
        return self.link

    def run(self, timeout_ms: int = 20) -> int:
        """Let the bridge work; return its reason."""
        return self.bridge.run(self.wake.fileno(), timeout_ms)

    def send(self, plain: bytes) -> None:
        """Send tunnel bytes as the server."""
        self.link.peer.write(plain)

    def received(self) -> list[bytes]:
        """Return the frames that came to the server."""
        return self.parser.feed(self.link.peer.read())

    def host_sends(self, data: bytes) -> bool:
        """Give the TAP a frame to be read; False when its queue is full."""
        with contextlib.suppress(BlockingIOError):
            self.host.send((VNET_HEADER if self.vnet else b"") + data)
            return True
        return False

    def host_reads(self) -> list[bytes]:
        """Return what was written to the TAP, without a virtio header."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while message := self.host.recv(MESSAGE_MAX_BYTES):
                found.append(message[10:] if self.vnet else message)
        return found

    def run_until(self, reason: int, turns: int = 100) -> int:
        """Run until a reason with these bits comes up."""
        for _ in range(turns):
            found = self.run()
            if found & reason:
                return found
        raise AssertionError(f"no reason {reason} after {turns} turns")

    def __enter__(self) -> Rig:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.bridge.detach()
        for link in self.links:
            link.close()
        self.wake.close()
        self.host.close()
        self.tap.close()
