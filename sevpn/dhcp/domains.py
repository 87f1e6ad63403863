"""Domain names from a server: options 15 (RFC 2132) and 119 (RFC 3397).

Layer 1, pure. The names end in resolv.conf, so the check is strict: a name is letters,
digits, hyphens and underscores in labels of 1..63, at most 253 characters in all, no
label beginning or ending with a hyphen. Nothing else passes, no control characters.
"""

from sevpn.dhcp.address import DhcpError

NAME_MAX = 253
LABEL_MAX = 63
_SEARCH_MAX = 32
_ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


def is_domain_name(text: str) -> bool:
    """Tell whether `text` is a domain name by the rules above (no trailing dot)."""
    if not 0 < len(text) <= NAME_MAX:
        return False
    for label in text.split("."):
        if not 0 < len(label) <= LABEL_MAX or not _ALLOWED.issuperset(label):
            return False
        if label[0] == "-" or label[-1] == "-":
            return False
    return True


def decode_domain(value: bytes) -> str | None:
    """Return option 15's name, None when it is none.

    Trailing NULs and one trailing dot, which servers do send, are taken off first.
    """
    text = value.rstrip(b"\0").decode("latin-1").removesuffix(".")
    return text if is_domain_name(text) else None


def decode_search(value: bytes) -> list[str] | None:
    """Return option 119's names, in order, without doubles; the first 32 are read.

    **Shape**: names of RFC 1035 4.1.4 one after the other, pointers count from the start
    of the joined option. A name with forbidden characters is left out; broken lengths or
    pointers make the whole option None.
    """
    names: list[str] = []
    at = read = 0
    try:
        # Names read are counted, not names kept: else one long name and hundreds of
        # two-byte pointers to it would cost 100000 steps.
        while at < len(value) and read < _SEARCH_MAX:
            labels, at = _read_name(value, at)
            read += 1
            name = ".".join(label.decode("latin-1") for label in labels)
            # A dot inside a label would make another name out of it.
            if any(b"." in label for label in labels) or not is_domain_name(name):
                continue
            if name not in names:
                names.append(name)
    except DhcpError:
        return None
    return names if value else None


def _read_name(value: bytes, start: int) -> tuple[list[bytes], int]:
    """Return one name's labels and the offset behind it.

    Every pointer must lead before the place the walk last came from, so a walk ends: no
    loop is possible, and 255 bytes of name bound the work.
    """
    labels: list[bytes] = []
    at = limit = start
    end = -1
    total = 0
    while True:
        if at >= len(value):
            raise DhcpError("domain name reaches past its option")
        length = value[at]
        if length == 0:
            return labels, at + 1 if end < 0 else end
        if length >= 0xC0:
            if at + 1 >= len(value):
                raise DhcpError("domain name pointer is cut off")
            target = (length & 0x3F) << 8 | value[at + 1]
            if target >= limit:
                raise DhcpError("domain name pointer does not lead back")
            if end < 0:
                end = at + 2
            at = limit = target
            continue
        total += length + 1
        if length > LABEL_MAX or at + 1 + length > len(value) or total > NAME_MAX + 1:
            raise DhcpError("domain name label is too long")
        labels.append(value[at + 1 : at + 1 + length])
        at += 1 + length


def encode_search(names: list[str]) -> bytes:
    """Return option 119's value, uncompressed. Raises: DhcpError for what is no name."""
    out = bytearray()
    for name in names:
        if not is_domain_name(name):
            raise DhcpError("not a domain name")
        for label in name.split("."):
            out += bytes((len(label),)) + label.encode("ascii")
        out.append(0)
    return bytes(out)
