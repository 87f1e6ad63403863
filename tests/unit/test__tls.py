"""TLS streams on libssl against Python's ssl as the peer."""

from __future__ import annotations

import hashlib
import os
import select
import socket
import ssl
import subprocess

import pytest

from sevpn._tls import WANT_NOTHING, WANT_READ, Context, Stream
from sevpn.errors import TransportError
from support.tls_certs import certificates
from support.tls_peer import TURNS_MAX, Link, Peer, tcp_pair

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
RECORD_BYTES = 16384


def link_of(version: ssl.TLSVersion) -> Link:
    return Link(minimum_version=version, maximum_version=version)


def read_all(stream: Stream, size: int) -> bytes:
    """Read until `size` bytes came; the peer has sent them already."""
    data = b""
    for _ in range(20 * TURNS_MAX):
        part = stream.read()
        if part == b"":
            break
        data += part or b""
        if len(data) >= size:
            break
        if part is None:
            select.select([stream.fileno()], [], [], 1)
    return data


@pytest.mark.parametrize(("version", "name"), [(V12, "TLSv1.2 "), (V13, "TLSv1.3 TLS_AES_")])
def test_handshake_and_both_directions(version: ssl.TLSVersion, name: str) -> None:
    with link_of(version) as link:
        assert link.stream.cipher().startswith(name)
        assert link.stream.write(b"up") == 2
        assert link.stream.flush()
        assert link.peer.read() == b"up"
        assert link.stream.read() is None
        link.peer.write(b"down")
        assert link.stream.read() == b"down"
        assert link.stream.read() is None


def test_before_the_handshake() -> None:
    link = Link()
    assert link.stream.peer_certificate() == b""
    assert link.stream.peer_fingerprint() == b""
    assert link.stream.peer_subject() == ""
    assert link.stream.cipher() == ""
    assert set(link.stream.counters().values()) == {0}
    assert link.stream.handshake() == WANT_READ
    link.close()


def test_what_the_server_showed() -> None:
    with Link() as link:
        der = certificates().good.der()
        assert link.stream.peer_certificate() == der
        assert link.stream.peer_fingerprint() == hashlib.sha256(der).digest()
        assert link.stream.peer_subject() == "/CN=vpn.test"
        assert link.stream.fileno() == link.client.fileno()


def test_server_name_is_sent_for_names_only() -> None:
    seen: list[str | None] = []
    for name, is_ip in ((b"vpn.test", False), (b"127.0.0.1", True)):
        link = Link(name=name, name_is_ip=is_ip)
        context = certificates().good.context()
        context.sni_callback = lambda _tls, sni, _context: seen.append(sni)
        link.peer = Peer(link.peer.sock, context)
        link.shake()
        link.close()
    assert seen == ["vpn.test", None]


def test_old_versions_are_refused() -> None:
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        link = Link(minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)
    with pytest.raises((TransportError, ssl.SSLError)):
        link.shake()
    link.close()


# --- records, calls and buffers ---


@pytest.mark.parametrize("version", [V12, V13])
def test_many_records_in_one_send(version: ssl.TLSVersion) -> None:
    with link_of(version) as link:
        link.client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        before = link.stream.counters()
        data = os.urandom(5 * RECORD_BYTES)
        assert link.stream.write(data) == len(data)
        assert link.stream.flush()
        after = link.stream.counters()
        assert after["records_out"] - before["records_out"] == 5
        assert after["send_calls"] - before["send_calls"] == 1
        assert after["bytes_out"] - before["bytes_out"] > len(data)
        assert link.peer.read() == data


def test_one_recv_brings_many_records() -> None:
    with Link() as link:
        data = os.urandom(5 * 1000)
        for at in range(0, len(data), 1000):
            link.peer.tls.write(data[at : at + 1000])
        link.peer.give()
        before = link.stream.counters()["recv_calls"]
        got = [link.stream.read() for _ in range(5)]
        assert b"".join(part or b"" for part in got) == data
        assert link.stream.counters()["recv_calls"] - before == 1


@pytest.mark.parametrize("cut", [1, 5, 37, 1500])
def test_ciphertext_cut_anywhere(cut: int) -> None:
    with Link() as link:
        data = os.urandom(2000)
        link.peer.tls.write(data)
        got = b""
        while link.peer.outgoing.pending:
            link.peer.give(cut)
            got += link.stream.read() or b""
        assert got == data


def test_handshake_byte_by_byte() -> None:
    link = Link()
    for _ in range(50_000):
        done = link.stream.handshake()
        if link.peer.outgoing.pending:
            link.peer.give(1)
        elif done == WANT_NOTHING:
            break
        else:
            link.peer.take()
            try:
                link.peer.tls.do_handshake()
            except ssl.SSLWantReadError:
                pass
    assert done == WANT_NOTHING
    link.close()


def test_peer_that_does_not_read() -> None:
    """Bounded memory: the out buffer takes 13 records, then nothing until it is sent."""
    with Link() as link:
        total = 0
        for _ in range(10_000):
            put = link.stream.write(bytes(RECORD_BYTES))
            total += put
            link.stream.flush()
            if put == 0:
                break
        assert link.stream.write(b"x") == 0
        assert not link.stream.flush()
        waiting = total - link.stream.counters()["bytes_out"]
        assert waiting <= 6 * RECORD_BYTES
        # Once it reads, everything comes, in order and whole.
        got = 0
        for _ in range(10_000):
            got += len(link.peer.read())
            if link.stream.flush() and got == total:
                break
        assert got == total
        assert link.stream.write(b"x") == 1


