"""The server's certificate: what is accepted, and what a refusal says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lab import certs
from lab.client import Sevpn, flags
from lab.topology import SERVER_IP, SERVER_IP6
from sevpn.errors import EXIT_CERTIFICATE

if TYPE_CHECKING:
    from pathlib import Path

    from lab.dhcp import Dnsmasq
    from lab.server import SoftEther
    from lab.topology import Namespace


def verifying(*further: str, host: str = "vpn.test") -> list[str]:
    """Return the usual flags without -insecure."""
    return [flag for flag in flags(*further, host=host) if flag != "-insecure"]


def trusting(ca: Path) -> dict[str, str]:
    return {"SSL_CERT_FILE": str(ca)}


@pytest.mark.parametrize("name", ["vpn.test", "VPN.Test", SERVER_IP, "vpn6.test", SERVER_IP6])
def test_good(
    host: Namespace,
    server: SoftEther,
    dhcp: Dnsmasq,
    certificates: certs.Certificates,
    name: str,
) -> None:
    server.set_certificate(*certificates.good)
    with Sevpn(host, *verifying(host=name), env=trusting(certificates.ca)) as run:
        run.wait_address()
        run.stop()


def test_good_by_directory(
    host: Namespace,
    server: SoftEther,
    dhcp: Dnsmasq,
    certificates: certs.Certificates,
    tmp_path: Path,
) -> None:
    """SSL_CERT_DIR: a directory of hashed links, as c_rehash makes it."""
    (tmp_path / "ca.pem").write_bytes(certificates.ca.read_bytes())
    host.run("openssl", "rehash", str(tmp_path))
    server.set_certificate(*certificates.good)
    with Sevpn(host, *verifying(), env={"SSL_CERT_DIR": str(tmp_path)}) as run:
        run.wait_address()
        run.stop()


@pytest.mark.parametrize(
    ("which", "trusted", "reason"),
    [
        ("good", False, "issuer|self-signed|trust"),
        ("wrong_name", True, "name|match"),
        ("expired", True, "expired"),
        ("self_signed", False, "self-signed"),
    ],
)
def test_refused(
    host: Namespace,
    server: SoftEther,
    certificates: certs.Certificates,
    which: str,
    trusted: bool,
    reason: str,
) -> None:
    """One line: the check that failed, the certificate's SHA-256 and subject, a way on."""
    pair: certs.Pair = getattr(certificates, which)
    server.set_certificate(*pair)
    env = trusting(certificates.ca) if trusted else None
    with Sevpn(host, *verifying(), env=env) as run:
        line = run.expect_exit(EXIT_CERTIFICATE)
        run.wait_line(f"(?i){reason}", 0.1)
    assert certs.sha256_of(pair.cert) in line.replace(":", "").lower()
    assert "vpn.test" in line
    assert "-insecure" in line


@pytest.mark.parametrize("which", ["wrong_name", "expired", "self_signed"])
def test_insecure(
    host: Namespace,
    server: SoftEther,
    dhcp: Dnsmasq,
    certificates: certs.Certificates,
    which: str,
) -> None:
    server.set_certificate(*getattr(certificates, which))
    with Sevpn(host, *flags(host="vpn.test")) as run:
        run.wait_address()
        run.stop()


def test_trusted_self_signed(
    host: Namespace, server: SoftEther, dhcp: Dnsmasq, certificates: certs.Certificates
) -> None:
    """Whoever trusts the server's own certificate needs no CA."""
    server.set_certificate(*certificates.self_signed)
    with Sevpn(host, *verifying(), env=trusting(certificates.self_signed.cert)) as run:
        run.wait_address()
        run.stop()


def test_no_ca_at_all(
    host: Namespace, server: SoftEther, certificates: certs.Certificates, tmp_path: Path
) -> None:
    server.set_certificate(*certificates.good)
    with Sevpn(host, *verifying(), env=trusting(tmp_path / "missing.pem")) as run:
        assert "SSL_CERT_FILE" in run.expect_exit(EXIT_CERTIFICATE)


def test_the_servers_own_certificate_is_an_anchor(
    host: Namespace, server: SoftEther, dhcp: Dnsmasq, certificates: certs.Certificates
) -> None:
    """A leaf, issued by a CA that is not here; name and dates are checked all the same."""
    server.set_certificate(*certificates.good)
    with Sevpn(host, *verifying("-ca-file", str(certificates.good.cert))) as run:
        run.wait_address()
        run.stop()


@pytest.mark.parametrize("which", ["wrong_name", "expired", "self_signed"])
def test_a_pin_is_enough(
    host: Namespace,
    server: SoftEther,
    dhcp: Dnsmasq,
    certificates: certs.Certificates,
    which: str,
) -> None:
    """The one that a refusal prints, whatever the chain, and also after a lost connection."""
    server.set_certificate(*getattr(certificates, which))
    with Sevpn(host, *verifying()) as run:
        said = run.expect_exit(EXIT_CERTIFICATE)
    pin = said.split("-cert-sha256 ")[1].split()[0].rstrip(")")
    with Sevpn(host, *verifying("-cert-sha256", pin)) as run:
        run.wait_address()
        server.disconnect(server.sessions()[0].name)
        run.wait_line("session .* on SoftEther", after=run.process.mark())
        run.stop()


def test_another_certificate_than_the_pinned_one(
    host: Namespace, server: SoftEther, certificates: certs.Certificates
) -> None:
    server.set_certificate(*certificates.good)
    env = trusting(certificates.ca)
    with Sevpn(host, *verifying("-cert-sha256", "00" * 32), env=env) as run:
        assert "none of those" in run.expect_exit(EXIT_CERTIFICATE)


def test_insecure_says_what_it_skipped(
    host: Namespace, server: SoftEther, dhcp: Dnsmasq, certificates: certs.Certificates
) -> None:
    server.set_certificate(*certificates.self_signed)
    with Sevpn(host, *flags()) as run:
        line = run.wait_line("was not checked.*")
        run.wait_address()
        run.stop()
    assert certs.sha256_of(certificates.self_signed.cert) in line.lower()
