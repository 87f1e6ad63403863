"""Laying the functions that a session runs side by side in the file.

The kernel maps files in pieces of 64 kB: scattered, the thousand kilobytes of code that a
session needs would pull in nearly all four thousand of the binary. Names that no longer
exist are ignored and new ones only cost memory, so the list need not follow every change.
To learn it anew (the .cg file is that of the long-lived process, the lowest number):

    build/static --symbols
    export SEVPN_BINARY="valgrind --tool=callgrind --callgrind-out-file=N.%p.cg dist/sevpn-symbols"
    (run a session with traffic in both directions, a reconnect and an orderly end)
    python3 build/static_parts/order.py N.PID.cg > build/static_parts/session_functions.txt
"""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path

LIST = Path(__file__).with_name("session_functions.txt")
# OpenSSL's assembler has one section per file.
ASSEMBLER = (
    "x86_64cpuid aesni-x86_64 aesni-gcm-x86_64 ghash-x86_64 sha1-x86_64 sha256-x86_64 "
    "sha512-x86_64 keccak1600-x86_64 x86_64-mont x86_64-mont5 x25519-x86_64 ecp_nistz256-x86_64 "
    "chacha-x86_64 poly1305-x86_64 aes-gcm-avx512 "
    "arm64cpuid aesv8-armx aes-gcm-armv8_64 ghashv8-armx sha1-armv8 sha256-armv8 sha512-armv8 "
    "keccak1600-armv8 armv8-mont ecp_nistz256-armv8 chacha-armv8 poly1305-armv8"
)
_NAMED = re.compile(r"^c?fn=\(\d+\) ([A-Za-z_]\w*)", re.MULTILINE)


def functions(callgrind: str) -> list[str]:
    """Return the C functions that ran, from a callgrind output file's text."""
    return sorted(set(_NAMED.findall(callgrind)))


def linker_script() -> str:
    """Return a script that adds to the linker's own rules: the session's code comes first."""
    lines = [f"    *(.text.{name})" for name in LIST.read_text(encoding="ascii").split()]
    lines += [f"    *-lib-{name}.o(.text)" for name in ASSEMBLER.split()]
    return "\n".join(
        ["SECTIONS", "{", "  .text.session : {", *lines, "  }", "}", "INSERT BEFORE .text;", ""]
    )


def main() -> int:
    """Print the list for callgrind files; return the exit status."""
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    text = "\n".join(Path(name).read_text(encoding="utf-8") for name in sys.argv[1:])
    print(textwrap.fill(" ".join(functions(text)), 100, break_long_words=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
