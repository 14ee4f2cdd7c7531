"""Every unit a text can be split by, grouping of units, and error messages for impossible requests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bark_infinity.errors import UsageError
from bark_infinity.text import units as text_units
from bark_infinity.text.units import PATTERN_UNITS, RANDOM_WORDS, SPLIT_UNITS, VERSE_LINES, characters, split_by

PLAIN_UNITS = [unit for unit in SPLIT_UNITS if unit not in PATTERN_UNITS]


class Tagger:
    """Stands in for nltk's part-of-speech tagger."""

    TAGS = {"the": "DT", "a": "DT", "dog": "NN", "dogs": "NNS", "house": "NN", "and": "CC", "but": "CC", "n't": "RB"}

    def tag(self, tokens):
        assert all(tokens)
        return [(token, self.TAGS.get(token.lower(), "VB" if token.isalnum() else token)) for token in tokens]


@pytest.fixture
def tagger(monkeypatch):
    monkeypatch.setattr(text_units, "_tagger", lambda offline: Tagger())


def bare(text: str) -> str:
    return "".join(text.split())


# ---- words, lines, sentences, characters -----------------------------------------------------------------------------


def test_split_by_word_line_and_sentence():
    text = "Dr. Who, come\there.\r\n\r\n  Now! \nPlease\ndo."
    assert split_by(text, "word", 3) == ["Dr. Who, come", "here. Now! Please", "do."]
    assert split_by(text, "line") == ["Dr. Who, come here.", "Now!", "Please", "do."]
    assert split_by(text, "line", 3) == ["Dr. Who, come here. Now! Please", "do."]
    assert split_by(text, "sentence") == ["Dr. Who, come here.", "Now!", "Please do."]
    assert split_by("A title\n\nA text.", "sentence", 5) == ["A title A text."]
    assert split_by("吾輩は猫である。 名前は\n\nまだ。無い。", "sentence", 2) == [
        "吾輩は猫である。 名前は",
        "まだ。無い。",
    ]


def test_characters_are_grapheme_clusters():
    signs = ["हि", "न्दी", "🇩🇪", "🇫🇷", "👩‍👩‍👧‍👦", "x\u0301\u0302", "👍🏽", "1️⃣", "한", "ج"]
    assert split_by("".join(signs), "char") == signs
    assert split_by("".join(signs), "char", 4) == ["".join(signs[:4]), "".join(signs[4:8]), "".join(signs[8:])]
    assert split_by("ab  \n c d", "char") == ["a", "b", "c", "d"]
    assert split_by("ab  \n c d", "char", 4) == ["ab c", "d"]


@pytest.mark.parametrize("unit", PLAIN_UNITS)
def test_text_without_words_gives_no_pieces(unit):
    assert split_by(" \n\u2028\t ", unit) == split_by("", unit) == []
    assert split_by(" ... ", unit, 3) == split_by(" ... ", unit, 9, count_by="char") == ["..."]


# ---- string and regex ------------------------------------------------------------------------------------------------


def test_separator_string_is_removed():
    assert split_by("one.two | three\n|  | four|", "string", pattern="|") == ["one.two", "three", "four"]
    assert split_by("one.two.three", "string", 2, pattern=".") == ["one two", "three"]
    assert split_by("no such thing", "string", pattern="|") == ["no such thing"]
    assert split_by("a\n\n\nb\n\nc", "string", pattern="\n\n") == ["a", "b", "c"]


def test_split_by_regex():
    assert split_by("a12b3c", "regex", pattern=r"\d+") == ["a", "b", "c"]
    assert split_by("one, two; three", "regex", pattern=r"(,|;)( )") == [
        "one",
        "two",
        "three",
    ]  # capture groups are not pieces
    assert split_by("Part 1 a Part 2 b", "regex", pattern=r"(?=Part)") == ["Part 1 a", "Part 2 b"]
    assert split_by("one, two; three", "regex", 2, pattern=r"(?<=[,;])") == ["one, two;", "three"]
    assert split_by("oneTwoThree", "regex", 2, pattern=r"(?=[A-Z])") == ["oneTwo", "Three"]
    assert split_by("abc", "regex", pattern="x*") == ["a", "b", "c"]


@pytest.mark.parametrize("unit", PATTERN_UNITS)
@pytest.mark.parametrize("pattern", [None, ""])
def test_missing_pattern_is_refused(unit, pattern):
    with pytest.raises(UsageError, match=f"by {unit} needs --split_type_string"):
        split_by("Hello.", unit, pattern=pattern)


