"""Metadata at the top of Markdown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bark_infinity.readers.markdown_metadata import Metadata, split_metadata


@pytest.mark.parametrize(
    ("text", "metadata", "rest"),
    [
        ("---\ntitle: The Book\nauthor: Ann\nlang: en-GB\n---\nHi", ("The Book", "Ann", "en-GB"), "Hi"),
        ("---\ntitle: \"A: 'B'\" # c\nauthors: [Ann, 'Bob']\n...\n", ("A: 'B'", "Ann, Bob", None), ""),
        (
            "---\nauthor:\n- Ann\n- name: Bob\n  mail: x@y\ntitle: >\n  The\n  Book\n---\n",
            ("The Book", "Ann, Bob", None),
            "",
        ),
        ("---\n# all of it\ntitle: A # b\n---\n", ("A", None, None), ""),
        ("+++\ntitle = 'A'\nauthors = ['B', 'C']\nlanguage = 'de'\n[x]\ny = 1\n+++\nHi", ("A", "B, C", "de"), "Hi"),
        ("% A\n  B\n% Ann; Bob\n% 2020\nHi", ("A B", "Ann, Bob", None), "Hi"),
        ("---\n\nHello there.\n\n---\n", (None, None, None), None),
        ("+++\nHello there.\n+++\n", (None, None, None), None),
        ("---\ntitle: no end\n", (None, None, None), None),
        ("Hi", (None, None, None), None),
    ],
)
def test_metadata(text, metadata, rest):
    assert split_metadata(text) == (Metadata(*metadata), text if rest is None else rest)


@given(st.text(alphabet="-+%:ab \n[]'\"", max_size=80))
def test_the_rest_is_the_end_of_the_text(text):
    _, rest = split_metadata(text)
    assert text.endswith(rest)
    assert rest == text or text.lstrip()[:1] in "-+%"
