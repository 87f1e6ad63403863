"""Where a password comes from when it is not an argument. Layer 3.

Loaded at the start only, and only when it is needed. A password is bytes; Python's text has
those that are no UTF-8 as surrogates (PEP 383), as in arguments.
"""

import posix
import sys

from sevpn._process import set_echo
from sevpn.errors import UsageError
from sevpn.log import clean

SECRET_MAX_BYTES = 255  # protocol.md 4.1
_READ_BYTES = SECRET_MAX_BYTES + 3  # a newline, and one byte that tells "too long"


def from_file(path: str) -> str:
    """Return the password in a file, "-" = standard input, without one newline at the end.

    Raises UsageError.
    """
    try:
        fd = 0 if path == "-" else posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    try:
        data = _read(fd)
        if (
            fd
            and posix.fstat(fd).st_mode & 0o077
            and posix.fstat(fd).st_mode & 0o170000 == 0o100000
        ):
            sys.stderr.write(f"warning: {clean(path)} can be read by others (chmod 600 it)\n")
    except OSError as error:
        raise _unreadable(path, error) from None
    finally:
        if fd:
            posix.close(fd)
    return _text(data, f"-pass-file {clean(path)}")


def ask(question: str) -> str:
    """Return what is typed at the terminal, unseen. Raises UsageError, KeyboardInterrupt."""
    sys.stderr.write(question)
    sys.stderr.flush()
    was_seen = set_echo(0, False)
    try:
        data = _read(0)
    except OSError as error:
        raise _unreadable("-", error) from None
    finally:
        set_echo(0, was_seen)
        sys.stderr.write("\n")
    return _text(data, "the password")


def _read(fd: int) -> bytes:
    """Read a line of a terminal, or all that a file has; no more than a password can have."""
    data = b""
    while len(data) < _READ_BYTES:
        part = posix.read(fd, _READ_BYTES - len(data))
        data += part
        if not part or (posix.isatty(fd) and data.endswith(b"\n")):
            break
    return data


def _text(data: bytes, what: str) -> str:
    if data.endswith(b"\n"):
        data = data[:-2] if data.endswith(b"\r\n") else data[:-1]
    if len(data) > SECRET_MAX_BYTES:
        raise UsageError(f"{what} is too long", f"a password has at most {SECRET_MAX_BYTES} bytes")
    if b"\0" in data or b"\n" in data:
        raise UsageError(f"{what} is more than one line", "it must hold the password alone")
    return data.decode("utf-8", "surrogateescape")


def _unreadable(path: str, error: "OSError | ValueError") -> UsageError:
    where = "standard input" if path == "-" else clean(path)
    reason = getattr(error, "strerror", None) or str(error)
    return UsageError(
        f"cannot read the password from {where}: {reason.lower()}", "check -pass-file"
    )
