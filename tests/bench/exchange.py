"""The programs of the correctness run, standing alone: each end of TCP streams and of UDP.

  exchange.py serve PORT                       TCP streams and a UDP echo, on all addresses
  exchange.py stream up|down ADDRESS PORT BYTES SEED
  exchange.py datagrams ADDRESS PORT SECONDS   prints JSON: sent, received, wrong, twice

A stream is random pieces of a random buffer in writes of random sizes; both ends hash what
they sent or read, and `stream` ends with 0 only when the hashes are equal.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import select
import signal
import socket
import sys
import time
import zlib

POOL_BYTES = 8 << 20
WRITE_SIZES = (1, 7, 100, 536, 1000, 1448, 1449, 4096, 20_000, 65_536, 200_000, 1 << 20)
WEIGHTS = (1, 1, 2, 2, 2, 4, 4, 6, 12, 20, 30, 20)
READ_SIZES = (1, 1000, 16_384, 65_536, 262_144)
READ_WEIGHTS = (1, 2, 10, 30, 60)
DATAGRAM_GAP_S = 0.004


def send_stream(sock: socket.socket, size: int, seed: int) -> str:
    """Send `size` bytes; return their hash."""
    chance, digest = random.Random(seed), hashlib.sha256()
    pool = memoryview(chance.randbytes(POOL_BYTES))
    left = size
    while left:
        part = min(left, chance.choices(WRITE_SIZES, WEIGHTS)[0])
        at = chance.randrange(POOL_BYTES - part)
        piece = pool[at : at + part]
        digest.update(piece)
        sock.sendall(piece)
        left -= part
    return digest.hexdigest()


def receive_stream(sock: socket.socket, size: int, seed: int) -> str:
    """Read `size` bytes; return their hash."""
    chance, digest = random.Random(~seed), hashlib.sha256()
    buffer = memoryview(bytearray(READ_SIZES[-1]))
    left = size
    while left:
        wanted = min(left, chance.choices(READ_SIZES, READ_WEIGHTS)[0])
        got = sock.recv_into(buffer[:wanted])
        if not got:
            raise EOFError(f"{left} bytes are missing")
        digest.update(buffer[:got])
        left -= got
    return digest.hexdigest()


def read_line(sock: socket.socket) -> str:
    """Read up to a newline."""
    line = b""
    while not line.endswith(b"\n"):
        part = sock.recv(1)
        if not part:
            raise EOFError
        line += part
    return line.decode().strip()


def serve_one(sock: socket.socket) -> None:
    """Serve one stream: a line "up|down BYTES SEED", the bytes, and a line with the hash."""
    way, size, seed = read_line(sock).split()
    move = receive_stream if way == "up" else send_stream
    sock.sendall(f"{move(sock, int(size), int(seed))}\n".encode())
    sock.close()


def serve(port: int) -> None:
    """Serve streams, each in a child, and echo datagrams, until killed."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    echo = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    echo.bind(("0.0.0.0", port))
    print("ready", flush=True)
    while True:
        for ready in select.select([listener, echo], [], [])[0]:
            if ready is echo:
                data, peer = echo.recvfrom(2048)
                echo.sendto(data, peer)
                continue
            sock, _ = listener.accept()
            if os.fork() == 0:
                serve_one(sock)
                os._exit(0)
            sock.close()


def stream(way: str, address: str, port: int, size: int, seed: int) -> int:
    """Move one stream; return 0 when both ends have the same hash."""
    with socket.create_connection((address, port), 10) as sock:
        sock.settimeout(60)
        sock.sendall(f"{way} {size} {seed}\n".encode())
        move = send_stream if way == "up" else receive_stream
        ours, theirs = move(sock, size, seed), read_line(sock)
    print(f"{way} {address} {size} bytes {ours} {'equal' if ours == theirs else theirs}")
    return 0 if ours == theirs else 1


def datagrams(address: str, port: int, seconds: float) -> None:
    """Send datagrams with a number and a checksum of random sizes; judge the echo."""
    chance, sent, wrong, twice = random.Random(1), 0, 0, 0
    seen: set[int] = set()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((address, port))
        end_s, next_s = time.monotonic() + seconds, time.monotonic()
        while (now_s := time.monotonic()) < end_s + 1:
            if now_s >= next_s and now_s < end_s:
                body = sent.to_bytes(8, "big") + chance.randbytes(chance.randrange(1460))
                sock.send(zlib.crc32(body).to_bytes(4, "big") + body)
                sent, next_s = sent + 1, next_s + DATAGRAM_GAP_S
            if not select.select([sock], [], [], max(0.0, min(next_s - now_s, 0.1)))[0]:
                continue
            data = sock.recv(2048)
            number = int.from_bytes(data[4:12], "big")
            wrong += zlib.crc32(data[4:]) != int.from_bytes(data[:4], "big") or number >= sent
            twice += number in seen
            seen.add(number)
    print(json.dumps({"sent": sent, "received": len(seen), "wrong": wrong, "twice": twice}))


def main() -> int:
    """Run what the arguments say."""
    what, *rest = sys.argv[1:]
    if what == "serve":
        serve(int(rest[0]))
    elif what == "stream":
        return stream(rest[0], rest[1], int(rest[2]), int(rest[3]), int(rest[4]))
    elif what == "datagrams":
        datagrams(rest[0], int(rest[1]), float(rest[2]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
