"""Every build of sevpn does a whole session, while the other tests run one build.

`build/test` runs the end-to-end tests with the static binary. The package and the binary for
ARM (under qemu-user) do this one job.
"""

from __future__ import annotations

import hashlib
import shutil
import signal
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from lab import iperf
from lab.client import ROOT, Sevpn, flags
from lab.server import LAN_IP
from support.require import require
from support.static import static_binary
from support.whole import EVERYTHING, ROUTES_AND_NAMES, everything_offered, go_through, verifying

if TYPE_CHECKING:
    from lab.certs import Certificates
    from lab.dhcp import Dnsmasq
    from lab.server import SoftEther
    from lab.topology import Namespace

pytestmark = pytest.mark.timeout(2400)  # the first build compiles OpenSSL and CPython


def command_of(kind: str) -> list[str]:
    if kind == "package":
        return [str(ROOT / ".venv/bin/python"), "-m", "sevpn"]
    if kind == "static":
        return [str(static_binary())]
    emulator = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
    require(emulator, "install qemu-user-static")
    return [str(emulator), str(static_binary("aarch64"))]


@pytest.mark.parametrize("kind", ["package", "static", "aarch64"])
def test_whole_session(
    host: Namespace, server: SoftEther, certificates: Certificates, kind: str
) -> None:
    """A verified server, address, routes, names, a reconnect, the end with nothing left."""
    command = command_of(kind)
    # qemu-user 7.2 cannot add a rule.
    accepted = ROUTES_AND_NAMES if kind == "aarch64" else EVERYTHING
    server.set_certificate(*certificates.good)
    env = {"SSL_CERT_FILE": str(certificates.ca)}
    with everything_offered(server) as dhcp:
        with Sevpn(host, *verifying(*accepted), command=command, env=env) as run:
            go_through(run, host, server, dhcp, host.path("/etc/resolv.conf"), patience_s=40.0)
            if kind == "aarch64":  # emulated: a second is not enough
                run.process.signal(signal.SIGTERM)
                assert run.process.wait(10.0) == 0
            else:
                run.stop()
            dhcp.wait("DHCPRELEASE", 2.0)


def test_load_on_another_machine(host: Namespace, server: SoftEther, dhcp: Dnsmasq) -> None:
    """The ARM binary under load, in both directions: offload, bridge and TLS."""
    with Sevpn(host, *flags(), command=command_of("aarch64")) as run:
        run.wait_address(40.0)
        host.wait_ping(LAN_IP)
        with iperf.IperfServer(server.namespace, LAN_IP):
            for down in (False, True):
                assert iperf.measure(host, LAN_IP, amount="8M", down=down).bytes_moved > 1_000_000
        run.process.signal(signal.SIGTERM)
        assert run.process.wait(10.0) == 0


def test_release() -> None:
    """build/release: everything is there, and the sums are right."""
    command_of("aarch64")
    done = subprocess.run(
        [ROOT / "build/release"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout
    dist = ROOT / "dist"
    lines = (dist / "SHA256SUMS").read_text(encoding="ascii").splitlines()
    sums = {name: digest for digest, name in (line.split("  ") for line in lines)}
    for name, digest in sums.items():
        with (dist / name).open("rb") as file:
            assert hashlib.file_digest(file, "sha256").hexdigest() == digest, name
    assert {"sevpn", "sevpn-aarch64", "sevpn.cdx.json", "sevpn-aarch64.cdx.json"} <= set(sums)
    parts = {"cpython", "openssl", "musl", "pyroute2", "sevpn"}
    assert parts <= {name.split("/")[1].split(".")[0] for name in sums if "licenses/" in name}
    assert [name for name in sums if name.endswith(".whl")]
    for arch, binary in (("x86_64", "sevpn"), ("aarch64", "sevpn-aarch64")):
        (archive,) = (name for name in sums if name.endswith(f"-linux-{arch}.tar.gz"))
        with tarfile.open(dist / archive) as tar:
            top = archive.removesuffix(".tar.gz")
            inside = tar.extractfile(f"{top}/sevpn")
            assert inside
            assert inside.read() == (dist / binary).read_bytes()
            assert {f"{top}/README.md", f"{top}/licenses/openssl.txt"} <= set(tar.getnames())
            assert {(entry.mtime, entry.uid, entry.gid) for entry in tar} == {(315532800, 0, 0)}
