"""Real containers for sevpn: podman and runc, without a registry, joined to the lab.

`Engine(directory)` keeps all of podman's state in a directory of its own and takes it away
at the end. `Contained(engine, topology.client, image, "-host", ...)` is a `Sevpn` that runs
in a container whose network is the client's namespace: what is asked of the one can be
asked of the other. It gets what the README tells people to give, and not more.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lab.client import Sevpn
from lab.process import LabError, Process, status_kb, wait_for
from lab.topology import CLIENT_GATEWAY, SERVER_IP

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Any, Self

    from lab.topology import Namespace

TOOLS = ("podman", "runc", "conmon")
# What a session needs, and nothing else: no capability but one, no file that can be written.
LOCKED_DOWN = (
    *("--read-only", "--cap-drop", "ALL", "--cap-add", "NET_ADMIN"),
    *("--device", "/dev/net/tun"),
)
# podman would raise these limits, which a root without CAP_SYS_RESOURCE may not.
_LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
_CGROUPS = Path("/sys/fs/cgroup")
STOP_LIMIT_S = 9.0  # of `podman stop`, which kills after ten seconds
_counter = 0


def _numbers(path: Path) -> dict[str, int]:
    words = (line.split() for line in path.read_text(encoding="ascii").splitlines())
    return {name: int(value) for name, value in words}


class Engine:
    """podman with storage of its own; a context manager."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.argv = [
            *("podman", "--root", str(directory / "storage")),
            *("--runroot", str(directory / "run"), "--tmpdir", str(directory / "tmp")),
            # No service, no systemd, no overlay mounts: it works in a bare virtual machine.
            *("--storage-driver", "vfs", "--runtime", "runc", "--cgroup-manager", "cgroupfs"),
            *("--events-backend", "none"),
        ]

    def __enter__(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.run("rm", "--all", "--force", "--time", "0", check=False)
        # vfs mounts nothing that could still be there.
        shutil.rmtree(self.directory, ignore_errors=True)

    def run(
        self,
        *arguments: str,
        check: bool = True,
        timeout_s: float = 60.0,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a podman command to its end; raises LabError when `check` and it fails."""
        done = subprocess.run(
            [*self.argv, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            cwd=cwd,
            check=False,
        )
        if check and done.returncode:
            raise LabError(f"podman {' '.join(arguments)}: exit {done.returncode}\n{done.stderr}")
        return done

    def import_root(self, root: Path, image: str) -> None:
        """Make an image of a directory."""
        tar = ["tar", "--one-file-system", "-C", str(root), "-cf", "-", "."]
        with subprocess.Popen(tar, stdout=subprocess.PIPE) as packing:
            done = subprocess.run(
                [*self.argv, "import", "-", image],
                stdin=packing.stdout,
                capture_output=True,
                text=True,
            )
        if packing.returncode or done.returncode:
            raise LabError(f"podman import of {root}: {done.stderr}")

    def inspect(self, name: str) -> dict[str, Any]:
        """Return what podman knows of a container."""
        found: dict[str, Any] = json.loads(self.run("inspect", name).stdout)[0]
        return found


def network_flags(namespace: Namespace) -> list[str]:
    """Return the flags that put a container into a namespace of the lab, with its names."""
    return [
        *("--network", f"ns:/run/netns/{namespace.name}"),
        *("--dns", CLIENT_GATEWAY, "--add-host", f"vpn.test:{SERVER_IP}"),
    ]


class Contained(Sevpn):
    """One run of sevpn as the first process of a container."""

    def __init__(
        self,
        engine: Engine,
        namespace: Namespace,
        image: str,
        *flags: str,
        options: Sequence[str] = LOCKED_DOWN,
        command: Sequence[str] = (),
    ) -> None:
        super().__init__(namespace, *flags)
        global _counter
        _counter += 1
        self.name = f"sv{os.getpid()}-{_counter}"
        self.engine = engine
        self._argv = [
            *(*engine.argv, "run", "--name", self.name, *_LIMITS, *network_flags(namespace)),
            *(*options, image, *command, *flags),
        ]

    def __enter__(self) -> Self:
        self.process = Process(self._argv)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        self.engine.run("rm", "--force", "--time", "0", self.name, check=False)

    @property
    def pid(self) -> int:
        """The number that the container's first process has outside."""
        return wait_for(
            lambda: int(self.engine.inspect(self.name)["State"]["Pid"]), 10.0, "the container"
        )

    def path(self, inside: str) -> Path:
        """Return the outside path of a file in the container."""
        return Path(f"/proc/{self.pid}/root") / inside.lstrip("/")

    def processes(self) -> dict[int, str]:
        """Return the state of every process in the container by its outside number: R, S, Z."""
        found = {}
        own = os.readlink(f"/proc/{self.pid}/ns/pid")
        for path in Path("/proc").glob("[0-9]*"):
            try:
                # A zombie's own link cannot be read; the namespace of its children can.
                inside = os.readlink(path / "ns/pid") == own
                stat = (path / "stat").read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue
            if inside:
                found[int(path.name)] = stat.rpartition(")")[2].split()[0]
        return found

    def stop_by_engine(self) -> float:
        """`podman stop`; assert exit code 0, not a kill, in time; return the seconds."""
        before_s = time.monotonic()
        self.engine.run("stop", "--time", "10", self.name)
        took_s = time.monotonic() - before_s
        code = self.process.wait(10.0)
        if code != 0 or took_s >= STOP_LIMIT_S:
            raise LabError(f"exit {code} after {took_s:.2f} s: {self.process.describe()}")
        return took_s

    def kill(self) -> None:
        """End it as the kernel's out-of-memory killer would."""
        os.kill(self.pid, signal.SIGKILL)
        self.process.wait(10.0)

    def memory_kb(self) -> dict[str, int]:
        """Return VmRSS, RssAnon, ... in kB of the first process."""
        return status_kb(self.pid)

    def stats_kb(self) -> float:
        """Return the memory that `podman stats` shows, in units of 1000 bytes."""
        done = self.engine.run("stats", "--no-stream", "--format", "json", self.name)
        shown = json.loads(done.stdout)[0]["mem_usage"].split(" / ")[0]
        for unit, factor in (("kB", 1.0), ("MB", 1e3), ("GB", 1e6), ("B", 1e-3)):
            if shown.endswith(unit):
                return float(shown.removesuffix(unit)) * factor
        raise LabError(f"podman stats: {done.stdout}")

    def used_bytes(self) -> int:
        """Return the memory that the container's group uses.

        Unlike the figure of `podman stats` this is without what the kernel has charged to
        the group in advance: up to 64 pages on every processor that ran it.
        """
        for line in Path(f"/proc/{self.pid}/cgroup").read_text(encoding="ascii").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "memory":  # cgroup v1
                group = _CGROUPS / "memory" / path.lstrip("/")
                stat = _numbers(group / "memory.stat")
                kernel = int((group / "memory.kmem.usage_in_bytes").read_text(encoding="ascii"))
                return stat["rss"] + stat["cache"] - stat["inactive_file"] + kernel
            if not controllers:
                unified = _CGROUPS / path.lstrip("/")
        stat = _numbers(unified / "memory.stat")
        return stat["anon"] + stat["file"] - stat["inactive_file"] + stat["kernel"]
