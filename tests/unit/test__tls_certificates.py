"""What OpenSSL says of a server's certificate, and where it finds the CAs."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

from sevpn._tls import Context, Stream
from support.tls_certs import certificates
from support.tls_peer import Link

if TYPE_CHECKING:
    from pathlib import Path


def verdict(
    which: str, name: bytes = b"vpn.test", *, is_ip: bool = False, trust: bool = True
) -> str:
    context = Context()
    if trust:
        assert context.trust_file(str(certificates().ca).encode())
    link = Link(getattr(certificates(), which), context=context, name=name, name_is_ip=is_ip)
    with link:
        return link.stream.verify_error()


def test_good_certificate() -> None:
    assert verdict("good") == ""
    assert verdict("good", b"VPN.test") == ""
    assert verdict("good", b"127.0.0.1", is_ip=True) == ""


@pytest.mark.parametrize(
    ("which", "name", "is_ip", "words"),
    [
        ("wrong_name", b"vpn.test", False, "hostname mismatch"),
        ("good", b"127.0.0.2", True, "IP address mismatch"),
        ("expired", b"vpn.test", False, "certificate has expired"),
        ("self_signed", b"vpn.test", False, "self-signed certificate"),
    ],
)
def test_bad_certificate(which: str, name: bytes, is_ip: bool, words: str) -> None:
    assert words in verdict(which, name, is_ip=is_ip)


def test_unknown_issuer() -> None:
    assert "issuer" in verdict("good", trust=False)


def test_trust_by_directory(tmp_path: Path) -> None:
    shutil.copy(certificates().ca, tmp_path)
    subprocess.run(["openssl", "rehash", tmp_path], check=True)
    context = Context()
    assert context.trust_directory(os.fsencode(tmp_path))
    with Link(context=context) as link:
        assert link.stream.verify_error() == ""


def test_no_file_to_trust(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    assert not Context().trust_file(os.fsencode(empty))
    assert not Context().trust_file(b"/nonexistent")


def test_trust_may_come_after_the_handshake() -> None:
    """So that a child, which has a copy of the stream, can be the one that loads the CAs."""
    context = Context()
    with Link(context=context) as link:
        assert "issuer" in link.stream.verify_error() or "self" in link.stream.verify_error()
        assert context.trust_file(str(certificates().ca).encode())
        assert link.stream.verify_error() == ""
        link.peer.write(b"on")
        assert link.stream.read() == b"on"


def test_subject_with_control_characters_is_escaped() -> None:
    with Link(certificates().hostile, context=Context(legacy=True)) as link:
        subject = link.stream.peer_subject()
        assert subject.isprintable()
        assert "forged" in subject


# --- anchors, keys, fingerprints ---


def trusted_only(which: str, anchor: Path, name: bytes = b"vpn.test") -> str:
    context = Context()
    assert context.trust_file(os.fsencode(anchor))
    with Link(getattr(certificates(), which), context=context, name=name) as link:
        return link.stream.verify_error()


def test_a_leaf_or_an_intermediate_is_an_anchor() -> None:
    """As Go and curl have it: a server that shows its leaf only leaves a user with that."""
    made = certificates()
    assert trusted_only("below", made.below.cert) == ""
    assert trusted_only("below", made.intermediate) == ""
    assert trusted_only("good", made.good.cert) == ""
    assert "issuer" in trusted_only("below", made.ca)


def test_an_anchor_is_still_judged() -> None:
    made = certificates()
    assert "hostname" in trusted_only("below", made.below.cert, b"other.test")
    assert "expired" in trusted_only("expired", made.expired.cert)
    assert "purpose" in trusted_only("no_server", made.ca)


def test_a_short_key_is_refused() -> None:
    assert "too weak" in verdict("weak")
    assert "too weak" in trusted_only("weak", certificates().weak.cert)


def test_fingerprints() -> None:
    pair = certificates().good
    with Link(pair, context=Context()) as link:
        assert link.stream.peer_fingerprint() == hashlib.sha256(pair.der()).digest()
        key = subprocess.run(
            ["openssl", "pkey", "-in", pair.key, "-pubout", "-outform", "DER"],
            check=True, capture_output=True,
        )  # fmt: skip
        assert link.stream.peer_key_fingerprint() == hashlib.sha256(key.stdout).digest()


@pytest.mark.parametrize(
    ("name", "is_ip"), [(b"", False), (b"", True), (b"a\0b", False), (b"x", True)]
)
def test_no_name_is_no_stream(name: bytes, is_ip: bool) -> None:
    """Without a name to compare, any certificate of a trusted CA would do."""
    near, far = socket.socketpair()
    with near, far, pytest.raises(ValueError, match="no name"):
        Stream(Context(), near.fileno(), name, is_ip)
