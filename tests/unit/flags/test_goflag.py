"""Argument lists and what Go makes of them; every row was compared with Go 1.26's flag package."""

import pytest

from sevpn.flags.errors import FlagError, HelpRequested
from sevpn.flags.goflag import defaults, parse
from sevpn.flags.options import BOOL, DURATION, Option

READ = [
    ([], {}, []),
    (["-host", "h"], {"host": "h"}, []),
    (["-host=h"], {"host": "h"}, []),
    (["--host", "h"], {"host": "h"}, []),
    (["--host=h"], {"host": "h"}, []),
    (["-host="], {"host": ""}, []),
    (["-host=a=b"], {"host": "a=b"}, []),
    (["-host=="], {"host": "="}, []),
    (["-host", "-user"], {"host": "-user"}, []),  # a value may look like a flag
    (["-host", "--", "x"], {"host": "--"}, ["x"]),
    (["-host", "", "-once"], {"host": "", "once": True}, []),
    (["-pass", "\udcff"], {"password": "\udcff"}, []),
    (["-port", "1", "-port=2"], {"port": 2}, []),
    (["-port", "-1"], {"port": -1}, []),
    (["-port=0x10"], {"port": 16}, []),
    (["-reconnect-delay", "1h2m3.5s"], {"reconnect_delay": 3723.5}, []),
    (["-reconnect-delay=-1s"], {"reconnect_delay": -1.0}, []),
    (["-reconnect-delay=0"], {"reconnect_delay": 0.0}, []),
    (["-once"], {"once": True}, []),
    (["-once=F"], {"once": False}, []),
    (["-once", "-once=0"], {"once": False}, []),
    (["-once", "false"], {"once": True}, ["false"]),  # a boolean takes no second argument
    (["-no-offload"], {"no_offload": True}, []),
    (["-v", "x", "-quiet"], {"v": True}, ["x", "-quiet"]),
    (["-", "-v"], {}, ["-", "-v"]),
    (["", "-v"], {}, ["", "-v"]),
    (["-v", "--", "-quiet", "--"], {"v": True}, ["-quiet", "--"]),
    (["x", "-nonsense"], {}, ["x", "-nonsense"]),
]

REFUSED = [
    (["-x"], "flag provided but not defined: -x"),
    (["--x=1"], "flag provided but not defined: -x"),
    (["-Host", "h"], "flag provided but not defined: -Host"),
    (["-host ", "h"], "flag provided but not defined: -host "),
    (["-H"], "flag provided but not defined: -H"),
    (["-\u00e9"], "flag provided but not defined: -\u00e9"),
    (["-host"], "flag needs an argument: -host"),
    (["-v", "--port"], "flag needs an argument: -port"),
    (["---x"], "bad flag syntax: ---x"),
    (["---"], "bad flag syntax: ---"),
    (["-="], "bad flag syntax: -="),
    (["--=x"], "bad flag syntax: --=x"),
    (["-reconnect-delay", "5"], 'invalid value "5" for flag -reconnect-delay: parse error'),
    (["-port", ""], 'invalid value "" for flag -port: parse error'),
    (["-port=4 3"], 'invalid value "4 3" for flag -port: parse error'),
    (
        ["-port", "9223372036854775808"],
        'invalid value "9223372036854775808" for flag -port: value out of range',
    ),
    (["-once=x"], 'invalid boolean value "x" for -once: parse error'),
    (["--once="], 'invalid boolean value "" for -once: parse error'),
    (["-port", 'a"\\\n\x01\x7f'], r'invalid value "a\"\\\n\x01\x7f" for flag -port: parse error'),
    (["-port", "\u00f6\U0001f600"], 'invalid value "\u00f6\U0001f600" for flag -port: parse error'),
    (
        ["-port", "\udcff\u200b\U000e0001\x85"],
        r'invalid value "\xff\u200b\U000e0001\u0085" for flag -port: parse error',
    ),
    (["-port=x", "-h"], 'invalid value "x" for flag -port: parse error'),
]

HELP = [["-h"], ["-help"], ["--help"], ["--h"], ["-h=x"], ["-help=1"], ["-v", "-h", "-nonsense"]]


@pytest.mark.parametrize(("argv", "given", "rest"), READ)
def test_read(argv: list[str], given: dict[str, object], rest: list[str]) -> None:
    assert parse(argv) == (given, rest)


@pytest.mark.parametrize(("argv", "message"), REFUSED)
def test_refused(argv: list[str], message: str) -> None:
    with pytest.raises(FlagError) as caught:
        parse(argv)
    assert str(caught.value) == message
    assert caught.value.exit_code == 2
    assert caught.value.advice.endswith("see sevpn -h")


@pytest.mark.parametrize("argv", HELP)
def test_help(argv: list[str]) -> None:
    with pytest.raises(HelpRequested, match="^sevpn connects"):
        parse(argv)


def test_the_argument_list_is_left_as_it_was() -> None:
    argv = ["-v", "x"]
    parse(argv)
    assert argv == ["-v", "x"]


OTHER = (
    Option("json", BOOL, "false", "JSON"),
    Option("timeout", DURATION, "1m0s", "Time", attribute="limit"),
)


def test_a_table_of_its_own() -> None:
    assert parse(["-json", "x"], "sevpn status", OTHER) == ({"json": True}, ["x"])
    assert parse(["-timeout", "2s"], "sevpn status", OTHER) == ({"limit": 2.0}, [])
    assert defaults(OTHER) == {"json": False, "limit": 60.0}
    with pytest.raises(FlagError, match="^flag provided but not defined: -host$") as caught:
        parse(["-host", "h"], "sevpn status", OTHER)
    assert caught.value.advice == "see sevpn status -h"
    with pytest.raises(HelpRequested, match="^Usage of sevpn status:\n  -json\n"):
        parse(["-h"], "sevpn status", OTHER)
