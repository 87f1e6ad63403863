"""The server's first Pack, with the challenge of this connection (protocol.md 3).

Layer 1, pure.
"""

from __future__ import annotations

from sevpn.constants import RANDOM_BYTES
from sevpn.errors import HandshakeError
from sevpn.log import clean
from sevpn.proto.reply import raise_refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sevpn.proto.pack import Pack

PRODUCT_MAX_CHARACTERS = 255


class Hello:
    """What the server says of itself: `random` (20 bytes), `product`, `version`, `build`.

    `version` is major * 100 + minor. Nothing depends on version or build.
    """

    __slots__ = ("build", "product", "random", "version")

    def __init__(self, random: bytes, product: str, version: int, build: int) -> None:
        self.random = random
        self.product = product
        self.version = version
        self.build = build

    def __str__(self) -> str:
        major, minor = divmod(self.version, 100)
        return f"{self.product} {major}.{minor:02} build {self.build}"


def parse_hello(pack: Pack) -> Hello:
    """Read the Hello.

    Raises ServerError if it carries an error code, HandshakeError if it is no Hello.
    """
    raise_refusal(pack)
    random = pack.data("random")
    product = clean(pack.str("hello"), PRODUCT_MAX_CHARACTERS).strip()
    if len(random) != RANDOM_BYTES or not product:
        raise HandshakeError(
            "not a SoftEther VPN server: its hello has no "
            + ("name" if len(random) == RANDOM_BYTES else f"{RANDOM_BYTES}-byte challenge"),
            "check -host and -port",
        )
    return Hello(random, product, pack.int("version"), pack.int("build"))
