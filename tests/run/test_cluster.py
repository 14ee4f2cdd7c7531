"""Segments by the workers of a cluster: the results of a local run, whatever happens to the workers."""

from __future__ import annotations

import dataclasses
import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from fakes import VOICE, Counting, Hashing, Recorder, plan, recipe_of
from pool import VERSIONS, FakePool, cluster_of, described

from bark_infinity.bark import Segment, Settings
from bark_infinity.errors import DeviceError, TextError, VoiceError
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options
from bark_infinity.output.clip_files import save_clips
from bark_infinity.run.clips import Clip, FailedClip, FinishedSegment
from bark_infinity.run.dispatch import MAX_TRIES
from bark_infinity.run.engine import Fleet
from bark_infinity.run.fleet_scheduler import FleetScheduler, make_scheduler
from bark_infinity.run.journal import ClipJournal, RunJournal
from bark_infinity.run.planning import ClipPlan
from bark_infinity.run.scheduler import RunProgress, Scheduler
from bark_infinity.seeds import Seeds
from bark_infinity.voices.history import History

THREE = {"a": 0.0, "b": 3.0, "c": 7.0}


def clips(n: int = 6, segments: int = 8, **options) -> list[ClipPlan]:
    return [
        plan([f"clip {k} segment {s}" for s in range(segments)], single_starting_seed=k, **options) for k in range(n)
    ]


def key(clip: ClipPlan) -> str:
    return repr((clip.text, clip.seed, clip.prompt_index))


def digests(results: Sequence[object]) -> dict[str, str]:
    return {result.plan.text: result.audio_sha256 for result in results if isinstance(result, Clip)}


class Scripted:
    """Faults of workers: a few batches of each kind, at random but repeatable places."""

    def __init__(self, seed: int):
        self._random = random.Random(seed)
        self.count: Counter[str] = Counter()

    def __call__(self, worker: str, texts: Sequence[str]) -> str | None:
        kind = self._random.choice(["die", "fail", "freeze", "memory", *[""] * 12])
        # Each at most twice, so that no segment fails three times; a frozen worker never comes back.
        if not kind or self.count[kind] >= (1 if kind == "freeze" else 2):
            return None
        self.count[kind] += 1
        return kind


@pytest.mark.parametrize("interval", [0, 1, 3])
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("voice", [VOICE, None])
def test_results_are_those_of_a_local_run_whatever_happens(interval, seed, voice, tmp_path, monkeypatch):
    """Also: every segment is journalled exactly once."""
    engine, plans = Hashing(), clips(stable_mode_interval=interval)
    options = {"stable_mode_interval": interval}
    local = digests(list(Scheduler(recipe_of(engine, voice, **options), 4).run(plans)))
    kept: Counter[str] = Counter()
    keep = ClipJournal.keep

    def count(self, name, segment, take=0):
        kept[name] += 1
        keep(self, name, segment, take)

    monkeypatch.setattr(ClipJournal, "keep", count)
    pool = FakePool(engine, THREE, Scripted(seed))
    cluster, _ = cluster_of(pool, engine)
    journal = RunJournal.start(tmp_path, key, 0)
    results = list(make_scheduler(recipe_of(cluster, voice, **options), journal=journal).run(plans))
    assert digests(results) == local and len(local) == 6
    assert len(kept) == 48 and set(kept.values()) == {1}
    orders = [[r.index for r in results if isinstance(r, FinishedSegment) and r.plan is own] for own in plans]
    assert all(order == list(range(8)) for order in orders)
    assert len({worker for worker, *_ in pool.batches}) >= 3


