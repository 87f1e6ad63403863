"""JSON as Python's own `json` reads and writes it."""

import json

import pytest

from sevpn.jsontext import quote, to_json


def test_written_as_json_does() -> None:
    value = {"a": [1, 2.5, True, None], "b": "x"}
    assert to_json(value) == json.dumps(value)
    assert to_json((1, 2)) == "[1, 2]"


def test_a_byte_that_is_no_text() -> None:
    assert quote("\udcff") == '"\\udcff"'


def test_what_json_does_not_have() -> None:
    with pytest.raises(TypeError, match="no JSON for bytes"):
        to_json(b"x")  # type: ignore[arg-type]
