"""Reading subtitle files as found in the wild: all of the spoken text and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bark_infinity.errors import TextError
from bark_infinity.readers.subtitles import (
    read_cues,
    subtitles_by_content,
    subtitles_by_name,
    text_of_cues,
    timed_script,
)

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
def test_spoken_text_of_a_subrip_file(line_end):
    assert text_of_cues(REAL.replace("\n", line_end)).split("\n") == [
        "Where are you going?",
        "- Nowhere. [laughs] - Tom & I. ♪ la la ♪",
        "<nobody> answers: I <3 you ™ \ufffd &zzz;",
    ]


@pytest.mark.parametrize(
    "lines",
    [
        ["1", TIME, "42", "", "2", TIME, "43", "", "3", TIME, "It is"],
        ["1", TIME, "42", "2", TIME, "43", "3", TIME, "It is"],  # no blank lines
        ["1", "", TIME, "", "42", "", "", "2", TIME, "", "43", "", "", "3", TIME, "It is", ""],  # too many blank lines
        ["1", TIME, "42", "", "2", "", TIME, "43", "", "3", "", TIME, "It is"],  # blank lines after the counters
        [TIME, "42", "", TIME, "43", "", TIME, "It is"],  # no counters
        [TIME, "", "42", TIME, "", "43", TIME, "It is"],
        [TIME, "42", TIME, "43", TIME, "It is"],
        ["7", TIME, "42", "", "1", TIME, "43", "", "0", TIME, "It is"],  # counters out of order
        [" 1 ", " " + TIME, "42 ", " ", "2 ", TIME, "43", "\t", "3", TIME, "It is", "", ""],
    ],
)
def test_spoken_numbers_are_kept_and_cue_counters_dropped(lines):
    assert text_of_cues("\n".join(lines)) == "42\n43\nIt is"


def test_byte_order_mark_before_the_first_time_is_skipped():
    assert text_of_cues(f"\ufeff{TIME}\nHello.") == "Hello."


def test_number_at_the_end_of_a_cue_is_kept():
    assert text_of_cues(f"1\n{TIME}\n2\n\n{TIME}\nThree.") == "2\nThree."
    assert text_of_cues(f"{TIME}\nRoom\n101\n{TIME}\nWe are\n\n5\n{TIME}\nhere.\n6") == "Room 101\nWe are\nhere. 6"


@pytest.mark.parametrize(
    "time", ["0:01 --> 0:02", "00:00:01 --> 00:00:02", "0:0:1.5-->0:0:2.5", "00 : 00 : 01,000 -> 00 : 00 : 02,000"]
)
def test_time_formats_are_recognised(time):
    assert text_of_cues(f"1\n{time}\nHello.") == "Hello."


@pytest.mark.parametrize("text", ["", "Hello there.\n\n1\n\nNo times --> here.", "The train leaves at 10:30."])
def test_text_that_is_not_subtitles_is_refused(text):
    with pytest.raises(TextError, match="no subtitle file"):
        text_of_cues(text)


WORDS = st.lists(
    st.sampled_from(["Hello", "42", "1", "[laughs]", "♪", "a < b", "été", "字幕。"]), min_size=1, max_size=4
)


@given(st.lists(WORDS, min_size=1, max_size=8), st.sampled_from(["\n", "\r\n"]))
def test_well_formed_cues_are_returned(cues, line_end):
    times = [f"00:00:{2 * n:02},000 --> 00:00:{2 * n + 1:02},000" for n in range(len(cues))]
    text = "\n".join(f"{n}\n{times[n - 1]}\n" + "\n".join(cue) + "\n" for n, cue in enumerate(cues, 1))
    assert text_of_cues(text.replace("\n", line_end)) == "\n".join(" ".join(cue) for cue in cues)


@pytest.mark.parametrize(
    "unit", ["<", "{\\", "&", "&#" + "9" * 9999 + ";", "<i", "0:", "0:0 ", "9", "- ", "<b>&#9;</b>", "\n1", f"\n{TIME}"]
)
def test_large_files_are_read_in_linear_time(unit):
    """A regular expression with quadratic backtracking would not finish here."""
    assert text_of_cues(f"1\n{TIME}\nHello. " + unit * (1_000_000 // len(unit))).startswith("Hello.")


# ---- other formats --------------------------------------------------------------------------------------------------

VTT = """WEBVTT - A film
Kind: captions

