"""Stage 3: the first two codebooks to all eight, one codebook at a time over windows of 1024 frames."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch

from ..model.gpt import FineGPT
from ..model.sampling import RowRandom, is_greedy, probabilities
from ..model.spec import BarkSpec
from .progress import Progress, no_progress


@dataclass(frozen=True)
class FineSettings:
    """How fine codes are drawn; 0 or None takes the likeliest."""

    temperature: float | None = 0.5


@dataclass(frozen=True, eq=False)
class FineRow:
    """One segment: given codes (2, frames), or (1..7, frames) of which all are kept; fine history (8, f); randomness."""

    coarse: np.ndarray
    history: np.ndarray
    random: RowRandom


class _Run:
    """A row under way: codes (frames, 8) of history, segment and padding, and where its windows lie."""

    def __init__(self, row: FineRow, spec: BarkSpec):
        self.random = row.random
        self.frames = row.coarse.shape[1]
        history = row.history[:, max(0, row.history.shape[1] - spec.fine_history) :]
        self.n_history = history.shape[1]
        total = max(self.n_history + self.frames, spec.fine_window)
        codes = np.full((spec.n_fine_codebooks, total), spec.codebook_size)  # one past the last code marks what is open
        codes[:, : self.n_history] = history
        codes[: len(row.coarse), self.n_history : self.n_history + self.frames] = row.coarse
        self.codes = torch.from_numpy(codes.T.copy())
        self.n_given = len(row.coarse)
        hops = math.ceil((self.frames - (spec.fine_window - self.n_history)) / spec.fine_history)
        self.loops = max(0, hops) + 1 if self.frames else 0
        self.loop = 0  # the next window

    def window(self, spec: BarkSpec) -> tuple[int, int]:
        """First frame of the next window, and the first frame in it that is drawn (counted from the window's start)."""
        start = min(self.loop * spec.fine_history, len(self.codes) - spec.fine_window)
        fill = min(self.n_history + self.loop * spec.fine_history, len(self.codes) - spec.fine_history)
        return start, fill - start

    def result(self) -> np.ndarray:
        return self.codes[self.n_history : self.n_history + self.frames].numpy().T


def generate_fine(
    model: FineGPT,
    spec: BarkSpec,
    rows: Sequence[FineRow],
    settings: FineSettings,
    progress: Progress = no_progress,
    at_once: int | None = None,
) -> list[np.ndarray]:
    """Codes (8, frames) of each row."""
    codes = dict(stream_fine(model, spec, rows, settings, progress, at_once))
    return [codes[k] for k in range(len(rows))]


def stream_fine(
    model: FineGPT,
    spec: BarkSpec,
    rows: Sequence[FineRow],
    settings: FineSettings,
    progress: Progress = no_progress,
    at_once: int | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """The place of each row and its codes (8, frames), as soon as they are whole.

    Windows of `at_once` rows go through the model side by side; who is finished leaves the place to who waits.
    """
    runs = [_Run(row, spec) for row in rows]
    waiting = iter(enumerate(runs))
    places = at_once or len(runs)
    books = spec.n_fine_codebooks - min((run.n_given for run in runs), default=0)
    done, total = 0, sum(run.loops for run in runs) * books * spec.fine_history

    def report(n: int) -> None:
        nonlocal done
        done += n
        progress(done, total)

    at_work: list[tuple[int, _Run]] = list(islice(waiting, places))
    while at_work:
        _next_windows(model, spec, [run for _, run in at_work if run.loops], settings, report)
        finished = [(k, run) for k, run in at_work if run.loop >= run.loops]
        at_work = [(k, run) for k, run in at_work if run.loop < run.loops]
        at_work += islice(waiting, places - len(at_work))
        for k, run in finished:
            yield k, run.result()


@torch.inference_mode()
def _next_windows(
    model: FineGPT, spec: BarkSpec, runs: Sequence[_Run], settings: FineSettings, report: Callable[[int], None]
) -> None:
    """Fill the next window of each run, codebook by codebook."""
    if not runs:
        return
    spans = [run.window(spec) for run in runs]
    # Windows are copies on the device; what is drawn goes back at the end.
    codes = torch.stack(
        [run.codes[start : start + spec.fine_window] for run, (start, _) in zip(runs, spans, strict=True)]
    ).to(model.device)  # (B, 1024, 8)
    for codebook in range(min(run.n_given for run in runs), spec.n_fine_codebooks):
        hidden = model(codes, codebook)
        for i, (run, (_, fill)) in enumerate(zip(runs, spans, strict=True)):
            if codebook >= run.n_given:
                logits = model.logits(hidden[i, fill:], codebook, spec.codebook_size)
                codes[i, fill:, codebook] = _draw_frames(logits, settings, run.random).to(codes.device)
        report(len(runs) * spec.fine_history)
    for run, (start, fill), window in zip(runs, spans, codes.cpu(), strict=True):
        run.codes[start + fill : start + spec.fine_window] = window[fill:]
        run.loop += 1


def _draw_frames(logits: torch.Tensor, settings: FineSettings, random: RowRandom) -> torch.Tensor:
    """A code for every frame of one row: (F, 1024) -> (F,), in one draw, as the original does."""
    if is_greedy(settings.temperature):
        return logits.argmax(dim=-1)
    probs = probabilities(logits, settings.temperature, None, None)
    return torch.multinomial(probs, 1, generator=random.generator(probs.device))[:, 0]
