"""A small DHCP server, pure like the client: frames in, frames out, time as an argument.

Made of the product's own codecs; behaves like dnsmasq or like SecureNAT (protocol.md 9.6)
where the two differ.
"""

from sevpn.dhcp import message as msg
from sevpn.dhcp import options
from sevpn.dhcp.address import LIMITED_BROADCAST, UNSPECIFIED, DhcpError, format_ip, parse_ip
from sevpn.dhcp.frame import (
    BROADCAST_MAC,
    CLIENT_PORT,
    SERVER_PORT,
    Datagram,
    build_udp_frame,
    parse_udp_frame,
)

DNSMASQ = "dnsmasq"  # honours ciaddr and the broadcast flag, answers unicast
SECURENAT = "securenat"  # ignores ciaddr (option 50 or the IP source), answers broadcast


class DhcpServer:
    """One server with a pool.

    `network` holds the options every reply carries; `refused` addresses get a NAK;
    `offer_only` never answers a REQUEST; `heard` lists (kind, Message, Datagram) received.
    """

    def __init__(
        self,
        mac: bytes,
        address: str,
        pool: list[str],
        *,
        network: dict[int, bytes] | None = None,
        lease_s: int = 3600,
        style: str = DNSMASQ,
    ) -> None:
        self.mac = mac
        self.address = address
        self.pool = pool
        self.network = network if network is not None else {1: parse_ip("255.255.255.0")}
        self.lease_s = lease_s
        self.style = style
        self.bindings: dict[bytes, str] = {}
        self.refused: set[str] = set()
        self.offer_only = False
        self.heard: list[tuple[int, msg.Message, Datagram]] = []

    def kinds(self) -> list[int]:
        """Return the kinds of message received so far, in order."""
        return [kind for kind, _, _ in self.heard]

    def receive(self, frame: bytes) -> list[bytes]:
        """Return the answers to one frame."""
        try:
            datagram = parse_udp_frame(frame)
            if datagram is None or datagram.destination_port != SERVER_PORT:
                return []
            message = msg.decode_message(datagram.payload)
        except DhcpError:
            return []
        if datagram.destination_mac not in (self.mac, BROADCAST_MAC):
            return []
        self.heard.append((message.kind, message, datagram))
        if message.kind == msg.DISCOVER:
            return self._offer(message, datagram)
        if message.kind == msg.REQUEST and not self.offer_only:
            return self._grant(message, datagram)
        if message.kind in (msg.RELEASE, msg.DECLINE) and self.style == DNSMASQ:
            gone = self.bindings.pop(message.mac, None)
            if message.kind == msg.DECLINE and gone is not None:
                self.refused.add(gone)
        return []

    def _free(self, mac: bytes, wanted: str) -> str | None:
        taken = set(self.bindings.values()) | self.refused
        for address in (self.bindings.get(mac, ""), wanted, *self.pool):
            if address in self.pool and (address not in taken or self.bindings.get(mac) == address):
                return None if address in self.refused else address
        return None

    def _offer(self, message: msg.Message, datagram: Datagram) -> list[bytes]:
        wanted = message.options.get(options.REQUESTED_ADDRESS, b"")
        address = self._free(message.mac, format_ip(wanted) if len(wanted) == 4 else "")
        return [] if address is None else [self.reply(msg.OFFER, message, datagram, address)]

    def _grant(self, message: msg.Message, datagram: Datagram) -> list[bytes]:
        chosen = message.options.get(options.SERVER_ID)
        if chosen is not None and chosen != parse_ip(self.address):
            return []
        wanted = message.options.get(options.REQUESTED_ADDRESS, b"")
        if len(wanted) == 4:
            address = format_ip(wanted)
        else:
            address = datagram.source if self.style == SECURENAT else message.client
        holder = [mac for mac, held in self.bindings.items() if held == address]
        if address not in self.pool or address in self.refused or holder not in ([], [message.mac]):
            self.bindings.pop(message.mac, None)
            return [self.reply(msg.NAK, message, datagram, UNSPECIFIED)]
        self.bindings[message.mac] = address
        return [self.reply(msg.ACK, message, datagram, address)]

    def reply(self, kind: int, to: msg.Message, datagram: Datagram, address: str) -> bytes:
        """Return the frame of one answer."""
        values = {53: bytes((kind,)), 54: parse_ip(self.address)}
        if kind == msg.NAK:
            values[options.ERROR_TEXT] = b"address not available"
        else:
            values[options.LEASE_TIME] = self.lease_s.to_bytes(4, "big")
            values.update(self.network)
        answer = msg.Message(msg.OP_REPLY, to.xid, to.mac, values)
        answer.your = address
        answer.server = self.address
        if self.style == DNSMASQ:
            answer.flags = to.flags
        return self.frame(answer, datagram)

    def frame(self, answer: msg.Message, datagram: Datagram) -> bytes:
        """Return an answer in the frame this style of server sends it in."""
        mac, address = BROADCAST_MAC, LIMITED_BROADCAST
        if self.style == SECURENAT:
            if datagram.source != UNSPECIFIED:
                address = datagram.source
        elif answer.kind != msg.NAK and not answer.flags & msg.FLAG_BROADCAST:
            mac, address = answer.mac, answer.your
        payload = msg.encode_message(answer)
        ports = (SERVER_PORT, CLIENT_PORT)
        return build_udp_frame((self.mac, mac), (self.address, address), ports, payload)
