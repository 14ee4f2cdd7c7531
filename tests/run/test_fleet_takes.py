"""Several takes of a segment on many workers: the choice of a local run, whatever happens to the workers."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from fakes import Listening, whole_clips
from pool import FakePool, Fault, cluster_of
from speaker import HEARD, HOW, TEXTS, Speaker, recipe_without_voices

from bark_infinity.bark import Segment, Settings
from bark_infinity.narration import ClipSource, Job
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options
from bark_infinity.run import fleet_scheduler, scheduler
from bark_infinity.run.clips import Clip, FinishedSegment
from bark_infinity.run.engine import Engine
from bark_infinity.run.fleet_scheduler import make_scheduler
from bark_infinity.run.planning import plan_clips
from bark_infinity.run.recipe import Recipe
from bark_infinity.run.recognition import Heard, Listener
from bark_infinity.run.scheduler import MadeTake
from bark_infinity.seeds import Seeds

WRONG = "The old cat runs home tonight."
SAID = {TEXTS[0]: [WRONG, TEXTS[0]], TEXTS[1]: [WRONG] * 9, TEXTS[3]: [TEXTS[3], WRONG]}
JUDGED = {"candidates": 2, "retries": 1, "max_word_errors": 0.1, **HEARD}
THREE = {"a": 0.0, "b": 3.0, "c": 7.0}


def recipe_with_ears(engine: Engine, speaker: Speaker, options: Options) -> Recipe:
    recipe = recipe_without_voices(options, engine)
    if options.recognizer == "off":
        return recipe
    return dataclasses.replace(recipe, recognizer=Listening(speaker.words_of))


def two_faults(kind: str | None) -> Fault:
    """The first batches of two workers fail in this way."""
    failed: list[str] = []

    def fault(worker: str, texts: Sequence[str]) -> str | None:
        if kind is None or len(failed) == 2 or worker in failed:
            return None
        failed.append(worker)
        return kind

    return fault


@pytest.mark.parametrize("fault", [None, "die", "fail", "memory"])
@pytest.mark.parametrize("interval", [0, 1])
@pytest.mark.parametrize("options", [{"candidates": 3}, JUDGED, {**JUDGED, "trim_babble": True, "candidates": 1}])
def test_choice_is_that_of_a_local_run_whatever_happens(options, interval, fault):
    resolved = resolve(Options(**HOW | options | {"stable_mode_interval": interval}))
    plans = plan_clips(["\n".join(TEXTS)] * 2, resolved, 0)[0]
    here = Speaker(SAID)
    local = [whole.clip for whole in whole_clips(recipe_with_ears(here, here, resolved), plans)]
    far = Speaker(SAID)
    cluster, _ = cluster_of(FakePool(far, THREE, two_faults(fault)), far)
    results = list(make_scheduler(recipe_with_ears(cluster, far, resolved)).run(plans))
    clips = {clip.plan.prompt_index: clip for clip in results if isinstance(clip, Clip)}
    for expected in local:
        clip = clips[expected.plan.prompt_index]
        assert clip.audio_sha256 == expected.audio_sha256
        for found, wanted in zip(clip.segments, expected.segments, strict=True):
            assert (found.chosen, found.tries) == (wanted.chosen, wanted.tries)
            assert found.worker is not None and wanted.worker is None
    if "max_word_errors" in options:
        assert [len(segment.tries) for segment in local[0].segments][1] == options["candidates"] + 1


def run_on(engine: Speaker, sounds: dict[bytes, str], stop_after: int | None = None) -> Path | None:
    """Run as the command line does, as far as `stop_after` finished segments; the manifest of the clip."""
    given = {"model": "demo", "text_prompt": "\n".join(TEXTS), "output_dir": "out", "keep_takes": True}
    resolved = resolve(Options(**HOW | given | JUDGED))
    engine.sounds = sounds  # also of takes that are not made again
    cluster, _ = cluster_of(FakePool(engine, {"a": 0.0}), engine, rows=1)
    results = Job(resolved, ClipSource(resolved), recipe_with_ears(cluster, engine, resolved)).run()
    n_finished = 0
    for result in results:
        n_finished += isinstance(result, FinishedSegment)
        if n_finished == stop_after:
            results.close()
            return None
    assert isinstance(result, Clip) and result.path is not None
    return result.path.with_suffix(".json")


def test_killed_run_makes_no_take_twice_and_the_manifest_names_take_and_worker():
    sounds: dict[bytes, str] = {}
    first, second = Speaker(SAID), Speaker(SAID)
    assert run_on(first, sounds, stop_after=2) is None
    made_before = len(list(Path("out").glob("*.partial/segments/*.npz")))
    manifest = run_on(second, sounds)
    assert manifest is not None and made_before >= 5
    segments = json.loads(manifest.read_text())["segments"]
    assert [(segment["take"], len(segment["tries"])) for segment in segments] == [(2, 2), (1, 3), (1, 2), (1, 2)]
    assert all(segment["worker"] == "a" for segment in segments)
    assert len(second.made) == 9 - made_before and set(second.made).isdisjoint(first.made[:made_before])


class SlowListener(Listener[MadeTake]):
    """Its results are there only once they are waited for; it notes how many takes wait."""

    waiting: ClassVar[list[int]] = []
    has_result = False

    def submit(self, take: MadeTake, audio: np.ndarray, language: str) -> None:
        super().submit(take, audio, language)
        self.waiting.append(len(self))

    def results(self, wait_for_one: bool) -> Iterator[tuple[MadeTake, Heard | None]]:
        return itertools.islice(super().results(wait_for_one), int(wait_for_one))


def test_takes_that_wait_for_the_recognizer_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(fleet_scheduler, "_MOST_UNHEARD", 4)
    monkeypatch.setattr(scheduler, "Listener", SlowListener)
    waiting = SlowListener.waiting
    resolved = resolve(Options(**HOW | HEARD, candidates=10, stable_mode_interval=1, history_prompt=None))
    plans = plan_clips(["\n".join(TEXTS)] * 5, resolved, 0)[0]
    engine = Speaker()
    cluster, _ = cluster_of(FakePool(engine, {"a": 0.0}), engine)
    results = list(make_scheduler(recipe_with_ears(cluster, engine, resolved)).run(plans))
    assert sum(isinstance(result, Clip) for result in results) == 5
    assert (
        len(waiting) == 200 and max(waiting) <= 4 + 16 + 8 + 8
    )  # unheard, queued, running, and those that have come back


def test_waiting_for_workers_ends_when_something_else_has_happened():
    engine = Speaker()
    cluster, _ = cluster_of(FakePool(engine, {"a": 0.0}), engine)
    number = cluster.submit(Segment(TEXTS[0], seeds=Seeds(1)), Settings())
    assert cluster.next_finished(lambda _: None, until=lambda: True) is None
    finished = cluster.next_finished(lambda _: None)
    assert finished is not None and finished[0] == number