@pytest.mark.parametrize("pattern", ["(", "a{99999999999999999999}", "(?P<n>", "*"])
def test_invalid_regex_is_refused(pattern):
    with pytest.raises(UsageError, match="--split_type_string .* is not a regular expression"):
        split_by("Hello.", "regex", pattern=pattern)


# ---- random ----------------------------------------------------------------------------------------------------------


def test_random_groups_depend_on_the_seed():
    text = " ".join(map(str, range(24)))
    # the values that Python 3.10 to 3.13 draw
    assert [len(piece.split()) for piece in split_by(text, "random", 4, seed=7)] == FROM_SEED_7
    lengths = {len(piece.split()) for piece in split_by(text * 50, "random", 4, seed=1)}
    assert lengths == {1, 2, 3, 4}
    assert max(len(piece.split()) for piece in split_by(text * 50, "random")) == RANDOM_WORDS
    assert split_by(text, "random", seed=1) != split_by(text, "random", seed=2)


FROM_SEED_7 = [3, 2, 4, 1, 1, 1, 3, 1, 2, 1, 1, 4]


# ---- rhyme -----------------------------------------------------------------------------------------------------------

DAY, WAY, NIGHT, LIGHT, TREE, SEA = "by day", "my way,", "at night;", "the light!", "a tree", "(the sea)"
STANZAS = {
    "couplets": [[DAY, WAY], [NIGHT, LIGHT]],
    "one rhyme": [[DAY, WAY], ["to stay", "and play"], ["we say", "hey"]],
    "crossed": [[DAY, NIGHT, WAY, LIGHT], [TREE, "on", SEA, "gone"]],
    "embracing": [[DAY, NIGHT, LIGHT, WAY]],
    "ballad": [[DAY, NIGHT, TREE, LIGHT]],
    "three rhymes": [[DAY, NIGHT, TREE, WAY, LIGHT, SEA]],
    "limerick": [[DAY, WAY], [NIGHT, LIGHT, "okay"]],
    "four lines on": [[DAY, NIGHT, "a house", LIGHT, WAY], [TREE, SEA]],
    "too far": [[DAY, "a house", "the wolf", "of silver", "an orange", WAY]],
    "unrhymed": [["a house", "the wolf", "of silver", "an orange", "by month", NIGHT], ["a cup", DAY]],
    "with tags": [["I see [laughs]", "♪ the sea ♪"], [DAY, WAY]],
    "unknown words": [["a blorfing", "the snorfing"], [DAY, WAY]],
    "spelled unlike": [["through", "the blue"], [DAY, WAY]],
    "spelled alike": [["a rough", "though", "enough", "we go"], [DAY, WAY]],
    "stress of compounds": [["at midnight", LIGHT], [DAY, WAY]],
    "apostrophes": [["I don’t", "you won't"], [DAY, WAY]],
    "remarked on in the dictionary": [["our GDP", TREE], [DAY, WAY]],
}


@pytest.mark.parametrize("kind", STANZAS)
def test_piece_ends_after_a_rhyme(kind):
    pieces = STANZAS[kind]
    assert split_by("\n".join(line for piece in pieces for line in piece), "rhyme") == [" ".join(p) for p in pieces]


def test_rhymes_do_not_cross_stanzas():
    assert split_by(f"{DAY}\n{NIGHT}\n\n{WAY}\n{LIGHT}", "rhyme") == [f"{DAY} {NIGHT}", f"{WAY} {LIGHT}"]
    assert split_by("\n".join([DAY, WAY, NIGHT, LIGHT, TREE, SEA]), "rhyme", 2) == [
        " ".join([DAY, WAY, NIGHT, LIGHT]),
        f"{TREE} {SEA}",
    ]
    assert split_by("I went away, but not today. The cat, she sat. Oh.", "rhyme") == [
        "I went away, but not today.",
        "The cat, she sat. Oh.",
    ]
    assert split_by("rough\nthough", "rhyme") == ["rough though"]  # a stanza without a rhyme is one piece
    assert len(split_by("a house\n" * 3 * VERSE_LINES, "rhyme")) == 3 * VERSE_LINES // 2  # a word rhymes with itself


