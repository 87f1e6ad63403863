"""The command: exit codes, one line for each error, signals, lost output."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time

import pytest

from sevpn import __version__, cli, commands, errors, log
from sevpn.errors import SevpnError
from sevpn.flags.help import HELP
from sevpn.flags.options import OPTIONS
from sevpn.io.signals import name_of
from support.started import environment, started

NEEDED = ["-host", "vpn.test", "-user", "alice"]


@pytest.fixture(autouse=True)
def usual_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "level", log.NORMAL)
    monkeypatch.setattr(log, "timestamps", False)
    # A command ends by signals as `cat` does; this process is to go on.
    monkeypatch.setattr(signal, "signal", lambda *_: None)


def run_with(monkeypatch: pytest.MonkeyPatch, error: BaseException | None, *flags: str) -> int:
    """Run the command with a client that ends with `error`."""

    def run_client(_config: object, _mac: object) -> int:
        if error is not None:
            raise error
        return 0

    monkeypatch.setattr(cli, "run_client", run_client)
    return cli.main([*NEEDED, *flags])


# --- answers without a session ---


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["-version"]) == 0
    assert capsys.readouterr() == (f"sevpn {__version__}\n", "")


def test_version_needs_nothing_else() -> None:
    assert cli.main(["-port", "99999", "-version"]) == 0


def test_print_config(capsys: pytest.CaptureFixture[str]) -> None:
    """Before any validation, and without the password."""
    flags = ["-print-config", "-pass", "hunter2", "-port=0x10", "-reconnect-delay", "1m", "rest"]
    assert cli.main(flags) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.count("\n") == 1
    config = json.loads(out)
    assert (config["pass"], config["port"], config["reconnect-delay"]) == ("***", 16, 60)
    assert config["args"] == ["rest"]
    assert "hunter2" not in out


@pytest.mark.parametrize("flag", ["-h", "-help", "--help"])
def test_help(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Asked for, so on stdout; one screen."""
    assert cli.main([flag]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.count("\n") <= 30
    assert max(map(len, out.splitlines())) <= 80
    for word in ("status", "wait", "cleanup", "-host", "-pass-file", "exit codes", "help flags"):
        assert word in out


def test_help_names_every_flag() -> None:
    for option in OPTIONS:
        assert option.is_hidden or re.search(rf"-{option.name}\b", HELP), option.name


def test_help_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["help"]) == 0
    assert capsys.readouterr().out == HELP
    assert cli.main(["help", "flags"]) == 0
    assert capsys.readouterr().out.startswith("Usage of sevpn:\n")
    assert cli.main(["help", "wait"]) == 0
    assert capsys.readouterr().out.startswith("Usage of sevpn wait:\n")
    assert cli.main(["help", "office.vpn"]) == errors.EXIT_USAGE


