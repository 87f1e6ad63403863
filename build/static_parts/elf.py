"""Just enough of the ELF format to tell a static executable from another."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

_PT_DYNAMIC = 2
_PT_INTERP = 3
_MACHINES = {62: "x86_64", 183: "aarch64"}


class Elf(NamedTuple):
    """What the header of an executable says."""

    machine: str
    has_interpreter: bool  # needs a dynamic linker at that path
    has_dynamic_section: bool

    @property
    def is_static(self) -> bool:
        """Tell whether the kernel alone can start it."""
        return not (self.has_interpreter or self.has_dynamic_section)


def read(path: Path) -> Elf:
    """Return the facts of a 64-bit little-endian ELF file. Raises ValueError."""
    data = path.read_bytes()
    if data[:6] != b"\x7fELF\x02\x01":
        raise ValueError(f"{path} is not a 64-bit little-endian ELF file")
    (machine,) = struct.unpack_from("<H", data, 18)
    (table,) = struct.unpack_from("<Q", data, 32)
    entry_bytes, entries = struct.unpack_from("<HH", data, 54)
    kinds = {struct.unpack_from("<I", data, table + i * entry_bytes)[0] for i in range(entries)}
    name = _MACHINES.get(machine, str(machine))
    return Elf(name, _PT_INTERP in kinds, _PT_DYNAMIC in kinds)
