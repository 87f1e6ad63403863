"""Send or receive known bytes by TCP or UDP; for tests across network namespaces.

    python -m support.traffic receive tcp|udp ADDRESS PORT BYTES
    python -m support.traffic send    tcp|udp ADDRESS PORT BYTES

The receiver prints "ready", then the SHA-256 of what it got. UDP is sent by the kernel's
own segmentation (UDP_SEGMENT), DATAGRAM_BYTES each, and received without UDP_GRO.
"""

from __future__ import annotations

import hashlib
import random
import socket
import sys
import time

DATAGRAM_BYTES = 1400
DATAGRAMS_AT_ONCE = 40
UDP_SEGMENT = 103
SO_RCVBUFFORCE = 33
SILENCE_S = 10.0


def known_bytes(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def digest(size: int) -> str:
    """Return what a receiver of `size` bytes must print."""
    return hashlib.sha256(known_bytes(size)).hexdigest()


def family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def send(kind: str, address: str, port: int, size: int) -> None:
    data = known_bytes(size)
    if kind == "tcp":
        with socket.create_connection((address, port), timeout=SILENCE_S) as connection:
            connection.sendall(data)
        return
    with socket.socket(family(address), socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, DATAGRAM_BYTES)
        sender.connect((address, port))
        step = DATAGRAM_BYTES * DATAGRAMS_AT_ONCE
        for at in range(0, size, step):
            sender.send(data[at : at + step])
            time.sleep(0.002)  # nothing else paces UDP, and a lost datagram fails the test


def receive(kind: str, address: str, port: int, size: int) -> None:
    sha = hashlib.sha256()
    stream = socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM
    with socket.socket(family(address), stream) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if kind == "udp":
            listener.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 25)
        listener.bind((address, port))
        listener.settimeout(SILENCE_S)
        if kind == "tcp":
            listener.listen()
        print("ready", flush=True)
        source = listener.accept()[0] if kind == "tcp" else listener
        got = 0
        while got < size:
            data = source.recv(1 << 16)
            if not data or (kind == "udp" and len(data) > DATAGRAM_BYTES):
                sys.exit(f"after {got} bytes: a piece of {len(data)}")
            sha.update(data)
            got += len(data)
    print(sha.hexdigest(), flush=True)


if __name__ == "__main__":
    does = {"send": send, "receive": receive}[sys.argv[1]]
    does(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
