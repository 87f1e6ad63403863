"""One blocking rtnetlink socket: questions and changes, one after the other.

Layer 2, used in the short-lived child only. Messages are bytes made by `codec`; answers
are handed back as bytes. A refusal becomes an OSError with the kernel's errno and, where
the kernel gives one, its own sentence (extended acknowledgement).
"""

from __future__ import annotations

import os
import socket
import struct

from sevpn.host import fault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

# linux/netlink.h
_SOL_NETLINK = 270
_NETLINK_CAP_ACK, _NETLINK_EXT_ACK, _NETLINK_GET_STRICT_CHK = 10, 11, 12
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLM_F_MULTI, _NLM_F_DUMP_INTR = 0x2, 0x10
_NLM_F_ACK, _NLM_F_DUMP = 0x4, 0x300
_NLM_F_ACK_TLVS = 0x200
_NLMSGERR_ATTR_MSG = 1
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_TIMEOUT_S = 5.0  # the kernel answers at once; only a broken one would let us wait
_READ_BYTES = 65_536
_DUMP_TRIES = 4
_EBUSY, _EBADMSG, _ETIMEDOUT = 16, 74, 110


class Netlink:
    """An open rtnetlink socket of the network namespace this process is in."""

    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
        )
        self._socket.settimeout(_TIMEOUT_S)
        for option in (_NETLINK_CAP_ACK, _NETLINK_EXT_ACK, _NETLINK_GET_STRICT_CHK):
            try:
                self._socket.setsockopt(_SOL_NETLINK, option, 1)
            except OSError:
                pass  # an older kernel: errors without a sentence, dumps without a filter
        self._socket.bind((0, 0))
        self._sequence = 0

    def __enter__(self) -> Netlink:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def change(self, message: bytes) -> None:
        """Send a change and wait for its acknowledgement. Raises OSError."""
        fault.point("netlink")
        self._talk(message, _NLM_F_ACK)

    def ask(self, message: bytes) -> list[bytes]:
        """Send a question and return the answers. Raises OSError.

        A dump that the kernel marks as interrupted (the table changed meanwhile) is asked
        again a few times.
        """
        for _ in range(_DUMP_TRIES):
            answers = self._talk(message, 0)
            if answers is not None:
                return answers
        raise OSError(_EBUSY, "the routing tables change too fast to be read")

    def _talk(self, message: bytes, flags: int) -> list[bytes] | None:
        length, kind, own_flags, _, _ = _HEADER.unpack_from(message)
        self._sequence += 1
        flags |= own_flags
        head = _HEADER.pack(length, kind, flags, self._sequence, 0)
        self._socket.sendto(head + message[_HEADER.size :], (0, 0))
        answers: list[bytes] = []
        is_interrupted = False
        while True:
            try:
                data, sender = self._socket.recvfrom(_READ_BYTES)
            except TimeoutError:
                raise OSError(_ETIMEDOUT, "the kernel does not answer on netlink") from None
            if sender[0] != 0:
                continue  # any process may send to our port; only the kernel is port 0
            for part_kind, part_flags, sequence, part in _parts(data):
                if sequence != self._sequence:
                    continue
                is_interrupted |= bool(part_flags & _NLM_F_DUMP_INTR)
                if part_kind == _NLMSG_ERROR:
                    _raise_error(part, part_flags)
                    return answers
                if part_kind == _NLMSG_DONE:
                    _raise_error(part, 0)  # a refused dump ends with an errno here
                    return None if is_interrupted else answers
                answers.append(part)
                if not part_flags & _NLM_F_MULTI and not flags & (_NLM_F_ACK | _NLM_F_DUMP):
                    return answers


def _parts(data: bytes) -> list[tuple[int, int, int, bytes]]:
    """Split a datagram into (type, flags, sequence, whole message)."""
    parts = []
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size or offset + length > len(data):
            raise OSError(_EBADMSG, "a netlink answer that ends too early")
        parts.append((kind, flags, sequence, data[offset : offset + length]))
        offset += (length + 3) & ~3
    return parts


def _raise_error(message: bytes, flags: int) -> None:
    """Raise what NLMSG_ERROR or NLMSG_DONE says; an errno of 0 is an acknowledgement."""
    if len(message) < _HEADER.size + 4:
        raise OSError(_EBADMSG, "a netlink answer that ends too early")
    (code,) = struct.unpack_from("=i", message, _HEADER.size)
    if code == 0:
        return
    text = os.strerror(-code)
    offset = _HEADER.size + 4 + _HEADER.size  # the request's header comes back behind the code
    while flags & _NLM_F_ACK_TLVS and offset + 4 <= len(message):
        length, kind = struct.unpack_from("=HH", message, offset)
        if length < 4:
            break
        if kind == _NLMSGERR_ATTR_MSG:
            detail = message[offset + 4 : offset + length].rstrip(b"\0")
            text = f"{text}: {detail.decode('utf-8', 'replace')}"
        offset += (length + 3) & ~3
    raise OSError(-code, text)
