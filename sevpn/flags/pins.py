"""The text of -cert-sha256: whose certificate is the right one. Pure.

A SHA-256 of the certificate as 64 hexadecimal digits, colons and case do not matter; or one of
its public key as `sha256//BASE64`, the form of curl and RFC 7469. A key outlives certificates.
"""

from sevpn.errors import UsageError

_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_KEY_HEAD = "sha256//"
_HEX = "0123456789abcdefABCDEF"
_BYTES = 32


def parse_pin(text: str) -> tuple[bool, bytes]:
    """Return whether the key is meant, and the 32 bytes. Raises UsageError."""
    is_key = text.startswith(_KEY_HEAD)
    pin = _base64(text[len(_KEY_HEAD) :]) if is_key else _hex(text)
    if len(pin) != _BYTES:
        raise UsageError(
            f"-cert-sha256 {text[:100]} is no SHA-256",
            "give 64 hexadecimal digits (of the certificate) or sha256// and base64 (of its key)",
        )
    return is_key, pin


def _hex(text: str) -> bytes:
    digits = text.replace(":", "")
    if len(digits) != 2 * _BYTES or not all(char in _HEX for char in digits):
        return b""
    return bytes.fromhex(digits)


def _base64(text: str) -> bytes:
    if len(text) != 44 or text[43] != "=":
        return b""
    number = 0
    for char in text[:43]:
        place = _BASE64.find(char)
        if place < 0:
            return b""
        number = number << 6 | place
    return (number >> 2).to_bytes(_BYTES, "big") if not number & 3 else b""