def test_partial_writes_resume() -> None:
    left, right = socket.socketpair()
    left.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    with Link(sockets=(left, right)) as link:
        data = os.urandom(5 * RECORD_BYTES)
        assert link.stream.write(data) == len(data)
        got, calls = b"", 0
        while not link.stream.flush() or len(got) < len(data):
            got += link.peer.read()
            calls += 1
            assert calls < 10_000
        assert got == data
        assert calls > 3


def test_empty_write() -> None:
    with Link() as link:
        assert link.stream.write(b"") == 0
        assert link.stream.flush()


def test_small_read_limit() -> None:
    with Link() as link:
        link.peer.write(b"abcdef")
        assert link.stream.read(4) == b"abcd"
        assert link.stream.read(4) == b"ef"


# --- the end ---


@pytest.mark.parametrize("version", [V12, V13])
def test_clean_end(version: ssl.TLSVersion) -> None:
    with link_of(version) as link:
        link.peer.write(b"last")
        link.peer.close_notify()
        assert link.stream.read() == b"last"
        assert link.stream.read() == b""
        assert link.stream.read() == b""


@pytest.mark.parametrize("version", [V12, V13])
def test_ragged_end(version: ssl.TLSVersion) -> None:
    with link_of(version) as link:
        link.peer.write(b"last")
        link.peer.sock.close()
        assert read_all(link.stream, 5) == b"last"
        assert link.stream.read() == b""


def test_end_within_a_record() -> None:
    with Link() as link:
        link.peer.tls.write(bytes(1000))
        link.peer.give(500)
        link.peer.sock.close()
        assert read_all(link.stream, 1) == b""


def test_reset() -> None:
    with Link() as link:
        link.peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        link.peer.sock.close()
        with pytest.raises(TransportError, match="reset"):
            read_all(link.stream, 1)
        # After that every call fails in the same way, none crashes.
        with pytest.raises(TransportError):
            link.stream.read()
        with pytest.raises(TransportError):
            link.stream.write(b"x")
        link.stream.shutdown()


def test_write_to_a_closed_peer() -> None:
    with Link() as link:
        link.peer.sock.close()

        def insist() -> None:
            for _ in range(100):
                link.stream.write(bytes(1000))
                link.stream.flush()

        with pytest.raises(TransportError):
            insist()


def test_garbage_within_the_stream() -> None:
    with Link() as link:
        link.peer.sock.send(b"\x17\x03\x03\x00\x20" + bytes(32))
        with pytest.raises(TransportError, match="connection lost: .*(mac|record)"):
            read_all(link.stream, 1)


@pytest.mark.parametrize("version", [V12, V13])
def test_close_notify_is_sent(version: ssl.TLSVersion) -> None:
    with link_of(version) as link:
        link.stream.write(b"bye")
        link.stream.shutdown()
        link.stream.shutdown()
        link.peer.take()
        assert link.peer.tls.read(10) == b"bye"
        try:
            end = link.peer.tls.read(10)
        except ssl.SSLZeroReturnError:
            end = b""
        assert end == b""


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", bytes(64)]
)
def test_peer_that_is_no_tls(answer: bytes) -> None:
    link = Link()
    link.stream.handshake()
    link.peer.sock.send(answer)
    with pytest.raises(TransportError, match="^TLS handshake failed: "):
        link.stream.handshake()
    link.close()


def test_eof_within_the_handshake() -> None:
    link = Link()
    link.stream.handshake()
    link.peer.sock.close()
    with pytest.raises(TransportError, match="closed the connection|reset"):
        link.shake()
    link.close()


def test_key_update_is_answered() -> None:
    """OpenSSL's own server asks for new keys in both directions, data before and after."""
    pair = certificates().good
    server = subprocess.Popen(
        [
            *("openssl", "s_server", "-accept", "127.0.0.1:0", "-naccept", "1"),
            *("-cert", str(pair.cert), "-key", str(pair.key)),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    with server, server.stdin as commands, server.stdout as output:
        line = b""
        while not line.startswith(b"ACCEPT"):
            line = output.readline()
        client = socket.create_connection(("127.0.0.1", int(line.rpartition(b":")[2])))
        client.setblocking(False)
        stream = Stream(Context(), client.fileno(), b"vpn.test", False)
        while (want := stream.handshake()) != WANT_NOTHING:
            select.select([client] if want == WANT_READ else [], [], [], 5)
        # With this all of the handshake has come: what can be read later is the update.
        commands.write(b"zero\n")
        commands.flush()
        assert read_all(stream, 5) == b"zero\n"
        for text in (b"one\n", b"two\n"):
            # A line of K alone: update, and ask the other side to do so too. Two lines in one
            # read would be one command to the server, so it has to have taken the first.
            commands.write(b"K\n")
            commands.flush()
            assert select.select([client], [], [], 20)[0], "no update came"
            commands.write(text)
            commands.flush()
            assert read_all(stream, 4) == text
            stream.write(b"echo " + text)
            assert stream.flush()
            while line.strip() != b"echo " + text.strip():
                line = output.readline()
                assert line, "the server ended"
        stream.shutdown()
        client.close()
        server.terminate()


def test_many_streams_leak_no_descriptor() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        with Link() as link:
            link.stream.write(b"x")
    assert len(os.listdir("/proc/self/fd")) <= before  # garbage of others may go


def test_tcp_pair_is_what_it_says() -> None:
    left, right = tcp_pair()
    left.send(b"x")
    assert right.recv(1) == b"x"
    left.close()
    right.close()