# ---- parts of speech -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("tagger")
def test_split_by_part_of_speech():
    text = 'See "the dog" and the house, but do not see dogs. The end: "a (big) dog"!'
    assert split_by(text, "pos", pattern="DT NN") == [
        "See",
        '"the dog" and',
        'the house, but do not see dogs. The end: "a (big) dog"!',
    ]
    assert split_by(text, "pos", pattern="cc,dt") == ['See "the dog"', text[text.index("and") :]]
    assert split_by(text, "pos", 2, pattern="NN") == [
        'See "the dog" and the',
        'house, but do not see dogs. The end: "a (big)',
        'dog"!',
    ]
    assert split_by("I don't see", "pos", pattern="RB") == ["I don't see"]  # no word is split
    assert split_by("The dogs", "pos", pattern="NN-NN") == ["The dogs"]


@pytest.mark.usefixtures("tagger")
@pytest.mark.parametrize("pattern", ["NOUN", "DT NOUN", " ", "N N X"])
def test_unknown_parts_of_speech_are_refused(pattern):
    with pytest.raises(UsageError, match="--split_type_string has no Penn tag .* there are CC CD"):
        split_by("Hello.", "pos", pattern=pattern)


@pytest.fixture
def nltk_without_data(monkeypatch, tmp_path):
    """nltk with an empty data folder and nowhere to download from."""
    import nltk

    monkeypatch.setattr(nltk.data, "path", [str(tmp_path / "nltk_data")])
    monkeypatch.setattr(nltk.downloader._downloader, "_url", "http://127.0.0.1:9/index.xml")
    text_units._tagger.cache_clear()
    yield tmp_path / "nltk_data"
    text_units._tagger.cache_clear()


@pytest.mark.parametrize("offline", [True, False])
def test_missing_tagger_raises_an_error_naming_it(offline, nltk_without_data):
    with pytest.raises(UsageError) as error:
        split_by("Hello.", "pos", pattern="NN", offline=offline)
    assert "python -m nltk.downloader averaged_perceptron_tagger_eng" in str(error.value)
    assert ("--offline" in str(error.value)) is offline


def test_failed_download_prints_nothing(tmp_path):
    program = """
import nltk
from bark_infinity.errors import UsageError
from bark_infinity.text.units import split_by

nltk.data.path[:] = ["nltk_data"]
nltk.downloader._downloader._url = "http://127.0.0.1:9/index.xml"
try:
    split_by("Hello.", "pos", pattern="NN")
except UsageError:
    print("told")
"""
    paths = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    run = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=paths, capture_output=True, text=True)
    assert (run.stdout, run.stderr) == ("told\n", "")


def test_tagger_is_not_downloaded_offline(nltk_without_data, monkeypatch):
    import nltk

    downloads = []
    monkeypatch.setattr(nltk, "download", lambda name, **how: downloads.append(name))
    for offline in (True, False):
        with pytest.raises(UsageError):
            split_by("Hello.", "pos", pattern="NN", offline=offline)
    assert downloads == ["averaged_perceptron_tagger_eng"]


def write_tagger(folder):
    """nltk's data files of a tagger that knows one word and some endings."""
    folder = folder / "taggers" / "averaged_perceptron_tagger_eng"
    folder.mkdir(parents=True)
    parts = {
        "weights": {"bias": {"VB": 1.0}, "i suffix ogs": {"NNS": 2.0}, "i suffix ggs": {"NNS": 2.0}},
        "tagdict": {"the": "DT"},
        "classes": ["DT", "NNS", "VB"],
    }
    for name, part in parts.items():
        (folder / f"{folder.name}.{name}.json").write_text(json.dumps(part), encoding="utf-8")


@pytest.mark.parametrize("offline", [True, False])
def test_nltk_tagger_is_read_or_downloaded(offline, nltk_without_data, monkeypatch):
    """Read if its files exist, otherwise downloaded first."""
    import nltk

    if offline:
        write_tagger(nltk_without_data)
    monkeypatch.setattr(nltk, "download", lambda name, **how: write_tagger(nltk_without_data))
    assert split_by("We see the dogs and eat eggs", "pos", pattern="NN", offline=offline) == [
        "We see the",
        "dogs and eat",
        "eggs",
    ]


# ---- groups ----------------------------------------------------------------------------------------------------------


