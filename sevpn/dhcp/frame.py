"""One UDP datagram in one Ethernet frame: build and parse, with checksums.

Layer 1, pure. Only what DHCP needs: untagged Ethernet II, IPv4, no fragments.

    Ethernet 14: destination MAC, source MAC, type 0x0800
    IPv4 20..60: RFC 791; options are skipped on receive, never sent
    UDP 8:       ports, length, checksum (RFC 768)
"""

from struct import Struct, unpack

from sevpn.constants import FRAME_MAX_BYTES
from sevpn.dhcp.address import DhcpError, format_ip, parse_ip

SERVER_PORT = 67
CLIENT_PORT = 68
BROADCAST_MAC = b"\xff" * 6

_ETHERTYPE_IPV4 = b"\x08\x00"
_PROTOCOL_UDP = 17
_DONT_FRAGMENT = 0x4000
_MORE_FRAGMENTS_OR_OFFSET = 0x3FFF
_TTL = 64
_PAYLOAD_MAX_BYTES = 1500 - 28
_IPV4 = Struct(">BBHHHBBH4s4s")
_UDP = Struct(">HHHH")


class Datagram:
    """One received UDP datagram with the addresses of all three headers.

    `source` and `destination` are dotted quads; MACs are 6 bytes.
    """

    __slots__ = (
        "destination",
        "destination_mac",
        "destination_port",
        "payload",
        "source",
        "source_mac",
        "source_port",
    )

    def __init__(
        self,
        macs: tuple[bytes, bytes],
        addresses: tuple[str, str],
        ports: tuple[int, int],
        payload: bytes,
    ) -> None:
        """Each pair is (source, destination)."""
        self.source_mac, self.destination_mac = macs
        self.source, self.destination = addresses
        self.source_port, self.destination_port = ports
        self.payload = payload


def ones_sum(data: bytes) -> int:
    """Return the folded ones' complement sum of big-endian 16-bit words (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(unpack(f">{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def _pseudo_header(addresses: bytes, udp_length: int) -> bytes:
    return addresses + bytes((0, _PROTOCOL_UDP)) + udp_length.to_bytes(2, "big")


def build_udp_frame(
    macs: tuple[bytes, bytes],
    addresses: tuple[str, str],
    ports: tuple[int, int],
    payload: bytes,
) -> bytes:
    """Return one Ethernet frame; each pair is (source, destination).

    The datagram is marked "don't fragment" with identification 0 (RFC 6864: an atomic
    datagram needs none).
    Raises: DhcpError when the payload does not fit 1500 bytes of IP.
    """
    if len(payload) > _PAYLOAD_MAX_BYTES:
        raise DhcpError("UDP payload larger than one frame")
    source, destination = parse_ip(addresses[0]), parse_ip(addresses[1])
    udp_length = _UDP.size + len(payload)
    header = _UDP.pack(ports[0], ports[1], udp_length, 0)
    summed = ones_sum(_pseudo_header(source + destination, udp_length) + header + payload)
    # RFC 768: a sum that comes out as 0 is sent as 0xFFFF, 0 means "none".
    udp = _UDP.pack(ports[0], ports[1], udp_length, (summed ^ 0xFFFF) or 0xFFFF)
    fields = (0x45, 0, _IPV4.size + udp_length, 0, _DONT_FRAGMENT, _TTL, _PROTOCOL_UDP)
    ip_sum = ones_sum(_IPV4.pack(*fields, 0, source, destination)) ^ 0xFFFF
    ip = _IPV4.pack(*fields, ip_sum, source, destination)
    return b"".join((macs[1], macs[0], _ETHERTYPE_IPV4, ip, udp, payload))


def parse_udp_frame(frame: bytes) -> Datagram | None:
    """Return the datagram in an Ethernet frame.

    None: not a whole UDP datagram over untagged IPv4 (another protocol, a VLAN tag, a
    fragment), so nothing of ours. Bytes behind the IP datagram are Ethernet padding.
    Raises: DhcpError when it claims to be one and is broken: lengths, checksums.
    """
    if not 42 <= len(frame) <= FRAME_MAX_BYTES or frame[12:14] != _ETHERTYPE_IPV4:
        return None
    first, _, total, _, fragment, _, protocol, _, source, destination = _IPV4.unpack_from(frame, 14)
    if first >> 4 != 4 or protocol != _PROTOCOL_UDP or fragment & _MORE_FRAGMENTS_OR_OFFSET:
        return None
    header_length = (first & 15) * 4
    if header_length < _IPV4.size or not header_length + _UDP.size <= total <= len(frame) - 14:
        raise DhcpError("IPv4 lengths do not fit the frame")
    if ones_sum(frame[14 : 14 + header_length]) != 0xFFFF:
        raise DhcpError("wrong IPv4 header checksum")
    udp = frame[14 + header_length : 14 + total]
    source_port, destination_port, udp_length, check = _UDP.unpack_from(udp)
    if not _UDP.size <= udp_length <= len(udp):
        raise DhcpError("UDP length does not fit the datagram")
    udp = udp[:udp_length]
    if check and not _is_udp_sum_right(source + destination, udp, check):
        raise DhcpError("wrong UDP checksum")
    return Datagram(
        (frame[6:12], frame[:6]),
        (format_ip(source), format_ip(destination)),
        (source_port, destination_port),
        udp[_UDP.size :],
    )


def _is_udp_sum_right(addresses: bytes, udp: bytes, check: int) -> bool:
    pseudo = _pseudo_header(addresses, len(udp))
    if ones_sum(pseudo + udp) == 0xFFFF:
        return True
    # A DHCP server in a container or virtual machine whose kernel left the checksum to
    # hardware that is not there: the field then holds the pseudo header's sum alone
    # (Linux CHECKSUM_PARTIAL). Seen: dnsmasq 2.90 over a veth pair, in every reply.
    return check == ones_sum(pseudo)
