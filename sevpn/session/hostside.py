"""What this session changed on the host, changed by children, undone in reverse.

Layer 3. One change at a time: a change is a task of its own, so the bridge goes on moving
frames meanwhile, and a session that ends waits for it before it undoes. The child imports
pyroute2's codecs; this process never does.
"""

from sevpn import log
from sevpn.errors import HostError
from sevpn.io import child
from sevpn.io.loop import Loop, Task, now_s

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    Step = tuple[Any, ...]
    Record = dict[str, Any]

APPLY_TIMEOUT_S = 20.0
SETTLE_TIMEOUT_S = 5.0


class HostSide:
    """The undo records of a run, and the only way to add to them."""

    __slots__ = (
        "_busy",
        "_error",
        "_failed",
        "_has_changed",
        "_loop",
        "is_clean",
        "journal_path",
        "records",
    )

    def __init__(self, loop: Loop, journal_path: str) -> None:
        self._loop = loop
        self._busy: Task | None = None
        self._error: HostError | None = None
        self._failed: dict[str, str] = {}
        self.is_clean = True  # nothing had to be left
        self._has_changed = False
        self.journal_path = journal_path
        self.records: list[Record] = []

    async def apply(self, steps: "list[Step]") -> "dict[str, str]":
        """Make changes in order; return which optional kinds failed, and why.

        Raises HostError; what was made before it was undone.

        When the caller is cancelled the change goes on: settle() waits for it.
        """
        if not steps:
            return {}
        await self.settle()
        self._failed = {}
        self._has_changed = True
        await self._run("host", self._apply(steps))
        return self._failed

    async def undo(self, records: "list[Record]") -> None:
        """Undo the given records; says what had to be left."""
        await self.settle()
        if not records:
            return
        self._busy = self._loop.spawn("host", self._undo("undo", records))
        await self._loop.join(self._busy)

    async def undo_everything(self) -> None:
        """Undo all records, and what a killed child left in the journal."""
        await self.settle()
        if not self._has_changed:
            return
        self._busy = self._loop.spawn("host", self._undo("undo_everything", list(self.records)))
        await self._loop.join(self._busy)

    async def repin(self, server_ip: str, ifname: str) -> None:
        """Move the server's host route to the way that reaches it now. Raises HostError."""
        await self.settle()
        old = next((r for r in self.records if _is_pin_of(r, server_ip)), None)
        await self._run("repin", self._repin(old, server_ip, ifname))

    async def hold_inbound(self, step: "Step") -> None:
        """Bring a "keep_inbound" step to the host as it is now. Raises HostError."""
        await self.settle()
        await self._run("inbound", self._hold_inbound(step))

    async def _run(self, name: str, change: "Coroutine[Any, Any, None]") -> None:
        self._busy = self._loop.spawn(name, change)
        await self._loop.join(self._busy)
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    async def settle(self) -> None:
        """Wait until no change is under way."""
        deadline_s = now_s() + SETTLE_TIMEOUT_S
        # Again and again: of several that wait for a change, the first begins the next one.
        while self._busy is not None and not self._busy.done:
            if not await self._loop.join(self._busy, deadline_s):
                break

    async def _apply(self, steps: "list[Step]") -> None:
        self._error = None
        try:
            answer = await self._call("apply", steps)
        except HostError as error:
            self._error = error
            return
        self.records.extend(answer["undo"])
        for line in answer["warnings"]:
            log.warning(line)
        self._failed = answer["failed"]
        for line in answer["notes"]:
            log.info(line)
        self._keep_error(answer)

    async def _repin(self, old: "Record | None", server_ip: str, ifname: str) -> None:
        self._error = None
        try:
            answer = await self._call("repin", old, server_ip, ifname)
        except HostError as error:
            self._error = error
            return
        if answer["undo"]:
            if answer["undo"] != [old]:
                log.info(f"the way to {server_ip} changed: its host route was moved")
            self.records = [r for r in self.records if r != old]
            self.records[:0] = answer["undo"]  # undone last, as it was made first
        self._keep_error(answer)

    async def _hold_inbound(self, step: "Step") -> None:
        self._error = None
        old = [record for record in self.records if record.get("step") == list(step)]
        try:
            answer = await self._call("hold_inbound", step, old)
        except HostError as error:
            self._error = error
            return
        at = self.records.index(old[0]) if old else len(self.records)
        others = [record for record in self.records if record not in old]
        self.records = others[:at] + answer["undo"] + others[at:]
        for line in answer["warnings"]:
            log.warning(line)
        self._keep_error(answer)

    def _keep_error(self, answer: "Any") -> None:
        failed = answer["error"]
        if failed is not None:
            self._error = HostError(failed["message"], failed["hint"], failed["errno"])

    async def _undo(self, function: str, records: "list[Record]") -> None:
        self.records = [r for r in self.records if r not in records]
        try:
            left = await self._call(function, records)
        except HostError as error:
            log.error(f"could not restore the host's configuration: {error}", error.hint)
            self.is_clean = False
            return
        self.is_clean = self.is_clean and not left
        for line in left:
            log.warning(line)

    async def _call(self, name: str, *arguments: object) -> "Any":
        return await child.call(
            self._loop,
            f"sevpn.host.worker:{name}",
            self.journal_path,
            *arguments,
            timeout_s=APPLY_TIMEOUT_S,
        )


def _is_pin_of(record: "Record", server_ip: str) -> bool:
    return bool(record.get("is_pin")) and record.get("network") == server_ip
