"""Root directories to run sevpn in: busybox with musl, and another Debian."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from lab.process import LabError

BUSYBOX = Path("/bin/busybox")
MUSL = Path("/lib/ld-musl-x86_64.so.1")
TOOLS = ("debootstrap",)
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_APPLETS = ("sh", "cat", "ls", "mount", "ping", "sleep", "wget")


def make_busybox(root: Path) -> None:
    """Make what Alpine is made of: busybox, its usual names, and musl's loader."""
    for name in ("bin", "dev", "etc", "lib", "proc", "run", "sys", "tmp", "usr/bin"):
        (root / name).mkdir(parents=True)
    shutil.copy(BUSYBOX, root / "bin/busybox")
    shutil.copy(MUSL, root / "lib" / MUSL.name)
    for name in _APPLETS:
        (root / "bin" / name).symlink_to("busybox")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n", encoding="ascii")


def debian(suite: str, kept: Path) -> Path:
    """Return the minimal system of a Debian suite, made once by debootstrap below `kept`.

    The archive is the one that this machine's apt uses. It takes about a minute.
    """
    root = kept / suite
    if root.is_dir():
        return root
    kept.mkdir(parents=True, exist_ok=True)
    text = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    mirror = next((uri for uri in text.split() if uri.endswith("/debian/")), "")
    scratch = Path(tempfile.mkdtemp(prefix="new-", dir=kept))
    scratch.chmod(0o755)
    try:
        done = subprocess.run(
            ["debootstrap", "--variant=minbase", f"--keyring={_KEYRING}", suite, str(scratch)]
            + ([mirror] if mirror else []),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "LC_ALL": "C"}, check=False,
        )  # fmt: skip
        if done.returncode:
            raise LabError(f"debootstrap {suite}: {done.stdout[-2000:]}")
        shutil.rmtree(scratch / "var/cache/apt", ignore_errors=True)
        scratch.rename(root)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return root
