"""What to do about an argument that cannot be read: a line behind the reason.

Pure; loaded only to say something before the program ends.
"""

from sevpn.flags.options import BOOL, DURATION, OPTIONS

# mypy takes it for true; at run time `typing` is not loaded.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sevpn.flags.options import Option

_FAR = 3  # as many slips make another word


def advice(message: str, program: str, options: "Sequence[Option] | None") -> str:
    """Return the line behind Go's reason: the nearest name, or what the value must look like."""
    table = OPTIONS if options is None else options
    words = message.split(" -")
    name = words[-1].partition(":")[0] if len(words) > 1 else ""
    where = f"see {program} -h"
    if "not defined" in message:
        near = nearest(name, [one.name for one in table if not one.is_hidden])
        return f"did you mean -{near}? {where}" if near else where
    kind = next((one.kind for one in table if one.name == name), "")
    if kind == DURATION and "invalid value" in message:
        return f"a duration needs a unit, as in 5s or 1m30s; {where}"
    if kind == BOOL:
        return f"a boolean is written -{name} or -{name}=false; {where}"
    return where


def nearest(word: str, known: "Iterable[str]") -> str:
    """Return the known word that was probably meant, "" when none is near."""
    found = sorted((_slips(word, one), one) for one in known)
    if found and found[0][0] < min(_FAR, len(word)):
        return found[0][1]
    begun = [one for one in known if len(word) > 2 and one.startswith(word)]
    return begun[0] if len(begun) == 1 else ""


def _slips(one: str, other: str) -> int:
    """Return the Levenshtein distance; of 20 letters at most, words are not longer."""
    row = list(range(len(other[:20]) + 1))
    for at, char in enumerate(one[:20]):
        last, row[0] = row[0], at + 1
        for place, wanted in enumerate(other[:20]):
            cost = last + (char != wanted)
            last = row[place + 1]
            row[place + 1] = min(cost, last + 1, row[place] + 1)
    return row[-1]


def stray_words(args: "Sequence[str]", before: str, commands: "Sequence[str]") -> tuple[str, str]:
    """Return reason and remedy for words that stand behind the flags; `before` stands there.

    Go's flag package hands them to the program; a word behind a boolean, and all flags behind
    it, would be dropped without a sound.
    """
    word = args[0]
    if word in commands:
        return f"the command comes first: sevpn {word}", f"then its flags, see sevpn {word} -h"
    rest = " and what follows" if len(args) > 1 else ""
    name = before.lstrip("-")
    if any(one.kind == BOOL and one.name == name for one in OPTIONS):
        return (
            f"{word!r}{rest} would be ignored: it is no flag",
            f"a boolean is written -{name}=false; see sevpn -h",
        )
    if not before:
        near = nearest(word, commands)
        hint = f"did you mean {near}? " if near else ""
        return f"unknown command {word!r}", f"{hint}{', '.join(commands)}; see sevpn -h"
    return f"{word!r}{rest} would be ignored: it is no flag", "see sevpn -h"
