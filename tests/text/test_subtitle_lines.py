"""Subtitles laid out: nothing is lost, no line is too long, and lines end where a reader would pause."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bark_infinity.text.subtitle_lines import LINE_WIDTH, split_cues, subtitle_text, width_of, words_of

WORDS = st.sampled_from(
    ["the", "dog,", "and", "ran.", "“Stop!”", "♪", "—", "[laughs]", "[clears throat]", "extraordinarily", "42", "1,000.50", "(so)"]
    + ["字幕を", "作る。", "「はい」", "한국어", "हिन्दी", "e\u0301te\u0301", "https://example.com/" + "a" * 90, "漢" * 40, "...", "'tis", "¿Qué?", "«oui»"]
)  # fmt: skip
TEXTS = st.lists(WORDS, min_size=1, max_size=40).map(" ".join) | st.text(max_size=150)


def cues(text: str, by_sentence: bool = False) -> list[list[str]]:
    return [[text[start:end] for start, end in lines] for lines in split_cues(text, by_sentence)]


@given(TEXTS.map(subtitle_text), st.booleans())
def test_every_character_is_shown_once_in_lines_of_at_most_42_columns(text, by_sentence):
    laid_out = cues(text, by_sentence)
    lines = [line for cue in laid_out for line in cue]
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(1 <= len(cue) <= 2 for cue in laid_out)
    assert all(line and line == line.strip() for line in lines)
    assert all(width_of(line) <= LINE_WIDTH or len(line) == 1 for line in lines)


@given(TEXTS.map(subtitle_text))
def test_all_but_white_space_belongs_to_one_word(text):
    words = words_of(text)
    assert all(before.end <= after.start for before, after in pairwise(words))
    assert "".join("".join(text[start:end].split()) for start, end in words) == "".join(text.split())
    assert all(text[start:end] == text[start:end].strip() != "" for start, end in words)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello.", [["Hello."]]),
        ("", []),
        (
            "The wind has been pushing at it all night, and nobody wanted to get up.",
            [["The wind has been pushing at it all night,", "and nobody wanted to get up."]],
        ),
        (
            "It was the door. The wind has been pushing at it all night, and nobody wanted to get up and close it again.",
            [["It was the door.", "The wind has been pushing at it all night,"], ["and nobody wanted to get up", "and close it again."]],
        ),
        ("“I know,” she said, “that you of all people would come.”", [["“I know,” she said,", "“that you of all people would come.”"]]),
        (
            "彼は「こんにちは」と言って、ゆっくりと部屋を出て行った。外では雨が降っていた。",
            [["彼は「こんにちは」と言って、", "ゆっくりと部屋を出て行った。"], ["外では雨が降っていた。"]],
        ),
        ("그리고 친구들을 만나서 이야기를 했습니다.", [["그리고 친구들을 만나서", "이야기를 했습니다."]]),
    ],
)  # fmt: skip
def test_lines_end_where_a_reader_would_pause(text, expected):
    assert cues(text) == expected


def test_sentences_have_cues_of_their_own():
    assert cues("It slept. Then the sun came out.", by_sentence=True) == [["It slept."], ["Then the sun came out."]]
    assert cues("It slept. Then the sun came out.") == [["It slept. Then the sun came out."]]


def test_wide_characters_take_more_room():
    assert max(len(line) for cue in cues("漢" * 100) for line in cue) == 16
    assert max(len(line) for cue in cues(" ".join(["a"] * 100)) for line in cue) == 41


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Did you hear [clears throat] that?", "Did|you|hear|[clears throat]|that?"),
        ("♪ La la ♪ — so", "♪ La|la ♪ —|so"),
        ("「こ」と言った。", "「こ」|と|言っ|た。"),
        ("He said “no” (twice)[laughs].", "He|said|“no”|(twice)|[laughs]."),
        ("... well", "... well"),
        ("—", "—"),
        ("", ""),
    ],
)
def test_words(text, words):
    assert "|".join(text[start:end] for start, end in words_of(text)) == words


def test_text_is_on_one_line_without_control_characters():
    assert subtitle_text(" One\n\ntwo\x00\t three\u2028 e\u0301 ") == "One two three é"
