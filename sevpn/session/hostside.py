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
    from typing import Any

    Step = tuple[Any, ...]
    Record = dict[str, Any]

APPLY_TIMEOUT_S = 20.0
SETTLE_TIMEOUT_S = 5.0


class HostSide:
    """The undo records of a run, and the only way to add to them."""

    __slots__ = ("_busy", "_error", "_loop", "journal_path", "records")

    def __init__(self, loop: Loop, journal_path: str) -> None:
        self._loop = loop
        self._busy: Task | None = None
        self._error: HostError | None = None
        self.journal_path = journal_path
        self.records: list[Record] = []

    async def apply(self, steps: "list[Step]") -> None:
        """Make changes in order. Raises HostError; what was made before it was undone.

        When the caller is cancelled the change goes on: settle() waits for it.
        """
        if not steps:
            return
        await self.settle()
        self._busy = self._loop.spawn("host", self._apply(steps))
        await self._loop.join(self._busy)
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    async def undo(self, records: "list[Record] | None" = None) -> None:
        """Undo the given records, or all of them; says what had to be left."""
        await self.settle()
        chosen = list(self.records) if records is None else records
        if not chosen:
            return
        self._busy = self._loop.spawn("host", self._undo(chosen))
        await self._loop.join(self._busy)

    async def settle(self) -> None:
        """Wait until no change is under way."""
        if self._busy is not None and not self._busy.done:
            await self._loop.join(self._busy, now_s() + SETTLE_TIMEOUT_S)

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
        failed = answer["error"]
        if failed is not None:
            self._error = HostError(failed["message"], failed["hint"], failed["errno"])

    async def _undo(self, records: "list[Record]") -> None:
        self.records = [r for r in self.records if r not in records]
        try:
            left = await self._call("undo", records)
        except HostError as error:
            log.error(f"could not restore the host's configuration: {error}", error.hint)
            return
        for line in left:
            log.warning(line)

    async def _call(self, name: str, argument: object) -> "Any":
        return await child.call(
            self._loop,
            f"sevpn.host.worker:{name}",
            self.journal_path,
            argument,
            timeout_s=APPLY_TIMEOUT_S,
        )
