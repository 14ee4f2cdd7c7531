"""What the command line does in the folder of a server: its runs and clips are listed, and not disturbed."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import closing
from pathlib import Path

import pytest
from fakes import VOICE, Hashing
from job_fakes import FOLDER, TEXT, request, until, wait_for

from bark_infinity.errors import UsageError
from bark_infinity.narration import ClipSource, Job
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options
from bark_infinity.run.clips import Clip
from bark_infinity.run.recipe import Recipe
from bark_infinity.server import folder_watch
from bark_infinity.server.folder_watch import FolderWatch
from bark_infinity.server.job_views import JobState


def command(**options) -> Job:
    """A run of the command line in the folder."""
    cut = {"split_each_text_prompt_by": "sentence", "semantic_max_gen_duration_s": 0.3, "batch_size": 1}
    resolved = resolve(Options(**{"text_prompt": TEXT, "output_dir": str(FOLDER), "model": "demo", **cut, **options}))
    engine = Hashing()
    engine.name = "demo"
    return Job(resolved, ClipSource(resolved), Recipe.from_options(resolved, engine, VOICE))


@pytest.fixture
def store(start, monkeypatch):
    monkeypatch.setattr("bark_infinity.server.job_list._LOOK_S", 0.0)
    return start()[0]


def test_run_is_seen_while_it_goes_on_and_its_clip_when_it_is_finished(store, monkeypatch):
    with closing(command().run()) as run:
        next(run), next(run)
        (view,) = store.jobs()
        assert (view.origin, view.state, view.n_segments) == ("command line", JobState.RUNNING, 4)
        assert view.text.startswith("One is here. Two") and view.n_done == 2
        segments = store.segments(view.id)
        assert [segment.text for segment in segments] == [
            "One is here.",
            "Two is here.",
            "Three is here.",
            "Four is here.",
        ]
        assert [segment.state for segment in segments] == ["made", "made", "waiting", "waiting"]
        assert len(store.segment_audio(view.id, 1)) == round(segments[1].seconds * 24_000) > 0
        revision = store.wait(0, 0)
        next(run)
        assert store.wait(revision, 30) > revision
        changed = store.segments(view.id, revision)
        assert [segment.index for segment in changed] == [2] and store.job(view.id).n_done == 3
        for act in (store.pause, store.cancel, store.remove, lambda id: store.edit(id, {0: "x"})):
            with pytest.raises(UsageError, match="run of the command line"):
                act(view.id)
        assert [result for result in run if isinstance(result, Clip)]  # it was not disturbed
    (done,) = store.jobs()
    assert (done.origin, done.state, done.n_done) == ("command line", JobState.FINISHED, 4)
    assert done.clips[0].files[0].endswith(".wav") and len(store.segments(done.id)) == 4
    assert "--from_manifest" in done.command and len(store.segment_audio(done.id, 3))


def test_interrupted_run_is_said_to_be_and_goes_on_by_its_command(store, monkeypatch):
    monkeypatch.setattr(folder_watch, "_ALIVE_S", 0.0)
    with closing(command(seed=1).run()) as run:
        next(run)
        assert store.jobs()[0].state is JobState.RUNNING  # by its lock, where the system shows that
    (view,) = store.jobs()
    assert view.state is JobState.PAUSED and "interrupted" in str(view.note) and view.n_done == 1
    again = command(seed=1)
    assert again.resumed
    list(again.run())
    assert store.jobs()[0].state is JobState.FINISHED


def test_command_line_does_not_take_the_run_of_a_paused_job(start):
    store, engine = start(is_open=False)
    id = store.create(request(history_prompt=None)).id
    engine.gate.let(1)
    wait_for(store, lambda: store.job(id).n_done == 1)
    store.pause(id)
    wait_for(store, lambda: store._list.entry(id).run is None)
    job = command(keep_takes=True)
    assert not job.resumed
    list(job.run())
    engine.gate.open()
    store.go_on(id)
    until(store, id, JobState.FINISHED)
    assert len(engine.gate.spoken) == 4


def test_clip_of_the_command_line_can_be_changed_and_taken_off_the_list(store):
    list(command(output_filename="story").run())
    (view,) = store.jobs()
    store.edit(view.id, {0: "Five is here."})
    until(store, view.id, JobState.FINISHED)
    assert [segment.text for segment in store.segments(view.id)][0] == "Five is here."
    assert [job.id for job in store.jobs()] == [view.id] and store.job(view.id).clips[0].files[0] == "story.wav"
    store.remove(view.id)
    assert not store.jobs() and (FOLDER / "story.wav").exists()


def test_clip_that_is_deleted_is_listed_no_more(store):
    list(command().run())
    before = store.jobs()
    for path in store.files(before[0].id):
        path.unlink()
    assert len(before) == 1 and not store.jobs()


def test_many_clips_are_read_once(monkeypatch):
    list(command(output_filename="clip").run())
    manifest = json.loads((FOLDER / "clip.json").read_text())
    for k in range(100):
        (FOLDER / f"clip_{k + 1}.json").write_text(json.dumps({**manifest, "text": f"clip {k}"}))
        (FOLDER / f"clip_{k + 1}.wav").touch()
    read = []
    monkeypatch.setattr(folder_watch, "read_content", lambda path: read.append(path) or manifest)
    watch = FolderWatch(FOLDER)
    assert len(watch.clips()) == len(read) == 101
    assert len(watch.clips()) == 101 and len(read) == 101
    (FOLDER / "clip_7.json").write_text(json.dumps({**manifest, "text": "another"}))
    (FOLDER / "clip_8.wav").unlink()
    assert len(watch.clips()) == 100 and len(read) == 102


def test_what_is_no_manifest_is_not_listed(store):
    FOLDER.mkdir(exist_ok=True)
    for name, content in {
        "a.json": "[" * 5_000,
        "b.json": '{"segments": 5, "settings": {}}',
        "c.json": '{"segments": [5, null, {"text": 7, "tries": 5, "start": "x"}], "settings": {}, "text": 5, "seconds": "x"}',
        "g.json": '{"segments": [{"text": "\\ud800", "start": 1e999, "end": 1' + "0" * 400 + '}], "settings": {}, '
        '"text": "\\ud800", "seconds": NaN}',
        "d.subtitles.json": "{}",
    }.items():
        (FOLDER / name).write_text(content)
        (FOLDER / name.replace(".json", ".wav")).touch()
    os.symlink("missing", FOLDER / "e.json")
    shutil.copytree(FOLDER, FOLDER / "f.partial", symlinks=True)
    (FOLDER / "f.partial" / "plan.json").write_text(
        '{"run": ".run-1.jsonl", "place": [0, 0], "segments": [1], "texts": [5]}'
    )
    os.rename(os.fsencode(FOLDER / "a.wav"), os.fsencode(FOLDER) + b"/\xff.wav")
    (FOLDER / os.fsdecode(b"\xff.json")).write_text('{"segments": [], "settings": {}}')
    odd, view = sorted(store.jobs(), key=lambda view: view.name, reverse=True)
    assert view.name == "c" and [s.text for s in store.segments(view.id)] == [""]
    assert (odd.name, odd.text, odd.seconds) == ("g", "?", 0.0)
    assert [(s.text, s.start, s.seconds) for s in store.segments(odd.id)] == [("?", None, None)]
    assert Path("missing").exists() is False
