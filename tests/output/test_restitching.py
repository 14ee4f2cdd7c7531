"""The audio of a finished clip again from its tokens: what stays, what changes, and what is left when it fails."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fakes import VOICE, Hashing, recipe_of

from bark_infinity.errors import OutputError, UsageError
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options
from bark_infinity.output.clip_files import write_clip
from bark_infinity.output.clip_tokens import ClipTokens
from bark_infinity.output.manifest import read_manifest
from bark_infinity.output.remaking import plan_restitched
from bark_infinity.output.restitching import restitch_clip, restitch_file
from bark_infinity.run.clips import Clip, FinishedSegment
from bark_infinity.run.planning import plan_clips
from bark_infinity.run.scheduler import Scheduler

FILES = resolve(Options(text_prompt="-"))
TEXT = "One is here. Two is there.\n\nThree is far away."


def decode(codes: np.ndarray) -> np.ndarray:
    """The engine's codec: codes (8, frames) to samples (frames * 320,)."""
    return Hashing().decode([codes])[0]


@pytest.fixture(params=[1, 3], ids=["one segment", "three segments"])
def clip(request) -> Path:
    """A finished clip in the folder `old`: the path of its audio."""
    text = TEXT if request.param == 3 else "One is here."
    options = resolve(
        Options(text_prompt=text, split_character_goal_length=12, check_segments="off", output_dir="old", seed=5)
    )
    (plan,), _ = plan_clips([text], options, 0)
    assert len(plan.segments) == request.param
    engine = Hashing()
    results = list(Scheduler(recipe_of(engine, VOICE, check_segments="off"), 4).run([plan]))
    (finished,) = (result for result in results if isinstance(result, Clip))
    segments = [result for result in results if isinstance(result, FinishedSegment)]
    return write_clip(finished, segments, engine, options)


def content(audio: Path) -> dict:
    return json.loads(audio.with_suffix(".json").read_text())


def restitch(clip: Path, **changed) -> Path:
    """The path of the clip that `restitch_clip` makes in the folder `new`."""
    name = str(clip.with_suffix(".json"))
    manifest = read_manifest(name)
    settings = Options.from_settings({**manifest.settings, **changed})
    options = resolve(Options(**{**settings.changed(), "from_manifest": name, "restitch": True, "output_dir": "new"}))
    Path("new").mkdir(exist_ok=True)
    plan, tokens = plan_restitched(manifest, options), ClipTokens(name, manifest)
    try:
        path = restitch_clip(manifest, plan, tokens, decode, Path("new"), options).path
    finally:
        tokens.close()
    assert path is not None
    return path


def test_audio_is_the_same_without_other_settings(clip):
    again = restitch(clip)
    assert again.parent == Path("new") and again.read_bytes()[44:] == clip.read_bytes()[44:]
    old, new = content(clip), content(again)
    assert {name for name in old if old[name] != new.get(name)} <= {"settings"}
    assert new["settings"] == old["settings"] | {"restitch": True}


def test_pauses_and_gain_change_and_tokens_stay(clip):
    again = restitch(clip, add_silence_between_segments=0.5, add_silence_between_paragraphs=1.0, gain_db=-20.0)
    old, new = content(clip), content(again)
    before, after = soundfile.read(clip)[0], soundfile.read(again)[0]
    for segment, other in zip(old["segments"], new["segments"], strict=True):
        spans = [[round(own[end] * 24_000) for end in ("start", "end")] for own in (segment, other)]
        np.testing.assert_allclose(after[slice(*spans[1])], before[slice(*spans[0])] / 10, atol=1e-4)
        assert {n for n in segment if segment[n] != other[n]} <= {"start", "end", "pause"}
    gaps = [b["start"] - a["end"] for a, b in zip(new["segments"], new["segments"][1:], strict=False)]
    assert gaps == pytest.approx([0.5, 1.0][: len(gaps)])
    for suffix in (".npz", ".segments.npz"):
        kept, copy = clip.with_suffix(suffix), again.with_suffix(suffix)
        assert kept.exists() == copy.exists()
        if kept.exists():
            arrays, others = np.load(kept), np.load(copy)
            assert all(np.array_equal(arrays[name], others[name]) for name in arrays.files)


def test_whole_clip_is_written_under_another_name_and_format(clip):
    again = restitch_file(clip, decode, Path("elsewhere/mine.flac"), FILES)
    assert again == Path("elsewhere/mine.flac") and again.with_suffix(".json").exists()
    np.testing.assert_allclose(soundfile.read(again)[0], soundfile.read(clip)[0], atol=1e-4)
    assert restitch_file(clip, decode, Path("elsewhere/mine.flac"), FILES) == Path("elsewhere/mine_1.flac")
    assert clip.exists()


def test_unknown_ending_is_refused_and_nothing_is_written(clip):
    with pytest.raises(UsageError):
        restitch_file(clip, decode, Path("elsewhere/mine.docx"), FILES)
    assert not Path("elsewhere").exists()


@pytest.mark.parametrize("damage", ["missing", "cut", "other"])
def test_damaged_tokens_are_an_error_and_leave_no_files(clip, damage):
    tokens = next(path for path in (clip.with_suffix(".segments.npz"), clip.with_suffix(".npz")) if path.exists())
    if damage == "missing":
        tokens.unlink()
    elif damage == "cut":
        tokens.write_bytes(tokens.read_bytes()[:-100])
    else:
        VOICE.save(tokens, overwrite=True)
    with pytest.raises(UsageError, match="tokens cannot be read"):
        restitch(clip)
    assert not list(Path("new").iterdir())


def test_failing_codec_leaves_no_files(clip):
    def fail(codes: np.ndarray) -> np.ndarray:
        raise OutputError("no memory")

    with pytest.raises(OutputError, match="no memory"):
        restitch_file(clip, fail, Path("elsewhere/mine.wav"), FILES)
    assert not Path("elsewhere").exists() or not list(Path("elsewhere").iterdir())
