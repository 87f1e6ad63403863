"""The texts Go's `flag` package prints: the usage with its defaults, and quoted values.

Pure; loaded only to say something before the program ends.

`sevpn help flags` prints it. -h is shorter (see `help`); a bad flag gets its reason and one line of
advice (see `advice`) instead of Go's whole list, which pushed the reason off the screen.
"""

from sevpn.flags.options import BOOL, DURATION, INT, OPTIONS, STRING, STRINGS, Option

# mypy takes it for true; at run time `typing` is not loaded.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_ZERO = {BOOL: "false", INT: "0", DURATION: "0s", STRING: "", STRINGS: ""}
_ESCAPES = {"\a": "a", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t", "\v": "v"}


def usage_text(program: str = "sevpn", options: "Sequence[Option] | None" = None) -> str:
    """Return `Usage of PROGRAM:` and every shown flag, sorted by name, one newline at the end.

    `options` is the table of a sub-command; without it, that of sevpn itself.
    """
    table = OPTIONS if options is None else options
    shown = sorted((one for one in table if not one.is_hidden), key=lambda one: one.name)
    return f"Usage of {program}:\n" + "".join(map(_entry, shown))


def _entry(option: Option) -> str:
    """Return a flag's two lines, or one for a boolean of one letter, as PrintDefaults does."""
    head = f"  -{option.name}" + ("" if option.kind == BOOL else f" {option.kind.rstrip('s')}")
    # Four spaces before the tab line up at tab stops of both 4 and 8.
    gap = "\t" if len(head) <= 4 else "\n    \t"
    default = ""
    if option.default != _ZERO[option.kind]:
        shown = quote(option.default) if option.kind in (STRING, STRINGS) else option.default
        default = f" (default {shown})"
    return f"{head}{gap}{option.help}{default}\n"


def quote(text: str) -> str:
    """Return `text` in double quotes as Go's %q, all on one line.

    Bytes that are not UTF-8 (as Python's surrogates) become \\xNN, and so do control
    characters; what Unicode calls unprintable becomes \\uNNNN.
    """
    return '"' + "".join(map(_quote_char, text)) + '"'


def _quote_char(char: str) -> str:
    code = ord(char)
    if char in '"\\':
        return "\\" + char
    if char.isprintable():
        return char
    if char in _ESCAPES:
        return "\\" + _ESCAPES[char]
    if 0xDC80 <= code <= 0xDCFF:  # surrogateescape (PEP 383)
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x20 or code == 0x7F:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
