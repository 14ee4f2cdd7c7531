"""Jobs: created, listed, run beside each other, paused, moved, cancelled, tried again and removed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from job_fakes import TEXT, GatedEngine, request, store_of, until, wait_for

from bark_infinity.bark import Bark
from bark_infinity.errors import QueueFullError, TextError, UnknownError, UnknownJobError, UsageError
from bark_infinity.server.job_views import JobState
from bark_infinity.server.jobs import JobStore
from bark_infinity.voices.voice import Voice

FOLDER = Path("out")
TEXTS = ["One is here.", "Two is here.", "Three is here.", "Four is here."]


@pytest.fixture
def start(demo: Bark, make_voice) -> Iterator[Callable[..., tuple[JobStore, GatedEngine]]]:
    """Starts a server's store in FOLDER, with an engine that is open or not."""
    make_voice(seed=1).save(Path("voice.npz"))
    with contextlib.ExitStack() as stack:

        def begin(is_open: bool = True, **arguments: object) -> tuple[JobStore, GatedEngine]:
            engine = GatedEngine(is_open)
            store = store_of(FOLDER, demo, engine, **arguments)
            stack.callback(store.close)
            return store, engine

        yield begin


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
