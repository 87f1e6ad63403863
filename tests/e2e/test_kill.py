"""The proof: killed after any single step, the host is put back as it was.

The whole program, parent and children, is killed by SIGKILL before each netlink change and
file operation in turn (and so after each one before it) of connecting, a renewal that
changes the lease, a reconnect, a change of the network and an ordinary end. Then either
`sevpn cleanup` or the next session cleans up, and addresses, routes of all tables, rules,
/etc and resolv.conf (bytes, kind, mode, owner, target, mount) are compared.
"""

from __future__ import annotations

import re
import signal
import time
from typing import TYPE_CHECKING

import pytest

from lab.client import TAP, snapshot
from lab.process import wait_for
from support.kill_rig import KillRig, kill_rig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.topology import Topology

pytestmark = pytest.mark.timeout(300)

# What each phase does at least, so that a phase that stopped to happen is noticed.
PHASES = {"connect": 35, "renew": 50, "reconnect": 35, "roam": 4, "shutdown": 20}
MOST = 200
CASES = [(phase, "file", False) for phase in PHASES]
CASES += [
    (phase, kind, False) for kind in ("symlink", "mount") for phase in ("connect", "shutdown")
]
CASES += [(phase, "file", True) for phase in ("connect", "shutdown")]


@pytest.fixture(scope="module")
def rig(topology: Topology) -> Iterator[KillRig]:
    with kill_rig(topology) as made:
        yield made


@pytest.mark.parametrize(("phase", "kind", "spares_children"), CASES)
def test_killed_at_each_step(
    rig: KillRig, topology: Topology, phase: str, kind: str, spares_children: bool
) -> None:
    """Of a file, a symlink, a mount; the last ones: only the parent dies, a child goes on."""
    began_s = time.monotonic()
    steps = []
    try:
        rig.make_resolv(kind)
        before = snapshot(rig.host)
        for at in range(MOST):
            run = rig.run(phase, at, spares_children=spares_children)
            if run.code != -signal.SIGKILL:
                break
            steps.append(run.step)
            why = f"killed at step {at} of {phase}: {run.step}\n{run.log}"
            wait_for(lambda: not rig.host.has_link(TAP), 5.0, f"the TAP to go, {why}")
            rig.remove_other_gateway()
            clean_up(rig, at, why)
            differences = before.differences(snapshot(rig.host))
            assert not differences, "\n".join([*differences, why])
            assert rig.state_files() == [], why
        assert run.code == 0, run.log
        assert PHASES[phase] <= len(steps) < MOST, steps
        rig.remove_other_gateway()
        assert not before.differences(snapshot(rig.host))
    finally:
        topology.restore_resolv_conf()
    print(f"\nkilled {len(steps)} times in {time.monotonic() - began_s:.0f} s")


def clean_up(rig: KillRig, at: int, why: str) -> None:
    """Clean up by `sevpn cleanup`, or by the start of a new session, which then ends."""
    answer = rig.run("connect", MOST) if at % 4 == 3 else rig.cleanup()
    assert answer.code == 0, f"{why}\nthen: {answer.log}"
    assert not re.search(r"\bleft\b(?! by)|Traceback", answer.log), f"{why}\nthen: {answer.log}"
