"""Changes of finished clips: new texts, segments made again, other takes; what is kept, and what is shown meanwhile."""

from __future__ import annotations

import json
import os
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from job_fakes import FOLDER, request, until, wait_for

from bark_infinity.errors import UnknownError, UsageError
from bark_infinity.files import file_sha256
from bark_infinity.server.job_records import ClipRecord, Swap
from bark_infinity.server.job_views import JobState
from bark_infinity.server.swapping import complete_swap

DIALOGUE = """+++
[cast]
Anna = "voice.npz"
+++
# The Door

Anna: One is here. Two is here.

[pause:1.5s]

Three is here.
"""


def texts(store, id) -> list[str]:
    return [segment.text for segment in store.segments(id)]


def manifest(store, id) -> dict:
    (path,) = [path for path in store.files(id) if path.suffix == ".json"]
    return json.loads(path.read_text())


def test_new_texts_make_only_what_is_new_and_keep_the_names(start):
    store, engine = start()
    id = store.create(request(name="story", subtitles="srt")).id
    before = until(store, id, JobState.FINISHED)
    old = store.segments(id)
    sounds = [store.segment_audio(id, k) for k in range(4)]
    engine.gate.is_open = False
    asked = store.edit(id, {1: "  Another\ntext. "})
    assert asked.state in (JobState.WAITING, JobState.RUNNING)
    wait_for(store, lambda: store._list.entry(id).changing is not None)
    now = store.segments(id)
    assert [segment.state for segment in now] == ["made", "waiting", "made", "made"]
    assert now[1].text == "Another text." and store.job(id).clips[0].files == before.clips[0].files
    np.testing.assert_array_equal(store.segment_audio(id, 2), sounds[2])
    with pytest.raises(UnknownError, match="not made yet"):
        store.segment_audio(id, 1)
    engine.gate.open()
    done = until(store, id, JobState.FINISHED)
    assert engine.gate.spoken[4:] == ["Another text."]
    assert done.clips[0].files == before.clips[0].files and len(done.clips[0].files) == 5
    assert sorted(path.name for path in FOLDER.iterdir() if path.name[0] != ".") == sorted(done.clips[0].files)
    assert texts(store, id) == ["One is here.", "Another text.", "Three is here.", "Four is here."]
    for k in (0, 2, 3):
        np.testing.assert_array_equal(store.segment_audio(id, k), sounds[k])
    assert not np.array_equal(store.segment_audio(id, 1)[:1000], sounds[1][:1000])
    assert [a.revision > b.revision for a, b in zip(store.segments(id), old, strict=True)][:2] == [False, True]
    assert manifest(store, id)["text"] == "One is here. Another text. Three is here. Four is here."


def test_texts_can_be_left_out_and_cut_into_several(start):
    store, engine = start()
    id = store.create(request()).id
    until(store, id, JobState.FINISHED)
    store.edit(id, {0: "", 2: "Five is here. Six is here."})
    until(store, id, JobState.FINISHED)
    assert texts(store, id) == ["Two is here.", "Five is here.", "Six is here.", "Four is here."]
    assert engine.gate.spoken[4:] == ["Five is here.", "Six is here."]
    store.make_again(id, [3])
    until(store, id, JobState.FINISHED)
    assert engine.gate.spoken[6:] == ["Four is here."]


def test_script_keeps_its_markup(start):
    store, engine = start()
    id = store.create(request(DIALOGUE)).id
    until(store, id, JobState.FINISHED)
    assert [(s.speaker, s.chapter) for s in store.segments(id)] == [("Anna", "The Door")] * 2 + [(None, "The Door")]
    store.edit(id, {1: "Anna: [laughs] Seven is here."})
    until(store, id, JobState.FINISHED)
    content = manifest(store, id)
    assert engine.gate.spoken[-1] == "Anna: [laughs] Seven is here." and content["segments"][1]["speaker"] == "Anna"
    assert "[pause:1.5s]" in content["script"] and "[laughs] Seven is here." in content["script"]
    assert content["segments"][1]["pause"] == {"kind": "asked", "seconds": 1.5}
    store.edit(id, {0: "One is [pause] here."})
    failed = until(store, id, JobState.FAILED)
    assert "segment 1 has a tag" in str(failed.error)
    assert store.cancel(id).state is JobState.FINISHED and texts(store, id)[0] == "One is here."


def test_changes_wait_for_each_other(start):
    store, engine = start()
    id = store.create(request()).id
    until(store, id, JobState.FINISHED)
    engine.gate.is_open = False
    store.edit(id, {0: "Five is here. Six is here."})
    wait_for(store, lambda: store._list.entry(id).changing is not None)
    with pytest.raises(UsageError, match="segment 1 is being made"):
        store.edit(id, {0: "Seven is here."})
    store.make_again(id, [4])  # as it is numbered now
    store.make_again(id, [2])
    assert len(store._list.entry(id).record.changes) == 2
    engine.gate.open()
    until(store, id, JobState.FINISHED)
    assert engine.gate.spoken[4:] == ["Five is here.", "Six is here.", "Two is here.", "Four is here."]


