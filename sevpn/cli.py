"""The command: arguments in, exit code out.

Layer 5, the only place that prints anything but log lines. Signals become a cancelled
task here, so that everything below ends by its own `finally`.
"""

import _signal
import gc
import posix
import sys

from sevpn import __version__, log, output
from sevpn.config import Config, FlagError, HelpRequested, parse_args, to_json
from sevpn.errors import EXIT_INTERNAL, EXIT_OK, SevpnError, UsageError

SUB_COMMANDS = ("status", "wait", "cleanup")  # as the first argument, instead of flags
_READERS = ("advice", "goflag", "usage", "validate", "values")  # of sevpn.flags
_END_SIGNALS = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGQUIT)


def _explain(text: str) -> None:
    """Write why arguments cannot be read; a lost stderr does not change the exit code."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (AttributeError, OSError):
        pass


def _set_log(config: Config) -> None:
    log.level = log.QUIET if config.quiet else log.VERBOSE if config.v else log.NORMAL
    log.timestamps = config.timestamps
    log.is_journal = _is_journal()


def _is_journal() -> bool:
    """Tell whether stderr is the journal's: systemd names its device and inode."""
    try:
        found = posix.fstat(2)
    except OSError:
        return False
    return posix.environ.get(b"JOURNAL_STREAM") == b"%d:%d" % (found.st_dev, found.st_ino)


def _find_password(config: Config, arguments: list[str]) -> None:
    """Put the password into the configuration, wherever it is. Raises UsageError."""
    path = config.pass_file
    if config.password and path:
        raise UsageError("-pass and -pass-file were both given", "one password is enough")
    is_given = any(word.partition("=")[0] in ("-pass", "--pass") for word in arguments)
    if not path and not is_given:
        path = posix.environ.get(b"SEVPN_PASS_FILE", b"").decode("utf-8", "surrogateescape")
    if not path and (is_given or not (posix.isatty(0) and posix.isatty(2))):
        return
    from sevpn.io import secret

    if path:
        config.password = secret.from_file(path)
        return

    def give_up(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt  # the terminal must show again what is typed

    before = [(number, _signal.signal(number, give_up)) for number in _END_SIGNALS]
    try:
        config.password = secret.ask(f"password for {log.clean(config.user)}@{config.host}: ")
    finally:
        for number, action in before:
            _signal.signal(number, action)


def _judge(config: Config, arguments: list[str]) -> bytes | None:
    """Raise UsageError for flags that cannot work; return the MAC address that was asked for."""
    from sevpn.flags.validate import parse_mac, validate

    if config.args:
        from sevpn.flags.advice import stray_words

        before = arguments[: len(arguments) - len(config.args)]
        raise UsageError(*stray_words(config.args, before[-1] if before else "", SUB_COMMANDS))
    validate(config)
    _find_password(config, arguments)
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
    from sevpn.io import signals
    from sevpn.io.child import reap_strangers
    from sevpn.io.loop import Loop, Task, Wakeup
    from sevpn.io.process import come_first, hide_secret
    from sevpn.supervisor import Supervisor

    hide_secret()
    come_first()
    loop = Loop()
    received: list[int] = []
    task: Task | None = None
    supervisor: Supervisor | None = None
    is_ending = False

    def note_signal(number: int, _frame: object) -> None:
        received.append(number)
        # The interpreter woke the loop before; code compiled by Nuitka may come here after
        # the loop's turn instead of before it.
        try:
            posix.write(wakeup.write_fd, b"\0")
        except BlockingIOError:
            pass  # full: it will turn

    def act() -> None:
        nonlocal is_ending
        while received and task is not None and supervisor is not None:
            number = received.pop(0)
            if is_ending:
                continue
            if number in signals.TELL:
                supervisor.tell()
            elif number in signals.RECONNECT:
                log.info("reconnecting on a signal")
                supervisor.reconnect()
            else:
                is_ending = True
                log.info(f"ending on {signals.name_of(number)}")
                loop.cancel(task)

    wakeup = Wakeup(loop, act)
    # Several of one kind in a row fill the pipe: it wakes all the same.
    _signal.set_wakeup_fd(wakeup.write_fd, warn_on_full_buffer=False)
    caught = signals.wanted()
    for number in caught:
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
        for number in caught:
            _signal.signal(number, _signal.SIG_IGN)
    return EXIT_OK


def _help(words: list[str]) -> int:
    """`sevpn help`, `help flags` in Go's form, `help COMMAND`. Raises UsageError."""
    if words == ["flags"]:
        from sevpn.flags.usage import usage_text

        output.write(usage_text())
        return EXIT_OK
    if len(words) == 1 and words[0] in SUB_COMMANDS:
        from sevpn import commands

        return commands.run([words[0], "-h"])
    if words:
        topics = ", ".join(("flags", *SUB_COMMANDS))
        raise UsageError(f"there is no help on {' '.join(words)!r}", f"there is on {topics}")
    raise HelpRequested


def _dispatch(arguments: list[str]) -> int:
    if arguments and arguments[0] in SUB_COMMANDS:
        from sevpn import commands

        return commands.run(arguments)
    if arguments[:1] == ["help"]:
        return _help(arguments[1:])
    if arguments in (["version"], ["-V"]):
        arguments = ["-version"]
    config = parse_args(arguments)
    if config.version:
        output.write(f"sevpn {__version__}\n")
        return EXIT_OK
    if config.print_config:
        output.write(f"{to_json(config)}\n")
        return EXIT_OK
    mac = _judge(config, arguments)
    _forget_readers()
    _set_log(config)
    return run_client(config, mac)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code (README, "Exit codes")."""
    try:
        return _run(sys.argv[1:] if arguments is None else arguments)
    finally:
        output.let_go()


def _run(arguments: list[str]) -> int:
    try:
        try:
            return _dispatch(arguments)
        except HelpRequested as text:
            output.write(str(text))
            return EXIT_OK
    except FlagError as error:
        _explain(f"{error}\n{error.advice}\n")
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
