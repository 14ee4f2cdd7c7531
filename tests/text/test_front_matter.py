"""Front matter: what it declares, where its mistakes are, and that it is written as it is read."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bark_infinity.errors import ScriptError
from bark_infinity.options.flag import LONG_CLIPS, SAMPLING, SEEDS
from bark_infinity.options.table import flags
from bark_infinity.text.events import Speaker
from bark_infinity.text.front_matter import (
    MAX_LENGTH,
    FrontMatter,
    format_front_matter,
    read_front_matter,
    split_front_matter,
)
from bark_infinity.text.pronunciation import Pronunciation, Pronunciations
from bark_infinity.text.script_settings import script_flags, speaker_flags

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=20)
NAMES = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=12)


def read(toml: str) -> FrontMatter:
    return read_front_matter(f"+++\n{toml}\n+++\n")


def test_everything_at_once():
    front = read(
        """
        [cast]
        Anna = "v2/en_speaker_9"
        Bob = {voice = "bob.npz", text-temp = 1, seed = "7"}
        "Old Tom" = {}
        [cast.Eva]
        voice = "eva"
        semantic_top_k = 5
        [settings]
        history_prompt = "announcer"
        add_silence_between_segments = 0.4
        stable_mode_interval = 0
        text_temp = 0.5
        [pronunciations]
        Nguyen = "Win"
        [pronunciations.words]
        US = {spoken = "U S", case = true}
        [pronunciations.patterns]
        '(\\d+)km' = '\\1 km'
        """
    )
    assert front.cast == {
        "Anna": Speaker("Anna", "v2/en_speaker_9"),
        "Bob": Speaker("Bob", "bob.npz", {"text_temp": 1.0, "seed": 7}),
        "Old Tom": Speaker("Old Tom"),
        "Eva": Speaker("Eva", "eva", {"semantic_top_k": 5}),
    }
    assert front.settings == {
        "history_prompt": "announcer",
        "add_silence_between_segments": 0.4,
        "stable_mode_interval": 0,
        "text_temp": 0.5,
    }
    words = (Pronunciation("Nguyen", "Win"), Pronunciation("US", "U S", case=True))
    assert front.pronunciations == Pronunciations(words, (Pronunciation(r"(\d+)km", r"\1 km", pattern=True),))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("+++\n[cast]\n+++\nHello", ("+++\n[cast]\n+++\n", "Hello")),
        ("\n \n+++  \n# a\n\na = 1\n+++\n\n Hello", ("\n \n+++  \n# a\n\na = 1\n+++\n", "\n Hello")),
        ("+++\n'cast'.a = 1\n+++", ("+++\n'cast'.a = 1\n+++", "")),
        ("+++\n[cast]\nno end", ("+++\n[cast]\nno end", "")),  # to be refused
        ("+++\nOnce upon a time.\n+++\n", None),
        ("+++\n\n+++\n", None),
        ("+++", None),
        ("++++\n[cast]\n+++\n", None),
        ("Hello\n+++\n[cast]\n+++\n", None),
    ],
)
def test_what_is_front_matter(text, parts):
    assert split_front_matter(text) == parts


@pytest.mark.parametrize(
    ("toml", "line", "column", "message"),
    [
        ("[cats]", 2, 1, "cats is not known here; did you mean [cast]?"),
        ("rhythm = 'x'", 2, 1, "rhythm is not known here; there are [cast], [settings], [pronunciations] and [book]"),
        ("title = 'x'", 2, 1, "title is not known here; write it below [book]"),
        ("[book]\ntitel = 'x'", 3, 1, "book.titel is not known here; did you mean title?"),
        ("[book]\nisbn = 'x'", 3, 1, "book.isbn is not known here; there are title, author, narrator, language, cover"),
        ("[book]\ntitle = 3", 3, 1, 'book.title must be a text; write title = "..."'),
        ("seed = 1", 2, 1, "seed is not known here; write it below [settings]"),
        ("cast = 'Anna'", 2, 1, "cast must be a table; begin it with a line [cast]"),
        ("[cast]\n\n  Anna = 3", 4, 3, 'cast.Anna must be a voice; write Anna = "v2/en_speaker_6", say'),
        ("[cast]\nAnna = ''", 3, 1, "cast.Anna must be a voice"),
        ("[cast]\n'A:b' = 'x'", 3, 1, "cast.A:b is no name"),
        ("[cast]\n'...' = 'x'", 3, 1, "cast.... is no name"),
        (f"[cast]\n{'x' * 61} = 'x'", 3, 1, "is no name"),
        ("[cast]\nBob = 'x'\nAnna = {voice = 'x', text_tmp = 1}", 4, 22, "did you mean text_temp?"),
        ("[cast]\nAnna = {voice = 'x', output_dir = 'x'}", 3, 22, "only for the whole run"),
        ("[cast.Anna]\nvoice = 'x'\ntext_temp = -1", 4, 1, "cast.Anna.text_temp cannot be used (--text_temp must be 0.0 or more"),
        ("[settings]\nseed = 1.5", 3, 1, "settings.seed cannot be used (--seed takes a whole number, not 1.5)"),
        ("[settings]\nSeed = 1\nseed = 2", 4, 1, "settings.seed is seed, which is given twice"),
        ("[settings]\noutput_dir = 'x'", 3, 1, "output_dir cannot be set in a script; give it on the command line"),
        ("[settings]\n'custom-audio-processing-function' = 'x.py:f'", 3, 1, "cannot be set in a script"),
        ("[pronunciations]\nNguyen = 3", 3, 1, "pronunciations.Nguyen must be what is spoken"),
        ("[pronunciations.patterns]\n'(a' = 'x'", 3, 1, "is no regular expression"),
        ("[pronunciations]\nUS = {say = 'x'}", 3, 7, "pronunciations.US.say is not known here"),
        ("[cast]\nAnna 'x'", 3, 6, "the front matter is not TOML (Expected '=' after a key in a key/value pair)"),
        ("[cast]\nAnna = 'x", 3, 10, "is not TOML"),
        (f"[cast]\nAnna = {'[' * 100_000}", 2, 1, "is not TOML"),
        (f"{'a.' * 1000}b = 1", 2, 1, "a name has hundreds of parts"),
        (f"[settings]\nseed = {'1' * 10_000}", 2, 1, "a number has thousands of digits"),
    ],
)  # fmt: skip
def test_mistakes_have_places(toml, line, column, message):
    with pytest.raises(ScriptError) as error:
        read(toml)
    found = str(error.value)
    assert found.startswith(f"line {line}, column {column}: ") and message in found, found
    assert len(found) < 400


def test_a_huge_front_matter_is_refused():
    with pytest.raises(ScriptError, match="more than 1,000,000 characters"):
        read("#" * (MAX_LENGTH + 1))


def test_a_script_sets_what_shapes_it_and_nothing_that_reads_or_writes_files_or_runs_code():
    allowed = {line.name for line in script_flags().values()}
    of_speakers = {line.name for line in speaker_flags().values()}
    of_whole_clips = {line.name for line in flags() if line.group in (SAMPLING, SEEDS)} - of_speakers
    assert of_whole_clips == {
        "extra_confused_travolta_mode",
        "absolute_semantic_history_only",
        "absolute_semantic_history_only_every_x",
    }
    assert {line.name for line in speaker_flags().values()} <= allowed
    assert {line.name for line in flags() if line.name.startswith("add_silence")} <= allowed
    assert {line.name for line in flags() if line.group == LONG_CLIPS and not line.path} <= allowed
    for line in flags():
        if line.name in allowed:
            assert not line.path or line.name == "history_prompt", line.name


@given(st.lists(st.tuples(NAMES, st.none() | st.just("v2/a") | TEXTS.filter(str.strip)), max_size=3), TEXTS, TEXTS)
def test_what_is_written_is_read_again(speakers, spoken, negative):
    cast = {
        name: Speaker(name, voice, {"text_temp": 0.6, "semantic_top_k": None} if voice else {})
        for name, voice in speakers
    }
    words = (Pronunciation("cast", spoken.strip()), Pronunciation("New York", "x", case=True))
    front = FrontMatter(
        cast,
        {"negative_text_prompt": negative or None, "seed": 3, "confused_travolta_mode": True},
        Pronunciations(words, (Pronunciation(r"\bx\.", '"', pattern=True),)),
    )
    front = read_front_matter(format_front_matter(front, with_cast=True))  # texts are now in NFC
    assert read_front_matter(format_front_matter(front, with_cast=True)) == front
    assert front.cast == cast and front.settings["negative_text_prompt"] == (negative or None)


def test_nothing_is_written_as_nothing():
    assert format_front_matter(FrontMatter(), with_cast=False) == ""
    assert format_front_matter(FrontMatter(), with_cast=True) == "+++\n[cast]\n+++\n"
    assert re.fullmatch(
        r"\+\+\+\n\[settings\]\nseed = 1\n\+\+\+\n", format_front_matter(FrontMatter({}, {"seed": 1}), False)
    )
