"""Write the payload of launcher.c: `pack.py DIRECTORY PAYLOAD`.

The files of the directory in a fixed order, each compressed for itself; links are followed.
Layout: see launcher.c.
"""

import struct
import sys
import zlib
from pathlib import Path

_ENTRY = struct.Struct("=IIII")  # struct entry: path, mode, size, packed size


def entry(path: bytes, mode: int, data: bytes = b"", packed: bytes = b"") -> bytes:
    """Return one entry of the payload; `path` without its NUL."""
    return _ENTRY.pack(len(path) + 1, mode, len(data), len(packed)) + path + b"\0" + packed


def payload(directory: Path) -> bytes:
    """Return the payload that unpacks to what is in `directory`."""
    parts = []
    # Sorted, so a directory comes before what is in it.
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix().encode()
        if path.is_dir():
            parts.append(entry(name, 0o040700))
        else:
            data = path.read_bytes()
            executable = path.stat().st_mode & 0o100
            parts.append(entry(name, 0o100600 | executable, data, zlib.compress(data, 9)))
    return b"".join([*parts, _ENTRY.pack(0, 0, 0, 0)])


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(payload(Path(sys.argv[1])))
