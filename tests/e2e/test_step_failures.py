"""Each netlink change and file operation fails in turn, as it may on somebody's host.

The whole program then either goes on, or ends cleanly with its documented exit code and
one line that says why; whatever happens, the host is as before in the end.
"""

from __future__ import annotations

import errno
import time
from typing import TYPE_CHECKING

import pytest

from lab.client import snapshot
from sevpn.errors import EXIT_HOST
from support.kill_rig import KillRig, kill_rig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.topology import Topology
    from support.kill_rig import Answer

pytestmark = pytest.mark.timeout(300)

ERRORS = ("EPERM", "EEXIST", "ENOSPC", "EROFS")
CASES = [(phase, number) for phase in ("connect", "shutdown") for number in ERRORS]
CASES += [("renew", "EPERM"), ("reconnect", "ENOSPC")]
MOST = 200
READY = ("ready: traffic flows", "connected, but not as asked")


@pytest.fixture(scope="module")
def rig(topology: Topology) -> Iterator[KillRig]:
    with kill_rig(topology) as made:
        yield made


@pytest.mark.parametrize(("phase", "number"), CASES)
def test_each_step_fails(rig: KillRig, phase: str, number: str) -> None:
    began_s = time.monotonic()
    before = snapshot(rig.host)
    outcomes = {"went on": 0, "ended": 0}
    for at in range(MOST):
        run = rig.run(phase, at, getattr(errno, number))
        if not run.step:
            break
        why = f"{number} at step {at} of {phase}: {run.step}\n{run.log}"
        outcomes[judge(run, why)] += 1
        differences = before.differences(snapshot(rig.host))
        if differences or rig.state_files():
            # What could not be undone was told, and cleanup knows of it. (A lock file that
            # cannot be removed harms nobody.)
            is_told = "could not be undone" in run.log
            assert is_told or not differences, "\n".join([*differences, why])
            assert rig.cleanup().code == 0, why
            differences = before.differences(snapshot(rig.host))
            assert not differences, "\n".join([*differences, why])
            assert rig.state_files() == [], why
    print(f"\n{outcomes} in {time.monotonic() - began_s:.0f} s")
    assert sum(outcomes.values()) >= 10


def judge(run: Answer, why: str) -> str:
    """Return "went on" or "ended"; nothing else may have come of it."""
    assert "Traceback" not in run.log, why
    assert "bug in sevpn" not in run.log, why
    if run.code == 0:
        assert any(words in run.log for words in READY), why
        return "went on"
    assert run.code == EXIT_HOST, why
    errors = [line for line in run.log.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, why
    return "ended"
