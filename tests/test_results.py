"""The files of a clip beside its audio: a folder of segments, statistics in names, voices, and all of them or none."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bark_infinity import Voice
from bark_infinity.bark import Generation
from bark_infinity.errors import OutputError
from bark_infinity.long_form import Clip, LongForm
from bark_infinity.options import Options
from bark_infinity.planning import plan_clips
from bark_infinity.results import save_clip, save_voice
from bark_infinity.stages.semantic import Statistics

STORY = "A first line.\nA second line.\nThe third one."


def clip_of(demo, silent: tuple[int, ...] = (), text: str = STORY, **options) -> tuple[Clip, Options]:
    options = {"split_each_text_prompt_by": "line", "semantic_max_gen_duration_s": 0.4, "seed": 5} | options
    resolved = Options(model="demo", **options).resolved()
    (clip,) = LongForm.from_options(resolved, demo, None).clips(plan_clips([text], resolved, 0)[0])
    nothing = Generation(
        Voice(np.zeros(0, int), np.zeros((2, 0), int), np.zeros((8, 0), int)), np.zeros(0, np.float32), 0, {}
    )
    for k in silent:
        clip.generations[k] = nothing
    return clip, resolved


def names(folder: str = "out") -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())


def test_hoarders_get_every_segment_by_itself(demo):
    clip, options = clip_of(demo, hoarder_mode=True, output_format="flac", output_filename="mine")
    assert save_clip(clip, Path("out"), options, demo) == Path("out/mine.flac")
    each = [f"mine.segments/{k}.{end}" for k in (1, 2, 3) for end in ("flac", "json", "npz")]
    assert names() == sorted([*each, "mine.flac", "mine.json", "mine.npz", "mine.segments.npz"])
    whole, _ = soundfile.read("out/mine.flac")
    for k, (made, span) in enumerate(zip(clip.generations, clip.spans, strict=True), 1):
        part, _ = soundfile.read(f"out/mine.segments/{k}.flac")
        np.testing.assert_array_equal(part, whole[span.start : span.stop])
        np.testing.assert_array_equal(Voice.load(f"out/mine.segments/{k}.npz").fine[:, -9:], made.voice.fine[:, -9:])
        said = json.loads(Path(f"out/mine.segments/{k}.json").read_text())
        assert said["text"] == STORY.split("\n")[k - 1] and said["segment"] == k
        assert said["settings"]["seed"] == 5 and said["seeds"] == {"segment": 5} and said["clip"]["seed"] == 5


def test_what_hoarders_get_grows_with_the_text_alone(demo):
    sizes = []
    for n in (2, 8):
        text = "\n".join(f"This is line number {k} of the book." for k in range(n))
        clip, options = clip_of(demo, text=text, hoarder_mode=True, semantic_max_gen_duration_s=0.1, text_prompt=text)
        path = save_clip(clip, Path("out"), options, demo)
        each = Path(f"{path.with_suffix('')}.segments").glob("*.json")
        sizes.append(max(file.stat().st_size for file in each))
    assert sizes[1] < sizes[0] * 1.05


def test_a_silent_segment_has_parameters_alone(demo):
    clip, options = clip_of(demo, silent=(1,), hoarder_mode=True, output_filename="mine")
    save_clip(clip, Path("out"), options, demo)
    assert [name for name in names() if "/2." in name] == ["mine.segments/2.json"]


@pytest.mark.parametrize("broken", ["write_manifest", "_save_segments", "write_sound"])
def test_a_clip_is_saved_whole_or_not_at_all(demo, monkeypatch, broken):
    from bark_infinity import results

    works, calls = getattr(results, broken), []

    def second_fails(*arguments):
        calls.append(arguments)
        if len(calls) == (1 if broken == "_save_segments" else 2):
            raise OutputError("no space left")
        return works(*arguments)

    monkeypatch.setattr(results, broken, second_fails)
    clip, options = clip_of(demo, hoarder_mode=True)
    with pytest.raises(OutputError, match="no space left"):
        save_clip(clip, Path("out"), options, demo)
    assert list(Path("out").iterdir()) == []


def test_extra_stats_are_those_of_the_manifest(demo):
    clip, options = clip_of(demo, extra_stats=True, output_filename="mine")
    path = save_clip(clip, Path("out"), options, demo)
    found = re.fullmatch(r"mine-seed-5-temp-0\.7-0\.7-0\.5-entropy-(\d+\.\d\d)-perplexity-(\d+\.\d)\.wav", path.name)
    segments = json.loads(path.with_suffix(".json").read_text())["segments"]
    tokens = [s["semantic_tokens"] for s in segments]
    entropy = np.average([s["entropy"] for s in segments], weights=tokens)
    perplexity = np.exp(np.average(np.log([s["perplexity"] for s in segments]), weights=tokens))
    assert float(found[1]) == pytest.approx(entropy, abs=0.006)
    assert float(found[2]) == pytest.approx(perplexity, abs=0.06)
    assert 10 < entropy < np.log2(10_001)


def test_statistics_weigh_segments_by_their_tokens(demo):
    clip, options = clip_of(demo)
    lengths = (10, 30, 60)
    for k, (n, own) in enumerate(zip(lengths, (Statistics(1, 2), Statistics(2, 4), Statistics(3, 8)), strict=True)):
        voice = Voice(np.zeros(n, int), np.zeros((2, n), int), np.zeros((8, n), int))
        clip.generations[k] = Generation(voice, clip.generations[k].audio, 0, {}, own)
    path = save_clip(clip, Path("out"), options, demo)
    assert path.name.endswith("-entropy-2.50-perplexity-5.7.wav")  # 0.1 + 0.6 + 1.8; 2 to the 2.5


def test_a_voice_is_saved_once(make_voice):
    voice, other = make_voice(3.0), make_voice(3.0, seed=1)
    assert save_voice(voice, Path("out"), "me at home") == Path("out/me_at_home.npz")
    assert save_voice(voice, Path("out"), "me at home") == Path("out/me_at_home.npz")
    assert save_voice(other, Path("out"), "me at home") == Path("out/me_at_home_1.npz")
    Path("out/me_at_home_2.npz").write_text("no voice")
    third = make_voice(3.0, seed=2)
    assert save_voice(third, Path("out"), "me at home") == Path("out/me_at_home_3.npz")
    np.testing.assert_array_equal(Voice.load("out/me_at_home_3.npz").fine, third.fine)
    assert names() == ["me_at_home.npz", "me_at_home_1.npz", "me_at_home_2.npz", "me_at_home_3.npz"]
