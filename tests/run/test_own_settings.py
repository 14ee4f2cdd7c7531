"""Segments with sampling settings of their own: made with them, resumed with them, recorded, and remade with them."""

from __future__ import annotations

import dataclasses
import json
from functools import partial
from pathlib import Path

import pytest
from fakes import VOICE, Hashing, plan, whole_clips
from hypothesis import given, settings
from hypothesis import strategies as st

from bark_infinity.bark import Settings
from bark_infinity.errors import UsageError
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options
from bark_infinity.output.clip_files import clip_keys, save_clips
from bark_infinity.output.manifest import differences, read_manifest
from bark_infinity.output.remaking import plan_again
from bark_infinity.run.clips import Clip, FinishedSegment
from bark_infinity.run.journal import RunJournal
from bark_infinity.run.planning import ClipPlan
from bark_infinity.run.recipe import Recipe
from bark_infinity.stages.coarse import CoarseSettings
from bark_infinity.stages.fine import FineSettings
from bark_infinity.stages.semantic import SemanticSettings

OPTIONS = resolve(Options(output_dir="out", history_prompt="v2/en_speaker_6", stable_mode_interval=1))
RECIPE = Recipe.from_options(OPTIONS, Hashing(), VOICE)
OWN = Settings(SemanticSettings(0.25, top_k=9), CoarseSettings(0.0), FineSettings(0.0), negative_text="Shout")


def planned(own: Settings | None) -> ClipPlan:
    """A clip of three segments, the second with settings of its own."""
    three = dataclasses.replace(plan(["One.", "Two.", "Three."]), prompt_index=0)
    segments = [dataclasses.replace(s, settings=own if k == 1 else None) for k, s in enumerate(three.segments)]
    return dataclasses.replace(three, segments=tuple(segments))


def saved(clip_plan: ClipPlan, recipe: Recipe = RECIPE) -> Path:
    """The manifest of the written clip."""
    clip = next(result for result in save_clips(recipe, [clip_plan], Path("out"), OPTIONS) if isinstance(result, Clip))
    assert clip.path is not None
    return clip.path.with_suffix(".json")


def test_only_the_segment_with_own_settings_is_made_with_them():
    (usual,), (mixed,) = (list(whole_clips(RECIPE, [planned(own)])) for own in (None, OWN))
    (alone,) = whole_clips(dataclasses.replace(RECIPE, settings=OWN), [planned(None)])
    digests = [[generation.voice.digest() for generation in clip.generations] for clip in (usual, mixed, alone)]
    assert digests[1] == [digests[0][0], digests[2][1], digests[0][2]] and digests[0][1] != digests[1][1]


def test_resumed_run_keeps_and_compares_own_settings():
    key = clip_keys(OPTIONS, RECIPE)
    keys = [key(planned(own)) for own in (None, Settings(), OWN)]
    assert len(set(keys)) == 3
    journal = RunJournal.start(Path("out"), key, 3)
    results = save_clips(RECIPE, [planned(OWN)], Path("out"), OPTIONS, journal)
    for result in results:
        if isinstance(result, FinishedSegment) and result.index == 1:
            break
    results.close()
    (journal,) = RunJournal.unfinished(Path("out"), key)
    assert journal.belongs_to([planned(OWN)])
    again = save_clips(RECIPE, [planned(OWN)], Path("out"), OPTIONS, journal)
    recalled = [result.record.recalled for result in again if isinstance(result, FinishedSegment)]
    assert recalled[:2] == [True, True]


def test_own_settings_are_recorded_and_remade():
    manifest = read_manifest(str(saved(planned(OWN))))
    assert [own is None for own in manifest.own_settings] == [True, False, True]
    again = plan_again(manifest, OPTIONS)
    assert [segment.settings for segment in again.segments] == [None, OWN, None]
    remade = read_manifest(str(saved(again)))
    assert remade.content["audio_sha256"] == manifest.content["audio_sha256"]
    assert differences(manifest.content, remade.content) == []


def test_flag_asked_for_beside_the_manifest_wins_over_own_settings():
    manifest = read_manifest(str(saved(planned(OWN))))
    asked = dataclasses.replace(OPTIONS.asked, waveform_temp=0.9)
    settings_again = plan_again(manifest, resolve(asked)).segments[1].settings
    assert settings_again == dataclasses.replace(OWN, coarse=CoarseSettings(0.9))


def test_manifest_without_own_settings_is_as_before():
    manifest = json.loads(saved(planned(None)).read_text())
    assert not any("settings" in segment for segment in manifest["segments"])


@pytest.mark.parametrize(
    "own",
    [
        {"coarse_temp": "hot"},
        {"semantic_top_k": 0},
        {"coarse_max_coarse_history": 630, "coarse_sliding_window_len": 400},
    ],
)
def test_unusable_own_settings_in_a_manifest_are_refused(own):
    path = saved(planned(OWN))
    content = json.loads(path.read_text())
    content["segments"][1]["settings"] = own
    path.write_text(json.dumps(content))
    with pytest.raises(UsageError, match=f"--{next(iter(own))}"):
        read_manifest(str(path))


temperatures = st.floats(0, 2)
semantic = st.builds(
    SemanticSettings, temperatures, st.none() | st.integers(1, 99), st.none() | st.floats(0, 1), st.floats(0, 1),
    st.none() | st.floats(0, 9), st.booleans(), st.booleans(), st.integers(0, 256), statistics=st.booleans(),
)  # fmt: skip
coarse = st.builds(CoarseSettings, temperatures, max_coarse_history=st.integers(60, 630), use_kv_caching=st.booleans())


@settings(max_examples=50, deadline=None)
@given(st.builds(Settings, semantic, coarse, st.builds(FineSettings, temperatures), st.none() | st.text(min_size=1)))
def test_flag_values_are_the_inverse_of_from_options(own):
    assert Settings.from_options(Options.from_settings(own.flag_values())) == own


def test_flag_values_cover_all_settings():
    """Every setting, changed alone, comes back changed."""
    changed = Settings(
        SemanticSettings(0.1, 2, 0.3, 0.4, 5.0, False, False, 7, 0.8, 9, 0.1, 2.0, 0.3, 0.4, 0.5, True),
        CoarseSettings(0.1, 2, 0.3, 100, 50, -4, False),
        FineSettings(0.1),
        "no",
    )
    for part in ("semantic", "coarse", "fine"):
        for field in dataclasses.fields(getattr(changed, part)):
            one = partial(dataclasses.replace, getattr(Settings(), part))
            own = dataclasses.replace(
                Settings(), **{part: one(**{field.name: getattr(getattr(changed, part), field.name)})}
            )
            assert own != Settings() and Settings.from_options(Options.from_settings(own.flag_values())) == own, (
                field.name
            )
    assert Settings.from_options(Options.from_settings(changed.flag_values())) == changed
