"""Laying side by side in the file what a session runs, and what it writes.

The kernel maps files in pieces of 64 kB: scattered, the thousand kilobytes of code that a
session needs would pull in nearly all four thousand of the binary. Names that no longer
exist are ignored and new ones only cost memory, so the list need not follow every change.
To learn it anew (the .cg file is that of the long-lived process, the lowest number):

    build/static --symbols
    export SEVPN_BINARY="valgrind --tool=callgrind --callgrind-out-file=N.%p.cg dist/sevpn-symbols"
    (run a session with traffic in both directions, a reconnect and an orderly end)
    python3 build/static_parts/order.py N.PID.cg > build/static_parts/session_functions.txt

Data that is written becomes memory of our own, page by page. Type objects and the like (96
kB, in which reference counts and caches are written) lay among tables that never change:
55 of 68 pages were written to, now 26.
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
# What was found changed in a running session, as patterns of variable names.
WRITTEN = (
    "*_Type *Type *_type __pyx_type_* _PyExc_* *module __pyx_moduledef _PyIO_Module *Iterator "
    "stat_result_* statvfs_result_desc times_result_desc waitid_result_desc sched_param_desc "
    "builtin___import__.* unicode_split.* *_as_number *_as_mapping ssl3_ciphers lilendian_table "
    "constants bloom_linebreak vdso_func destructor_key _Py_open_cloexec_works "
    "__default_stacksize *library_number *_store_ctx_idx __Pyx_check_single_interpreter*"
)
_NAMED = re.compile(r"^c?fn=\(\d+\) ([A-Za-z_]\w*)", re.MULTILINE)


def functions(callgrind: str) -> list[str]:
    """Return the C functions that ran, from a callgrind output file's text."""
    return sorted(set(_NAMED.findall(callgrind)))


def linker_script() -> str:
    """Return a script that adds to the linker's own rules: the session's part comes first."""
    lines = [f"    *(.text.{name})" for name in LIST.read_text(encoding="ascii").split()]
    lines += [f"    *-lib-{name}.o(.text)" for name in ASSEMBLER.split()]
    written = [f"    *(.data.{pattern})" for pattern in WRITTEN.split()]
    return "\n".join(
        [
            *("SECTIONS", "{", "  .text.session : {", *lines, "  }", "}", "INSERT BEFORE .text;"),
            *("SECTIONS", "{", "  .data.session : {", *written, "  }", "}", "INSERT BEFORE .data;"),
            "",
        ]
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
