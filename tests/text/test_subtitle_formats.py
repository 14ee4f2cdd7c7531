"""Files of subtitles: what libraries of others read in them, and what comes back through our own reader."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bark_infinity.errors import UsageError
from bark_infinity.readers.subtitles import read_cues
from bark_infinity.text.subtitle_formats import (
    SUBTITLE_SUFFIXES,
    Cue,
    Subtitles,
    TimedWord,
    format_subtitles,
    read_formats,
)

NASTY = "5 < 6 & 7 > 3 --> <b>bold</b> {\\an8}top {b} a\\Nb c\\\\d [12:30.00] <00:01.00> &amp; [laughs], 100%"
TIMES = st.floats(0, 200_000, allow_nan=False)


def made_of(*cues: tuple[float, float, str], speaker: str | None = None, **more) -> Subtitles:
    shown = [Cue(start, end, tuple(text.split("\n")), k, speaker) for k, (start, end, text) in enumerate(cues, 1)]
    return Subtitles("A film", cues[-1][1], "exact for segments", tuple(shown), **more)


def by_word(*cues: list[tuple[float, float, str]], **more) -> Subtitles:
    """Cues of one line, made of words."""
    shown = []
    for k, words in enumerate(cues, 1):
        text = " ".join(word for *_, word in words)
        shown.append(Cue(words[0][0], words[-1][1], (text,), k, None, (tuple(TimedWord(*word) for word in words),)))
    return Subtitles("A film", shown[-1].end, "aligned", tuple(shown), by="word", **more)


TWO = made_of((1.0, 2.5, "One dog.\nTwo cats."), (3661.0005, 3662.0, "Drei Mäuse 你好"), speaker="Anna")


def test_each_format_as_it_is_written():
    assert format_subtitles(TWO, "srt") == (
        "1\n00:00:01,000 --> 00:00:02,500\nOne dog.\nTwo cats.\n\n2\n01:01:01,000 --> 01:01:02,000\nDrei Mäuse 你好\n\n"
    )
    assert format_subtitles(TWO, "vtt") == (
        "WEBVTT\n\nNOTE Times: exact for segments\n\n00:00:01.000 --> 00:00:02.500\n<v Anna>One dog.\nTwo cats.\n\n"
        "01:01:01.000 --> 01:01:02.000\n<v Anna>Drei Mäuse 你好\n\n"
    )
    assert format_subtitles(TWO, "ass").splitlines()[-2:] == [
        "Dialogue: 0,0:00:01.00,0:00:02.50,Default,Anna,0,0,0,,One dog.\\NTwo cats.",
        "Dialogue: 0,1:01:01.00,1:01:02.00,Default,Anna,0,0,0,,Drei Mäuse 你好",
    ]
    assert format_subtitles(TWO, "lrc").splitlines() == [
        "[ti:A film]", "[length:61:02]", "[#:Times: exact for segments]", "[00:01.00]One dog. Two cats.", "[00:02.50]",
        "[61:01.00]Drei Mäuse 你好", "[61:02.00]",
    ]  # fmt: skip
    content = json.loads(format_subtitles(TWO, "json"))
    assert content["cues"][0] == {
        "start": 1.0,
        "end": 2.5,
        "segment": 1,
        "speaker": "Anna",
        "lines": ["One dog.", "Two cats."],
    }
    assert (content["times"], content["by"], content["seconds"]) == ("exact for segments", "segment", 3662.0)


def test_words_are_cues_or_marked_in_their_lines():
    words = by_word([(1.0, 1.5, "One"), (1.5, 2.0, "dog.")], [(3.0, 3.25, "Two.")])
    assert [cue.lines for cue in read_cues(format_subtitles(words, "srt"))] == [("One",), ("dog.",), ("Two.",)]
    assert [(cue.start, cue.end) for cue in read_cues(format_subtitles(words, "vtt"))] == [
        (1, 1.5),
        (1.5, 2),
        (3, 3.25),
    ]
    assert "0:00:01.00,0:00:02.00,Default,,0,0,0,,{\\k50}One {\\k50}dog.\n" in format_subtitles(words, "ass")
    assert "[00:01.00]<00:01.00>One <00:01.50>dog.<00:02.00>\n[00:02.00]\n" in format_subtitles(words, "lrc")
    (first, _) = json.loads(format_subtitles(words, "json"))["cues"]
    assert first["words"] == [{"start": 1.0, "end": 1.5, "text": "One"}, {"start": 1.5, "end": 2.0, "text": "dog."}]


def test_chapters_are_comments():
    chapters = made_of((1.0, 2.0, "One."), (3.0, 4.0, "Two."), chapters=((1.0, "I --> a"), (3.0, "II {b}")))
    vtt = format_subtitles(chapters, "vtt")
    assert vtt.index("NOTE Chapter: I → a\n\n00:00:01") < vtt.index("NOTE Chapter: II {b}\n\n00:00:03")
    assert "Comment: 0,0:00:03.00,0:00:03.00,Default,,0,0,0,,Chapter: II (b)\n" in format_subtitles(chapters, "ass")
    assert json.loads(format_subtitles(chapters, "json"))["chapters"][1] == {"start": 3.0, "title": "II {b}"}


@pytest.mark.parametrize(
    ("format", "expected"),
    [
        ("vtt", "5 < 6 & 7 > 3 --> <b>bold</b> c\\\\d [12:30.00] <00:01.00> &amp; [laughs], 100%"),
        ("srt", "5 < 6 & 7 > 3 → ‹b>bold‹/b> c\\\\d [12:30.00] & [laughs], 100%"),
        ("ass", "5 < 6 & 7 > 3 --> <b>bold</b> c\\\\d [12:30.00] <00:01.00> &amp; [laughs], 100%"),
    ],
)
def test_text_comes_back_through_our_own_reader(format, expected):
    """Without what our reader takes for formatting in any format, because others write it: {\\an8}, {b} and \\N."""
    text = NASTY.replace(" {\\an8}top {b} a\\Nb", "")
    (cue,) = read_cues(format_subtitles(made_of((1.0, 2.0, text)), format))
    assert cue.lines == (expected,)


def test_libraries_of_others_read_what_is_written():
    pysubs2 = pytest.importorskip("pysubs2", reason="a library of the extra dev")
    srt = pytest.importorskip("srt", reason="a library of the extra dev")
    webvtt = pytest.importorskip("webvtt", reason="a library of the extra dev")
    nasty = NASTY.replace("[12:30.00] <00:01.00> ", "")  # for pysubs2, two times are a line of times
    subtitles = made_of(
        (1.0, 2.5, nasty), (2.5, 4.0, "Line one,\nline two."), (3661.5, 3662.0, "Ende"), speaker="A, B & C"
    )
    times = [(1000, 2500), (2500, 4000), (3661500, 3662000)]
    for format in ("srt", "vtt", "ass"):
        read = pysubs2.SSAFile.from_string(format_subtitles(subtitles, format), format_=format)
        assert [(event.start, event.end) for event in read] == times
        assert read[1].plaintext == "Line one,\nline two."
    assert read[0].plaintext == nasty.replace("{", "(").replace("}", ")").replace("a\\N", "a\\\u2060N")
    assert {event.name for event in read} == {"A B & C"}
    found = list(srt.parse(format_subtitles(subtitles, "srt")))
    assert [cue.content for cue in found][1:] == ["Line one,\nline two.", "Ende"]
    captions = webvtt.from_string(format_subtitles(subtitles, "vtt"))
    assert [caption.text for caption in captions][1:] == ["Line one,\nline two.", "Ende"]
    assert (
        captions[0].raw_text
        == f"<v A, B &amp; C>{nasty.replace('&', '&amp;').replace('<', '&lt;').replace('>', '&gt;')}"
    )


@given(st.lists(st.tuples(TIMES, TIMES), min_size=1, max_size=8), st.sampled_from(["srt", "vtt", "ass"]))
def test_times_are_neither_negative_nor_overlapping(spans, format):
    ordered = sorted(time for span in spans for time in span)
    cues = [(start, end, f"Cue {k}") for k, (start, end) in enumerate(zip(ordered[::2], ordered[1::2], strict=True))]
    read = read_cues(format_subtitles(made_of(*cues), format))
    assert [cue.lines for cue in read] == [(text,) for _, _, text in cues]
    before = 0.0
    for cue, (start, end, _) in zip(read, cues, strict=True):
        assert before <= cue.start < cue.end
        tolerance = (0.006 if format == "ass" else 0.0006) + 0.01 * len(cues)
        assert abs(cue.start - start) < tolerance and abs(cue.end - end) < tolerance
        before = cue.end


def test_formats_are_read():
    assert read_formats("SRT, vtt,srt") == ("srt", "vtt")
    assert read_formats(",".join(SUBTITLE_SUFFIXES)) == tuple(SUBTITLE_SUFFIXES)
    for wrong in ("txt", "", "srt,", "srt vtt"):
        with pytest.raises(UsageError, match="is not one of srt, vtt, ass, lrc, json"):
            read_formats(wrong)
