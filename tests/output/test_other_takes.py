"""Takes that are kept, and others that are put in afterwards: with --take alone, beside --regenerate and beside a new text."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from speaker import HEARD, HOW, OTHER_SEEDS, TEXTS, Speaker, run_to_end

from bark_infinity.errors import UsageError
from bark_infinity.narration import ClipSource, Job
from bark_infinity.options.layers import layered
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options
from bark_infinity.output.clip_tokens import ClipTokens
from bark_infinity.output.manifest import read_manifest
from bark_infinity.output.recorded import place_of_clip
from bark_infinity.output.remaking import chosen_takes, describe_chosen_takes, plan_restitched
from bark_infinity.output.restitching import restitch_clip
from bark_infinity.run.recipe import Recipe

WRONG = "The old cat runs home tonight."
SAID = {TEXTS[0]: [WRONG, TEXTS[0]], TEXTS[2]: [WRONG, WRONG, TEXTS[2]]}
ARRAYS = ("semantic_prompt", "coarse_prompt", "fine_prompt")


def make(folder: str = "old", **options) -> Path:
    """The manifest of a clip of four segments, of which take 2, 1, 3 and 1 are in it."""
    given = {"candidates": 3, "keep_takes": True, **HEARD}
    return run_to_end(Speaker(SAID), Path(folder), **given | options)


def content(manifest: Path) -> dict:
    return json.loads(manifest.read_text())


def options_beside(manifest: Path, **given) -> Options:
    """Options as the command line makes them of a manifest and flags."""
    recorded = read_manifest(str(manifest))
    nearer = {"from_manifest": str(manifest), "output_dir": "new", **given}
    return resolve(
        Options.from_settings(layered(nearer, {**recorded.settings, **place_of_clip(str(manifest), recorded)}))
    )


def put_in(manifest: Path, take: str, **given) -> Path:
    """--take alone: the manifest of the new clip."""
    options = options_beside(manifest, take=take, **given)
    assert options.restitch
    recorded = read_manifest(str(manifest))
    plan = plan_restitched(recorded, options)
    tokens = ClipTokens(str(manifest), recorded, takes=chosen_takes(take, len(plan.segments)))
    try:
        clip = restitch_clip(recorded, plan, tokens, lambda codes: Speaker().decode([codes])[0], Path("new"), options)
    finally:
        tokens.close()
    assert clip.path is not None
    return clip.path.with_suffix(".json")


def tokens_of(manifest: Path) -> dict[str, np.ndarray]:
    return dict(np.load(manifest.with_name(f"{manifest.stem}.segments.npz")))


def audio_of(manifest: Path, segment: int) -> np.ndarray:
    samples, rate = soundfile.read(manifest.with_suffix(".wav"), dtype="float32")
    place = content(manifest)["segments"][segment]
    return samples[round(place["start"] * rate) : round(place["end"] * rate)]


def test_tokens_of_all_takes_are_kept():
    manifest = make()
    assert [segment["take"] for segment in content(manifest)["segments"]] == [2, 1, 3, 1]
    takes = {(0, 1), (0, 3), (1, 2), (1, 3), (2, 1), (2, 2), (3, 2), (3, 3)}
    others = {f"{name}_{k}_take_{take}" for name in ARRAYS for k, take in takes}
    assert tokens_of(manifest).keys() == others | {f"{name}_{k}" for name in ARRAYS for k in range(4)}
    assert tokens_of(make("without", keep_takes=False)).keys() == {f"{name}_{k}" for name in ARRAYS for k in range(4)}


@pytest.mark.parametrize("n", [1, 4])
def test_other_take_is_put_in_and_back_again(n):
    old = make(text_prompt="\n".join(TEXTS[:n]))
    new = put_in(old, "1=3")
    entry, before = content(new)["segments"][0], content(old)["segments"][0]
    assert entry["take"] == 3 and entry["seeds"] == before["tries"][2]["seeds"] and entry["tries"] == before["tries"]
    assert entry["heard"] == before["tries"][2]["heard"] and entry["faults"] == {}
    taken = tokens_of(old)["fine_prompt_0_take_3"]
    np.testing.assert_array_equal(tokens_of(new)["fine_prompt_0"], taken)
    np.testing.assert_array_equal(tokens_of(new)["fine_prompt_0_take_2"], tokens_of(old)["fine_prompt_0"])
    np.testing.assert_allclose(audio_of(new, 0), Speaker().decode([taken])[0], atol=1e-4)
    assert [one for one in content(new)["segments"][1:]] == content(old)["segments"][1:]
    back = put_in(new, "1=2")
    assert content(back)["segments"] == content(old)["segments"]
    assert content(back)["audio_sha256"] == content(old)["audio_sha256"] != content(new)["audio_sha256"]


@pytest.mark.parametrize(
    ("take", "message"),
    [
        ("5=1", "segments 1 to 4, and not 5"),
        ("1=4", "has 3 takes, and none of number 4"),
        ("1", "as in 7=2,9=1"),
        ("1=0", "as in 7=2,9=1"),
        ("1=2,x", "as in 7=2,9=1"),
    ],
)
def test_takes_that_are_not_there_are_refused(take, message):
    with pytest.raises(UsageError, match=message):
        put_in(make(), take)


def test_takes_that_were_not_kept_are_refused():
    with pytest.raises(UsageError, match="only clips that are made with --keep_takes have them"):
        put_in(make(keep_takes=False), "1=3")


def test_take_needs_a_manifest():
    with pytest.raises(UsageError, match="does nothing without --from_manifest"):
        resolve(Options(text_prompt="x", take="1=2"))


def job(manifest: Path, **given) -> tuple[Job, Speaker]:
    options = options_beside(manifest, **given)
    engine = Speaker(SAID)
    source = ClipSource(options)
    return Job(options, source, Recipe.from_options(source.options, engine)), engine


def test_take_stands_beside_regenerate_and_kept_segments_keep_their_takes():
    old = make(candidates=2)
    of, engine = job(old, regenerate="4", take="1=1")
    *_, clip = of.run()
    assert engine.made == [(TEXTS[3], OTHER_SEEDS), (TEXTS[3], OTHER_SEEDS)]  # two candidates, as in the manifest
    new = clip.path.with_suffix(".json")
    before, after = content(old)["segments"], content(new)["segments"]
    assert after[1]["tries"] == before[1]["tries"] and after[1]["take"] == 1
    assert after[0]["take"] == 1 and after[0]["heard"] == WRONG and after[0]["tries"] == before[0]["tries"]
    assert "heard" not in after[3] and after[3]["seeds"] != before[3]["seeds"]
    assert tokens_of(new).keys() >= {f"fine_prompt_{k}_take_2" for k in (0, 1)}
    np.testing.assert_array_equal(tokens_of(new)["fine_prompt_0"], tokens_of(old)["fine_prompt_0_take_1"])


def test_take_of_a_segment_that_is_made_again_is_refused():
    with pytest.raises(UsageError, match="segment 4 is made again"):
        job(make(), regenerate="4", take="4=1")


def test_take_stands_beside_a_new_text():
    """By the numbers of the new text."""
    old = make(separate_prompts=True)
    text = "\n".join([TEXTS[1], TEXTS[2], TEXTS[3]])
    of, engine = job(old, text_prompt=text, take="2=1", **HOW)
    *_, clip = of.run()
    new = content(clip.path.with_suffix(".json"))
    assert engine.made == [] and [segment["take"] for segment in new["segments"]] == [1, 1, 1]
    assert new["segments"][1]["heard"] == WRONG


def test_what_depends_on_a_take_is_named():
    assert describe_chosen_takes({6: 1, 8: 0}, {6, 8}) == "put in: take 2 of segment 7, take 1 of segment 9"
    assert "8, 10-11 went on from other takes and stay" in describe_chosen_takes({6: 1}, {6, 7, 9, 10})


def test_clip_made_again_from_its_manifest_is_cut_where_it_was(monkeypatch):
    """Without a recogniser."""
    said = {TEXTS[0]: [f"{TEXTS[0]} and so on and on and on"]}
    old = run_to_end(Speaker(said), Path("old"), trim_babble=True, stable_mode_interval=0, **HEARD)
    assert content(old)["segments"][0]["trimmed"]["of_frames"] == 300 > content(old)["segments"][0]["frames"]
    of, _ = job(old)
    *_, clip = of.run()
    again = content(clip.path.with_suffix(".json"))
    assert again["audio_sha256"] == content(old)["audio_sha256"]
    assert again["segments"][0]["trimmed"] == content(old)["segments"][0]["trimmed"]
    assert put_in_nothing(old)["audio_sha256"] == content(old)["audio_sha256"]


def put_in_nothing(manifest: Path) -> dict:
    """--take with the take that is there: stitched again, the same."""
    return content(put_in(manifest, "1=1"))


def test_recognizer_of_a_strangers_manifest_is_not_opened():
    manifest = make()
    changed = content(manifest)
    changed["settings"] |= {"recognizer": "whisper:/somewhere/else", "max_word_errors": 0.2, "trim_babble": True}
    manifest.write_text(json.dumps(changed))
    settings = read_manifest(str(manifest)).settings
    assert not settings.keys() & {"recognizer", "max_word_errors", "trim_babble"} and settings["candidates"] == 3
