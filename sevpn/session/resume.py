"""Getting a session back whose connection was lost (protocol.md 6.9). Layer 3."""

from sevpn import log
from sevpn.errors import ServerError, SevpnError
from sevpn.io.loop import Loop, now_s
from sevpn.session.login import Established, LoginAgent
from sevpn.session.roaming import Roamer

INTERVAL_S = 1.0  # between connections, or the server takes us for an attack (1.1)
SESSION_GONE = (13, 14)


class _Attempt:
    """One try, as a task that can be given up: its result or its error."""

    __slots__ = ("error", "result")

    def __init__(self) -> None:
        self.result: Established | None = None
        self.error: SevpnError | None = None

    async def run(self, agent: LoginAgent, session: Established) -> None:
        try:
            self.result = await agent.resume(session)
        except SevpnError as error:
            self.error = error


async def resume(
    loop: Loop, agent: LoginAgent, roamer: Roamer, session: Established
) -> Established | None:
    """Attach a new connection to `session` within its timeout; None = it is gone.

    A change of the host's network during an attempt starts the next one at once.
    """
    deadline_s = now_s() + session.welcome.timeout_ms / 1000
    while now_s() < deadline_s:
        generation = roamer.generation
        if roamer.source:
            attempt = _Attempt()
            task = loop.spawn("resume", attempt.run(agent, session))
            try:
                while not task.done and roamer.generation == generation:
                    await loop.join(task, deadline_s, is_pokable=True)
                    if now_s() >= deadline_s:
                        break
            finally:
                if not task.done:
                    loop.cancel(task)
                    await loop.join(task)
            if attempt.result is not None:
                log.info(f"session {session.welcome.session_name} resumed")
                return attempt.result
            if attempt.error is not None:
                log.debug(f"cannot resume: {attempt.error}")
                if isinstance(attempt.error, ServerError) and attempt.error.code in SESSION_GONE:
                    return None
        if roamer.generation == generation:
            await loop.doze(min(deadline_s, now_s() + INTERVAL_S))
    return None
