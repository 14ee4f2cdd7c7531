"""Subtitles as they are found in the wild: what is said, all of it, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bark_infinity.errors import TextError
from bark_infinity.readers.subtitles import subtitle_text

TIME = "00:00:01,000 --> 00:00:04,000"

REAL = """\ufeff1
00:00:01,000 --> 00:00:04,000
<i>Where are you</i>
<font color="#fff">going?</font>

2
00:00:05.500 --> 00:00:06.250  X1:40 X2:600 Y1:20 Y2:50
{\\an8}- Nowhere. [laughs]<br>- {b}Tom &amp; I.{/b} ♪ la la ♪

3
00:00:07,000 --> 00:00:08,000


4
01:00:08,000 --> 01:00:09,000
&lt;nobody&gt; answers:\\NI <3 you &#8482; &#x110000; &zzz;
"""


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_subtitles(line_end):
    assert subtitle_text(REAL.replace("\n", line_end)).split("\n") == [
        "Where are you going?",
        "- Nowhere. [laughs] - Tom & I. ♪ la la ♪",
        "<nobody> answers: I <3 you ™ \ufffd &zzz;",
    ]


@pytest.mark.parametrize(
    "lines",
    [
        ["1", TIME, "42", "", "2", TIME, "43", "", "3", TIME, "It is"],
        ["1", TIME, "42", "2", TIME, "43", "3", TIME, "It is"],  # no blank lines
        ["1", "", TIME, "", "42", "", "", "2", TIME, "", "43", "", "", "3", TIME, "It is", ""],  # too many
        ["1", TIME, "42", "", "2", "", TIME, "43", "", "3", "", TIME, "It is"],  # also behind the counters
        [TIME, "42", "", TIME, "43", "", TIME, "It is"],  # no counters
        [TIME, "", "42", TIME, "", "43", TIME, "It is"],
        [TIME, "42", TIME, "43", TIME, "It is"],
        ["7", TIME, "42", "", "1", TIME, "43", "", "0", TIME, "It is"],  # counters that do not count
        [" 1 ", " " + TIME, "42 ", " ", "2 ", TIME, "43", "\t", "3", TIME, "It is", "", ""],
    ],
)
def test_numbers_that_are_said_and_counters_that_are_not(lines):
    assert subtitle_text("\n".join(lines)) == "42\n43\nIt is"


def test_a_byte_order_mark_hides_no_time():
    assert subtitle_text(f"\ufeff{TIME}\nHello.") == "Hello."


def test_a_number_may_end_a_cue():
    assert subtitle_text(f"1\n{TIME}\n2\n\n{TIME}\nThree.") == "2\nThree."
    assert subtitle_text(f"{TIME}\nRoom\n101\n{TIME}\nWe are\n\n5\n{TIME}\nhere.\n6") == "Room 101\nWe are\nhere. 6"


@pytest.mark.parametrize(
    "time", ["0:01 --> 0:02", "00:00:01 --> 00:00:02", "0:0:1.5-->0:0:2.5", "00 : 00 : 01,000 -> 00 : 00 : 02,000"]
)
def test_ways_to_write_the_time(time):
    assert subtitle_text(f"1\n{time}\nHello.") == "Hello."


@pytest.mark.parametrize("text", ["", "Hello there.\n\n1\n\nNo times --> here.", "The train leaves at 10:30."])
def test_what_is_no_subtitle_file(text):
    with pytest.raises(TextError, match="no subtitle file"):
        subtitle_text(text)


WORDS = st.lists(
    st.sampled_from(["Hello", "42", "1", "[laughs]", "♪", "a < b", "été", "字幕。"]), min_size=1, max_size=4
)


@given(st.lists(WORDS, min_size=1, max_size=8), st.sampled_from(["\n", "\r\n"]))
def test_well_formed_cues_come_back(cues, line_end):
    text = "\n".join(f"{n}\n{TIME}\n" + "\n".join(cue) + "\n" for n, cue in enumerate(cues, 1))
    assert subtitle_text(text.replace("\n", line_end)) == "\n".join(" ".join(cue) for cue in cues)


@pytest.mark.parametrize(
    "unit", ["<", "{\\", "&", "&#" + "9" * 9999 + ";", "<i", "0:", "0:0 ", "9", "- ", "<b>&#9;</b>", "\n1", f"\n{TIME}"]
)
def test_large_files_of_anything(unit):
    """A pattern that tries again from everywhere would not come to an end here."""
    assert subtitle_text(f"1\n{TIME}\nHello. " + unit * (1_000_000 // len(unit))).startswith("Hello.")
