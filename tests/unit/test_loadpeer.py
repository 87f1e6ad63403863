"""The load generator speaks the protocol: login, groups, ARP, ping and its own TCP."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sevpn._block import Parser, encode_group
from sevpn.proto.pack import Pack
from support import oracle_offload as oracle
from support.packets import ACK, FIN, SYN, build, ones_sum
from support.require import require

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.no_sanitizer

ROOT = Path(__file__).resolve().parent.parent.parent
HOST_IP, CLIENT_IP = b"\x0a\x63\0\1", b"\x0a\x63\0\2"
MAC = b"\x5e\0\0\0\0\2"
HOST_MAC = b"\x5e\x99\0\0\0\1"


@pytest.fixture
def peer(
    tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A running load peer that ends after one client, and its port."""
    further = getattr(request, "param", [])
    require(shutil.which("cc") and shutil.which("openssl"), "needs a C compiler and openssl")
    program = subprocess.check_output([str(ROOT / "build/loadpeer/make")], text=True).strip()
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-keyout", str(key), "-out", str(certificate), "-days", "2"),
            *("-subj", "/CN=load"),
        ],
        check=True,
        capture_output=True,
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    files = ["-cert", str(certificate), "-key", str(key)]
    with subprocess.Popen(
        [program, *files, "-listen", "127.0.0.1", "-port", str(port), "-verify", "-once", *further],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            assert running.stderr is not None
            assert running.stderr.readline() == "ready\n"
            yield running, port
        finally:
            running.kill()


class Client:
    """As little of a client as a test needs."""

    def __init__(self, port: int) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        plain = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.stream = context.wrap_socket(plain)
        self.parser = Parser()
        self.frames: list[bytes] = []

    def ask(self, target: str, body: bytes) -> Pack:
        head = f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        return Pack.from_bytes(self.exchange(head.encode() + body))

    def exchange(self, request: bytes) -> bytes:
        self.stream.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self.stream.recv(1)
        size = int(answer.split(b"Content-Length: ")[1].split(b"\r")[0])
        body = b""
        while len(body) < size:
            body += self.stream.recv(size - len(body))
        return body

    def send(self, *frames: bytes) -> None:
        self.stream.sendall(encode_group(list(frames)))

    def next_frame(self) -> bytes:
        deadline_s = time.monotonic() + 60  # keepalives go on coming
        while not self.frames:
            assert time.monotonic() < deadline_s
            self.frames += self.parser.feed(self.stream.recv(1 << 16))
        return self.frames.pop(0)


def segment(seq: int, flags: int, payload: bytes = b"", ack: int = 2) -> bytes:
    return build(
        payload,
        macs=HOST_MAC + MAC,
        source=CLIENT_IP,
        target=HOST_IP,
        ports=(40000, 9),
        seq=seq,
        ack=ack,
        flags=flags,
    )


def tcp_of(frame: bytes) -> tuple[int, int, int]:
    """Return flags, sequence number and acknowledgement of a segment with right checksums."""
    parts = oracle.take_apart(frame)
    assert parts is not None
    assert ones_sum(parts.ip) == 0xFFFF
    assert ones_sum(parts.pseudo() + parts.header + parts.payload) == 0xFFFF
    header = parts.header
    return header[13], int.from_bytes(header[4:8], "big"), int.from_bytes(header[8:12], "big")


def test_a_session(peer: tuple[subprocess.Popen[str], int]) -> None:
    running, port = peer
    client = Client(port)
    # What the official client asks first, and looks for in the answer.
    page = client.exchange(b"GET / HTTP/1.1\r\nX-VPN: 1\r\n\r\n")
    assert page == b"9C37197CA7C2428388C2E6E59B829B30"
    hello = client.ask("/vpnsvc/connect.cgi", b"VPNCONNECT")
    assert len(hello.data("random")) == 20
    welcome = client.ask("/vpnsvc/vpn.cgi", bytes(4))
    assert welcome.int("use_encrypt") == 1

    who_has = (
        b"\xff" * 6 + MAC + b"\x08\x06\0\1\x08\0\6\4\0\1" + MAC + CLIENT_IP + bytes(6) + HOST_IP
    )
    client.send(who_has)
    assert client.next_frame()[22:32] == HOST_MAC + HOST_IP

    client.send(segment(100, SYN, ack=0))
    assert tcp_of(client.next_frame()) == (SYN | ACK, 1, 101)
    client.send(segment(101, ACK, b"a" * 500), segment(601, ACK, b"b" * 700))
    assert tcp_of(client.next_frame()) == (ACK, 2, 1301)  # one for both
    client.send(segment(1401, ACK, b"c"))
    assert tcp_of(client.next_frame()) == (ACK, 2, 1301)  # a gap
    client.send(segment(1301, ACK | FIN))
    assert tcp_of(client.next_frame()) == (FIN | ACK, 2, 1302)
    client.stream.close()

    out, _ = running.communicate(timeout=60)
    counts = json.loads(out)
    assert counts["frames_in"] == 6
    assert counts["groups_in"] == 5
    assert counts["largest_group"] == 2
    assert counts["tcp_bytes_in"] == 1200
    assert counts["tcp_gaps"] == 1
    assert counts["bad_checksums"] == counts["framing_errors"] == 0
    assert counts["records_in"] >= 7


@pytest.mark.parametrize("peer", [["-single"]], indirect=True)
def test_a_record_for_each_frame(peer: tuple[subprocess.Popen[str], int]) -> None:
    running, port = peer
    client = Client(port)
    client.ask("/vpnsvc/connect.cgi", b"VPNCONNECT")
    client.ask("/vpnsvc/vpn.cgi", bytes(4))
    start = build(
        b"200 0.2 0",
        macs=HOST_MAC + MAC,
        source=CLIENT_IP,
        target=HOST_IP,
        ports=(40000, 19),
        protocol=17,
    )
    client.send(start)
    frames = [client.next_frame() for _ in range(20)]
    assert [int.from_bytes(one[42:50], "big") for one in frames] == list(range(20))
    client.stream.close()
    out, _ = running.communicate(timeout=60)
    counts = json.loads(out)
    # Frames that waited when we left (a group's worth) were counted, but not sent.
    assert 20 <= counts["groups_out"] <= counts["frames_out"] <= counts["groups_out"] + 128
    assert counts["records_out"] >= counts["groups_out"]
