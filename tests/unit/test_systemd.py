"""The unit file: systemd accepts it, it is hardened, and it agrees with our exit codes."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from sevpn import errors
from support.require import require
from support.sources import ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.no_sanitizer

UNIT = ROOT / "build/systemd/sevpn@.service"
EXPOSURE_LIMIT = 3.5  # systemd-analyze security: 0 is locked in, 10 is open


def service() -> dict[str, str]:
    unit = configparser.ConfigParser(interpolation=None, strict=True)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their case
    unit.read(UNIT, encoding="utf-8")
    return dict(unit["Service"])


def test_what_a_person_must_change_first_is_not_tried_again() -> None:
    codes = {int(code) for code in service()["RestartPreventExitStatus"].split()}
    assert codes == {errors.EXIT_USAGE, errors.EXIT_REFUSED, errors.EXIT_CERTIFICATE}


def test_the_journal_outlives_a_killed_run() -> None:
    found = service()
    assert found["RuntimeDirectory"] == "sevpn"  # /run/sevpn, the default of -state-dir
    assert found["RuntimeDirectoryPreserve"] == "yes"
    assert found["RuntimeDirectoryMode"] == "0700"
    assert found["ExecStopPost"].endswith("sevpn cleanup -quiet")


def test_a_server_that_is_away_holds_up_no_boot() -> None:
    found = service()
    assert found["Type"] == "notify"
    assert "TimeoutStartSec" not in found
    assert found["ExecReload"] == "/bin/kill -HUP $MAINPID"


@pytest.fixture
def analyzed(tmp_path: Path) -> Path:
    """The units of one instance, with programs that exist here (/bin/kill is procps's)."""
    for name in ("sevpn-ready", "sevpn"):
        path = tmp_path / f"{name}@vpn0.service"
        text = UNIT.with_name(f"{name}@.service").read_text(encoding="utf-8")
        for program in ("/usr/local/bin/sevpn", "/bin/kill"):
            text = text.replace(program, "/bin/true")
        path.write_text(text, encoding="utf-8")
    return path


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    require(shutil.which("systemd-analyze"), "needs systemd-analyze: apt-get install systemd")
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_systemd_accepts_it(analyzed: Path) -> None:
    ready = analyzed.with_name("sevpn-ready@vpn0.service")
    done = analyze("verify", "--man=no", str(analyzed), str(ready))
    assert (done.returncode, done.stderr) == (0, "")


def test_it_is_hardened(analyzed: Path) -> None:
    done = analyze("security", "--offline=true", "--no-pager", str(analyzed))
    found = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) <= EXPOSURE_LIMIT
