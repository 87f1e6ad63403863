"""The configuration: one attribute per flag, and what -print-config shows of it."""

import json

import pytest

from sevpn.config import Config, FlagError, HelpRequested, parse_args, to_json
from sevpn.flags.options import OPTIONS
from sevpn.flags.values import parse_duration_ns

GO_TOOL_DEFAULTS = {
    "host": "",
    "user": "",
    "pass": "",
    "port": 443,
    "hub": "DEFAULT",
    "tap": "",
    "mac": "",
    "plain-password": False,
    "insecure": False,
    "no-dhcp": False,
    "accept-default-gateway": False,
    "accept-static-routes": False,
    "accept-dns": False,
    "policy-route-table": 0,
    "reconnect-delay": 5,
}


def shown(*argv: str) -> dict[str, object]:
    text = to_json(parse_args(argv))
    assert "\n" not in text
    assert text.isascii()
    value = json.loads(text)
    assert isinstance(value, dict)
    return value


def test_every_attribute_is_a_flag_and_typed() -> None:
    """Config's types are written by hand, for the type checker only."""
    import ast
    import inspect

    tree = ast.parse(inspect.getsource(Config))
    typed = [
        node.target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    ]
    assert tuple(typed) == Config.__slots__
    assert set(typed) == {option.attribute for option in OPTIONS} | {"args"}


def test_no_flag_is_listed_twice() -> None:
    assert len({option.name for option in OPTIONS}) == len(OPTIONS)


def test_defaults_are_written_as_go_prints_them() -> None:
    assert [option.default for option in OPTIONS if option.kind == "duration"] == [
        *("5s", "1m0s", "0s")
    ]
    for option in OPTIONS:
        if option.kind == "duration":
            assert parse_duration_ns(option.default) >= 0


def test_values_by_keyword_and_defaults_for_the_rest() -> None:
    config = Config(host="h", port=992)
    assert (config.host, config.port, config.hub) == ("h", 992, "DEFAULT")
    assert (config.password, config.reconnect_max_delay, config.args) == ("", 60.0, [])
    with pytest.raises(AttributeError):
        Config(hostname="h")


def test_parse_args() -> None:
    config = parse_args(["-pass", "p", "-accept-dns", "-reconnect-delay=500ms", "x", "-v"])
    assert config.password == "p"
    assert config.accept_dns is True
    assert config.reconnect_delay == 0.5
    assert config.args == ["x", "-v"]
    assert config.v is False


def test_parse_args_judges_no_value() -> None:
    config = parse_args(["-port", "-5", "-reconnect-delay", "-1s", "-mac", "x"])
    assert (config.port, config.reconnect_delay, config.mac) == (-5, -1.0, "x")


def test_bad_arguments_and_help_know_what_to_say() -> None:
    with pytest.raises(FlagError) as caught:
        parse_args(["-x"])
    assert caught.value.advice == "see sevpn -h"
    with pytest.raises(HelpRequested, match="exit codes"):
        parse_args(["-h"])


def test_json_has_the_go_tools_flags_with_their_defaults() -> None:
    value = shown()
    assert {name: value[name] for name in GO_TOOL_DEFAULTS} == GO_TOOL_DEFAULTS


def test_json_has_every_flag_in_order_but_no_command() -> None:
    names = [option.name for option in OPTIONS]
    expected = [name for name in names if name not in ("print-config", "version")]
    assert list(shown("-print-config")) == [*expected, "args"]


def test_json_hides_the_password() -> None:
    assert shown("-pass", "secret")["pass"] == "***"
    assert "secret" not in to_json(parse_args(["-pass", "secret"]))


def test_json_values() -> None:
    value = shown("-reconnect-delay", "1h2m3.5s", "-port=-0x10", "-once", "-host=h", "a", "-b")
    assert value["reconnect-delay"] == 3723.5
    assert value["port"] == -16
    assert value["once"] is True
    assert value["host"] == "h"
    assert value["args"] == ["a", "-b"]
    assert shown("-reconnect-delay=1ns")["reconnect-delay"] == 1e-9


def test_a_flag_that_collects() -> None:
    assert shown()["cert-sha256"] == []
    assert shown("-cert-sha256", "a", "-v", "--cert-sha256=b")["cert-sha256"] == ["a", "b"]


def test_json_of_any_text() -> None:
    texts = ['"', "\\", "\n", "\x01", "\x7f", "\u00f6", "\U0001f600", "\ud7ff", "\udcff", ""]
    assert shown("--", *texts)["args"] == texts
