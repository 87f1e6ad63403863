"""Certificates for fake servers, made once for each test process by the openssl command.

EC keys, so that making all of them takes a fraction of a second. One key serves all: what
differs is what the certificate says.
"""

from __future__ import annotations

import atexit
import datetime
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
        context.set_ciphers("DEFAULT@SECLEVEL=0")  # short keys are for the client to refuse
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
    intermediate: Path  # signed by `ca`
    below: Pair  # signed by `intermediate`, shown alone
    weak: Pair  # RSA of 1024 bits, signed by `ca`
    no_server: Pair  # signed by `ca`, for clients only


def _openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, f"openssl {' '.join(arguments)}: {done.stderr}"


@functools.cache
def lifetime(days: int) -> list[str]:
    """Return the openssl words for a certificate's days, counted from now; negative ones are over.

    OpenSSL 3.4 and later refuse an end before the start, and have options for both.
    """
    if days > 0:
        return ["-days", str(days)]
    done = subprocess.run(["openssl", "x509", "-help"], capture_output=True, text=True)
    if "-not_before" not in done.stdout + done.stderr:
        return ["-days", str(days)]
    now = datetime.datetime.now(datetime.UTC)
    start, end = now + datetime.timedelta(2 * days), now + datetime.timedelta(days)
    return [
        *("-not_before", start.strftime("%Y%m%d%H%M%SZ")),
        *("-not_after", end.strftime("%Y%m%d%H%M%SZ")),
    ]


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

    def signed(name: str, alt_names: str, days: int = 30) -> Pair:
        extensions = directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName={alt_names}\n", encoding="ascii")
        cert = directory / f"{name}.pem"
        _openssl(
            *("x509", "-req", "-in", str(request), "-CA", str(ca), "-CAkey", str(key)),
            *("-CAcreateserial", "-extfile", str(extensions), *lifetime(days), "-out", str(cert)),
        )
        return Pair(cert, key)

    extended = directory / "ca.ext"
    extended.write_text("basicConstraints=critical,CA:TRUE\n", encoding="ascii")
    between_key, between = directory / "between.key", directory / "between.pem"
    _openssl("ecparam", "-genkey", "-name", "prime256v1", "-out", str(between_key))
    _openssl(
        *("req", "-new", "-key", str(between_key), "-subj", "/CN=Between"),
        *("-out", str(directory / "between.csr")),
    )
    _openssl(
        *("x509", "-req", "-in", str(directory / "between.csr"), "-CA", str(ca), "-CAkey"),
        *(str(key), "-CAcreateserial", "-extfile", str(extended), "-days", "30"),
        *("-out", str(between)),
    )

    def special(name: str, issuer: tuple[Path, Path], more: str = "", rsa_bits: int = 0) -> Pair:
        own = directory / f"{name}.key" if rsa_bits else key
        if rsa_bits:
            _openssl("genrsa", "-out", str(own), str(rsa_bits))
        csr, extensions = directory / f"{name}.csr", directory / f"{name}.ext"
        _openssl("req", "-new", "-key", str(own), "-subj", "/CN=vpn.test", "-out", str(csr))
        extensions.write_text(f"subjectAltName={NAMES}\n{more}\n", encoding="ascii")
        cert = directory / f"{name}.pem"
        _openssl(
            *("x509", "-req", "-in", str(csr), "-CA", str(issuer[0]), "-CAkey", str(issuer[1])),
            *("-CAcreateserial", "-extfile", str(extensions), "-days", "30", "-out", str(cert)),
        )
        return Pair(cert, own)

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
        expired=signed("expired", NAMES, -1),
        self_signed=alone("self_signed", "/CN=vpn.test"),
        hostile=alone("hostile", HOSTILE_SUBJECT),
        intermediate=between,
        below=special("below", (between, between_key)),
        weak=special("weak", (ca, key), rsa_bits=1024),
        no_server=special("no_server", (ca, key), "extendedKeyUsage=clientAuth"),
    )
