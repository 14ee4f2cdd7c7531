"""An engine without a model whose batches take steps, in which tests do things."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np
from fakes import EngineStream, Hashing, text_of

from bark_infinity.bark import Segment, Settings, StageProgress

STEPS = 10  # of a batch
TIMEOUT = 20.0  # s, after which a test has failed


class Stepping(Hashing):
    """Each batch takes ten steps of a second by `clock`. `on_step` is called at each, in the engine's thread."""

    def __init__(self, rows: int = 4, on_step: Callable[[list[str], int], None] = lambda *_: None):
        super().__init__()
        self.on_step, self.fits, self.now = on_step, rows, 0.0
        self.steps: list[tuple[list[str], int]] = []
        self.threads: set[str] = set()

    def rows_at_once(self, settings: Settings) -> int:
        return self.fits

    def clock(self) -> float:
        return self.now

    def stream(
        self, segments: Sequence[Segment], settings: Settings, progress: StageProgress, rows: int | None
    ) -> EngineStream:
        texts = [text_of(segment) for segment in segments]
        self.batches.append(texts)
        for step in range(STEPS):
            self.threads.add(threading.current_thread().name)
            self.now += 1.0
            self.steps.append((texts, step))
            self.on_step(texts, step)
            progress("semantic", step, STEPS)
        yield from super().stream(segments, settings, lambda *_: None, rows)

    def decode(self, codes: Sequence[np.ndarray]) -> list[np.ndarray]:
        self.threads.add(threading.current_thread().name)
        return super().decode(codes)