def test_unfinished_jobs_cannot_be_changed(start):
    store, _ = start(is_open=False)
    id = store.create(request()).id
    for change in (lambda: store.edit(id, {0: "x"}), lambda: store.make_again(id, [0])):
        with pytest.raises(UsageError, match="not finished yet"):
            change()
    with pytest.raises(UnknownError, match="no take 2"):
        store.choose_take(id, 0, 1)


def test_another_take_is_put_in_and_back(start):
    store, engine = start()
    id = store.create(request(candidates=3)).id
    until(store, id, JobState.FINISHED)
    segments = store.segments(id)
    assert [segment.takes for segment in segments] == [3] * 4
    takes = [store.segment_audio(id, 1, take) for take in range(3)]
    chosen = segments[1].chosen
    other = (chosen + 1) % 3
    sha256 = manifest(store, id)["audio_sha256"]
    store.choose_take(id, 1, other)
    until(store, id, JobState.FINISHED)
    assert store.segments(id)[1].chosen == other and len(engine.gate.spoken) == 12
    np.testing.assert_array_equal(store.segment_audio(id, 1), takes[other])
    assert manifest(store, id)["audio_sha256"] != sha256
    store.choose_take(id, 1, chosen)
    until(store, id, JobState.FINISHED)
    assert manifest(store, id)["audio_sha256"] == sha256


def test_cancelled_change_leaves_the_clip_as_it_was(start):
    store, engine = start()
    id = store.create(request()).id
    until(store, id, JobState.FINISHED)
    digest = [file_sha256(path) for path in store.files(id)]
    engine.gate.is_open = False
    store.make_again(id, [1, 2])
    engine.gate.let(1)
    wait_for(store, lambda: len(engine.gate.spoken) == 5)
    assert store.cancel(id).state is JobState.FINISHED
    wait_for(store, lambda: not list(FOLDER.glob("*.partial")))
    assert [file_sha256(path) for path in store.files(id)] == digest
    assert {segment.state for segment in store.segments(id)} == {"made"}


class _Steps:
    """Lets so many calls be made, and ends at the next one as a kill does."""

    def __init__(self, n: int):
        self._left = n

    def call(self, function, *arguments):
        if not self._left:
            raise KeyboardInterrupt
        self._left -= 1
        return function(*arguments)


@pytest.mark.parametrize("taken", [False, True])
def test_swap_can_be_repeated_after_a_kill_at_any_moment(monkeypatch, taken):
    old = ClipRecord("a", 1, files=("a.wav", "a.json", "a.segments/1.wav"))
    new = ClipRecord("a_1", 1, files=("a_1.wav", "a_1.json", "a_1.srt", "a_1.segments/1.wav"))
    swap = Swap(0, new, old)
    for n_steps in range(20):
        shutil.rmtree("out", ignore_errors=True)
        for name in (*old.files, *new.files, *(["a.srt"] if taken else [])):
            Path("out", name).parent.mkdir(parents=True, exist_ok=True)
            Path("out", name).write_text("old" if name in (*old.files, "a.srt") else "new")
        steps = _Steps(n_steps)
        with monkeypatch.context() as patch:
            for name in ("unlink", "replace", "rmdir"):
                patch.setattr(os, name, partial(steps.call, getattr(os, name)))
            try:
                complete_swap(Path("out"), swap)
                interrupted = False
            except KeyboardInterrupt:
                interrupted = True
        record = complete_swap(Path("out"), swap)
        assert record.name == ("a_1" if taken else "a")
        there = {path.relative_to("out").as_posix() for path in Path("out").rglob("*") if path.is_file()}
        assert there == set(record.files) | ({"a.srt"} if taken else set())
        assert all(Path("out", name).read_text() == "new" for name in record.files)
        if not interrupted:
            break
    assert n_steps >= 3


def test_clip_of_another_model_is_not_made_again_but_takes_are_chosen(start):
    store, _ = start()
    id = store.create(request(candidates=2)).id
    until(store, id, JobState.FINISHED)
    (path,) = [path for path in store.files(id) if path.suffix == ".json"]
    path.write_text(path.read_text().replace('"model": "demo"', '"model": "large"', 1))
    store.make_again(id, [0])
    assert "was made with the model large" in str(until(store, id, JobState.FAILED).error)
    store.cancel(id)
    store.choose_take(id, 0, 1 - store.segments(id)[0].chosen)
    until(store, id, JobState.FINISHED)


def test_text_with_nothing_to_say_is_told(start):
    store, _ = start()
    id = store.create(request()).id
    until(store, id, JobState.FINISHED)
    store.edit(id, dict.fromkeys(range(4), ""))
    assert "no segment with a text is left" in str(until(store, id, JobState.FAILED).error)
