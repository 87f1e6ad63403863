"""The frames a DHCP client sends, each filled as RFC 2131 tables 4 and 5 say.

Layer 1, pure.
"""

from sevpn.dhcp import message as msg
from sevpn.dhcp import options
from sevpn.dhcp.address import LIMITED_BROADCAST, UNSPECIFIED, parse_ip
from sevpn.dhcp.domains import LABEL_MAX, is_domain_name
from sevpn.dhcp.frame import BROADCAST_MAC, CLIENT_PORT, SERVER_PORT, build_udp_frame
from sevpn.dhcp.lease import MTU_MAX_BYTES, Lease


def clean_hostname(hostname: str) -> str:
    """Return the host name to send in option 12, "" for none.

    The first label, if it is a name of RFC 1123. Names that begin like SecureNAT's own
    are ignored by its server (protocol.md 9.6) and so not sent.
    """
    label = hostname.split(".", maxsplit=1)[0]
    if not is_domain_name(label) or "_" in label or len(label) > LABEL_MAX:
        return ""
    return "" if label.lower().startswith("securenat-") else label


class Composer:
    """Builds frames for one client: its MAC, and its host name if it has a usable one."""

    __slots__ = ("_identity", "_mac", "_wishes")

    def __init__(self, mac: bytes, hostname: str) -> None:
        self._mac = mac
        # Hardware type and address (RFC 2132 9.14): the same in every message of a run and
        # in the next run, so that the server gives the same address.
        self._identity = {options.CLIENT_ID: b"\x01" + mac}
        self._wishes = {
            options.PARAMETER_LIST: options.WANTED,
            options.MAX_MESSAGE_SIZE: MTU_MAX_BYTES.to_bytes(2, "big"),
        }
        name = clean_hostname(hostname)
        if name:
            self._wishes[options.HOST_NAME] = name.encode("ascii")

    def discover(self, xid: int, secs: int, flags: int, wanted: str | None) -> bytes:
        """Return a DISCOVER, asking for the address `wanted` if given."""
        values = dict(self._wishes)
        if wanted is not None:
            values[options.REQUESTED_ADDRESS] = parse_ip(wanted)
        return self._frame(self._message(msg.DISCOVER, xid, values, secs=secs, flags=flags))

    def select(self, xid: int, secs: int, flags: int, offer: Lease) -> bytes:
        """Return the REQUEST that takes an offer and turns the other servers down."""
        values = {**self._choice(offer), **self._wishes}
        return self._frame(self._message(msg.REQUEST, xid, values, secs=secs, flags=flags))

    def renew(self, xid: int, secs: int, lease: Lease) -> bytes:
        """Return the REQUEST to the lease's own server, Ethernet and IP unicast."""
        message = self._message(msg.REQUEST, xid, self._wishes, secs=secs, client=lease.address)
        return self._frame(message, lease.address, lease)

    def rebind(self, xid: int, secs: int, lease: Lease) -> bytes:
        """Return the REQUEST to any server.

        Its IP source is the address: SecureNAT reads it there and not in ciaddr.
        """
        message = self._message(msg.REQUEST, xid, self._wishes, secs=secs, client=lease.address)
        return self._frame(message, lease.address)

    def decline(self, xid: int, lease: Lease, reason: str) -> bytes:
        """Return a DECLINE: somebody else uses the address."""
        values = {**self._choice(lease), options.ERROR_TEXT: reason.encode("ascii", "replace")[:80]}
        return self._frame(self._message(msg.DECLINE, xid, values))

    def release(self, xid: int, lease: Lease) -> bytes:
        """Return a RELEASE to the lease's own server."""
        values = {options.SERVER_ID: parse_ip(lease.server_id)}
        message = self._message(msg.RELEASE, xid, values, client=lease.address)
        return self._frame(message, lease.address, lease)

    def _choice(self, lease: Lease) -> dict[int, bytes]:
        return {
            options.REQUESTED_ADDRESS: parse_ip(lease.address),
            options.SERVER_ID: parse_ip(lease.server_id),
        }

    def _message(
        self,
        kind: int,
        xid: int,
        values: dict[int, bytes],
        *,
        secs: int = 0,
        flags: int = 0,
        client: str = UNSPECIFIED,
    ) -> msg.Message:
        kind_first = {options.MESSAGE_TYPE: bytes((kind,)), **self._identity, **values}
        message = msg.Message(msg.OP_REQUEST, xid, self._mac, kind_first)
        message.secs = min(secs, 0xFFFF)
        message.flags = flags
        message.client = client
        return message

    def _frame(
        self, message: msg.Message, source: str = UNSPECIFIED, to: Lease | None = None
    ) -> bytes:
        mac = BROADCAST_MAC if to is None else to.server_mac
        address = LIMITED_BROADCAST if to is None else to.server_id
        payload = msg.encode_message(message)
        ports = (CLIENT_PORT, SERVER_PORT)
        return build_udp_frame((self._mac, mac), (source, address), ports, payload)
