"""Any argument list gives a configuration or one declared end."""

import contextlib
import json

from hypothesis import given
from hypothesis import strategies as st

from sevpn.config import Config, FlagError, HelpRequested, parse_args, to_json
from sevpn.errors import UsageError
from sevpn.flags.options import BOOL, OPTIONS
from sevpn.flags.usage import quote
from sevpn.flags.validate import parse_mac, validate

names = st.sampled_from([option.name for option in OPTIONS])
# What sys.argv can hold: no NUL, and bytes that are not UTF-8 as low surrogates.
texts = st.binary(max_size=20).map(
    lambda raw: raw.replace(b"\0", b"").decode("utf-8", "surrogateescape")
)
values = st.one_of(texts, st.sampled_from(["0", "1", "t", "F", "5s", "0x10", "-1", "", "a b"]))
arguments = st.lists(
    st.one_of(
        texts,
        st.builds("-{}".format, names),
        st.builds("--{}={}".format, names, values),
        st.sampled_from(["-", "--", "---", "-h", "-=", "x"]),
    ),
    max_size=6,
)


def read(argv: list[str]) -> Config | None:
    try:
        return parse_args(argv)
    except (FlagError, HelpRequested):
        return None


@given(arguments)
def test_any_arguments(argv: list[str]) -> None:
    config = read(argv)
    if config is None:
        return
    assert config.args == argv[len(argv) - len(config.args) :]
    shown = json.loads(to_json(config))
    assert shown["args"] == config.args
    assert shown["host"] == config.host
    with contextlib.suppress(UsageError):
        validate(config)


@given(st.dictionaries(names, st.sampled_from(["0", "1"]), max_size=8), st.booleans())
def test_both_forms_and_both_dashes_mean_the_same(given: dict[str, str], double: bool) -> None:
    durations = {"reconnect-delay": "1s", "reconnect-max-delay": "2s", "retry-refused": "3s"}
    pairs = [(name, durations.get(name, value)) for name, value in given.items()]
    dash = "--" if double else "-"
    booleans = {option.name for option in OPTIONS if option.kind == BOOL}
    joined = [f"{dash}{name}={value}" for name, value in pairs]
    apart = []
    for name, value in pairs:
        flag = f"-{name}"
        apart += [f"{flag}={value}"] if name in booleans else [flag, value]
    assert to_json(parse_args([*joined, "x"])) == to_json(parse_args([*apart, "--", "x"]))


@given(texts)
def test_a_quoted_value_is_one_printable_line(text: str) -> None:
    quoted = quote(text)
    assert quoted.isprintable()
    quoted.encode()


@given(st.text(max_size=20))
def test_any_text_is_a_mac_or_refused(text: str) -> None:
    try:
        mac = parse_mac(text)
    except UsageError:
        return
    assert len(mac) == 6


@given(st.binary(min_size=6, max_size=6), st.sampled_from([":", "-"]))
def test_mac_round_trip(raw: bytes, separator: str) -> None:
    raw = bytes([raw[0] & 0xFE | 2]) + raw[1:]
    assert parse_mac(raw.hex(separator)) == raw
    assert parse_mac(raw.hex(separator).upper()) == raw
