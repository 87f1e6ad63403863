"""The one place where a test can make the host fail, or die, between two effects.

Layer 2, no imports. Every outside effect of this package (a netlink message, a file
operation, a journal line) calls `point` just before and, where dying in between would
matter, just after. In the product it does nothing; tests replace `hook`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

hook: Callable[[str], None] | None = None


def point(name: str) -> None:
    """Tell the test, if there is one, that the effect `name` comes next (or is done)."""
    if hook is not None:
        hook(name)
