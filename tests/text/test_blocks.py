"""Scene breaks, headings and paragraphs, and the pauses that they make."""

from __future__ import annotations

import pytest

from bark_infinity.text.blocks import is_ornament, segments_of_spans
from bark_infinity.text.breaks import Break
from bark_infinity.text.splitting import split_with_breaks
from bark_infinity.text.units import split_spans

P, S = Break.PARAGRAPH, Break.SCENE


def ends(text: str, **lengths: int) -> list[tuple[str, Break]]:
    return [(segment.text, segment.end) for segment in split_with_breaks(text, **lengths)]


@pytest.mark.parametrize(
    "line",
    [
        "***",
        "* * *",
        "---",
        "—",
        "#",
        "~ * ~",
        "❧",
        "⁂",
        "☙ ❦ ❧",
        "- - -",
        "=====",
        "_______",
        "~~~",
        "◆◇◆",
        "※",
        "\\*\\*\\*",
    ]
    + ["•", "§", "✻ ✻ ✻", "*.*.*", "★", "＊　＊　＊", "<<>>"],
)
def test_a_line_of_ornaments_is_a_scene_break(line):
    assert is_ornament(line)
    for gap in (f"\n\n{line}\n\n", f"\n{line}\n", f"\n\n\n  {line} \n\n{line}\n"):
        assert ends(f"She closed the door behind her.{gap}The next day it rained.") == [
            ("She closed the door behind her.", S),
            ("The next day it rained.", P),
        ]


@pytest.mark.parametrize(
    "line", ["...", "?!", "!!!", "«…»", "♪", "♪ ♪", "……", "。", "5", "a", "(12)", "😀", '"', "", "  "]
)
def test_marks_of_punctuation_music_and_numbers_are_no_ornaments(line):
    assert not is_ornament(line)


def test_ornaments_at_the_edges_and_alone():
    assert ends("***\n\nIt was late that night.\n\n***\n") == [("It was late that night.", S)]
    assert ends("It was late that night.\n\n---\n\n?!\n\n---\n\nHe left the old house.") == [
        ("It was late that night. ?!", S),
        ("He left the old house.", P),
    ]


@pytest.mark.parametrize(
    "heading",
    [
        "Chapter one",
        "CHAPTER II",
        "Chapter 3.",
        "Chapter Four: The Kettle",
        "Prologue",
        "IV",
        "7.",
        "The Kettle",
        "THE KETTLE",
        "Kapitel 2",
        "Zweites Kapitel",
        "Chapitre III",
        "Capítulo 4",
        "Capitolo 5",
        "Rozdział 6",
        "Глава 7",
        "Bölüm 8",
        "अध्याय 9",
        "第一章",
        "第十二章 归来",
        "제3장",
    ],
)
def test_a_heading_is_spoken_by_itself(heading):
    before, behind = "It had been a long day for all of them.", "The kettle had been cold for an hour by then."
    assert ends(f"{before}\n\n{heading}\n\n{behind}") == [(before, P), (heading, P), (behind, P)]
    assert ends(f"{heading}\n\n***\n\n{behind}") == [(heading, S), (behind, P)]


def test_headings_in_other_dresses():
    behind = "And then the sun came out again."
    for heading in (
        "* The Kettle *",
        "~~ The Kettle ~~",
        "== The Kettle ==",
        "The Kettle\n----------",
        "The Kettle\n=====",
    ):
        assert ends(f"{heading}\n\n{behind}") == [("The Kettle", P), (behind, P)]
    assert ends(f"Chapter One\n{behind}") == [("Chapter One", P), (behind, P)]
    assert ends(f"第一章\n{behind}") == [("第一章", P), (behind, P)]


@pytest.mark.parametrize(
    "short", ["“Yes.”", "Yes!", "[laughs]", "MAN: yes", "yes indeed", "♪ la la ♪", "He said:", "(sighs)"]
)
def test_other_short_paragraphs_join_the_next(short):
    """The model babbles on one or two words."""
    behind = "Then they all went home together."
    assert ends(f"{short}\n\n{behind}")[0][0] == f"{short} {behind}" or len(short.split()) > 2


def test_many_short_paragraphs_are_a_list():
    text = "\n\n".join(["Red apples", "Green pears", "Blue plums", "Black grapes", "And that was all there was."])
    assert len(ends(text)) == 3


def test_parts_of_a_sentence_have_pauses_of_segments():
    long = (
        "The old man walked down the road with his dog, and he sang a song that nobody knew but the birds in the wood."
    )
    grades = [end for _, end in ends(f"{long} {long}\n\n{long}", goal_length=40, max_length=60)]
    assert grades.count(P) == 2 and grades[-1] is P and max(grades) is P
    assert all(end < P for end in grades[:1])


def test_a_change_of_speaker_is_no_paragraph():
    text = "MAN: I would like a coffee please. WOMAN: So would I, to be honest."
    assert ends(text) == [("MAN: I would like a coffee please.", Break.TURN), ("WOMAN: So would I, to be honest.", P)]


@pytest.mark.parametrize(
    ("unit", "size", "expected"),
    [
        ("line", 1, [("One two.", None), ("Three four.", P), ("Five six.", S), ("Seven.", P)]),
        ("line", 2, [("One two. Three four.", P), ("Five six.", S), ("Seven.", P)]),
        ("word", 3, [("One two. Three", None), ("four. Five six.", S), ("Seven.", P)]),
        ("sentence", 1, [("One two.", None), ("Three four.", P), ("Five six.", S), ("Seven.", P)]),
        ("char", 100, [("One two. Three four. Five six. Seven.", P)]),
    ],
)
def test_spans_of_other_units(unit, size, expected):
    text = "One two.\nThree four.\n \nFive six.\n\n* * *\n\nSeven."
    found = [(part, end if end >= P else None) for part, end in segments_of_spans(*split_spans(text, unit, size))]
    assert found == expected
