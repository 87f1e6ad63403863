"""A DHCP message: the BOOTP fields and the options (RFC 2131 2).

Layer 1, pure.

    op 1  htype 1  hlen 1  hops 1  xid 4  secs 2  flags 2
    ciaddr 4  yiaddr 4  siaddr 4  giaddr 4  chaddr 16  sname 64  file 128
    magic 63 82 53 63, then options to the end of the datagram
"""

from struct import Struct

from sevpn.dhcp import options
from sevpn.dhcp.address import UNSPECIFIED, DhcpError, format_ip, parse_ip

DISCOVER = 1
OFFER = 2
REQUEST = 3
DECLINE = 4
ACK = 5
NAK = 6
RELEASE = 7

OP_REQUEST = 1
OP_REPLY = 2
FLAG_BROADCAST = 0x8000
# RFC 1542 2.1: some relays and servers drop a shorter message.
MESSAGE_MIN_BYTES = 300

_MAGIC = b"\x63\x82\x53\x63"
_FIXED = Struct(">BBBBIHH4s4s4s4s6s10x64s128s4s")
_ETHERNET = 1
_OVERLOAD_FILE = 1
_OVERLOAD_SNAME = 2


class Message:
    """One message; addresses are dotted quads, `mac` is chaddr's 6 bytes.

    `options` maps a code to its joined value. `sname` and `file` are the raw fields; on
    decoding, options found in them (overload, option 52) are already in `options`.
    """

    __slots__ = (
        "client",
        "file",
        "flags",
        "kind",
        "mac",
        "op",
        "options",
        "relay",
        "secs",
        "server",
        "sname",
        "xid",
        "your",
    )

    def __init__(self, op: int, xid: int, mac: bytes, values: dict[int, bytes]) -> None:
        self.op = op
        self.xid = xid
        self.mac = mac
        self.options = values
        kind = values.get(options.MESSAGE_TYPE, b"")
        self.kind = kind[0] if len(kind) == 1 else 0
        self.secs = 0
        self.flags = 0
        self.client = UNSPECIFIED  # ciaddr
        self.your = UNSPECIFIED  # yiaddr
        self.server = UNSPECIFIED  # siaddr
        self.relay = UNSPECIFIED  # giaddr
        self.sname = b""
        self.file = b""


def is_reply_to(payload: bytes, xid: int, mac: bytes) -> bool:
    """Tell cheaply whether a payload can be a reply to this client and transaction.

    The bridge hands over every frame for port 68, most of a busy LAN's for others: they
    are turned away here, before their options are read.
    """
    return (
        payload[:3] == b"\x02\x01\x06"
        and payload[4:8] == xid.to_bytes(4, "big")
        and payload[28:34] == mac
    )


def decode_message(payload: bytes) -> Message:
    """Return the message in a UDP payload.

    Raises: DhcpError when it is too short, not for Ethernet, has no DHCP magic, or an
    option that reaches past its area.
    """
    if len(payload) < _FIXED.size:
        raise DhcpError("shorter than a DHCP message")
    op, htype, hlen, _, xid, secs, flags, client, your, server, relay, mac, sname, file, magic = (
        _FIXED.unpack_from(payload)
    )
    if op not in (OP_REQUEST, OP_REPLY) or htype != _ETHERNET or hlen != 6 or magic != _MAGIC:
        raise DhcpError("not a DHCP message for Ethernet")
    values: dict[int, bytes] = {}
    options.collect_options(payload[_FIXED.size :], values)
    overload = options.decode_number(values.get(options.OVERLOAD, b""), 1) or 0
    # RFC 3396 5: the value continues in this order.
    if overload & _OVERLOAD_FILE:
        options.collect_options(file, values)
    if overload & _OVERLOAD_SNAME:
        options.collect_options(sname, values)
    message = Message(op, xid, mac, values)
    message.secs, message.flags = secs, flags
    message.client, message.your = format_ip(client), format_ip(your)
    message.server, message.relay = format_ip(server), format_ip(relay)
    message.sname, message.file = sname, file
    return message


def encode_message(message: Message) -> bytes:
    """Return a UDP payload of at least 300 bytes."""
    fixed = _FIXED.pack(
        message.op,
        _ETHERNET,
        6,
        0,
        message.xid,
        message.secs,
        message.flags,
        parse_ip(message.client),
        parse_ip(message.your),
        parse_ip(message.server),
        parse_ip(message.relay),
        message.mac,
        message.sname,
        message.file,
        _MAGIC,
    )
    return (fixed + options.encode_options(message.options)).ljust(MESSAGE_MIN_BYTES, b"\0")