@pytest.mark.parametrize("word", ["-V", "version"])
def test_version_as_others_have_it(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([word]) == 0
    assert capsys.readouterr().out == f"sevpn {__version__}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["foo"], "unknown command 'foo'"),
        (["statsu"], "did you mean status?"),
        (["-v", "status"], "the command comes first: sevpn status"),
        ([*NEEDED, "-insecure", "false", "-ca-file", "x"], "-insecure=false"),
        ([*NEEDED, "extra"], "'extra' would be ignored"),
        ([*NEEDED, "--", "-v"], "'-v' would be ignored"),
    ],
)
def test_words_that_would_be_ignored(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == errors.EXIT_USAGE
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


@pytest.mark.parametrize(
    ("flags", "first"),
    [
        (["-bogus"], "flag provided but not defined: -bogus\nsee sevpn -h"),
        (["-hots", "a"], "flag provided but not defined: -hots\ndid you mean -host? see sevpn -h"),
        (["-host"], "flag needs an argument: -host\nsee sevpn -h"),
        (["---x"], "bad flag syntax: ---x\nsee sevpn -h"),
        (
            ["-reconnect-delay", "5"],
            'invalid value "5" for flag -reconnect-delay: parse error\n'
            "a duration needs a unit, as in 5s or 1m30s; see sevpn -h",
        ),
        (
            ["wait", "-timeout", "5"],
            'invalid value "5" for flag -timeout: parse error\n'
            "a duration needs a unit, as in 5s or 1m30s; see sevpn wait -h",
        ),
        (
            ["-insecure=no"],
            'invalid boolean value "no" for -insecure: parse error\n'
            "a boolean is written -insecure or -insecure=false; see sevpn -h",
        ),
    ],
)
def test_bad_flag(flags: list[str], first: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Go's reason, and what to do: two lines."""
    assert cli.main(flags) == errors.EXIT_USAGE
    assert capsys.readouterr().err == f"{first}\n"


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        ([], "-host"),
        (["-host", "h"], "-user"),
        ([*NEEDED, "-port", "0"], "-port"),
        ([*NEEDED, "-mac", "01:00:00:00:00:00"], "-mac"),
        ([*NEEDED, "-tap", "a/b"], "-tap"),
        ([*NEEDED, "-policy-route-table", "4294967296"], "-policy-route-table"),
        ([*NEEDED, "-reconnect-delay", "-1s"], "-reconnect-delay"),
    ],
)
def test_bad_value(flags: list[str], word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(flags) == errors.EXIT_USAGE
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert word in lines[0]


@pytest.mark.parametrize("name", cli.SUB_COMMANDS)
def test_sub_commands(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    def run(arguments: list[str]) -> int:
        seen.append(arguments)
        return 5

    monkeypatch.setattr(commands, "run", run)
    assert cli.main([name, "-x"]) == 5
    assert seen == [[name, "-x"]]


# --- how a run ends ---


def error_classes(base: type[SevpnError] = SevpnError) -> list[type[SevpnError]]:
    found = [] if base is SevpnError else [base]
    return found + [one for sub in base.__subclasses__() for one in error_classes(sub)]


def test_exit_codes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Every class has a code of its own kind, one line and its hint."""
    known = {
        errors.UsageError: 2,
        errors.ServerError: 3,
        errors.HostError: 4,
        errors.TransportError: 5,
        errors.CertificateError: 6,
        errors.ProtocolError: 7,
        errors.LeaseError: 8,
    }
    for base, code in known.items():
        for kind in error_classes(base):
            if kind.__module__ != "sevpn.errors":
                continue
            error = (
                kind(9, "why\n", "next")
                if issubclass(kind, errors.ServerError)
                else kind("why\n", "next")
            )
            wanted = 5 if kind is errors.BusyError else code  # worth another try
            assert run_with(monkeypatch, error) == wanted, kind
            assert capsys.readouterr().err == "error: why  (next)\n"


def test_end_by_a_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_with(monkeypatch, None) == 0
    assert run_with(monkeypatch, KeyboardInterrupt()) == 0


def test_bug_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_with(monkeypatch, ZeroDivisionError("oops")) == errors.EXIT_INTERNAL
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "bug in sevpn: ZeroDivisionError: oops" in lines[0]
    assert "-v" in lines[0]


def test_bug_with_v_has_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError):
        run_with(monkeypatch, ZeroDivisionError("oops"), "-v")


@pytest.mark.parametrize(
    ("flags", "level"),
    [([], log.NORMAL), (["-v"], log.VERBOSE), (["-quiet"], log.QUIET), (["-v=false"], log.NORMAL)],
)
def test_log_level(flags: list[str], level: int, monkeypatch: pytest.MonkeyPatch) -> None:
    run_with(monkeypatch, None, *flags)
    assert log.level == level


# --- as a program ---


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("-version 2>&-", 0),
        ("-version >&-", 4),
        ("-version >/dev/full", 4),
        ("-h 2>&-", 0),
        ("-bogus 2>&-", 2),
        ("cleanup >/dev/full", 4),
        ("-h >/dev/full", 4),
        ("-bogus 2>/dev/full", 2),
        ("-host x 2>&-", 2),
    ],
)
def test_lost_output(words: str, code: int) -> None:
    """The exit code stands whether or not somebody can read; no traceback."""
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -m sevpn {words}', sys.executable],
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert "bug" not in done.stderr


PROGRAM = """
import sys
from sevpn import cli, supervisor
from sevpn.config import Config

class Fake:
    def __init__(self, loop, config, mac):
        self.loop = loop
    def tell(self):
        print("tell", flush=True)
    def reconnect(self):
        print("reconnect", flush=True)
    async def run(self):
        try:
            print("ready", flush=True)
            await self.loop.sleep(60)
        finally:
            self.loop.shield()
            await self.loop.sleep(0.2)
            print("undone", flush=True)

supervisor.Supervisor = Fake
sys.exit(cli.main(["-host", "vpn.test", "-user", "alice", "-pass", "hunter2"]))
"""


@pytest.mark.parametrize(
    "numbers",
    [
        (signal.SIGINT,),
        (signal.SIGTERM,),
        (signal.SIGQUIT,),
        (signal.SIGALRM,),
        (signal.SIGXCPU,),
        (64,),
        (2, 15, 2),
        (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, 15),
    ],
)
def test_signals(numbers: tuple[int, ...]) -> None:
    """One or many: everything is undone, exit 0."""
    with started(PROGRAM) as run:
        for number in numbers:
            run.send_signal(number)
            time.sleep(0.03)
        out, err = run.communicate(timeout=30)
    assert run.returncode == 0
    asked = {1: "reconnect\n", 10: "tell\n", 12: "reconnect\n"}
    assert out == "".join(asked.get(number, "") for number in numbers) + "undone\n"
    ends = [line for line in err.splitlines() if line.startswith("ending on ")]
    assert ends == [f"ending on {name_of(next(n for n in numbers if n not in asked))}"]
    assert "Traceback" not in err


def test_a_hangup_that_was_ignored_stays_so() -> None:
    """nohup."""
    with started(PROGRAM, prefix=["nohup"]) as run:
        run.send_signal(signal.SIGHUP)
        time.sleep(0.1)
        run.send_signal(signal.SIGTERM)
        out, _ = run.communicate(timeout=30)
    assert out == "undone\n"


# As code compiled by Nuitka may do it: the loop turns first, the handler is called later.
LATE_HANDLERS = """
import signal, types
from sevpn.io.loop import Loop
late = []
cli._signal = types.SimpleNamespace(**vars(cli._signal))
def install(number, handler):
    if callable(handler):
        signal.signal(number, lambda number, frame: late.append((handler, number)))
    else:
        signal.signal(number, handler)
cli._signal.signal = install

async def wait(self):
    while True:
        await self.sleep(0.05)
        while late:
            handler, number = late.pop()
            handler(number, None)
Loop.wait_for_late = wait
"""


def test_signal_handled_late() -> None:
    """The handler is called after the turn of the loop that the signal caused."""
    program = PROGRAM.replace("await self.loop.sleep(60)", "await self.loop.wait_for_late()")
    program = program.replace("class Fake", LATE_HANDLERS + "class Fake")
    with started(program) as run:
        run.send_signal(signal.SIGTERM)
        try:
            out, err = run.communicate(timeout=30)
        finally:
            run.kill()
    assert (run.returncode, out, err) == (0, "undone\n", "ending on SIGTERM\n")


def test_help_names_no_flag_that_is_none() -> None:
    known = {option.name for option in OPTIONS} | {"flag"}
    assert set(re.findall(r"(?<!\S)-([a-z][a-z0-9-]*)", HELP)) <= known
