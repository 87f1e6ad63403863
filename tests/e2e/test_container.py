"""The static binary in real containers: nothing but itself, busybox with musl, Debian 13.

Every container is made with podman and runc and without a registry; its network is the
client's namespace of the lab. It gets one capability, and where nothing else is said a
file system that cannot be written.
"""

from __future__ import annotations

import re
import shlex
import shutil
import signal
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest

from lab import container, iperf, roots
from lab.client import ROOT, flags, snapshot
from lab.container import LOCKED_DOWN, Contained, Engine
from lab.process import wait_for
from lab.server import FAR_IP, LAN_IP, PASSWORD, USER
from lab.topology import CLIENT_GATEWAY
from sevpn.errors import EXIT_HOST
from support.require import require
from support.static import static_binary
from support.whole import EVERYTHING, everything_offered, go_through, verifying

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from lab.certs import Certificates
    from lab.dhcp import Dnsmasq
    from lab.server import SoftEther
    from lab.topology import Namespace, Topology

pytestmark = pytest.mark.timeout(1800)  # the first build compiles OpenSSL and CPython

CA_INSIDE = "/etc/ssl/certs/ca-certificates.crt"
RESOLV = f"nameserver {CLIENT_GATEWAY}\n"
# What `podman stats` may show. The kernel charges a group in steps and keeps up to 64 pages
# per processor in advance; what is asserted is what is used, and the figure is printed.
MAX_MEMORY_BYTES = 4_600_000
IPERF_S = 3.0


class Image(NamedTuple):
    """What to run: an image's name or the flags of a root, and the command in it."""

    words: tuple[str, ...]
    command: tuple[str, ...]


@pytest.fixture(scope="module")
def engine(topology: Topology) -> Iterator[Engine]:
    missing = [name for name in container.TOOLS if shutil.which(name) is None]
    require(not missing, f"build/test installs what is missing: {' '.join(missing)}")
    with Engine(topology.scratch / "podman") as made:
        yield made


