"""What every Pack of the server may carry instead of what was asked: an error code.

Layer 1, pure. The table of codes is loaded only when there is one to explain.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sevpn.proto.pack import Pack


def raise_refusal(pack: Pack) -> None:
    """Raise ServerError if the Pack carries a code other than 0 (protocol.md 5)."""
    code = pack.int("error")
    if code:
        from sevpn.proto.codes import error_for

        raise error_for(code)


def is_noop(pack: Pack) -> bool:
    """Tell whether the server only wants more time (protocol.md 1.3.5)."""
    return pack.int("noop") != 0
