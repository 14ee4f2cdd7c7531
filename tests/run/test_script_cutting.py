"""Scripts cut into segments: speakers, settings, seeds, gaps, chapters, and texts as written and as spoken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from bark_infinity.errors import ScriptError, TextError, UsageError
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options
from bark_infinity.run.pauses import NO_GAP
from bark_infinity.run.planning import ClipPlan, plan_clips
from bark_infinity.text.events import Script
from bark_infinity.text.script import parse_script

CAST = "+++\n[cast]\nAnna = 'v2/en_speaker_9'\nBob = {voice = 'v2/en_speaker_6', text_temp = 0.6}\n+++\n"


def planned(text: str, kind="dialogue", **options) -> ClipPlan:
    (clip,), _ = plan_clips([parse_script(text, kind)], resolve(Options(**options)), 5)
    return clip


def gaps(text: str, **options) -> list[tuple[str, float]]:
    """Kind and seconds behind each segment but the last."""
    return [(one.pause.kind, one.pause.seconds) for one in planned(CAST + text, **options).segments[:-1]]


def write_sound(name: str, n: int, rate: int = 24_000, channels: int = 1) -> np.ndarray:
    samples = np.linspace(-0.5, 0.5, n * channels, dtype=np.float32).reshape(n, channels)
    soundfile.write(name, samples, rate, subtype="FLOAT")
    return samples.mean(axis=1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Anna: One here.\nBob: Two there.", [("speaker", 0.35)]),
        ("Anna: One here.\n\nBob: Two there.", [("speaker", 0.35)]),
        ("Anna: One here.\nAnna: Two there.", [("segment", 0.25)]),
        ("Anna: One here.\n\nAnna: Two there.", [("paragraph", 0.6)]),
        ("Anna: One here.\n***\nAnna: Two there.", [("scene", 1.5)]),
        ("Anna: One here.\n***\nBob: Two there.", [("scene", 1.5)]),
        ("Anna: One here.\n# Two\nBob: Two there.", [("chapter", 2.0)]),
        ("Anna: One here. [pause:1.5s]\nBob: Two there.", [("asked", 1.5)]),
        ("Anna: One here. [pause:0.1]\n***\nBob: Two there.", [("asked", 0.1)]),
        ("Anna: One here. [pause] [pause:500ms]\nBob: Two there.", [("asked", 1.5)]),
        ("One here.\n\nTwo there, and on.", [("paragraph", 0.6)]),
    ],
)
def test_gap_follows_the_structure_unless_the_script_asks_for_one(text, expected):
    split = {"split_each_text_prompt_by": "line"} if text.startswith("One") else {}
    assert gaps(text, **split) == expected


def test_lengths_of_gaps_are_those_of_the_flags_but_never_shorter_than_of_lower_kinds():
    text = "Anna: One here.\nBob: Two there.\n# C\nAnna: Three."
    assert gaps(text, add_silence_between_speakers=0.5) == [("speaker", 0.5), ("chapter", 2.0)]
    assert gaps(text, add_silence_between_segments=0.75) == [("speaker", 0.75), ("chapter", 2.0)]
    assert gaps(text, add_silence_between_chapters=0.0) == [("speaker", 0.35), ("chapter", 1.5)]


def test_sounds_stand_between_silences_of_their_own():
    write_sound("a.wav", 2400)
    clip = planned(
        CAST + "Anna: One. [sound: a.wav]\nBob: Two. [pause:2] [sound: a.wav] [pause:3s] [sound: a.wav]\n# B\nThree."
    )
    first, second = (segment.pause for segment in clip.segments[:2])
    assert (first.kind, first.seconds) == ("segment", 0.25)
    assert [(sound.kind, sound.seconds, sound.samples) for sound in first.sounds] == [("speaker", 0.35, 2400)]
    assert (second.kind, second.seconds) == ("asked", 2.0)
    assert [(sound.kind, sound.seconds) for sound in second.sounds] == [("asked", 3.0), ("chapter", 2.0)]
    assert second.total_seconds == pytest.approx(2.0 + 0.1 + 3.0 + 0.1 + 2.0)


def test_script_may_begin_and_end_with_gaps():
    write_sound("a.wav", 2400)
    clip = planned("[pause:0.5] [sound: a.wav] One here. [sound: a.wav] [pause:4s]", "plain")
    assert (clip.lead.kind, clip.lead.seconds, len(clip.lead.sounds)) == ("asked", 0.5, 1)
    (last,) = clip.segments
    assert last.pause.ends_clip and [sound.seconds for sound in last.pause.sounds] == [4.0]
    assert planned("One here.", "plain").lead == NO_GAP
    assert planned("[sound: a.wav] One here.", "plain").lead.seconds == 0.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("One.\n Two [sound: absent.wav] three.", "line 2, column 6: there is no sound absent.wav; put the file there"),
        ("One [sound: text.wav] three.", "line 1, column 5: the sound text.wav cannot be read as a recording"),
        ("[sound: empty.wav] three.", "line 1, column 1: the sound empty.wav is empty"),
    ],
)
def test_unusable_sound_is_an_error_with_its_place(text, message, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda _: None)
    Path("text.wav").write_text("no sound")
    write_sound("empty.wav", 0)
    with pytest.raises(ScriptError, match=message):
        planned(text, "plain")


def test_segments_have_speaker_settings_seeds_and_chapter():
    clip = planned(
        CAST + "Bob: One here.\n# Two\n[Bob|seed:42|text_temp:0.5|fine_seed:7] Two there.\n"
        "[voice:v2/de_speaker_3] Drei. [/voice]\nFour is here.",
        seed=3,
    )
    assert [segment.speaker for segment in clip.segments] == ["Bob", "Bob", "v2/de_speaker_3", None]
    assert [segment.chapter for segment in clip.segments] == [None, "Two", "Two", "Two"]
    assert [segment.own for segment in clip.segments[1:3]] == [{"seed": 42, "text_temp": 0.5, "fine_seed": 7}, {}]
    assert clip.segments[0].own == {"text_temp": 0.6}
    seeds = [segment.seeds for segment in clip.segments]
    assert (seeds[0].segment, seeds[1].segment, seeds[1].fine, seeds[2].segment) == (3, 42, 7, 3)


def test_own_settings_that_contradict_each_other_are_refused():
    with pytest.raises(UsageError, match="the settings of Anna: --semantic_top_p and --semantic_inverted_p"):
        planned(CAST + "[Anna|semantic_top_p:0.5|semantic_inverted_p:0.5] One here.")


def test_pronunciations_are_spoken_and_the_written_text_is_kept():
    text = (
        "+++\n[pronunciations]\n'Nguyen' = 'Win'\n+++\nMr. Nguyen came. "
        + "He sat down and waited for a long time. " * 4
    )
    first, *others = planned(text, "plain", prompt_text_prefix="Well,").segments
    assert first.text.startswith("Well, Mr. Win came.") and first.written == first.text.replace("Win", "Nguyen")
    assert others and all(segment.written is None for segment in others)


def test_script_with_nothing_to_say_is_refused():
    for text in ("[pause:2s]", "... [pause] !?"):
        with pytest.raises(TextError, match="has nothing to say"):
            planned(text, "plain")


def test_wordless_segments_go_on_with_the_last_speaker():
    last = planned(CAST + "Anna: One here.\nBob: Two there.", extra_confused_travolta_mode=1).segments[-1]
    assert (last.text, last.speaker, last.own) == ("", "Bob", {"text_temp": 0.6})


BARK = [
    "[laughs]",
    "MAN:",
    "WOMAN:",
    "♪ la la ♪",
    "CAPITALS",
    "...",
    "—",
    "Hello there.",
    "\n\n",
    "\n",
    "Mr. Dow,",
    "***",
    "12",
]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(BARK), min_size=1, max_size=30).map(" ".join))
def test_text_without_markup_is_planned_as_ever(text):
    """Bark's own markup is untouched in every kind of script, and the plan is that of the text itself."""
    options = resolve(Options(seed=3))
    try:
        (expected,), _ = plan_clips([text], options, 5)
    except TextError:
        return
    for kind in ("plain", "dialogue"):
        script = parse_script(text, kind)
        (clip,), _ = plan_clips([script], options, 5)
        assert clip == expected and clip.script is None
    assert "".join(segment.text for segment in expected.segments).count("[laughs]") == text.count("[laughs]")


def test_takes_of_a_script_have_their_own_seeds():
    script: Script = parse_script(CAST + "Anna: One here.\nBob: Two there.", "dialogue")
    takes, _ = plan_clips([script], resolve(Options(output_iterations=2)), 5)
    assert len({segment.seeds for take in takes for segment in take.segments}) == 4


def test_line_of_a_sound_is_no_blank_line():
    write_sound("a.wav", 10)
    for between, kind in (("\n[sound: a.wav]\n", "segment"), ("\n\n[sound: a.wav]\n", "paragraph")):
        (sound,) = planned(f"{CAST}Anna: One here.{between}Anna: Two there.").segments[0].pause.sounds
        assert sound.kind == kind
