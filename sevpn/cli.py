"""The command: arguments in, exit code out.

Layer 5, the only place that prints anything but log lines. Signals become a cancelled
task here, so that everything below ends by its own `finally`.
"""

import _signal
import gc
import posix
import sys

from sevpn import __version__, log
from sevpn.config import Config, FlagError, HelpRequested, parse_args, to_json
from sevpn.errors import EXIT_INTERNAL, EXIT_OK, HostError, SevpnError

SUB_COMMANDS = ("status", "wait", "cleanup")  # as the first argument, instead of flags
_READERS = ("goflag", "usage", "validate", "values")  # of sevpn.flags
_END_SIGNALS = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP)


def _print(text: str) -> None:
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except (AttributeError, OSError) as error:  # closed (None), or nobody reads
        raise HostError("cannot write to standard output", "it is closed or full") from error


def _explain(text: str) -> None:
    """Write a usage to stderr, as Go does; a lost stderr does not change the exit code."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (AttributeError, OSError):
        pass


def _set_log(config: Config) -> None:
    log.level = log.QUIET if config.quiet else log.VERBOSE if config.v else log.NORMAL
    log.timestamps = config.timestamps


def _judge(config: Config) -> bytes | None:
    """Raise UsageError for flags that cannot work; return the MAC address that was asked for."""
    from sevpn.flags.validate import parse_mac, validate

    validate(config)
    return parse_mac(config.mac) if config.mac else None


def _forget_readers() -> None:
    """Give the memory of what has read the flags (50 kB) to what runs the session."""
    package = sys.modules["sevpn.flags"]
    for name in _READERS:
        if sys.modules.pop(f"sevpn.flags.{name}", None) is not None:
            delattr(package, name)
    gc.collect()


def run_client(config: Config, mac: bytes | None) -> int:
    """Run the client until a signal ends it (0) or an error does (raised)."""
    from sevpn.io.child import reap_strangers
    from sevpn.io.loop import Loop, Wakeup
    from sevpn.io.process import come_first, hide_secret
    from sevpn.supervisor import Supervisor

    hide_secret(config.password)
    come_first()
    loop = Loop()
    received: list[int] = []

    def note_signal(number: int, _frame: object) -> None:
        received.append(number)
        # The interpreter woke the loop before; code compiled by Nuitka may come here after
        # the loop's turn instead of before it.
        try:
            posix.write(wakeup.write_fd, b"\0")
        except BlockingIOError:
            pass  # full: it will turn

    def end() -> None:
        if received and task is not None:
            received.clear()
            log.info("ending on a signal")
            loop.cancel(task)

    task = None
    wakeup = Wakeup(loop, end)
    _signal.set_wakeup_fd(wakeup.write_fd)
    for number in _END_SIGNALS:
        _signal.signal(number, note_signal)
    if posix.getpid() == 1:
        _signal.signal(_signal.SIGCHLD, reap_strangers)
    try:
        supervisor = Supervisor(loop, config, mac)
        task = loop.spawn("supervisor", supervisor.run())
        loop.run(task)
    finally:
        # What is left is the interpreter's end, which restores the default actions: one
        # more signal would then kill us instead of letting us tell our exit code.
        for number in _END_SIGNALS:
            _signal.signal(number, _signal.SIG_IGN)
    return EXIT_OK


def _dispatch(arguments: list[str]) -> int:
    if arguments and arguments[0] in SUB_COMMANDS:
        from sevpn import commands

        return commands.run(arguments)
    config = parse_args(arguments)
    if config.version:
        _print(f"sevpn {__version__}")
        return EXIT_OK
    if config.print_config:
        _print(to_json(config))
        return EXIT_OK
    mac = _judge(config)
    _forget_readers()
    _set_log(config)
    return run_client(config, mac)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code (README, "Exit codes")."""
    try:
        return _dispatch(sys.argv[1:] if arguments is None else arguments)
    except HelpRequested as usage:
        _explain(str(usage))
        return EXIT_OK
    except FlagError as error:
        _explain(f"{error}\n{error.usage}")
        return error.exit_code
    except SevpnError as error:
        log.error(str(error), error.hint)
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_OK
    except Exception as error:
        if log.level >= log.VERBOSE:
            raise
        log.error(
            f"this is a bug in sevpn: {type(error).__name__}: {error}",
            "run it again with -v and report what it prints",
        )
        return EXIT_INTERNAL
