"""Small reads of small files, without Python's `io` stack. Layer 2."""

import posix


def read_text(path: str, limit_bytes: int = 65536) -> str:
    """Return the file's text, "" when it cannot be read."""
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return posix.read(fd, limit_bytes).decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        posix.close(fd)


def os_title() -> str:
    """Return the distribution's name as it calls itself, else "Linux"."""
    for line in read_text("/etc/os-release").split("\n"):
        if line.startswith("PRETTY_NAME="):
            return line[12:].strip().strip('"')[:100]
    return "Linux"
