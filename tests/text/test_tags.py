"""Tags: every spelling of ours is read, what is Bark's is left alone, and a mistake names the nearest right form."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bark_infinity.text.script_settings import speaker_flags
from bark_infinity.text.tags import (
    MAX_PAUSE,
    MAX_TAG_LENGTH,
    PauseTag,
    SoundTag,
    StartTag,
    TagError,
    TagReader,
    TurnTag,
    VoiceEndTag,
    VoiceTag,
    format_pause,
    format_start,
    format_turn,
)

NAMES = ("Anna", "Bob", "Old Tom")
DIALOGUE = TagReader(NAMES, plain=False)
PLAIN = TagReader((), plain=True)


@pytest.mark.parametrize(
    ("content", "tag"),
    [
        ("pause", PauseTag(1.0)),
        (" Pause ", PauseTag(1.0)),
        ("pause:1.5s", PauseTag(1.5)),
        ("pause:800ms", PauseTag(0.8)),
        ("pause 1.2s", PauseTag(1.2)),
        ("pause:2", PauseTag(2.0)),
        ("PAUSE : 2. S", PauseTag(2.0)),
        ("pause:0", PauseTag(0.0)),
        ("pause:3600", PauseTag(3600.0)),
        ("sound: a door.wav", SoundTag("a door.wav")),
        ("sound:C:/x=1.wav", SoundTag("C:/x=1.wav")),
        ("at:83.5s", StartTag(83.5)),
        ("At: 1:23.5", StartTag(83.5)),
        ("at:1:00:00,5", StartTag(3600.5)),
        ("at:0", StartTag(0.0)),
        ("voice:Old Tom", VoiceTag("Old Tom", None)),
        ("Voice: v2/en_speaker_6", VoiceTag(None, "v2/en_speaker_6")),
        ("voice:Dan", VoiceTag(None, "Dan")),  # like Ann, but too short to be a misspelling of Anna
        ("/voice", VoiceEndTag()),
        (" / Voice ", VoiceEndTag()),
        ("Anna", TurnTag("Anna", {})),
        ("Old Tom|seed:42", TurnTag("Old Tom", {"seed": 42})),
        (" Anna | Text-Temp : 0.5 | use_mirostat_sampling:yes", TurnTag("Anna", {"text_temp": 0.5, "semantic_use_mirostat_sampling": True})),
        ("Anna|semantic_top_k:none|negative_text_prompt:a: b", TurnTag("Anna", {"semantic_top_k": None, "negative_text_prompt": "a: b"})),
    ],
)  # fmt: skip
def test_our_tags(content, tag):
    assert DIALOGUE.read(content) == tag
    assert DIALOGUE.is_meant(content)
    assert PLAIN.read(content) == (tag if isinstance(tag, PauseTag | SoundTag | StartTag) else None)


@pytest.mark.parametrize(
    "content",
    [
        *("laughs", "sighs", "music", "gasps", "clears throat", "MAN", "OLD MAN 2", "applause", "noise", "15", "", "...", "♪"),
        *("sound", "sound of rain", "sounds", "voice", "VOICE", "voice breaking", "voices of children", "long pause", "pauses briefly"),
        *("Carl", "Carl|loudly", "a|b|c", "anna", "Anna and Bob", "chorus: all", "/", "/laughs", "\\", "x" * (MAX_TAG_LENGTH + 1)),
        *("at", "at: home", "at 5 o'clock", "at dawn"),
        f"pause:{'1' * MAX_TAG_LENGTH}",
    ],
)  # fmt: skip
def test_what_is_barks(content):
    assert DIALOGUE.read(content) is None and not DIALOGUE.is_meant(content)
    assert PLAIN.read(content) is None


@pytest.mark.parametrize(
    ("content", "right"),
    [
        ("pauze:1s", "[pause:1s]"),
        ("puase: 1.5", "[pause:1.5s]"),
        ("paus", "[pause]"),
        ("pauses", "[pause]"),
        ("pause=1.5", "[pause:1.5s]"),
        ("pause：2s", "[pause:2s]"),
        ("pause1s", "[pause:1s]"),
        ("pause:1,5s", "[pause:1.5s]"),
        ("pause:1.5 sec", "[pause:1.5s]"),
        ("pause:200 msec", "[pause:200ms]"),
        ("pause 2 minutes", "[pause:120s]"),
        ("pause:", "[pause]"),
        ("pause:-1", "[pause:1s]"),
        ("pause:long", "[pause:1.5s]"),
        ("at=83", "[at:83.5s] or [at:1:23.5]"),
        ("at:5 min", "[at:83.5s] or [at:1:23.5]"),
        ("sound=door.wav", "[sound: door.wav]"),
        ("sound door.wav", "[sound: door.wav]"),
        ("soud: door.wav", "[sound: door.wav]"),
        ("sound:", "[sound: FILE]"),
    ],
)
def test_misspelled_pauses_and_sounds(content, right):
    for reader in (DIALOGUE, PLAIN):
        with pytest.raises(TagError, match=re.escape(f"write {right}, or \\[{content}] to have it spoken")):
            reader.read(content)
        assert reader.is_meant(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("voice=Bob", "write [voice:Bob]"),
        ("voice Bob", "write [voice:Bob]"),
        ("voise:Ana", "write [voice:Anna]"),
        ("voice:", "write [voice:NAME]"),
        ("voice:Ana", "there is no Ana in the cast; write Anna, or declare Ana in [cast]"),
        ("voice:anna", "there is no anna in the cast; write Anna"),
        ("/voices", "write [/voice]"),
        ("/voise", "write [/voice]"),
        ("\\voice", "write [/voice]"),
        ("/voice:Bob", "write [/voice]"),
        ("/Bob", "write [/voice]"),
        ("anna|seed:42", "write [Anna|seed:42]"),
        ("Anna:seed:42", "write [Anna|seed:42]"),
        ("Anna, seed=42", "write [Anna|seed:42]"),
        ("seed:42", "write [NAME|seed:42]"),
        ("Carl|seed:42", "there is no Carl in [Carl|seed:42]; declare the name in [cast]"),
        ("Anna|seed=42", "write [Anna|seed:42]"),
        ("Anna|loudly", "'loudly' is no flag with its value; write [Anna|seed:42], say"),
        ("Anna|", "'' is no flag with its value"),
        ("Anna|sede:42", "did you mean seed?"),
        ("Anna|temperature:0.5", "did you mean text_temp?"),
        ("Anna|extra_confused_travolta_mode:3", "cannot be set for a speaker, only for the whole run"),
        ("Anna|output_dir:x", "output_dir cannot be set for a speaker, only for the whole run"),
        ("Anna|text_temp:-1", "--text_temp must be 0.0 or more, not -1.0"),
        ("Anna|seed:x", "--seed takes a whole number, not 'x'"),
        ("Anna|token_repeat_penalty:1|semantic_token_repeat_penalty:2", "semantic_token_repeat_penalty is given twice"),
        ("pause:3601s", "longer than 3600 s"),
        ("pause:" + "9" * 900, "longer than 3600 s"),
    ],
)
def test_mistakes(content, message):
    with pytest.raises(TagError, match=re.escape(message)) as error:
        DIALOGUE.read(content)
    assert DIALOGUE.is_meant(content) and len(str(error.value)) < 300


def test_a_thing_in_a_dialogue_is_no_tag_of_plain_text():
    for content in ("voice=Bob", "/voices", "anna|seed:42", "seed:42"):
        assert PLAIN.read(content) is None


@given(st.floats(0, MAX_PAUSE))
def test_pauses_are_written_exactly(seconds):
    tag = format_pause(seconds)
    assert PLAIN.read(tag[1:-1]) == PauseTag(seconds)


VALUES = {bool: st.booleans(), str: st.just("a text")}


@given(
    st.data(),
    st.lists(st.sampled_from(sorted({line.name for line in speaker_flags().values()})), max_size=5, unique=True),
)
def test_settings_are_written_exactly(data, names):
    settings: dict[str, object] = {}
    for name in names:
        line = speaker_flags()[name]
        if line.kind in VALUES:
            values = VALUES[line.kind]
        else:
            numbers = st.integers if line.kind is int else st.floats
            values = numbers(line.low, line.high if line.high is not None else 2**40)
        settings[name] = data.draw(values | st.none() if line.default is None else values)
    assert DIALOGUE.read(format_turn("Anna", settings)[1:-1]) == TurnTag("Anna", settings)


@pytest.mark.parametrize("seconds", [0.0, 0.001, 1 / 3, 61.5, 86_400.0, 1e-7])
def test_times_are_written_as_they_are_read(seconds):
    tag = format_start(seconds)
    assert PLAIN.read(tag[1:-1]) == StartTag(seconds)


def test_a_time_is_within_a_day():
    with pytest.raises(TagError, match=re.escape("[at:24:00:01] is later than 86400 s")):
        PLAIN.read("at:24:00:01")