def test_same_command_goes_on_after_its_process_was_killed(tmp_path):
    engine, plans = Counting(Hashing()), clips()
    local = digests(list(Scheduler(recipe_of(Hashing()), 4).run(plans)))
    first, _ = cluster_of(FakePool(engine, THREE), engine)
    results = make_scheduler(recipe_of(first), journal=RunJournal.start(tmp_path, key, 0)).run(plans)
    made = sum(isinstance(next(results), FinishedSegment) for _ in range(20))
    results.close()
    second_engine = Counting(Hashing())
    second, _ = cluster_of(FakePool(second_engine, THREE), second_engine)
    (journal,) = RunJournal.unfinished(tmp_path, key)
    again = list(make_scheduler(recipe_of(second), journal=journal).run(plans))
    assert digests(again) == local
    assert made >= 15 and second_engine.n_spoken <= 48 - made
    recalled = [r.record for r in again if isinstance(r, FinishedSegment) and r.record.recalled]
    assert len(recalled) >= made and all(record.worker in THREE for record in recalled)


def test_every_finished_segment_names_its_worker():
    engine = Hashing()
    cluster, _ = cluster_of(FakePool(engine, THREE), engine)
    results = list(make_scheduler(recipe_of(cluster)).run(clips(2)))
    workers = {r.record.worker for r in results if isinstance(r, FinishedSegment)}
    assert workers <= set(THREE) and len(workers) > 1
    assert sum(total.segments for total in cluster.totals.values()) == 16
    local = list(Scheduler(recipe_of(engine)).run(clips(1)))
    assert all(r.record.worker is None for r in local if isinstance(r, FinishedSegment))


def test_manifest_names_the_worker_of_each_segment(tmp_path):
    engine = Hashing()
    for name, own in {"far": cluster_of(FakePool(engine, THREE), engine)[0], "here": engine}.items():
        options = resolve(Options(output_dir=str(tmp_path / name), seed=1))
        list(save_clips(recipe_of(own), clips(1), tmp_path / name, options))
    far, here = (json.loads(next((tmp_path / name).glob("*.json")).read_text())["segments"] for name in ("far", "here"))
    assert {segment["worker"] for segment in far} <= set(THREE)
    assert not any("worker" in segment for segment in here)


def test_poisoned_segment_fails_its_clip_alone():
    def poison(worker: str, texts: Sequence[str]) -> str | None:
        return "fail" if "clip 2 segment 5" in texts else None

    engine, plans = Hashing(), clips()
    pool = FakePool(engine, THREE, poison)
    cluster, told = cluster_of(pool, engine)
    results = list(make_scheduler(recipe_of(cluster)).run(plans))
    (failed,) = [result for result in results if isinstance(result, FailedClip)]
    assert failed.plan is plans[2] and len(digests(results)) == 5
    message = str(failed.error)
    assert "clip 2 segment 5" in message and "ValueError: poison" in message and "same command" in message
    tried = [worker for worker, texts, _ in pool.batches if "clip 2 segment 5" in texts]
    assert len(tried) == MAX_TRIES and set(tried) == set(THREE)
    assert any("failed (ValueError: poison)" in sentence for sentence in told)


def test_poison_that_kills_workers_is_isolated_too():
    def poison(worker: str, texts: Sequence[str]) -> str | None:
        return "die" if "clip 0 segment 3" in texts else None

    engine = Hashing()
    cluster, told = cluster_of(FakePool(engine, THREE, poison), engine)
    results = list(make_scheduler(recipe_of(cluster)).run(clips()))
    assert len(digests(results)) == 5 and sum(isinstance(result, FailedClip) for result in results) == 1
    assert sum("is lost (killed)" in sentence for sentence in told) == MAX_TRIES


def test_worker_that_never_answers_is_replaced():
    """The only one there is: nobody else could finish the run."""
    frozen: list[str] = []

    def freeze(worker: str, texts: Sequence[str]) -> str | None:
        if worker == "a" and not frozen and "clip 3 segment 0" in texts:
            frozen.append(worker)
            return "freeze"
        return None

    engine = Hashing()
    pool = FakePool(engine, {"a": 0.0}, freeze)
    cluster, told = cluster_of(pool, engine)
    results = list(make_scheduler(recipe_of(cluster)).run(clips()))
    assert digests(results) == digests(list(Scheduler(recipe_of(engine)).run(clips()))) and frozen
    assert cluster.totals["a'"].segments and [s for s in told if "a is lost (it has not answered for long)" in s]