def test_groups_are_formed_by_counting_other_units():
    text = "One two three. Four five.\nSix. Seven eight nine ten eleven twelve. Thirteen."
    assert split_by(text, "sentence", 5, count_by="word") == [
        "One two three. Four five.",
        "Six.",
        "Seven eight nine ten eleven twelve.",
        "Thirteen.",
    ]
    assert split_by(text, "sentence", 1, count_by="line") == text.split("\n")
    assert split_by(text, "word", 2, count_by="sentence")[0] == "One two three. Four five."
    assert split_by("ab cd ef g", "word", 5, count_by="char") == ["ab cd", "ef g"]
    assert split_by("ab cd ef g", "word", 4, count_by="char") == ["ab", "cd", "ef g"]
    assert split_by("a b|c|d e|f", "string", 3, pattern="|", count_by="word") == ["a b c", "d e f"]
    assert split_by("a|b\n|c|d", "string", 1, pattern="|", count_by="line") == ["a b", "c d"]
    assert split_by("a\n\nb\n\nc", "string", 1, pattern="\n\n", count_by="line") == ["a", "b", "c"]
    assert split_by("a\nb\n\nc d", "line", 9, count_by="line") == ["a b c d"]


@given(st.lists(st.sampled_from(["a", "bc", "def", "x.", "\n"]), max_size=40), st.integers(1, 9))
def test_groups_by_counting_are_as_large_as_allowed(words, size):
    text = " ".join(words)
    for unit, count_by in (("word", "char"), ("sentence", "word"), ("line", "word")):
        count = len if count_by == "char" else lambda piece: len(piece.split())
        units, groups = split_by(text, unit), split_by(text, unit, size, count_by=count_by)
        for group in groups:
            own = [units.pop(0)]
            while " ".join(own) != group:
                own.append(units.pop(0))
            assert count(group) <= size or len(own) == 1
            assert not units or count(f"{group} {units[0]}") > size
        assert not units


@pytest.mark.parametrize(
    ("unit", "size", "count_by"), [("paragraph", 1, None), ("word", 0, None), ("word", 1, "regex"), ("word", 1, "x")]
)
def test_invalid_arguments_are_refused(unit, size, count_by):
    with pytest.raises(ValueError):
        split_by("Hello.", unit, size, count_by=count_by)


WORDS = [
    "word",
    "Dr.",
    "end.",
    "Why?",
    ",",
    "—",
    '"',
    "♪",
    "[laughs]",
    "\n\n",
    "\n",
    "\r\n",
    "3.14",
    "don't",
    "the",
    "dog",
]
TEXTS = st.text(max_size=120) | st.lists(
    st.sampled_from(
        [*WORDS, "today", "away", "今天", "天气。", "हिन्दी", "है।", "👩‍👩‍👧", "x\u0301", "\u2028", "\xa0", "‘a’"]
    ),
    max_size=50,
).map(" ".join)


@settings(max_examples=150, deadline=None)
@given(
    TEXTS, st.integers(1, 5), st.sampled_from([None, "word", "line", "sentence", "char", "random", "rhyme"]), st.data()
)
def test_no_text_is_lost(text, size, count_by, data):
    unit = data.draw(st.sampled_from([*PLAIN_UNITS, "pos"]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_units, "_tagger", lambda offline: Tagger())
        pieces = split_by(text, unit, size, pattern="DT" if unit == "pos" else None, count_by=count_by)
    assert bare("".join(pieces)) == bare(text)
    assert all(piece and piece == " ".join(piece.split()) for piece in pieces)
    if unit != "char":
        words = text.split()
        assert unit == "sentence" or [word for piece in pieces for word in piece.split()] == words


@given(TEXTS, st.sampled_from(["e", ".", "\n", "the", " "]), st.integers(1, 3))
def test_only_the_separator_is_removed(text, pattern, size):
    left = bare(text.replace(pattern, ""))
    assert bare("".join(split_by(text, "string", size, pattern=pattern))) == left
    assert bare("".join(split_by(text, "regex", size, pattern=f"({pattern if pattern != '.' else '[.]'})"))) == left
    assert bare("".join(split_by(text, "regex", size, pattern=r"\b|(?=x)"))) == bare(text)


@given(st.text(max_size=60))
def test_characters_are_kept_in_order(text):
    spans = characters(text)
    assert "".join(text[start:end] for start, end in spans) == text
    assert all(start < end for start, end in spans)


@pytest.mark.usefixtures("tagger")
@pytest.mark.parametrize("unit", SPLIT_UNITS)
@pytest.mark.parametrize("text", ["word. ", "x", "a b\n", "by day,\n\n", "' "])
def test_large_texts_are_split_in_linear_time(unit, text):
    """Quadratic time would not finish here."""
    text *= 100_000 // len(text)
    pieces = split_by(text, unit, 50, pattern="DT" if unit == "pos" else "y", count_by="word")
    assert bare("".join(pieces)) == bare(text.replace("y", "") if unit in ("string", "regex") else text)
