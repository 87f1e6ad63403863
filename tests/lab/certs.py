"""Certificates for the server, made with the openssl command: good ones and bad ones.

`make(directory)` takes about a second (EC keys) and gives a CA and pairs for the names in
`lab.topology.HOSTS`. SoftEther takes RSA only, so its pairs are RSA.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, NamedTuple

from lab.process import LabError
from lab.topology import SERVER_IP, SERVER_IP6
from support.tls_certs import lifetime

if TYPE_CHECKING:
    from pathlib import Path

NAMES = f"DNS:vpn.test,DNS:vpn6.test,IP:{SERVER_IP},IP:{SERVER_IP6}"


class Pair(NamedTuple):
    """A certificate and its private key, as PEM files."""

    cert: Path
    key: Path


class Certificates(NamedTuple):
    """What `make` made. `ca` is the file to trust."""

    ca: Path
    good: Pair
    wrong_name: Pair
    expired: Pair
    self_signed: Pair


def _openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"openssl {' '.join(arguments)}: {done.stderr}")


def _key(path: Path) -> Path:
    _openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", str(path))
    return path


def _request(key: Path, name: str) -> Path:
    path = key.with_suffix(".csr")
    _openssl("req", "-new", "-key", str(key), "-subj", f"/CN={name}", "-out", str(path))
    return path


def make(directory: Path) -> Certificates:
    """Make all of them below `directory`."""
    ca_key, ca = _key(directory / "ca.key"), directory / "ca.pem"
    _openssl(
        *("req", "-x509", "-new", "-key", str(ca_key), "-subj", "/CN=Lab CA", "-days", "30"),
        *("-addext", "keyUsage=critical,keyCertSign,cRLSign", "-out", str(ca)),
    )
    # One key serves all: what differs is what the certificate says.
    key = _key(directory / "server.key")
    request = _request(key, "vpn.test")

    def signed(name: str, alt_names: str, days: int = 30, *further: str) -> Pair:
        extensions = directory / f"{name}.ext"
        extensions.write_text(
            f"subjectAltName={alt_names}\nextendedKeyUsage=serverAuth\n", encoding="ascii"
        )
        cert = directory / f"{name}.pem"
        _openssl(
            *("x509", "-req", "-in", str(request), "-CA", str(ca), "-CAkey", str(ca_key)),
            *("-CAcreateserial", "-extfile", str(extensions), *lifetime(days), "-out", str(cert)),
            *further,
        )
        return Pair(cert, key)

    self_signed = directory / "self_signed.pem"
    _openssl(
        *("req", "-x509", "-new", "-key", str(key), "-subj", "/CN=vpn.test", "-days", "30"),
        *("-addext", f"subjectAltName={NAMES}", "-out", str(self_signed)),
    )
    return Certificates(
        ca=ca,
        good=signed("good", NAMES),
        wrong_name=signed("wrong_name", "DNS:elsewhere.test"),
        expired=signed("expired", NAMES, -1),
        self_signed=Pair(self_signed, key),
    )


def sha256_of(cert: Path) -> str:
    """Return the certificate's SHA-256 in lower-case hexadecimal digits."""
    done = subprocess.run(
        ["openssl", "x509", "-in", str(cert), "-noout", "-fingerprint", "-sha256"],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip().partition("=")[2].replace(":", "").lower()
