"""Pins, and what is said of certificates that nobody checked."""

from __future__ import annotations

import hashlib

import pytest

from sevpn.errors import CertificateError
from sevpn.io.connect import Dialer
from sevpn.io.judgement import fingerprint_text
from sevpn.io.resolve import Address, parse_literal
from support.fakeserver import FakeServer, Visit
from support.running import run
from support.tls_certs import Pair, certificates

LOCAL = parse_literal("127.0.0.1")
NOBODY = (False, bytes(32))


def dial(pair: Pair, dialer: Dialer, times: int = 1) -> None:
    def script(visit: Visit) -> None:
        visit.secure(pair)
        visit.wait_end()

    with FakeServer(*[script] * times) as server:

        async def work(loop: object) -> None:
            assert isinstance(LOCAL, Address)
            for _ in range(times):
                connection = await dialer.connect(loop, "wrong.name", server.port, [LOCAL])  # type: ignore[arg-type]
                connection.close()

        run(work)


def pin_of(pair: Pair) -> tuple[bool, bytes]:
    return False, hashlib.sha256(pair.der()).digest()


@pytest.mark.parametrize("which", ["good", "self_signed", "expired", "weak", "below"])
def test_a_pin_is_enough(which: str) -> None:
    """Whatever the chain, the name and the dates."""
    pair = getattr(certificates(), which)
    dial(pair, Dialer(False, "", [NOBODY, pin_of(pair)]))


def test_another_certificate() -> None:
    pair = certificates().good
    with pytest.raises(CertificateError, match="none of those that -cert-sha256 names") as caught:
        dial(pair, Dialer(False, str(certificates().ca), [NOBODY, (True, pin_of(pair)[1])]))
    hexadecimal = pin_of(pair)[1].hex().upper()
    assert caught.value.hint.endswith(f"-cert-sha256 {hexadecimal}")
    assert fingerprint_text(pin_of(pair)[1]) in str(caught.value)


def test_a_refusal_ends_with_the_pin() -> None:
    pair = certificates().self_signed
    with pytest.raises(CertificateError) as caught:
        dial(pair, Dialer(False, str(certificates().ca)))
    assert f"-cert-sha256 {pin_of(pair)[1].hex().upper()}" in caught.value.hint


def test_what_was_not_checked_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    pair = certificates().self_signed
    dial(pair, Dialer(True, ""), times=3)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: the server's certificate was not checked (-insecure)")
    assert line.endswith(f"-cert-sha256 {pin_of(pair)[1].hex().upper()}")
