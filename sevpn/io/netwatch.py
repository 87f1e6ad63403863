"""Notices that the host's network changed: links, addresses, routes, by rtnetlink.

Layer 2. Only "something changed that is not ours" is learnt here, from few bytes of each
message; what it means is found out by a child with the whole codec.

    nlmsghdr  u32 length, u16 type, u16 flags, u32 sequence, u32 port      (host byte order)
    ifinfomsg u8 family, u8 pad, u16 type, i32 index, ...
    ifaddrmsg u8 family, u8 prefix, u8 flags, u8 scope, u32 index
    rtmsg     u8 family, u8 dst_len, u8 src_len, u8 tos, u8 table, u8 protocol, ...
    rtattr    u16 length, u16 type, value; padded to 4
"""

import _socket
import struct

from sevpn.io.loop import Loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

OUR_ROUTE_PROTOCOL = 83  # marks the routes we make (see host.codec)

_NETLINK_ROUTE = 0
_GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400  # link, IPv4 address and route, IPv6 the same
_HEADER = struct.Struct("=IHHII")
_INDEX_AT = 4  # in ifinfomsg and ifaddrmsg
_RTMSG_BYTES = 12
_RTA_OIF = 4
_LINK_TYPES = (16, 17)  # RTM_NEWLINK, RTM_DELLINK
_ADDRESS_TYPES = (20, 21)
_ROUTE_TYPES = (24, 25)
_READ_BYTES = 65536


def _route_is_ours(body: bytes, own_index: int) -> bool:
    if len(body) < _RTMSG_BYTES or body[5] == OUR_ROUTE_PROTOCOL:
        return True
    at = _RTMSG_BYTES
    while at + 4 <= len(body):
        length, kind = struct.unpack_from("=HH", body, at)
        if length < 4 or at + length > len(body):
            break
        if kind == _RTA_OIF and length >= 8:
            index: int = struct.unpack_from("=I", body, at + 4)[0]
            return index == own_index
        at += (length + 3) & ~3
    return False


def is_foreign_change(data: bytes, own_index: int) -> bool:
    """Tell whether a datagram of rtnetlink speaks of a change that we did not make.

    `own_index` is the TAP's interface index: what happens on it is ours. Bytes that make no
    sense count as a change; the child that looks closer will know.
    """
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, _flags, _sequence, _port = _HEADER.unpack_from(data, at)
        if length < _HEADER.size or at + length > len(data):
            return True
        body = data[at + _HEADER.size : at + length]
        if kind in _LINK_TYPES or kind in _ADDRESS_TYPES:
            if len(body) < _INDEX_AT + 4:
                return True
            if struct.unpack_from("=I", body, _INDEX_AT)[0] != own_index:
                return True
        elif kind in _ROUTE_TYPES and not _route_is_ours(body, own_index):
            return True
        at += (length + 3) & ~3
    return False


class NetWatch:
    """Calls back when the host's network changed; `close` ends it.

    Where rtnetlink cannot be watched (a sandbox), `is_active` is False and nothing is said.
    """

    __slots__ = ("_callback", "_index", "_loop", "_sock", "is_active")

    def __init__(self, loop: Loop, own_index: int, callback: "Callable[[], None]") -> None:
        self._loop = loop
        self._index = own_index
        self._callback = callback
        self._sock: _socket.socket | None = None
        self.is_active = False
        try:
            sock = _socket.socket(
                _socket.AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_NONBLOCK, _NETLINK_ROUTE
            )
        except OSError:
            return
        try:
            sock.bind((0, _GROUPS))
        except OSError:
            sock.close()
            return
        self._sock = sock
        self.is_active = True
        loop.watch(sock.fileno(), self._read)

    def _read(self) -> None:
        changed = False
        while self._sock is not None:
            try:
                data = self._sock.recv(_READ_BYTES)
            except BlockingIOError:
                break
            except OSError:
                changed = True  # ENOBUFS: messages were lost
                break
            changed = changed or is_foreign_change(data, self._index)
        if changed:
            self._callback()

    def close(self) -> None:
        """Stop watching."""
        if self._sock is not None:
            self._loop.unwatch(self._sock.fileno())
            self._sock.close()
            self._sock = None
            self.is_active = False
