"""Jobs: created, listed, run beside each other, paused, moved, cancelled, tried again and removed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from job_fakes import FOLDER, TEXT, request, until, wait_for

from bark_infinity.errors import QueueFullError, TextError, UnknownError, UnknownJobError, UsageError
from bark_infinity.server.job_views import JobState

TEXTS = ["One is here.", "Two is here.", "Three is here.", "Four is here."]


def test_job_is_made_as_a_run_in_the_folder(start):
    store, engine = start(is_open=False)
    made = store.create(request(name="My story"))
    assert made.state in (JobState.WAITING, JobState.RUNNING) and made.n_segments == 4 and made.name == "My story"
    assert [segment.text for segment in store.segments(made.id)] == TEXTS
    assert {segment.state for segment in store.segments(made.id)} == {"waiting"}
    engine.gate.let(2)
    wait_for(store, lambda: store.job(made.id).n_done == 2)
    first, second, *_ = store.segments(made.id)
    assert (first.state, first.start, first.takes, first.chosen) == ("made", 0.0, 1, 0)
    assert second.start == pytest.approx(first.seconds + 0.25)
    sound = store.segment_audio(made.id, 0)
    assert sound.dtype == np.float32 and len(sound) == round(first.seconds * 24_000)
    with pytest.raises(UnknownError, match="segment 3 is not made yet"):
        store.segment_audio(made.id, 2)
    assert store.peaks(made.id)
    engine.gate.open()
    done = until(store, made.id, JobState.FINISHED)
    assert done.n_done == 4 and done.clips[0].files[0] == "My_story.wav" and done.position is None
    assert {path.name for path in store.files(made.id)} == {
        "My_story.wav", "My_story.npz", "My_story.json", "My_story.segments.npz",
    }  # fmt: skip
    assert all(path.exists() for path in store.files(made.id))
    assert engine.gate.spoken == TEXTS and not list(FOLDER.glob("*.partial")) and not list(FOLDER.glob(".job-*"))
    np.testing.assert_array_equal(store.segment_audio(made.id, 0), sound)
    peaks = store.peaks(made.id)
    assert len(peaks) > 100 and 0 < max(peaks) <= 1
    assert [event["event"] for event in store.events(made.id)][-1] == "finished"
    assert "--output_filename My_story" in done.command and TEXT in done.command


def test_two_jobs_of_one_text_are_two_runs(start):
    store, engine = start(is_open=False)
    ids = [store.create(request(seed=5)).id for _ in range(2)]
    wait_for(store, lambda: all(store.job(id).state is JobState.RUNNING for id in ids))
    for id in ids:
        store.pause(id)
    for id in ids:
        store.go_on(id)
    engine.gate.open()
    done = [until(store, id, JobState.FINISHED) for id in ids]
    names = {view.clips[0].files[0] for view in done}
    assert len(names) == 2 and len(engine.gate.spoken) == 8


def test_paused_job_keeps_what_it_has_and_goes_on(start):
    store, engine = start(is_open=False)
    id = store.create(request()).id
    engine.gate.let(2)
    wait_for(store, lambda: store.job(id).n_done == 2)
    assert store.pause(id).state is JobState.PAUSED
    wait_for(store, lambda: store._list.entry(id).run is None)
    engine.gate.open()
    assert [segment.state for segment in store.segments(id)] == ["made", "made", "waiting", "waiting"]
    assert len(store.segment_audio(id, 1)) and engine.gate.spoken == TEXTS[:2]
    assert store.pause(id).state is JobState.PAUSED
    store.go_on(id)
    until(store, id, JobState.FINISHED)
    assert engine.gate.spoken == TEXTS
    with pytest.raises(UsageError, match="a job that is finished cannot be paused"):
        store.pause(id)


def test_running_job_that_is_moved_up_goes_before_the_others_also_after_a_restart(start):
    def precedences() -> list[float]:
        return [client.precedence for client in engine.clients if client.precedence is not None]

    store, engine = start(is_open=False)
    first, second, third = [store.create(request(f"{name} is here.")).id for name in ("One", "Two", "Three")]
    assert len(set(precedences())) == 1  # they take turns
    store.move_up(second)
    store.move_up(third)
    one, two, three = precedences()
    assert three < two < one
    store.close()
    store, engine = start(is_open=False)
    assert sorted(precedences()) == [three, two, one]
    engine.gate.open()
    for id in (first, second, third):
        until(store, id, JobState.FINISHED)


def test_jobs_wait_in_order_and_can_be_moved_up(start):
    store, engine = start(is_open=False, most_running=1, most_waiting=3)
    first, *others = [store.create(request(f"{word} is here.")).id for word in ("Nought", "One", "Two", "Three")]
    assert [store.job(id).position for id in (first, *others)] == [None, 1, 2, 3]
    with pytest.raises(QueueFullError, match="3 jobs wait already"):
        store.create(request())
    assert not list((FOLDER / ".bark-jobs").glob("*/text.txt"))[4:]
    store.move_up(others[2])
    assert [store.job(id).position for id in others] == [2, 3, 1]
    engine.gate.open()
    for id in (first, *others):
        until(store, id, JobState.FINISHED)
    assert engine.gate.spoken == ["Nought is here.", "Three is here.", "One is here.", "Two is here."]
    assert [view.id for view in store.jobs()] == [*reversed(others), first]


def test_cancelled_job_leaves_no_unfinished_files(start):
    store, engine = start(is_open=False, most_running=1)
    running, waiting = [store.create(request(seed=k)).id for k in range(2)]
    engine.gate.let(1)
    wait_for(store, lambda: store.job(running).n_done == 1)
    assert store.cancel(waiting).state is store.cancel(running).state is JobState.CANCELLED
    wait_for(store, lambda: not list(FOLDER.glob("*.partial")))
    assert {segment.state for segment in store.segments(running)} == {"waiting"}
    engine.gate.open()
    store.retry(running)
    until(store, running, JobState.FINISHED)
    assert len(engine.gate.spoken) == 5 and store.job(waiting).state is JobState.CANCELLED
    store.remove(waiting)
    assert [view.id for view in store.jobs()] == [running]
    with pytest.raises(UnknownJobError, match="there is no job"):
        store.job(waiting)


def test_cancelled_job_keeps_finished_clips(start):
    store, engine = start(is_open=False)
    id = store.create(request("One is here. Two is here.", output_iterations=2)).id
    engine.gate.let(3)
    wait_for(store, lambda: store.job(id).clips[0].state is JobState.FINISHED and store.job(id).n_done == 3)
    store.cancel(id)
    wait_for(store, lambda: not list(FOLDER.glob("*.partial")))
    finished, other = store.job(id).clips
    assert (finished.state, other.state) == (JobState.FINISHED, JobState.CANCELLED)
    assert len(store.files(id)) == 4 and all(path.exists() for path in store.files(id))
    store.retry(id)
    engine.gate.open()
    until(store, id, JobState.FINISHED)
    assert len(engine.gate.spoken) == 5 and len(list(FOLDER.glob("*.wav"))) == 2


def test_removed_job_keeps_its_files_and_is_not_listed_again(start):
    store, _ = start()
    id = store.create(request()).id
    until(store, id, JobState.FINISHED)
    files = store.files(id)
    store.remove(id)
    assert not store.jobs() and all(path.exists() for path in files)
    store.close()
    store, _ = start()
    assert not store.jobs()


def test_what_cannot_be_spoken_is_refused_and_leaves_nothing(start):
    store, _ = start()
    for asked, error, message in (
        (request("..."), TextError, "nothing to say"),
        (request(""), TextError, "has no text"),
        (request("a\ud800b"), TextError, "lone surrogates"),
        (request("One is here. [sound: voice.npz]"), TextError, "no uploaded recording voice.npz"),
        (request("One is here." + "[pause:3600s]" * 3 + "Two is here."), TextError, "last 180.0 minutes"),
        (request(nonsense=1), UsageError, "there is no flag nonsense"),
        (request(shard="1/2"), UsageError, "--shard is not for jobs"),
        (request(model="large"), UsageError, "not how the server's model is loaded"),
        (request(text_temp=-1.0), UsageError, "--text_temp must be"),
        (request(output_filename="../x.wav"), UsageError, "has a folder"),
        (request(None, upload="x"), UnknownError, "takes no uploaded files"),
    ):
        with pytest.raises(error, match=message):
            store.create(asked)
    assert not store.jobs() and not [path for path in (FOLDER / ".bark-jobs").iterdir() if path.is_dir()]


def test_failed_job_says_why_and_can_be_tried_again(start, make_voice):
    store, _ = start()
    id = store.create(request(history_prompt="later.npz")).id
    failed = until(store, id, JobState.FAILED)
    assert failed.error is not None and "later.npz" in failed.error
    make_voice(seed=2).save(Path("later.npz"))
    assert store.retry(id).error is None
    assert until(store, id, JobState.FINISHED).error is None


def test_changes_are_told_once(start):
    store, engine = start(is_open=False)
    revision = store.wait(0, 0)
    assert store.changes(revision) is None and store.wait(revision, 0.01) == revision
    id = store.create(request()).id
    told = store.changes(revision)
    assert told is not None and [view.id for view in told[1]] == [id]
    wait_for(store, lambda: store.job(id).state is JobState.RUNNING)
    before = store.segments(id)
    revision = store.wait(0, 0)
    engine.gate.let(1)
    assert store.wait(revision, 30) > revision
    wait_for(store, lambda: store.job(id).n_done == 1)
    (changed,) = store.segments(id, revision)
    assert changed.index == 0 and changed.revision > before[0].revision
    assert store.changes(revision + 10**9) is not None  # of another server, which was ahead


def test_a_second_server_in_the_folder_is_refused(start):
    start()
    with pytest.raises(UsageError, match="another server works in the folder out"):
        start()
