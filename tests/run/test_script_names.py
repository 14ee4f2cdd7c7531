"""Scripts of strangers name no files but those that they are given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from bark_infinity.errors import BarkError, TextError, VoiceError
from bark_infinity.narration import ClipSource
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options
from bark_infinity.run.script_names import with_names
from bark_infinity.text.script import format_script, parse_script


class Kept:
    """Knows the voice `bob`, the sound `door` and the cover `cover`, each in a folder `kept`."""

    def voice(self, name: str) -> str:
        return self._find(name, "bob", VoiceError)

    def sound(self, name: str) -> str:
        return self._find(name, "door", TextError)

    def cover(self, name: str) -> str:
        return self._find(name, "cover", TextError)

    @staticmethod
    def _find(name: str, known: str, error: type[BarkError]) -> str:
        if name not in (known, kept(known)):
            raise error(f"there is no {name} here; upload it")
        return kept(known)


def kept(name: str) -> str:
    return str(Path("kept").absolute() / name)


def source(text: str, **options: object) -> ClipSource:
    return ClipSource(resolve(Options(text_prompt=text, **options)), names=Kept())


@pytest.fixture
def door() -> None:
    Path("kept").mkdir()
    soundfile.write("kept/door", np.ones(2400) / 9, 24_000, format="WAV")
    soundfile.write("other.wav", np.ones(2400) / 9, 24_000)


CAST = '+++\n[cast]\nAnna = "bob"\n[settings]\nhistory_prompt = "bob"\n[book]\ncover = "cover"\n+++\nAnna: Hello. [sound: door]\n[voice:bob] Yes. [/voice]\n'


def test_names_become_files(door):
    made = source(CAST)
    assert {name: voice.voice for name, voice in made.voices.items()} == {"Anna": kept("bob"), kept("bob"): kept("bob")}
    assert made.options.history_prompt == kept("bob")
    assert made.script is not None and made.script.book.cover == kept("cover")
    (plan,), _ = made.plan()
    assert [sound.path for segment in plan.segments for sound in segment.pause.sounds] == [Path(kept("door"))]


def test_script_as_the_manifest_keeps_it_is_read_again(door):
    script = source(CAST).script
    assert script is not None
    assert source(format_script(script)).script == script


STRANGE = {
    "Hello. [sound: other.wav]": r"line 1, column \d+: there is no other.wav here",
    "Hello. [sound: ../other.wav] Yes.": r"line 1, column \d+: there is no ../other.wav here",
    "Hello. [sound: ~/x.wav] Yes.": "there is no ~/x.wav here",
    '+++\n[cast]\nAnna = "bob"\n+++\nAnna: Hi.\n\n[voice:../me.npz] Yes. [/voice]': r"line 7, column 19: there is no ../me.npz",
    '+++\n[cast]\nAnna = "/etc/passwd"\n+++\nAnna: Hi.': "Anna in the cast: there is no /etc/passwd here",
    '+++\n[cast]\nAnna = {voice = "me.npz", text_temp = 0.5}\n+++\nAnna: Hi.': "Anna in the cast: there is no me.npz here",
    '+++\n[settings]\nhistory_prompt = "me.npz"\n+++\nHi.': "history_prompt: there is no me.npz here",
    '+++\n[settings]\nmodel = "small"\n+++\nHi.': "model cannot be set in a script",
    '+++\n[book]\ncover = "/root/x.png"\n+++\nHi.': "cover: there is no /root/x.png here",
    '<speak><voice name="me.npz">Hi.</voice></speak>': "there is no me.npz here",
}


@pytest.mark.parametrize("text", STRANGE)
def test_other_names_are_refused(door, text):
    with pytest.raises(BarkError, match=STRANGE[text]):
        source(text)


def test_names_are_looked_at_in_prompts_that_are_cut(door):
    text = "One. [sound: door] Two.\nThree."
    by_line = source(text, split_input_into_separate_prompts_by="line")
    plans, _ = by_line.plan()
    assert [sound.path for plan in plans for segment in plan.segments for sound in segment.pause.sounds] == [
        Path(kept("door"))
    ]


def test_sounds_in_the_chapters_of_a_plain_text(door):
    chapters = "Chapter 1\n\nIt began. [sound: {}]\n\nIt went on.\n\nChapter 2\n\nIt ended.\n\n"
    Path("book.txt").write_text(chapters.format("door"))
    options = resolve(Options(prompt_file="book.txt", chapters="1"))
    (plan,), _ = ClipSource(options, names=Kept()).plan()
    assert [sound.file for segment in plan.segments for sound in segment.pause.sounds] == [kept("door")]
    Path("book.txt").write_text(chapters.format("other.wav"))
    with pytest.raises(TextError, match="no other.wav here"):
        ClipSource(options, names=Kept())


def test_without_names_files_are_opened_as_they_are_named(door):
    text = "One. [sound: other.wav] Two."
    (plan,), _ = ClipSource(resolve(Options(text_prompt=text))).plan()
    assert [sound.path for segment in plan.segments for sound in segment.pause.sounds] == [Path("other.wav")]


def test_other_events_stay():
    script = parse_script("One. [pause:2s] Two [laughs].\n***\nThree.", "plain")
    assert with_names(script, Kept()) == script