NOTE This is said to nobody,
not even here

STYLE
::cue { color: red }

REGION
id:fred width:40%

intro
00:01.000 --> 00:03.000 align:start position:0%
<v.loud Anna Bell>Hello <c.red>there</c>, my friend.</v>
<b>Come</b> in!

00:00:04.000 --> 00:00:06.000
How <i>are</i><00:00:05.000> you &amp; yours? <ruby>漢<rt>kan</rt>字<rt>ji</rt></ruby>

3
01:00:04.000 --> 01:00:06.000
42
"""

ASS = """[Script Info]
Title: A film
[V4+ Styles]
Format: Name, Fontname
Style: Default,Arial
[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,0:00:05.00,0:00:06.00,Default,,0,0,0,,Second, with a comma.\\Nand a line
Comment: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,not said
Dialogue: 0,0:00:01.00,0:00:02.00,Default,Anna,0,0,0,,{\\i1}First{\\i0}\\hone.
Dialogue: 0,0:00:07.00,0:00:08.00,Default,,0,0,0,,{\\p1}m 0 0 l 100 0 100 100{\\p0}
"""


def test_spoken_text_of_a_webvtt_file():
    for text in (VTT, VTT.replace("\n", "\r\n"), "\ufeff" + VTT):
        assert text_of_cues(text).split("\n") == [
            "Hello there, my friend. Come in!",
            "How are you & yours? 漢字",
            "42",
        ]


def test_spoken_text_of_a_substation_alpha_file():
    assert text_of_cues(ASS).split("\n") == ["First one.", "Second, with a comma. and a line"]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (VTT, "vtt"),
        ("WEBVTT", "vtt"),
        ("WEBVTT is a format.", "vtt"),
        ("WEBVTTS", None),
        (ASS, "ass"),
        (f"1\n{TIME}\nHello.", "srt"),
        (f"\n\n{TIME}\nHello.", "srt"),
        ("1\n\nThe first of them.", None),
        (f"A line of a file is {TIME}.", None),
        ("12:30 - 14:00: lunch", None),
        ("Hello.", None),
        ("", None),
    ],
)
def test_subtitle_format_is_recognised_by_content(text, kind):
    assert subtitles_by_content(text) == kind


def test_subtitle_format_is_recognised_by_file_name():
    names = ("a.srt", "A.SRT", "b.vtt", "c.ass", "d.ssa", "e.txt", "-", "srt")
    assert [subtitles_by_name(name) for name in names] == ["srt", "srt", "vtt", "ass", "ass", None, None, None]


# ---- rolling captions -----------------------------------------------------------------------------------------------


def srt(*cues: tuple[float, float, str]) -> str:
    def time(seconds: float) -> str:
        return f"00:{int(seconds) // 60:02}:{int(seconds) % 60:02},{round(seconds % 1 * 1000):03}"

    return "\n".join(f"{n}\n{time(start)} --> {time(end)}\n{text}\n" for n, (start, end, text) in enumerate(cues, 1))


def test_repeated_lines_of_rolling_captions_are_read_once():
    two_lines = srt((0, 2, "so today"), (1.99, 2, "so today"), (2, 4, "so today\nwe bake"), (4, 6, "we bake\na loaf"))
    assert text_of_cues(two_lines).split("\n") == ["so today", "we bake", "a loaf"]
    growing = srt(
        (0, 1, "so"), (1, 2, "so today"), (2, 3, "so today we"), (3, 4, "so today we\nBake"), (4, 5, "bake it")
    )
    assert text_of_cues(growing).split("\n") == ["so", "today", "we", "Bake", "it"]


def test_lines_spoken_twice_are_kept_twice():
    text = srt(
        (0, 1, "No!"), (1, 2, "No!"), (2, 3, "I said"), (3, 4, "what I said."), (5, 6, "what I said."), (7, 8, "No!")
    )
    assert text_of_cues(text).split("\n") == ["No!", "No!", "I said", "what I said.", "what I said.", "No!"]
    assert text_of_cues(srt((0, 2, "No!"), (1, 3, "No!"), (4, 5, "Yes!"), (5, 6, "Well."))).split("\n") == [
        "No!",
        "Yes!",
        "Well.",
    ]


YOUTUBE = """WEBVTT
Kind: captions
Language: en

00:00:00.160 --> 00:00:02.389 align:start position:0%
 
so<00:00:00.320><c> today</c><00:00:00.480><c> we</c>

00:00:02.389 --> 00:00:02.399 align:start position:0%
so today we
 

00:00:02.399 --> 00:00:04.389 align:start position:0%
so today we
bake<00:00:02.720><c> a</c><00:00:03.120><c> loaf</c>

00:00:04.389 --> 00:00:04.399 align:start position:0%
bake a loaf
 
00:00:04.399 --> 00:00:06.000 align:start position:0%
bake a loaf
&gt;&gt; and<00:00:05.000><c> that's</c><00:00:05.500><c> it</c>
"""


def test_automatic_captions_are_read_without_repetition():
    assert text_of_cues(YOUTUBE).split("\n") == ["so today we", "bake a loaf", "and that's it"]


# ---- times and speakers ---------------------------------------------------------------------------------------------


def test_cues_have_their_times_and_speakers():
    first, second, third = read_cues(VTT)
    assert (first.start, first.end, first.speaker) == (1.0, 3.0, "Anna Bell")
    assert (second.start, second.end, second.speaker) == (4.0, 6.0, None)
    assert third.start == 3604.0
    assert [(cue.start, cue.speaker) for cue in read_cues(ASS)] == [(1.0, "Anna"), (5.0, None)]


def test_speakers_are_named_if_they_are_in_the_cast():
    assert text_of_cues(VTT, {"Anna Bell"}).splitlines()[0] == "Anna Bell: Hello there, my friend. Come in!"
    assert text_of_cues(ASS, {"Anna"}).splitlines()[0] == "Anna: First one."
    assert text_of_cues(ASS, {"Bob"}).splitlines()[0] == "First one."
    several = "WEBVTT\n\n00:01.000 --> 00:02.000\n<v Anna>Hi.</v>\n<v Bob>Ho.</v>\n"
    assert text_of_cues(several, {"Anna", "Bob"}) == "Hi. Ho."


def test_each_cue_of_a_timed_script_begins_at_its_time():
    assert timed_script(ASS, {"Anna"}).splitlines() == [
        "[at:1s]",
        "Anna: First one.",
        "[at:5s]",
        "Second, with a comma. and a line",
    ]
    assert timed_script(srt((0, 1, "One."), (62.345, 63, "Two."), (61.5, 62, "Three."))).splitlines() == [
        "[at:0s]",
        "One.",
        "[at:61.5s]",
        "Three.",
        "[at:62.345s]",
        "Two.",
    ]


def test_rolling_captions_begin_when_new_words_are_shown():
    assert timed_script(YOUTUBE).splitlines() == [
        "[at:0.16s]",
        "so today we",
        "[at:2.399s]",
        "bake a loaf",
        "[at:4.399s]",
        "and that's it",
    ]


def test_a_silence_of_more_than_an_hour_is_refused():
    with pytest.raises(TextError, match="'Two.' begins 3601 s after the one before it"):
        timed_script("00:00:01 --> 00:00:02\nOne.\n\n01:00:02 --> 01:00:03\nTwo.")
    with pytest.raises(TextError, match="begins 36000 s"):
        timed_script("10:00:00 --> 10:00:01\nAs broadcasters count.")
