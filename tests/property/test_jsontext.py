"""Whatever is written as JSON, Python's own `json` reads back."""

import json

from hypothesis import given
from hypothesis import strategies as st

from sevpn.jsontext import to_json

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # Two surrogates in a row would be read as one character.
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text('ab\n"\\\u00e9\U0001f600'), inner),
    max_leaves=20,
)


@given(VALUES)
def test_json_reads_what_was_written(value: object) -> None:
    text = to_json(value)  # type: ignore[arg-type]
    assert json.loads(text) == value
    assert text.isascii()
    assert "\n" not in text
