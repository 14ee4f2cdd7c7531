"""Scene breaks, headings and paragraphs, and the pauses that they make."""

from __future__ import annotations

import textwrap
import time

import pytest

from bark_infinity.text.blocks import find_blocks, is_ornament, segments_of_spans
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
def test_line_of_ornaments_is_a_scene_break(line):
    assert is_ornament(line)
    for gap in (f"\n\n{line}\n\n", f"\n{line}\n", f"\n\n\n  {line} \n\n{line}\n"):
        assert ends(f"She closed the door behind her.{gap}The next day it rained.") == [
            ("She closed the door behind her.", S),
            ("The next day it rained.", P),
        ]


@pytest.mark.parametrize(
    "line", ["...", "?!", "!!!", "«…»", "♪", "♪ ♪", "……", "。", "5", "a", "(12)", "😀", '"', "", "  "]
)
def test_punctuation_music_marks_and_numbers_are_not_scene_breaks(line):
    assert not is_ornament(line)


def test_scene_breaks_at_the_edges_of_a_text_and_alone():
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
def test_heading_is_a_segment_of_its_own(heading):
    before, behind = "It had been a long day for all of them.", "The kettle had been cold for an hour by then."
    assert ends(f"{before}\n\n{heading}\n\n{behind}") == [(before, P), (heading, P), (behind, P)]
    assert ends(f"{heading}\n\n***\n\n{behind}") == [(heading, S), (behind, P)]


def test_headings_in_markdown_and_capitals():
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
def test_short_paragraphs_that_are_not_headings_join_the_next(short):
    """The model produces nonsense for one or two words."""
    behind = "Then they all went home together."
    assert ends(f"{short}\n\n{behind}")[0][0] == f"{short} {behind}" or len(short.split()) > 2


def test_many_short_paragraphs_are_treated_as_a_list():
    text = "\n\n".join(["Red apples", "Green pears", "Blue plums", "Black grapes", "And that was all there was."])
    assert len(ends(text)) == 3


def test_parts_of_a_sentence_are_separated_by_segment_pauses():
    long = (
        "The old man walked down the road with his dog, and he sang a song that nobody knew but the birds in the wood."
    )
    grades = [end for _, end in ends(f"{long} {long}\n\n{long}", goal_length=40, max_length=60)]
    assert grades.count(P) == 2 and grades[-1] is P and max(grades) is P
    assert all(end < P for end in grades[:1])


def test_change_of_speaker_is_not_a_paragraph_break():
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
def test_breaks_with_other_split_units(unit, size, expected):
    text = "One two.\nThree four.\n \nFive six.\n\n* * *\n\nSeven."
    found = [(part, end if end >= P else None) for part, end in segments_of_spans(*split_spans(text, unit, size))]
    assert found == expected


LONG = (
    "The kettle had been cold for an hour when somebody knocked at the kitchen door, and nobody but the cat on the old "
)
LONG += "chair by the window heard it, for all the others were asleep."


def test_text_with_one_paragraph_per_line():
    text = f"{LONG}\n“Who is there at this hour?”\n“It is me, your old friend.”\n{LONG}"
    paragraphs = [text for text, end in ends(text) if end is P]
    assert len(paragraphs) == 4 and paragraphs[1:3] == ["“Who is there at this hour?”", "“It is me, your old friend.”"]
    chinese = "鲁镇的酒店的格局，是和别处不同的都是当街一个曲尺形的大柜台，柜里面预备着热水可以随时温酒，做工的人傍午傍晚散了工每每花四文铜钱买酒。"
    assert [end for _, end in ends(f"{chinese}\n{chinese}")].count(P) == 2


def test_wrapped_lines_are_not_paragraphs():
    for width in (40, 78, 100, 170):
        lines = textwrap.wrap(f"{LONG} {LONG} {LONG} {LONG}", width)
        assert [end for _, end in ends("\n".join(lines))].count(P) == 1
        indented = "\n".join(f"   {line}" for line in lines)
        assert [end for _, end in ends(indented)].count(P) == 1


def test_indented_line_begins_a_paragraph():
    for indent in ("  ", "    ", "\t"):
        paragraph = indent + "\n".join(textwrap.wrap(LONG, 70))
        assert [end for _, end in ends(f"{paragraph}\n{paragraph}\n{paragraph}")].count(P) == 3
    verse = "Walking down the road again\n  With my pockets full of rain\nEvery window has a light\n  None of them for me tonight"
    assert [end for _, end in ends(verse)].count(P) == 1


@pytest.mark.parametrize(
    "unit", ["a\n\n", "***\n", "a b c\n***\n", "Chapter 1\n", "  a\nb\n", "- ", "x\n---\n", "* a *\n\n"]
)
def test_time_is_linear_in_the_length(unit):
    text = unit * (100_000 // len(unit))
    start = time.perf_counter()
    find_blocks(text)
    segments_of_spans(*split_spans(text, "word"))
    assert time.perf_counter() - start < 5
