"""Certificates for fake servers, made once for each test process by the openssl command.

EC keys, so that making all of them takes a fraction of a second. One key serves all: what
differs is what the certificate says.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import ssl
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

NAMES = "DNS:vpn.test,IP:127.0.0.1,IP:198.51.100.10"
HOSTILE_SUBJECT = "/CN=evil\x1b[31m\nerror: forged line\r\x07.test"


class Pair(NamedTuple):
    """A certificate and its private key, as PEM files."""

    cert: Path
    key: Path

    def context(self, **versions: ssl.TLSVersion) -> ssl.SSLContext:
        """Return a server's context; `versions`: minimum_version, maximum_version."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        for name, version in versions.items():
            setattr(context, name, version)
        return context

    def der(self) -> bytes:
        """Return the certificate's bytes."""
        return ssl.PEM_cert_to_DER_cert(self.cert.read_text(encoding="ascii"))


class Certificates(NamedTuple):
    """What `certificates` made. `ca` is the file to trust."""

    ca: Path
    good: Pair
    wrong_name: Pair
    expired: Pair
    self_signed: Pair
    hostile: Pair


def _openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, f"openssl {' '.join(arguments)}: {done.stderr}"


@functools.cache
def certificates() -> Certificates:
    """Return the certificates of this process; they go when it ends."""
    directory = Path(tempfile.mkdtemp(prefix="sevpn-certs-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    key = directory / "key.pem"
    ca = directory / "ca.pem"
    _openssl(
        *("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"), "-out", str(key)
    )
    _openssl(
        *("req", "-x509", "-new", "-key", str(key), "-subj", "/CN=Test CA", "-days", "30"),
        *("-addext", "keyUsage=critical,keyCertSign,cRLSign", "-out", str(ca)),
    )
    request = directory / "server.csr"
    _openssl("req", "-new", "-key", str(key), "-subj", "/CN=vpn.test", "-out", str(request))

    def signed(name: str, alt_names: str, days: str = "30") -> Pair:
        extensions = directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName={alt_names}\n", encoding="ascii")
        cert = directory / f"{name}.pem"
        _openssl(
            *("x509", "-req", "-in", str(request), "-CA", str(ca), "-CAkey", str(key)),
            *("-CAcreateserial", "-extfile", str(extensions), "-days", days, "-out", str(cert)),
        )
        return Pair(cert, key)

    def alone(name: str, subject: str) -> Pair:
        cert = directory / f"{name}.pem"
        _openssl(
            *("req", "-x509", "-new", "-utf8", "-key", str(key), "-subj", subject),
            *("-days", "30", "-addext", f"subjectAltName={NAMES}", "-out", str(cert)),
        )
        return Pair(cert, key)

    return Certificates(
        ca=ca,
        good=signed("good", NAMES),
        wrong_name=signed("wrong_name", "DNS:elsewhere.test"),
        expired=signed("expired", NAMES, "-1"),
        self_signed=alone("self_signed", "/CN=vpn.test"),
        hostile=alone("hostile", HOSTILE_SUBJECT),
    )