def readme_commands(start: str) -> list[list[str]]:
    """Return the words of every command in the README's code blocks that begins so."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").replace("\\\n", " ")
    return [shlex.split(line) for line in text.splitlines() if line.startswith(start)]


@pytest.fixture(scope="module")
def scratch_image(engine: Engine) -> Image:
    """The Containerfile's image, built by the README's command."""
    static_binary()
    (command,) = readme_commands("docker build")
    engine.run(*command[1:2], "--pull=never", "--network", "none", *command[2:], cwd=ROOT)
    return Image(("sevpn",), ())


@pytest.fixture(scope="module")
def alpine_image(engine: Engine, topology: Topology) -> Image:
    """A stand-in for Alpine, under its name; the binary is mounted, as in the README."""
    require(roots.MUSL.exists() and roots.BUSYBOX.exists(), "install musl and busybox-static")
    root = topology.scratch / "busybox"
    roots.make_busybox(root)
    engine.import_root(root, "alpine")
    return Image(("-v", f"{static_binary()}:/usr/bin/sevpn:ro", "alpine"), ("sevpn",))


@pytest.fixture(scope="module")
def debian_image(engine: Engine) -> Image:
    require(shutil.which("debootstrap"), "install debootstrap")
    root = roots.debian("trixie", ROOT / ".cache" / "roots")
    words = ("-v", f"{static_binary()}:/usr/bin/sevpn:ro", "--rootfs", str(root.resolve()))
    return Image(words, ("/usr/bin/sevpn",))


def run_in(
    engine: Engine,
    host: Namespace,
    image: Image,
    *flags: str,
    options: Sequence[str] = LOCKED_DOWN,
) -> Contained:
    *further, name = image.words
    return Contained(
        engine, host, name, *flags, options=[*options, *further], command=image.command
    )


@pytest.mark.parametrize("kind", ["scratch", "alpine", "debian"])
def test_whole_session(
    request: pytest.FixtureRequest, engine: Engine, host: Namespace, server: SoftEther,
    certificates: Certificates, tmp_path: Path, kind: str,
) -> None:  # fmt: skip
    """A verified server, address, routes, names, a reconnect, the end; all in place, all gone."""
    image: Image = request.getfixturevalue(f"{kind}_image")
    server.set_certificate(*certificates.good)
    resolv = tmp_path / "resolv.conf"
    resolv.write_text(RESOLV, encoding="ascii")
    options = (
        *(*LOCKED_DOWN, "-v", f"{certificates.ca}:{CA_INSIDE}:ro"),
        *("-v", f"{resolv}:/etc/resolv.conf"),
    )
    was = snapshot(host)
    with everything_offered(server) as dhcp:
        with run_in(engine, host, image, *verifying(*EVERYTHING), options=options) as run:
            run.wait_line("ready", 20.0)
            go_through(run, host, server, dhcp, run.path("/etc/resolv.conf"))
            # What changes the host is a child for a moment; no dead one stays.
            wait_for(lambda: list(run.processes().values()) == ["S"], 10.0, "one process, at rest")
            print(f"\npodman stop took {run.stop_by_engine():.2f} s", end="")
            dhcp.wait("DHCPRELEASE", 2.0)
    assert resolv.read_text(encoding="ascii") == RESOLV
    assert not was.differences(snapshot(host))
    assert server.sessions() == []


@pytest.mark.parametrize("image", ["alpine", "sevpn"])
def test_readme_line(
    engine: Engine, host: Namespace, server: SoftEther, dhcp: Dnsmasq, certificates: Certificates,
    scratch_image: Image, alpine_image: Image, image: str, tmp_path: Path,
) -> None:  # fmt: skip
    """As printed, but for who the server is, whom to trust, and the missing terminal."""
    password = tmp_path / "vpn.pass"
    password.write_text(f"{PASSWORD}\n", encoding="ascii")
    password.chmod(0o600)
    server.set_certificate(*certificates.good)
    lines = readme_commands("docker run")
    (line,) = (words for words in lines if ("alpine" in words) == (image == "alpine"))
    replaced = {
        "vpn.example.com": "vpn.test",
        "admin": USER,
        "./vpn.pass:/vpn.pass:ro": f"{password}:/vpn.pass:ro",
        "./dist/sevpn:/usr/bin/sevpn": f"{static_binary()}:/usr/bin/sevpn",
        f"{CA_INSIDE}:{CA_INSIDE}:ro": f"{certificates.ca}:{CA_INSIDE}:ro",
    }
    words = [replaced.get(word, word) for word in line[2:] if word not in ("--rm", "-it")]
    where = words.index(image)
    with Contained(engine, host, image, *words[where + 1 :], options=words[:where]) as run:
        run.wait_line("ready", 20.0)
        host.wait_ping(FAR_IP)
        assert host.ip("route", "get", FAR_IP)[0]["dev"] != "eth0"
        run.stop_by_engine()


def test_memory(
    engine: Engine, host: Namespace, server: SoftEther, dhcp: Dnsmasq, scratch_image: Image
) -> None:
    """What a container runtime reports in a session while iperf3 runs through it."""
    shown: list[str] = []
    worst = 0

    def look(phase: str) -> None:
        nonlocal worst
        memory, used = run.memory_kb(), run.used_bytes()
        worst = max(worst, used)
        shown.append(
            f"{phase:5} podman stats {run.stats_kb() / 1000:.2f} MB, used {used / 1e6:.2f} MB, "
            f"RSS {memory['VmRSS']} kB, anonymous {memory['RssAnon']} kB"
        )

    with run_in(engine, host, scratch_image, *flags()) as run:
        run.wait_address()
        host.wait_ping(LAN_IP)
        look("idle")
        with iperf.IperfServer(server.namespace, LAN_IP):
            for phase, down in (("up", False), ("down", True)):
                client = host.start(*iperf.command(LAN_IP, seconds=IPERF_S, down=down))
                time.sleep(IPERF_S - 1)
                look(phase)
                client.wait(IPERF_S + 10)
        run.stop()
    print("", *shown, sep="\n", end="")
    assert worst <= MAX_MEMORY_BYTES, "\n".join(shown)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGQUIT"])
def test_signals_to_the_first_process(
    engine: Engine, host: Namespace, server: SoftEther, dhcp: Dnsmasq, scratch_image: Image,
    name: str,
) -> None:  # fmt: skip
    """The kernel drops what the first process has no handler for: each ends it properly."""
    with run_in(engine, host, scratch_image, *flags()) as run:
        run.wait_address()
        engine.run("kill", "--signal", name, run.name)
        assert run.process.wait(2.0) == 0


def test_stop_before_a_session(engine: Engine, host: Namespace, scratch_image: Image) -> None:
    with run_in(engine, host, scratch_image, *flags("-port", "4", "-reconnect-delay", "1m")) as run:
        run.wait_line("reconnecting in")
        run.stop_by_engine()


def test_no_ca_certificates(
    engine: Engine, host: Namespace, server: SoftEther, certificates: Certificates,
    scratch_image: Image,
) -> None:  # fmt: skip
    """In an image with one file nothing can be verified: one line with the ways on."""
    server.set_certificate(*certificates.good)
    with run_in(engine, host, scratch_image, *verifying()) as run:
        run.wait_line("error: ")
        run.wait_line("reconnecting in 900 s")  # the image does not leave: nobody restarts it
        run.stop_by_engine()
    assert "no CA certificates" in run.log
    for remedy in ("ca-certificates", "SSL_CERT_FILE", "-ca-file", "-insecure", "-cert-sha256"):
        assert remedy in run.log


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        (("--device", "/dev/net/tun"), r"--device /dev/net/tun|/dev/net/tun"),
        (("--cap-add", "NET_ADMIN"), r"NET_ADMIN"),
    ],
    ids=["device", "capability"],
)
def test_forgotten_flag(
    engine: Engine, host: Namespace, server: SoftEther, scratch_image: Image,
    missing: tuple[str, str], told: str,
) -> None:  # fmt: skip
    text = " ".join(LOCKED_DOWN).replace(" ".join(missing), "")
    with run_in(engine, host, scratch_image, *flags(), options=text.split()) as run:
        run.expect_exit(EXIT_HOST)
    assert re.search(told, run.log)


def test_nothing_can_be_written(
    engine: Engine, host: Namespace, server: SoftEther, dhcp: Dnsmasq, scratch_image: Image
) -> None:
    """As docker makes it: no /run to write to. It works, and says what is not possible."""
    options = (*LOCKED_DOWN, "--read-only-tmpfs=false")
    with run_in(engine, host, scratch_image, *flags("-accept-dns"), options=options) as run:
        run.wait_line("warning: -accept-dns: cannot set the name servers: Read-only", 20.0)
        run.wait_line("connected, but not as asked", 20.0)
        assert "/run/sevpn" in run.log
        run.stop()


def test_killed_container(
    engine: Engine, host: Namespace, server: SoftEther, dhcp: Dnsmasq, scratch_image: Image,
    tmp_path: Path,
) -> None:  # fmt: skip
    """In a network that outlives it, as another container's: the next run cleans up."""
    options = (*LOCKED_DOWN, "-v", f"{tmp_path}:/run/sevpn")
    was = snapshot(host)
    for is_killed in (True, False):
        with run_in(
            engine, host, scratch_image, *flags("-accept-default-gateway"), options=options
        ) as run:
            run.wait_line("ready", 20.0)
            if is_killed:
                run.kill()
                assert was.differences(snapshot(host))
            else:
                run.stop()


def test_children_of_others(
    engine: Engine, host: Namespace, server: SoftEther, dhcp: Dnsmasq, alpine_image: Image
) -> None:
    """What is left behind in a container is its first process's to bury."""
    *words, name = alpine_image.words
    script = 'sleep 1 & exec sevpn "$@"'
    with Contained(
        engine,
        host,
        name,
        *flags(),
        options=(*LOCKED_DOWN, *words),
        command=("sh", "-c", script, "sh"),
    ) as run:
        run.wait_line("ready", 20.0)
        time.sleep(1.2)
        wait_for(lambda: len(run.processes()) == 1, 5.0, f"zombies to go: {run.processes()}")
        run.stop()


def test_stop_by_terminal(
    engine: Engine, host: Namespace, server: SoftEther, dhcp: Dnsmasq, scratch_image: Image
) -> None:
    """`podman run` passes on what it gets: ^C on it ends the session as well."""
    with run_in(engine, host, scratch_image, *flags()) as run:
        run.wait_address()
        run.process.signal(signal.SIGINT)
        assert run.process.wait(3.0) == 0
