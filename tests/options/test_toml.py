"""TOML: what is read, what is refused in bounded time, and where keys are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bark_infinity.options.toml import TomlError, find_key, format_toml, format_toml_key, parse_toml

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(
    st.dictionaries(
        TEXTS, TEXTS | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.lists(TEXTS, max_size=3), max_size=4
    ),
    st.booleans(),
)
def test_what_is_written_is_read_again(values, ascii_only):
    text = "".join(f"{format_toml_key(key)} = {format_toml(value, ascii_only)}\n" for key, value in values.items())
    assert parse_toml(text) == values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = ", r"\(at line 1, column 5\)|\(at end of document\)"),
        ("a = 1\r\nb = = 2", r"\(at line 2, column 5\)$"),
        (f"a = 1\n{'b' * 10_000} = 1\n{'b' * 10_000} = 1", r"."),
        (f"{'a.' * 100_000}b = 1", "hundreds of parts"),
        (f"a = {'[' * 100_000}", "."),
        (f"a = {'1' * 100_000}", "thousands of digits"),
    ],
)
def test_what_is_no_toml_is_refused_in_a_short_message(text, message):
    with pytest.raises(TomlError, match=message) as error:
        parse_toml(text)
    assert len(str(error.value)) <= 200


DOCUMENT = """\
top = 1
[cast] # who
Anna = "Bob = x"
  "Bob" = {voice = "b", text_temp = 0.5}
Old.Tom = 1
[ cast . "Eva Lund" ]
voice = "e"
text_temp = 1
[settings]
text_temp = 2
"""


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (["top"], (1, 1)),
        (["cast"], (2, 1)),
        (["cast", "Anna"], (3, 1)),
        (["cast", "Bob"], (4, 3)),
        (["cast", "Bob", "text_temp"], (4, 25)),
        (["cast", "Old", "Tom"], (5, 5)),
        (["cast", "Eva Lund"], (6, 1)),
        (["cast", "Eva Lund", "text_temp"], (8, 1)),
        (["settings", "text_temp"], (10, 1)),
        (["settings", "seed"], (9, 1)),  # at least the table
        (["other"], (1, 1)),
    ],
)
def test_places_of_keys(path, place):
    assert find_key(DOCUMENT, path) == place
