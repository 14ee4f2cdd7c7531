"""What a server that ends, or is killed at any moment, leaves to the next one: every job, in its state, and what is made."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
from job_fakes import FOLDER, GatedEngine, request, store_of, until, wait_for

from bark_infinity.bark import Bark
from bark_infinity.files import file_sha256
from bark_infinity.server.job_entry import JobEntry
from bark_infinity.server.job_records import FOLDER as HIDDEN
from bark_infinity.server.job_records import JobRecord, QueueFile
from bark_infinity.server.job_views import JobState

QUEUE = FOLDER / HIDDEN / "queue.jsonl"


def test_jobs_wait_and_stay_paused_over_a_restart(start):
    store, engine = start(is_open=False, most_running=1)
    running, waiting, paused, done = [
        store.create(request(f"{word} is here. Two is here.")).id for word in ("One", "Nought", "Four", "Five")
    ]
    store.pause(paused)
    store.cancel(done)
    store.move_up(paused)
    engine.gate.let(1)
    wait_for(store, lambda: store.job(running).n_done == 1)
    store.close()
    store, engine = start(is_open=False, most_running=1)
    states = {id: store.job(id).state for id in (running, waiting, paused, done)}
    assert list(states.values()) == [JobState.RUNNING, JobState.WAITING, JobState.PAUSED, JobState.CANCELLED]
    assert store.job(running).n_done == 1 and store.job(running).n_segments == 2
    assert [segment.state for segment in store.segments(running)] == ["made", "waiting"]
    assert len(store.segment_audio(running, 0)) and store.segments(waiting)[0].text == "Nought is here."
    engine.gate.open()
    until(store, waiting, JobState.FINISHED)
    assert engine.gate.spoken == ["Two is here.", "Nought is here.", "Two is here."]
    assert store.job(paused).state is JobState.PAUSED and store.events(waiting)[0]["event"] == "created"


def test_what_is_kept_counts_before_it_is_read_again(start, monkeypatch):
    store, engine = start(is_open=False)
    id = store.create(request("One is here. Two is here. Three is here.")).id
    engine.gate.let(2)
    wait_for(store, lambda: store.job(id).n_done == 2)
    before = store.job(id).seconds
    store.close()
    monkeypatch.setattr(JobEntry, "made", lambda *_: None)  # nothing is read again
    store, engine = start(is_open=False)
    wait_for(store, lambda: "planned" in [event["event"] for event in store.events(id)])
    assert store.job(id).n_done == 2 and 0 < store.job(id).seconds <= before  # without the silences between segments
    assert [segment.state for segment in store.segments(id)] == ["made", "made", "waiting"]
    assert len(store.segment_audio(id, 1))


def _serve(demo: Bark, texts: list[str], n_let: int) -> None:
    """A server that makes new jobs of texts, and goes on with those that are there; it ends only when it is killed."""
    engine = GatedEngine(is_open=False)
    store = store_of(FOLDER, demo, engine)
    with open("spoken.txt", "a") as spoken:
        for text in texts:
            store.create(request(text))
        engine.gate.let(n_let)
        told = 0
        while True:
            for text in engine.gate.spoken[told:]:
                spoken.write(f"{text}\n")
                spoken.flush()
                told += 1
            time.sleep(0.002)


def test_killed_server_loses_and_doubles_nothing(demo, make_voice, start):
    make_voice(seed=1).save(Path("voice.npz"))
    texts = [" ".join(f"{name} {word} here." for word in ("one", "two", "three", "four")) for name in ("Ann", "Bob")]
    fork = multiprocessing.get_context("fork")  # so that it need not import everything again
    n_kills = 4
    for kill in range(n_kills):
        server = fork.Process(target=_serve, args=(demo, texts if not kill else [], 2))
        server.start()
        n_before = len(_spoken())
        end = time.monotonic() + 60
        while len(_spoken()) < n_before + 2 - (kill % 2):  # within, or behind, the last segment that is let through
            assert time.monotonic() < end and server.is_alive()
            time.sleep(0.002)
        os.kill(server.pid, signal.SIGKILL)
        server.join()
    saved = [path for path in FOLDER.glob("*.partial/segments/*.npz")]
    store, engine = start()
    jobs = store.jobs()
    assert len(jobs) == 2 and sum(view.n_done for view in jobs) == len(saved) > 0
    for view in jobs:
        done = until(store, view.id, JobState.FINISHED)
        assert done.n_done == 4 and " ".join(s.text for s in store.segments(view.id)) in texts
    assert len(engine.gate.spoken) == 8 - len(saved)  # what was saved is not made again
    assert (
        len(list(FOLDER.glob("*.wav"))) == 2 and not list(FOLDER.glob("*.partial")) and not list(FOLDER.glob(".job-*"))
    )
    store.close()


def _spoken() -> list[str]:
    path = Path("spoken.txt")
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize("step", ["named", "recorded", "swapped"])
def test_server_killed_while_a_clip_is_finished_or_replaced(start, monkeypatch, step):
    """Between the naming of the files and their record, between the record and the swap, and behind the swap."""
    from bark_infinity.server import job_entry

    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    store, engine = start()
    id = store.create(request()).id
    until(store, id, JobState.FINISHED)
    with monkeypatch.context() as patch:
        if step == "named":
            patch.setattr(job_entry.JobEntry, "finished", die)
        elif step == "recorded":
            patch.setattr(job_entry, "complete_swap", die)
        else:
            swap = job_entry.complete_swap
            patch.setattr(job_entry, "complete_swap", lambda *given: (swap(*given), die()))
        patch.setattr("threading.excepthook", lambda _: None)
        store.make_again(id, [1])
        store._threads[id].join()
        store._shelf.queue.close()  # as if it had been killed
    store, engine = start()
    view = until(store, id, JobState.FINISHED)
    assert engine.gate.spoken == [] and [job.id for job in store.jobs()] == [id]
    assert sorted(path.name for path in FOLDER.iterdir() if path.name[0] != ".") == sorted(view.clips[0].files)
    assert view.clips[0].name == "One_is_here_Two_is_here_Three_is_here_Four_is_here-SPK-voice"
    seeds = [s["seeds"] for s in json.loads((FOLDER / f"{view.clips[0].name}.json").read_text())["segments"]]
    assert len(seeds) == 4 and not list(FOLDER.glob(".job-*"))


def test_finished_clip_that_was_not_recorded_is_not_made_again_nor_listed_twice(start, monkeypatch):
    from bark_infinity.server import job_entry

    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    store, engine = start()
    with monkeypatch.context() as patch:
        patch.setattr("threading.excepthook", lambda _: None)
        patch.setattr(job_entry.JobEntry, "finished", die)
        id = store.create(request()).id
        store._threads[id].join()
        store._shelf.queue.close()
    digests = [file_sha256(path) for path in _visible_files()]
    store, engine = start(most_running=0)
    assert [view.id for view in store.jobs()] == [id]
    store.close()
    store, engine = start()
    view = until(store, id, JobState.FINISHED)
    assert engine.gate.spoken == [] and view.n_done == 4 and view.seconds > 1
    assert [file_sha256(path) for path in _visible_files()] == digests


def _visible_files() -> list[Path]:
    return sorted(path for path in FOLDER.iterdir() if path.is_file() and path.name[0] != ".")


def test_queue_file_that_is_cut_off_anywhere_has_all_jobs_before(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)
    FOLDER.mkdir()
    queue = QueueFile(FOLDER)
    for k in range(3):
        queue.put(JobRecord(f"job{k}", "x", "page", 1.0, float(k), options={"text_temp": 0.5}))
    queue.put(JobRecord("job0", "y", "page", 1.0, 0.0, JobState.PAUSED))
    queue.hide("clip")
    queue.close()
    whole = QUEUE.read_bytes()
    for length in range(0, len(whole), 29):
        QUEUE.write_bytes(whole[:length])
        queue = QueueFile(FOLDER)
        lines = [json.loads(line) for line in whole[:length].split(b"\n")[:-1] if line]
        assert queue.records.keys() == {line["id"] for line in lines if "id" in line}
        queue.put(JobRecord("new", "z", "api", 1.0, 9.0))
        queue.close()
        queue = QueueFile(FOLDER)
        assert queue.records["new"].name == "z"
        queue.close()
    QUEUE.write_bytes(whole + b'{"id": 5}\n[1]\nnonsense\n{"id": "x", "clips": 7, "state": "odd"}\n')
    queue = QueueFile(FOLDER)
    assert set(queue.records) == {"job0", "job1", "job2"} and queue.records["job0"].state is JobState.PAUSED
    assert queue.hidden == {"clip"} and queue.records["job1"].options == {"text_temp": 0.5}
    queue.close()
