"""Jobs over the shared engine and a real model: made, stopped within a step, and equal to what the command line makes."""

from __future__ import annotations

import json
from pathlib import Path

from job_fakes import FOLDER, OneVoice, request, until, wait_for

from bark_infinity.bark import Bark
from bark_infinity.narration import ClipSource, Job, recipe_of
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options
from bark_infinity.server.job_views import JobState
from bark_infinity.server.jobs import JobStore
from bark_infinity.server.shared_engine import SharedEngine


def test_job_is_that_of_the_command_line_and_ends_within_a_step(demo: Bark):
    defaults = resolve(Options(model="demo"))
    asked = {"seed": 3, "history_prompt": None, "semantic_max_gen_duration_s": 0.4, "output_filename": "one"}
    assert demo.codec  # loaded
    with SharedEngine(demo) as engine:
        store = JobStore(FOLDER, defaults, demo, engine, OneVoice())
        endless = store.create(
            request("x. " * 20, semantic_allow_early_stop=False, semantic_max_gen_duration_s=None, history_prompt=None)
        )
        wait_for(store, lambda: engine.statistics().running > 0)
        assert store.cancel(endless.id).state is JobState.CANCELLED
        id = store.create(request("One is here. Two is here.", **asked)).id
        view = until(store, id, JobState.FINISHED)
        assert len(store.segment_audio(id, 1)) and engine.statistics().queued == 0
        store.close()
    options = resolve(
        Options(
            text_prompt="One is here. Two is here.", model="demo", output_dir="cli", **{**request("").options, **asked}
        )
    )
    source = ClipSource(options)
    list(Job(options, source, recipe_of(source, demo)).run())
    digests = [json.loads((path / "one.json").read_text())["audio_sha256"] for path in (FOLDER, Path("cli"))]
    assert digests[0] == digests[1] and view.n_done == 2
