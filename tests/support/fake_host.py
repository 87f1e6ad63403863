"""A host that is not there: `child.call` answered by a function, changes only noted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sevpn.errors import HostError
from sevpn.host import plan
from sevpn.io import child

if TYPE_CHECKING:
    import pytest

    from sevpn.io.loop import Loop


class FakeHost:
    """Answers the calls of sevpn.host.worker; `fail` names steps' kinds that are refused.

    `calls` lists (function, arguments); `running` counts those under way at once and
    `most_running` what it has been at most. `addresses`, `routes`, `is_default_void`,
    `is_inbound_stale` and `in_force` are what a survey finds.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.fail: set[str] = set()
        self.broken: set[str] = set()  # functions whose child dies
        self.delay_s = 0.0
        self.running = 0
        self.most_running = 0
        self.now: list[Any] = []  # the steps in force
        self.addresses: tuple[str, ...] = ("127.0.0.1",)
        self.routes: tuple[tuple[str, int, str], ...] = (("0.0.0.0", 0, "eth0"),)
        self.is_default_void = False
        self.is_inbound_stale = False
        self.in_force: dict[str, Any] = {
            "has_default": True, "has_halves": False, "default6": "", "neighbour": "", "overlap": ""
        }  # fmt: skip
        self._real_call = child.call
        monkeypatch.setattr(child, "call", self._call)

    def names(self) -> list[str]:
        """Return the functions called, in order."""
        return [name for name, _ in self.calls]

    def changes(self) -> list[str]:
        """Return those that change something."""
        return [name for name in self.names() if name not in ("survey", "own_networks", "in_force")]

    async def _call(self, loop: Loop, target: str, *args: Any, timeout_s: float = 30.0) -> Any:
        module, _, name = target.partition(":")
        if module != "sevpn.host.worker":
            return await self._real_call(loop, target, *args, timeout_s=timeout_s)
        self.calls.append((name, args))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await loop.sleep(self.delay_s)
        finally:
            self.running -= 1
        if name in self.broken:
            raise HostError(f"{name} died")
        return getattr(self, f"do_{name}")(*args)

    def do_apply(self, _journal: str, steps: list[Any]) -> dict[str, Any]:
        for step in steps:
            if step[0] in self.fail:
                failed = {"message": f"{step[0]} refused", "hint": "do it", "errno": 1}
                return {"undo": [], "warnings": [], "notes": [], "failed": {}, "error": failed}
        made = list(map(plan.bare, steps))
        self.now += made
        undo = [{"step": list(step)} for step in made]
        return {"undo": undo, "warnings": [], "notes": [], "failed": {}, "error": None}

    def do_in_force(self, *_: object) -> dict[str, Any]:
        return dict(self.in_force)

    def do_undo(self, _journal: str, records: list[Any]) -> list[str]:
        for record in reversed(records):
            self.now = [step for step in self.now if list(step) != record["step"]]
        return ["left one thing"] if "undo" in self.fail else []

    do_undo_everything = do_undo

    def do_repin(self, _journal: str, old: Any, server_ip: str, _ifname: str) -> dict[str, Any]:
        record = {"is_pin": True, "network": server_ip, "step": ["server_route", server_ip]}
        return {"undo": [record], "warnings": [], "notes": [], "error": None}

    def do_own_networks(self, _ifname: str) -> list[tuple[str, int]]:
        return [("192.168.1.0", 24)]

    def do_cleanup(self, _state_dir: str) -> list[str]:
        return []

    def do_hold_inbound(self, _journal: str, step: Any, old: list[Any]) -> dict[str, Any]:
        self.is_inbound_stale = False
        failed = None
        if "hold_inbound" in self.fail:
            failed = {"message": "hold refused", "hint": "do it", "errno": 1}
        record = {"step": list(step), "held": len(old)}
        return {"undo": [record], "warnings": [], "notes": [], "error": failed}

    def do_survey(
        self, _ifname: str, ips: list[str], inbound: Any = None, tunnel: Any = None
    ) -> dict[str, Any]:
        path = None
        if self.addresses:
            addresses = list(self.addresses)
            path = {"source": addresses[0], "ifname": "eth0", "addresses": addresses}
        return {
            "paths": dict.fromkeys(ips, path),
            "routes": [list(route) for route in self.routes],
            "is_default_void": self.is_default_void,
            "is_inbound_stale": self.is_inbound_stale and inbound is not None,
            "in_force": dict(self.in_force) if tunnel else None,
        }
