"""Templates are filled completely, and correctly as far as readers would stumble."""

from __future__ import annotations

import random
import re

from hypothesis import given
from hypothesis import strategies as st

from training.templates import Templates, _ordinal


@given(st.integers(0, 2**32))
def test_sentences_are_filled_and_written_as_people_write_them(seed):
    templates = Templates(random.Random(seed), ["Kitchener"], ["Galway"])
    for text in (templates.numbered(), templates.said()):
        assert not re.search(r"[{}]|\.\.|  |\b[Aa] [aeio]|\b[Aa]n [^aeiou]", text), text
        assert not re.search(r"[,;:]$", text) and len(text) < 200


def test_ordinals_have_their_endings():
    found = {_ordinal(random.Random(seed)) for seed in range(500)}
    assert {"1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "22nd", "23rd", "31st"} <= found
    assert len(found) == 31


def test_every_template_has_fillers():
    templates = Templates(random.Random(0), ["Kitchener"], ["Galway"])
    said = {templates.said() for _ in range(3_000)} | {templates.numbered() for _ in range(3_000)}
    assert len(said) > 4_000
