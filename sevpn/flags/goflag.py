"""Reads an argument list exactly as Go's `flag` package does (pkg.go.dev/flag).

Pure. `-flag v`, `-flag=v` and the same with two dashes; booleans never take the next
argument. The first argument that is no flag (also a lone `-`), or `--`, ends the flags.
The last of repeated flags wins, but for those that collect.
"""

from sevpn.flags.errors import FlagError, HelpRequested
from sevpn.flags.options import BOOL, DURATION, INT, OPTIONS, STRINGS, Option
from sevpn.flags.values import NANOSECONDS_PER_S, parse_bool, parse_duration_ns, parse_int

# mypy takes it for true; at run time `typing` is not loaded.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Value = bool | int | float | str | list[str]


def parse_value(kind: str, text: str) -> "Value":
    """Read one flag's text; a duration becomes seconds. Raises: ValueError with Go's word."""
    if kind == BOOL:
        return parse_bool(text)
    if kind == INT:
        return parse_int(text)
    if kind == DURATION:
        return parse_duration_ns(text) / NANOSECONDS_PER_S
    if kind == STRINGS:
        return [text] if text else []
    return text


def parse(
    argv: "Sequence[str]", program: str = "sevpn", options: "Sequence[Option]" = OPTIONS
) -> "tuple[dict[str, Value], list[str]]":
    """Read `argv` (without the program's name) by the table `options`.

    Returns the values of the flags that were given, by attribute name, and the arguments
    behind the flags. `program` is what the usage calls the command.
    Raises: FlagError, HelpRequested.
    """
    try:
        return _parse(argv, {option.name: option for option in options})
    except HelpRequested:
        raise HelpRequested(program, options) from None
    except FlagError as error:
        raise FlagError(str(error), program, options) from None


def defaults(options: "Sequence[Option]") -> "dict[str, Value]":
    """Return the default of every flag of a table, by attribute name."""
    return {one.attribute: parse_value(one.kind, one.default) for one in options}


def _parse(
    argv: "Sequence[str]", by_name: "dict[str, Option]"
) -> "tuple[dict[str, Value], list[str]]":
    given: dict[str, Value] = {}
    at = 0
    while at < len(argv):
        argument = argv[at]
        if len(argument) < 2 or argument[0] != "-":
            break
        at += 1
        if argument == "--":
            break
        name, equals, text = _split(argument)
        option = by_name.get(name)
        if option is None:
            if name in ("h", "help"):
                raise HelpRequested
            raise FlagError(f"flag provided but not defined: -{name}")
        if not equals:
            if option.kind == BOOL:
                text = "true"
            elif at < len(argv):
                text = argv[at]
                at += 1
            else:
                raise FlagError(f"flag needs an argument: -{name}")
        value = _read(option, text)
        before = given.get(option.attribute)
        if isinstance(value, list) and isinstance(before, list):
            value = before + value
        given[option.attribute] = value
    return given, list(argv[at:])


def _split(argument: str) -> tuple[str, str, str]:
    """Split `-name=value` into name, "=" and value. Raises: FlagError."""
    body = argument[2:] if argument[1] == "-" else argument[1:]
    if body[0] in "-=":
        raise FlagError(f"bad flag syntax: {argument}")
    return body.partition("=")


def _read(option: Option, text: str) -> "Value":
    try:
        return parse_value(option.kind, text)
    except ValueError as error:
        from sevpn.flags.usage import quote

        message = f"invalid value {quote(text)} for flag -{option.name}: {error}"
        if option.kind == BOOL:  # Go's own inconsistency
            message = f"invalid boolean value {quote(text)} for -{option.name}: {error}"
        raise FlagError(message) from None
