"""Spans of a text as spoken lead back to the text as written."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bark_infinity.text.pronunciation import parse_pronunciations

ENTRIES = parse_pronunciations(
    """
[words]
"Nguyen" = "Win"
"New York" = "Noo York City"
"the" = ""
[patterns]
'(\\d+) ?km' = '\\1 kilometers'
'kilo' = 'ki lo'
"""
)


def test_span_of_each_spoken_word():
    text = "Mr. Nguyen ran 12 km to the New York, and back."
    spoken = ENTRIES.apply(text)
    assert spoken.text == "Mr. Win ran 12 ki lometers to  Noo York City, and back."
    written = {}
    for word in spoken.text.split():
        start = spoken.text.index(word)
        first, end = spoken.written(start, start + len(word))
        written[word] = text[first:end]
    assert written["Win"] == "Nguyen" and written["ran"] == "ran" and written["back."] == "back."
    assert written["lometers"] == "12 km" and written["Noo"] == "New York" and written["City,"] == "New York,"


@given(st.lists(st.sampled_from(["Nguyen", "12 km", "New York", "the", "a", "kilo", "."])).map(" ".join), st.data())
def test_spans_keep_their_order_and_cover_the_text(text, data):
    spoken = ENTRIES.apply(text)
    assert (spoken.text, spoken.used) == ENTRIES.spoken(text)
    start = data.draw(st.integers(0, len(spoken.text)))
    end = data.draw(st.integers(start, len(spoken.text)))
    if start < end:  # nothing may be spoken in place of a word
        first, last = spoken.written(start, end)
        assert 0 <= first <= last <= len(text)
        assert spoken.passes or (first, last) == (start, end)
