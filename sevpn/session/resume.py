"""Getting a session back whose connection was lost (protocol.md 6.9). Layer 3."""

from sevpn import log
from sevpn.errors import CertificateError, ServerError, SevpnError, TransportError
from sevpn.io.loop import Loop, Task, now_s
from sevpn.session.login import Established, LoginAgent
from sevpn.session.roaming import Roamer

INTERVAL_S = 1.0  # between connections, or the server takes us for an attack (1.1)
# Unknown session; no such session any more; too many dead connections in it: log in anew.
HOPELESS = (13, 14, 15)
# A server that is just starting may accept and then say nothing: such an attempt is given
# up early, the next one gets twice the time (a far server needs some).
FIRST_ATTEMPT_S = 2.5
# Another certificate once may be somebody in between who goes away, such as a hotel's portal;
# so often in a row it is the server's own: it was restarted without its old configuration.
STRANGERS_MAX = 2


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


class _Lookup:
    """Asks beside the attempts whether the server has another address by now."""

    __slots__ = ("_task", "has_moved")

    def __init__(self) -> None:
        self._task: Task | None = None
        self.has_moved = False

    def start(self, loop: Loop, agent: LoginAgent, session: Established) -> None:
        if self._task is None or self._task.done:
            self._task = loop.spawn("lookup", self._ask(agent, session))

    async def _ask(self, agent: LoginAgent, session: Established) -> None:
        self.has_moved = await agent.has_moved(session)

    async def end(self, loop: Loop) -> None:
        if self._task is not None and not self._task.done:
            loop.cancel(self._task)
            await loop.join(self._task)


async def resume(
    loop: Loop, agent: LoginAgent, roamer: Roamer, session: Established
) -> Established | None:
    """Attach a new connection to `session` within its timeout; None = it is gone.

    A change of the host's network during an attempt starts the next one at once. None also
    when the server's name leads elsewhere by now, or its certificate is another: only a login
    follows it there, and judges it.
    """
    lookup = _Lookup()
    try:
        return await _resume(loop, agent, roamer, session, lookup)
    finally:
        await lookup.end(loop)


async def _resume(
    loop: Loop, agent: LoginAgent, roamer: Roamer, session: Established, lookup: _Lookup
) -> Established | None:
    deadline_s = now_s() + session.welcome.timeout_ms / 1000
    patience_s = FIRST_ATTEMPT_S
    strangers = 0
    while now_s() < deadline_s:
        if lookup.has_moved:
            log.info("the server's name leads to another address now")
            return None
        generation = roamer.generation
        if not roamer.is_offline:
            attempt = _Attempt()
            limit_s = min(deadline_s, now_s() + patience_s)
            patience_s *= 2
            task = loop.spawn("resume", attempt.run(agent, session))
            try:
                while not task.done and roamer.generation == generation:
                    await loop.join(task, limit_s, is_pokable=True)
                    if now_s() >= limit_s:
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
                if isinstance(attempt.error, ServerError) and attempt.error.code in HOPELESS:
                    return None
                strangers = strangers + 1 if isinstance(attempt.error, CertificateError) else 0
                if strangers == STRANGERS_MAX:
                    log.info("the server has another certificate now")
                    return None
                if isinstance(attempt.error, TransportError):
                    lookup.start(loop, agent, session)
        if roamer.generation == generation:
            await roamer.doze(min(deadline_s, now_s() + INTERVAL_S))
    return None
