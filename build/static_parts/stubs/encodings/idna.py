"""Stands for the codec of international host names, without the tables of `unicodedata`.

Those tables (NFKC) are a fifteenth of the binary. What people type is composed already, so
lower case and punycode are enough; a name that would need composing is refused with a
remedy instead of being looked up wrongly. Encoding only, strict only.
"""

import codecs

_DOTS = "\u3002\uff0e\uff61"  # RFC 3490 3.1: full stops of other scripts
_NOT_COMPOSED = {chr(code) for code in (*range(0x300, 0x370), *range(0x1100, 0x1200))}
_COMPATIBILITY = "\uf900"  # from here on, most characters stand for others
_MAX_LABEL_BYTES = 63


def _label(text: str) -> bytes:
    text = text.casefold() if not text.isascii() else text
    if text.isascii():
        data = text.encode("ascii")
    else:
        if _NOT_COMPOSED.intersection(text) or max(text) >= _COMPATIBILITY:
            raise UnicodeError("write this name in its xn-- form")
        data = b"xn--" + text.encode("punycode")
    if not 0 < len(data) <= _MAX_LABEL_BYTES:
        raise UnicodeError("a part of the name is empty or too long")
    return data


def encode(text: str, _errors: str = "strict") -> tuple[bytes, int]:
    """Return the name as DNS has it, and how much of `text` was used. Raises UnicodeError."""
    name = text.translate({ord(dot): "." for dot in _DOTS})
    labels = name.removesuffix(".").split(".") if name else []
    end = b"." if name.endswith(".") else b""
    return b".".join(_label(label) for label in labels) + end, len(text)


def _decode(_data: object, _errors: str = "strict") -> tuple[str, int]:
    raise UnicodeError("names are not decoded here")


def getregentry() -> codecs.CodecInfo:
    """Return what `codecs` wants."""
    return codecs.CodecInfo(name="idna", encode=encode, decode=_decode)
