"""How much time splitting, merging and the checksum take; a table, not a test.

.venv/bin/python tests/bench/bench_offload.py      (after build/dev)
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "build")]

import extensions  # noqa: E402
from support import packets  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

ROUNDS = 2000
REPEATS = 9
TIMESTAMP = b"\x01\x01\x08\x0a\0\0\0\1\0\0\0\2"


def compiled_loops() -> Any:
    """Return bench_offload_loops.pyx, compiled into .cache/bench."""
    tree = ROOT / ".cache/bench"
    extensions.make_tree(ROOT, tree)
    source = ROOT / "tests/bench/bench_offload_loops.pyx"
    text, library = tree / "loops.c", tree / "bench_offload_loops.so"
    cython = [sys.executable, "-m", "cython", "-3", "-I", ".", "-o", str(text), str(source)]
    subprocess.run(cython, cwd=tree, check=True)
    include = sysconfig.get_path("include")
    flags = [*extensions.COMMON_FLAGS, "-O3", "-w", "-fPIC", "-shared", f"-I{include}"]
    subprocess.run(["cc", *flags, "-Isevpn", str(text), "-o", str(library)], cwd=tree, check=True)
    spec = importlib.util.spec_from_file_location("bench_offload_loops", library)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def super_frame(size: int, gso_size: int) -> bytes:
    frame = packets.build(bytes(size), options=TIMESTAMP)
    return packets.offload_header(1, packets.GSO_TCPV4, gso_size, 34, 16) + frame


def segments(count: int, size: int, flows: int, protocol: int = packets.TCP) -> list[bytes]:
    return [
        packets.build(
            bytes(size),
            protocol=protocol,
            options=TIMESTAMP if protocol == packets.TCP else b"",
            seq=1 + at // flows * size,
            ident=at // flows,
            ports=(5001, 40000 + at % flows),
        )
        for at in range(count)
    ]


def best(measure: Callable[[T, int], tuple[float, int]], what: T, rounds: int) -> float:
    return min(measure(what, rounds)[0] for _ in range(REPEATS))


def main() -> None:
    loops = compiled_loops()
    print(f"{'what':44} {'ns/frame':>9} {'GB/s':>7}  result")
    data = bytes(range(256)) * 6
    for size in (64, 512, 1460):
        took_ns = best(loops.checksum_ns, data[:size], ROUNDS * 10)
        print(f"{f'checksum of {size} bytes':44} {took_ns:9.1f} {size / took_ns:7.1f}")
    for total, gso_size in ((64000, 1448), (64000, 500), (1448, 1448)):
        read = super_frame(total, gso_size)
        count = loops.split_ns(read, 1)[1]
        took_ns = best(loops.split_ns, read, ROUNDS)
        name = f"split {total} bytes at {gso_size}"
        print(f"{name:44} {took_ns / count:9.1f} {total / took_ns:7.1f}  {count} frames")
    for name, frames in (
        ("merge 1448-byte segments, 1 flow", segments(200, 1448, 1)),
        ("merge 1448-byte segments, 4 flows", segments(200, 1448, 4)),
        ("merge 1448-byte segments, 64 flows", segments(200, 1448, 64)),
        ("merge 1400-byte datagrams, 1 flow", segments(200, 1400, 1, packets.UDP)),
        ("merge 64-byte datagrams, 1 flow", segments(200, 22, 1, packets.UDP)),
        ("merge nothing: 200 flows of one segment", segments(200, 1448, 200)),
        ("merge nothing: acknowledgements", segments(200, 0, 1)),
    ):
        writes = loops.merge_ns(frames, 1)[1]
        took_ns = best(loops.merge_ns, frames, ROUNDS // 10)
        size = sum(map(len, frames))
        print(
            f"{name:44} {took_ns / len(frames):9.1f} {size / took_ns:7.1f}"
            f"  {len(frames)} -> {writes} writes"
        )


if __name__ == "__main__":
    main()
