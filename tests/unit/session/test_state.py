"""The state of a run and who is told."""

from sevpn.session.state import CONNECTING, READY, RunState


def test_listeners_hear_changes_only() -> None:
    heard: list[str] = []
    state = RunState(10.0)
    state.listeners.append(heard.append)
    state.enter(CONNECTING, 11.0)
    assert (heard, state.since_s) == ([], 10.0)
    state.enter(READY, 12.0)
    state.enter(READY, 13.0)
    assert (heard, state.name, state.since_s) == ([READY], READY, 12.0)
