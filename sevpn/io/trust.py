"""Where this host keeps its CA certificates.

Layer 2. A static OpenSSL knows no distribution, so the usual places are tried in turn;
`SSL_CERT_FILE` and `SSL_CERT_DIR` come first, as everywhere else. An empty root has none.
"""

import posix

from sevpn._tls import Context, Stream
from sevpn.errors import CertificateError

CA_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Arch, Gentoo, NixOS
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL 6
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # RHEL 7 and later
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",  # Alpine, OpenWrt, OpenBSD style
    "/etc/ssl/certs/ca-bundle.crt",  # NixOS, older
    "/etc/pki/tls/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
)
CA_DIRECTORIES = ("/etc/ssl/certs", "/etc/pki/tls/certs", "/system/etc/security/cacerts")


def _environment(name: str) -> str:
    return posix.environ.get(name.encode(), b"").decode("utf-8", "surrogateescape")


def load(context: Context, extra_file: str) -> str:
    """Load the host's trusted CAs into `context`; return where from ("" = none found).

    `extra_file` (`-ca-file`) is trusted beside the host's store. Raises CertificateError
    when it holds no certificate.
    """
    found = []
    if extra_file:
        if not context.trust_file(extra_file.encode()):
            raise CertificateError(
                f"no CA certificate could be read from {extra_file}", "check -ca-file"
            )
        found.append(extra_file)
    return ", ".join(found + _load_host_store(context))


def judge(context: Context, stream: Stream, extra_file: str) -> tuple[str, str, str]:
    """Judge the server's certificate; called in a child, which alone loads the CAs.

    Returns (why the certificate is not trusted or "", the CAs' places or "" when there are
    none, why `extra_file` cannot be used or "").
    """
    try:
        found = load(context, extra_file)
    except CertificateError as error:
        return "not checked", "", str(error)
    return stream.verify_error(), found, ""


def _load_host_store(context: Context) -> list[str]:
    file, directory = _environment("SSL_CERT_FILE"), _environment("SSL_CERT_DIR")
    found: list[str] = []
    if file and context.trust_file(file.encode()):
        found.append(file)
    for part in directory.split(":") if directory else ():
        if part and context.trust_directory(part.encode()):
            found.append(part)
    if file or directory:
        return found
    for candidate in CA_FILES:
        if context.trust_file(candidate.encode()):
            return [candidate]
    for candidate in CA_DIRECTORIES:
        if _has_hashed_names(candidate) and context.trust_directory(candidate.encode()):
            return [candidate]
    return []


def _has_hashed_names(directory: str) -> bool:
    """Tell whether a directory holds certificates by hash, as 5ed36f99.0."""
    try:
        names = posix.listdir(directory)
    except OSError:
        return False
    return any(len(n) == 10 and n.endswith(".0") for n in names)
