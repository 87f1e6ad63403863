"""Whether a server's certificate is accepted, and what a refusal says. Layer 3."""

from sevpn import log
from sevpn._tls import Context, Stream
from sevpn.errors import CertificateError
from sevpn.io import child
from sevpn.io.loop import Loop
from sevpn.log import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def fingerprint_text(fingerprint: bytes) -> str:
    """Return a SHA-256 as upper-case hex pairs with colons."""
    return ":".join(f"{byte:02X}" for byte in fingerprint)


class Judge:
    """The certificate policy of one run.

    `pins`: (whether it is the key's, SHA-256) of the certificates to accept; with any, nothing
    else is asked.
    """

    __slots__ = ("_ca_file", "_insecure", "_pins", "_unchecked")

    def __init__(
        self, insecure: bool, ca_file: str, pins: "Sequence[tuple[bool, bytes]]" = ()
    ) -> None:
        self._insecure = insecure
        self._ca_file = ca_file
        self._pins = tuple(pins)
        self._unchecked = b""  # the certificate that was last warned of

    async def judge(self, loop: Loop, context: Context, stream: Stream, name: str) -> None:
        """Accept the certificate of `name`, or raise CertificateError."""
        fingerprint = stream.peer_fingerprint()
        hexadecimal = fingerprint.hex().upper()
        if self._pins:
            if (False, fingerprint) in self._pins:
                return
            if (True, stream.peer_key_fingerprint()) in self._pins:
                return
            raise CertificateError(
                f"the certificate of {name} is none of those that -cert-sha256 names "
                f"({_shown(stream)})",
                "somebody may be in between; if the server has a new certificate, to accept "
                f"exactly this certificate: -cert-sha256 {hexadecimal}",
            )
        if not self._insecure:
            verdict = await child.call(loop, "sevpn.io.trust:judge", context, stream, self._ca_file)
            _accept(verdict, stream, name)
        elif fingerprint != self._unchecked:
            self._unchecked = fingerprint
            log.warning(
                "the server's certificate was not checked (-insecure); "
                f"pin it: -cert-sha256 {hexadecimal}"
            )


def _shown(stream: Stream) -> str:
    fingerprint = fingerprint_text(stream.peer_fingerprint())
    return f"{clean(stream.peer_subject(), 200)}, SHA-256 {fingerprint}"


def _accept(verdict: object, stream: Stream, name: str) -> None:
    """Raise CertificateError when the chain or the name was not accepted."""
    if not isinstance(verdict, tuple):
        raise CertificateError(f"the certificate of {name} could not be checked")
    reason, found_store, problem = verdict
    if not reason:
        return
    if problem:
        raise CertificateError(problem, "check -ca-file")
    pin = stream.peer_fingerprint().hex().upper()
    this_one = f"to accept exactly this certificate: -cert-sha256 {pin}"
    if not found_store:
        raise CertificateError(
            f"cannot verify the certificate of {name}: no CA certificates were found on this host",
            "install ca-certificates, set SSL_CERT_FILE or -ca-file to a CA bundle, "
            f"or use -insecure; the certificate is {_shown(stream)}; {this_one}",
        )
    remedy = "use the name in the certificate with -host"
    if "IP address" in reason:
        remedy = (
            "an address must be among the certificate's subject alternative names; use a name that "
            "is, with -host"
        )
    elif "too weak" in reason:
        remedy = "its key is too short to be trusted: have the server make a new one"
    raise CertificateError(
        f"the certificate of {name} is not accepted: {reason} ({_shown(stream)})",
        f"{remedy}, add its CA with -ca-file or SSL_CERT_FILE, or, if you know this server, "
        f"{this_one} (-insecure checks nothing)",
    )