def test_run_ends_in_one_sentence_when_no_worker_is_left(tmp_path):
    engine = Hashing()
    pool = FakePool(engine, {"a": 0.0}, lambda worker, texts: "die", restarts=1)
    cluster, _ = cluster_of(pool, engine)
    with pytest.raises(DeviceError, match=r"no worker of the cluster is left \(a': killed\).*same command goes on"):
        list(make_scheduler(recipe_of(cluster), journal=RunJournal.start(tmp_path, key, 0)).run(clips()))


def test_batches_are_halved_where_memory_does_not_suffice():
    engine = Hashing()
    pool = FakePool(
        engine, {"a": 0.0, "b": 0.0}, lambda worker, texts: "memory" if worker == "a" and len(texts) > 2 else None
    )
    cluster, told = cluster_of(pool, engine)
    assert len(digests(list(make_scheduler(recipe_of(cluster)).run(clips())))) == 6
    assert max(len(texts) for worker, texts, _ in pool.batches if worker == "b") == 8
    assert any("a ran out of memory" in sentence for sentence in told)
    sizes = [len(texts) for worker, texts, _ in pool.batches if worker == "a"]
    assert sizes[-1] <= 2 < sizes[0]


def test_worker_that_joins_later_is_used():
    engine = Hashing()
    pool = FakePool(engine, {"a": 0.0, "late": 30.0})
    cluster, _ = cluster_of(pool, engine)
    assert len(digests(list(make_scheduler(recipe_of(cluster)).run(clips(10))))) == 10
    assert cluster.totals["late"].segments > 10


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"versions": VERSIONS | {"torch": "2.5"}}, ["torch 2.5", "this machine has 2.9"]),
        (
            {"identity": "other", "stages": {"semantic": {"dtype": "bfloat16", "device": "cuda"}}},
            ["bfloat16 on cuda", "float32 on cpu", "--dtype"],
        ),
        ({"identity": "other"}, ["other weights"]),
    ],
)
def test_worker_with_other_tokens_is_refused_with_both_named(changes, words):
    engine = Hashing()
    pool = FakePool(engine, {"a": 0.0, "odd": 1.0}, descriptions={"odd": described(engine, **changes)})
    cluster, told = cluster_of(pool, engine)
    assert len(digests(list(make_scheduler(recipe_of(cluster)).run(clips())))) == 6
    assert pool.refused == {"odd"} and "odd" not in {worker for worker, *_ in pool.batches}
    (sentence,) = told
    assert sentence.startswith("odd is not used: ") and all(word in sentence for word in words)


def test_no_suitable_worker_is_told_with_the_reason():
    engine = Hashing()
    other = described(engine, versions=VERSIONS | {"bark_infinity": "0.9"})
    with pytest.raises(DeviceError, match=r"bark_infinity 0\.9, and this machine has 1\.0\.0"):
        cluster_of(FakePool(engine, {"a": 1.0}, descriptions={"a": other}), engine)


def test_waiting_for_the_first_worker_is_told_once():
    engine = Hashing()
    _, told = cluster_of(FakePool(engine, {"a": 100.0}), engine)
    assert len(told) == 1 and "waiting for the first worker" in told[0]


# ---- as an engine ---------------------------------------------------------------------------------------------------


def test_cluster_is_an_engine_for_the_plain_scheduler_as_well():
    engine = Hashing()
    cluster, _ = cluster_of(FakePool(engine, THREE), engine)
    assert isinstance(cluster, Fleet) and not isinstance(engine, Fleet)
    assert isinstance(make_scheduler(recipe_of(cluster)), FleetScheduler)
    plans = clips(3)
    assert digests(list(Scheduler(recipe_of(cluster)).run(plans))) == digests(
        list(Scheduler(recipe_of(engine)).run(plans))
    )


