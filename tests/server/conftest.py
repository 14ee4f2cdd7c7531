"""A store of jobs over an engine without a model."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from job_fakes import FOLDER, GatedEngine, store_of

from bark_infinity.bark import Bark
from bark_infinity.server.jobs import JobStore


@pytest.fixture
def start(demo: Bark, make_voice, monkeypatch) -> Iterator[Callable[..., tuple[JobStore, GatedEngine]]]:
    """Starts a server's store in FOLDER, with an engine that is open or not."""
    monkeypatch.setattr(os, "fsync", lambda _: None)  # which takes long while others write
    make_voice(seed=1).save(Path("voice.npz"))
    with contextlib.ExitStack() as stack:

        def begin(is_open: bool = True, **arguments: object) -> tuple[JobStore, GatedEngine]:
            engine = GatedEngine(is_open)
            store = store_of(FOLDER, demo, engine, **arguments)
            stack.callback(store.close)
            return store, engine

        yield begin
