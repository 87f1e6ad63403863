"""Three network namespaces, with mounts of their own, joined by veth pairs.

      client                      router                      server
    sv<pid>c                     sv<pid>r                    sv<pid>s
     eth0 ------------------- c0          s0 ------------------- eth0
     192.0.2.2/24      192.0.2.1/24     198.51.100.1/24    198.51.100.10/24
     fd00:a::2/64      fd00:a::1/64     fd00:b::1/64       fd00:b::10/64

`Topology(direct=True)` leaves the router out: client and server share 198.51.100.0/24
(client .2) for benchmarks; with `wire` they do so over a `Wire`, which has delay, loss and a
rate. The router has no route but these two networks, so whatever else gets through went
through a tunnel.

Each namespace has a private /run, /var/lib, /var/log and an /etc in which every entry
leads to the host's but resolv.conf, hosts and what is written there: nothing done inside
shows outside. A holder process keeps the mounts; `nsenter` joins them. Every process of a
namespace is killed when the topology closes, the holders and programs also when we die
(parent-death signal); the named namespaces of dead owners are swept at the next start.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.process import LabError, Process, wait_for
from lab.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType
    from typing import Self

CLIENT_IP = "192.0.2.2"
CLIENT_GATEWAY = "192.0.2.1"
CLIENT_IP6 = "fd00:a::2"
SERVER_IP = "198.51.100.10"
SERVER_IP6 = "fd00:b::10"
BLACK_HOLE_IP = "198.51.100.66"  # the router drops what goes there, silently
BLACK_HOLE_DNS = "203.0.113.253"
UNUSED_PORT = 4

HOSTS = f"""127.0.0.1 localhost
{SERVER_IP} vpn.test wrong.test
{SERVER_IP6} vpn6.test
{BLACK_HOLE_IP} blackhole.test
"""
RESOLV_CONF = f"# written by the administrator\nnameserver {CLIENT_GATEWAY}\noptions timeout:1\n"

_CLIENT_NETWORK = f"""link set eth0 up
addr add {CLIENT_IP}/24 dev eth0
addr add {CLIENT_IP6}/64 dev eth0 nodad
route add default via {CLIENT_GATEWAY} metric 100
route add fd00:b::/64 via fd00:a::1
"""

_NETNS_DIR = Path("/run/netns")
_OURS = re.compile(r"sv(\d+)(?:-\d+)?[crs]")
_SCRATCH = re.compile(r"sv(\d+)-.*")
_HOLDER = """
set -e
sysctl -qew net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.default.accept_ra=0 || true
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/host-etc /run/lock
mount --bind /etc /run/host-etc
mount -t tmpfs -o mode=755 tmpfs /etc
ln -s -t /etc /run/host-etc/* /run/host-etc/.[!.]*
cd /run/host-etc
find . -maxdepth 1 -type l -exec cp -Pf -t /etc {} +
cd /
rm -f /etc/resolv.conf /etc/hosts
printf %s "$1" >/etc/hosts
printf %s "$2" >/etc/resolv.conf
mount -t tmpfs -o mode=755 tmpfs /var/lib
mount -t tmpfs -o mode=755 tmpfs /var/log
mkdir /run/softether /var/lib/softether /var/log/softether
echo ready
exec sleep infinity
"""
_counter = 0


def _ip_batch(lines: str, namespace: str = "") -> None:
    """Run lines of `ip` commands in one process; raises LabError with its words."""
    where = ["-n", namespace] if namespace else []
    done = subprocess.run(
        ["ip", *where, "-batch", "-"], input=lines, text=True, capture_output=True, check=False
    )
    if done.returncode:
        raise LabError(f"ip -batch in {namespace or 'the host'}: {done.stderr.strip()}\n{lines}")


def _remove(name: str) -> None:
    """Kill everything in a named namespace and delete it; fine when it is gone."""
    found = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True)
    for pid in found.stdout.split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    subprocess.run(["ip", "netns", "del", name], capture_output=True)


def sweep() -> list[str]:
    """Remove what killed runs left: namespaces of ours whose owner is dead. Return them."""
    stale = []
    for path in _NETNS_DIR.glob("sv*"):
        found = _OURS.fullmatch(path.name)
        if found and not Path(f"/proc/{found[1]}").exists():
            _remove(path.name)
            stale.append(path.name)
    for directory in Path(tempfile.gettempdir()).glob("sv*-*"):
        owner = _SCRATCH.fullmatch(directory.name)
        if owner and not Path(f"/proc/{owner[1]}").exists():
            shutil.rmtree(directory, ignore_errors=True)
    return stale


def leftovers(pid: int | None = None) -> list[str]:
    """Return the namespaces that this process (or `pid`) has made and not removed."""
    found = (path.name for path in _NETNS_DIR.glob("sv*"))
    wanted = str(pid or os.getpid())
    return sorted(name for name in found if (m := _OURS.fullmatch(name)) and m[1] == wanted)


class Namespace:
    """One network namespace with its mounts; made by Topology."""

    def __init__(self, name: str) -> None:
        self.name = name
        _ip_batch(f"netns add {name}")
        self.holder = Process(
            [
                *("nsenter", f"--net={_NETNS_DIR / name}", "unshare", "--mount"),
                *("--propagation", "private", "setpriv", "--pdeathsig", "KILL"),
                *("sh", "-c", _HOLDER, "holder", HOSTS, RESOLV_CONF),
            ]
        )
        self.holder.wait_line("^ready$", 10.0)

    @property
    def root(self) -> Path:
        """The namespace's file system, as seen from outside."""
        return Path(f"/proc/{self.holder.pid}/root")

    def path(self, inside: str) -> Path:
        """Return the outside path of a file inside: path("/etc/resolv.conf")."""
        return self.root / inside.lstrip("/")

    def wrap(self, argv: Sequence[str], setpriv: Sequence[str] = ()) -> list[str]:
        """Return the command that runs `argv` inside, under the same pid and killed with us."""
        # The holder's root, too: joining its mounts alone would leave a chroot that we are in.
        enter = ["nsenter", "--target", str(self.holder.pid), "--net", "--mount", "--root", "--wd"]
        return [*enter, "setpriv", "--pdeathsig", "KILL", *setpriv, "--", *argv]

    def run(
        self, *argv: str, check: bool = True, input_text: str = "", timeout_s: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end; raises LabError when `check` and it fails."""
        done = subprocess.run(
            self.wrap(argv),
            input=input_text,
            text=True,
            errors="replace",
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
        if check and done.returncode:
            raise LabError(
                f"{' '.join(argv)} in {self.name}: exit {done.returncode}\n"
                f"{done.stdout}{done.stderr}"
            )
        return done

    def start(
        self,
        *argv: str,
        env: dict[str, str] | None = None,
        setpriv: Sequence[str] = (),
    ) -> Process:
        """Start a program that goes on; `env` is added to ours."""
        return Process(self.wrap(argv, setpriv), {**os.environ, **(env or {})})

    def ip(self, *arguments: str) -> list[dict[str, Any]]:
        """Return `ip -j ARGUMENTS` as data."""
        done = subprocess.run(
            ["ip", "-n", self.name, "-j", *arguments], text=True, capture_output=True, check=False
        )
        if done.returncode:
            raise LabError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
        found: list[dict[str, Any]] = json.loads(done.stdout or "[]")
        return [entry for entry in found if entry]

    def ip_batch(self, lines: str) -> None:
        """Run lines of `ip` commands inside."""
        _ip_batch(lines, self.name)

    def address_of(self, ifname: str) -> str | None:
        """Return the first IPv4 address of an interface as "10.0.0.1/24", None without."""
        for link in self.ip("-4", "addr", "show"):
            if link["ifname"] == ifname and link["addr_info"]:
                info = link["addr_info"][0]
                return f"{info['local']}/{info['prefixlen']}"
        return None

    def has_link(self, ifname: str) -> bool:
        """Tell whether the interface exists."""
        return any(link["ifname"] == ifname for link in self.ip("link", "show"))

    def pids(self, name: str) -> list[int]:
        """Return the processes inside that are called `name`."""
        done = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True)
        found = []
        for pid in done.stdout.split():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip() == name:
                    found.append(int(pid))
        return found

    def ping(
        self,
        address: str,
        *,
        source: str = "",
        count: int = 3,
        timeout_s: float = 2.0,
        interval_s: float = 0.05,
    ) -> bool:
        """Tell whether every one of `count` echo requests was answered."""
        via = ["-I", source] if source else []
        done = self.run(
            *("ping", "-q", "-n", "-c", str(count), "-i", str(interval_s), "-W", str(timeout_s)),
            *via,
            address,
            check=False,
        )
        return f" {count} received" in done.stdout

    def wait_ping(self, address: str, timeout_s: float = 5.0, *, source: str = "") -> None:
        """Wait until one echo request is answered."""
        wait_for(
            lambda: self.ping(address, source=source, count=1, timeout_s=0.3),
            timeout_s,
            f"an answer from {address} in {self.name}",
        )

    def close(self) -> None:
        """Kill everything inside and remove it."""
        _remove(self.name)
        self.holder.kill()


class Topology:
    """The namespaces and wires; a context manager. `scratch` is a directory that goes too."""

    def __init__(self, *, direct: bool = False, wire: bool = False) -> None:
        self.direct = direct or wire
        self._with_wire = wire
        self._cleanup = contextlib.ExitStack()

    def __enter__(self) -> Self:
        global _counter
        sweep()
        prefix = f"sv{os.getpid()}" + (f"-{_counter}" if _counter else "")
        _counter += 1
        try:
            self.scratch = Path(tempfile.mkdtemp(prefix=f"{prefix}-"))
            self._cleanup.callback(shutil.rmtree, self.scratch, ignore_errors=True)
            self.client = self._namespace(f"{prefix}c")
            self.server = self._namespace(f"{prefix}s")
            if self.direct:
                self._wire_direct()
            else:
                self.router = self._namespace(f"{prefix}r")
                self._wire_routed()
        except BaseException:
            self._cleanup.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._cleanup.close()

    def _namespace(self, name: str) -> Namespace:
        self._cleanup.callback(_remove, name)
        namespace = Namespace(name)
        self._cleanup.callback(namespace.close)
        return namespace

    def _wire_direct(self) -> None:
        if self._with_wire:
            first, second = (_NETNS_DIR / one.name for one in (self.client, self.server))
            self.wire = Wire(first, second, "eth0")
            self._cleanup.callback(self.wire.close)
        else:
            self.client.ip_batch(
                f"link add eth0 type veth peer name eth0 netns {self.server.name}\n"
            )
        self.client.ip_batch(
            "addr add 198.51.100.2/24 dev eth0\naddr add fd00:b::2/64 dev eth0 nodad\n"
            "link set lo up\nlink set eth0 up\n"
        )
        self.server.ip_batch(
            f"addr add {SERVER_IP}/24 dev eth0\naddr add {SERVER_IP6}/64 dev eth0 nodad\n"
            "link set lo up\nlink set eth0 up\n"
        )
        self._settle(self.client, self.server)

    def _wire_routed(self) -> None:
        self.router.ip_batch(
            f"link add c0 type veth peer name eth0 netns {self.client.name}\n"
            f"link add s0 type veth peer name eth0 netns {self.server.name}\n"
            f"addr add {CLIENT_GATEWAY}/24 dev c0\naddr add fd00:a::1/64 dev c0 nodad\n"
            "addr add 198.51.100.1/24 dev s0\naddr add fd00:b::1/64 dev s0 nodad\n"
            "link set lo up\nlink set c0 up\nlink set s0 up\n"
            f"route add blackhole {BLACK_HOLE_IP}\nroute add blackhole {BLACK_HOLE_DNS}\n"
        )
        self.router.run(
            *("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        )
        self.client.ip_batch("link set lo up\n" + _CLIENT_NETWORK)
        self.server.ip_batch(
            f"addr add {SERVER_IP}/24 dev eth0\naddr add {SERVER_IP6}/64 dev eth0 nodad\n"
            "link set lo up\nlink set eth0 up\n"
            "route add default via 198.51.100.1\nroute add default via fd00:b::1\n"
        )
        self._settle(self.client, self.server, self.router)

    @staticmethod
    def _settle(*namespaces: Namespace) -> None:
        """Wait until no IPv6 address is tentative: it would change a snapshot later."""

        def settled() -> bool:
            entries = [e for n in namespaces for link in n.ip("addr") for e in link["addr_info"]]
            return len(entries) > 4 and not any(e.get("tentative") for e in entries)

        wait_for(settled, 5.0, "the addresses of the namespaces")

    def restore_client(self) -> None:
        """Put the client's network and resolv.conf back, whatever was done to them."""
        kept = ("lo", "eth0", "sit0", "ip6tnl0")
        links = [link["ifname"] for link in self.client.ip("link", "show")]
        gone = "".join(f"link del {name}\n" for name in links if name not in kept)
        self.client.ip_batch(f"{gone}addr flush dev eth0\nlink set eth0 down\n")
        self.client.run("ip", "rule", "flush")
        self.client.ip_batch(
            "rule add lookup main pref 32766\nrule add lookup default pref 32767\n"
            + _CLIENT_NETWORK
        )
        self.restore_resolv_conf()

    def restore_resolv_conf(self) -> None:
        """Make the client's /etc/resolv.conf the ordinary file again that it was at first."""
        self.client.run("sh", "-c", "umount /etc/resolv.conf; rm -f /etc/resolv.conf", check=False)
        path = self.client.path("/etc/resolv.conf")
        path.write_text(RESOLV_CONF, encoding="ascii")
        path.chmod(0o644)

    @contextlib.contextmanager
    def cut(self) -> Iterator[None]:
        """Drop everything between client and server, silently, for the block."""
        self.router.run("nft", "add table inet cut")
        rule = "add chain inet cut f { type filter hook forward priority 0; policy drop; }"
        self.router.run("nft", rule)
        try:
            yield
        finally:
            self.router.run("nft", "delete table inet cut")