def test_what_the_model_cannot_use_is_refused_here():
    engine = Hashing()
    cluster, _ = cluster_of(FakePool(engine, THREE), engine)
    with pytest.raises(TextError, match="nothing to say"):
        cluster.encode("")
    history = History.of_voice(VOICE)
    cluster.check_history(history)
    foreign = dataclasses.replace(history, semantic=history.semantic + 10_000)
    with pytest.raises(VoiceError, match="semantic token 10099 is beyond the 10000"):
        cluster.check_history(foreign)


def test_given_batch_size_wins_over_the_workers_memory():
    engine = Hashing()
    pool = FakePool(engine, {"a": 0.0})
    cluster, _ = cluster_of(pool, engine, rows=1)
    list(make_scheduler(recipe_of(cluster)).run(clips()))
    assert {len(texts) for _, texts, _ in pool.batches} == {2} and cluster.rows_at_once(Settings()) == 1


def test_workers_decode_once_that_takes_this_process_too_long():
    class SlowCodec(Hashing):
        def decode(self, codes):
            pool.now += 10.0
            return super().decode(codes)

    engine = Hashing()
    pool = FakePool(engine, THREE)
    cluster, _ = cluster_of(pool, SlowCodec())
    cluster.name = engine.name
    results = list(make_scheduler(recipe_of(cluster)).run(clips()))
    with_audio = [asked for _, _, asked in pool.batches]
    assert not with_audio[0] and with_audio[-1]
    assert digests(results) == digests(list(Scheduler(recipe_of(engine)).run(clips())))


def test_results_do_not_fill_the_memory_while_they_are_saved_slowly():
    engine = Hashing()
    pool = FakePool(engine, {name: 0.0 for name in "abcd"}, speeds=dict.fromkeys("abcd", 0.001))
    cluster, _ = cluster_of(pool, engine)
    for number in range(400):
        cluster.submit(Segment(f"s{number}", seeds=Seeds(number)), Settings())
    most = 0
    for _ in range(400):
        cluster.next_finished(lambda _: None)
        pool.now += 30.0  # to save it
        most = max(most, len(cluster._results))
    assert most <= 2 * 4 * 8


def test_progress_counts_workers_and_segments():
    engine, seen = Hashing(), []
    cluster, _ = cluster_of(FakePool(engine, THREE), engine)
    list(make_scheduler(recipe_of(cluster), progress=seen.append).run(clips()))
    assert all(isinstance(run, RunProgress) and run.fleet is not None for run in seen)
    assert max(run.fleet.busy for run in seen) == 3 and max(run.fleet.queued for run in seen) > 8
    assert seen[-1].segments_done == 47 and seen[-1].fleet.segments_per_s > 0


def test_faulty_segments_are_tried_again_with_other_seeds():
    recorder = Recorder(silent=frozenset({"s1"}))
    cluster, _ = cluster_of(FakePool(recorder, {"a": 0.0}), recorder)
    recipe = recipe_of(cluster, check_segments="retry", retries=2)
    results = list(make_scheduler(recipe).run([plan(["s0", "s1", "s2"])]))
    tries = [len(r.record.tries) for r in results if isinstance(r, FinishedSegment)]
    assert tries[1] == 3


def test_clip_that_fails_leaves_nothing_behind(tmp_path: Path):
    engine = Hashing()
    pool = FakePool(engine, THREE)
    cluster, _ = cluster_of(pool, engine)
    plans = [plan(["unreadable"]), *clips(2)]

    class Full:
        def add(self, segment: FinishedSegment) -> None:
            raise DeviceError("full")

        def finish(self, clip: Clip) -> Clip:
            return clip

        def discard(self) -> None:
            pass

    results = list(make_scheduler(recipe_of(cluster), open_writer=lambda _: Full()).run(plans))
    assert all(isinstance(result, FailedClip) for result in results) and len(results) == 3
    assert cluster._dispatcher.n_open == 0 and not cluster._segments
    assert np.isfinite(pool.now)
