"""Stage 3: the codes of the first two codebooks to all eight, one codebook at a time over windows of 1024 frames.

It follows the original's `generate_fine`. Shapes: B active rows, f frames.
"""

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
from .progress import Progress, Wanted, always_wanted, no_progress


@dataclass(frozen=True)
class FineSettings:
    """How fine codes are drawn; with a temperature of 0 or None the most probable code is taken."""

    temperature: float | None = 0.5


@dataclass(frozen=True, eq=False)
class FineRow:
    """One segment: the given codes (1 to 7 codebooks, usually 2; f), a history of codes (8, f'), randomness and settings.

    All given codebooks come out unchanged.
    """

    coarse: np.ndarray
    history: np.ndarray
    random: RowRandom
    settings: FineSettings = FineSettings()
    is_wanted: Wanted = always_wanted


class _RowState:
    """A row of the batch: codes (f, 8) of history, segment and padding, and the window that is filled next."""

    def __init__(self, row: FineRow, spec: BarkSpec):
        self.random, self.settings, self.is_wanted = row.random, row.settings, row.is_wanted
        self.n_frames = row.coarse.shape[1]
        history = row.history[:, max(0, row.history.shape[1] - spec.fine_history) :]
        self.n_history = history.shape[1]
        total = max(self.n_history + self.n_frames, spec.fine_window)
        codes = np.full((spec.n_fine_codebooks, total), spec.codebook_size)  # the id past the last code means "unknown"
        codes[:, : self.n_history] = history
        codes[: len(row.coarse), self.n_history : self.n_history + self.n_frames] = row.coarse
        self.codes = torch.from_numpy(codes.T.copy())
        self.n_given = len(row.coarse)
        hops = math.ceil((self.n_frames - (spec.fine_window - self.n_history)) / spec.fine_history)
        self.n_windows = max(0, hops) + 1 if self.n_frames else 0
        self.windows_done = 0

    @property
    def done(self) -> bool:
        return self.windows_done == self.n_windows

    def window(self, spec: BarkSpec) -> tuple[int, int]:
        """First frame of the next window, and the first frame to be drawn, counted from the window's start."""
        start = min(self.windows_done * spec.fine_history, len(self.codes) - spec.fine_window)
        first_drawn = min(self.n_history + self.windows_done * spec.fine_history, len(self.codes) - spec.fine_history)
        return start, first_drawn - start

    def result(self) -> np.ndarray:
        """Codes (8, f) of the segment, without history and padding."""
        return self.codes[self.n_history : self.n_history + self.n_frames].numpy().T


def generate_fine(
    model: FineGPT,
    spec: BarkSpec,
    rows: Sequence[FineRow],
    progress: Progress = no_progress,
    max_active: int | None = None,
) -> list[np.ndarray]:
    """Codes (8, f) of each row."""
    codes = dict(stream_fine(model, spec, rows, progress, max_active))
    return [codes[k] for k in range(len(rows))]


def stream_fine(
    model: FineGPT,
    spec: BarkSpec,
    rows: Sequence[FineRow],
    progress: Progress = no_progress,
    max_active: int | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """The index of each row and its codes (8, f), as soon as they are complete; none of rows that are not wanted any more.

    Windows of up to `max_active` rows (None: all) go through the model side by side, the other rows wait.
    """
    states = [_RowState(row, spec) for row in rows]
    waiting = ((index, state) for index, state in enumerate(states) if state.is_wanted())
    n_slots = max_active or len(states)
    n_codebooks = spec.n_fine_codebooks - min((state.n_given for state in states), default=0)
    done, total = 0, sum(state.n_windows for state in states) * n_codebooks * spec.fine_history

    def report(n: int) -> None:
        nonlocal done
        done += n
        progress(done, total)

    active: list[tuple[int, _RowState]] = list(islice(waiting, n_slots))
    while active:
        _fill_windows(model, spec, [state for _, state in active if not state.done], report)
        finished = [(index, state) for index, state in active if state.done]
        active = [(index, state) for index, state in active if not state.done and state.is_wanted()]
        active += islice(waiting, n_slots - len(active))
        for index, state in finished:
            yield index, state.result()


@torch.inference_mode()
def _fill_windows(model: FineGPT, spec: BarkSpec, states: Sequence[_RowState], report: Callable[[int], None]) -> None:
    """Fill the next window of each row, codebook by codebook."""
    if not states:
        return
    windows = [state.window(spec) for state in states]
    # The windows are copied to the device once, and the drawn codes are copied back at the end.
    codes = torch.stack(
        [state.codes[start : start + spec.fine_window] for state, (start, _) in zip(states, windows, strict=True)]
    ).to(model.device)  # (B, 1024, 8)
    for codebook in range(min(state.n_given for state in states), spec.n_fine_codebooks):
        hidden = model(codes, codebook)
        for i, (state, (_, first_drawn)) in enumerate(zip(states, windows, strict=True)):
            if codebook >= state.n_given:
                logits = model.logits(hidden[i, first_drawn:], codebook, spec.codebook_size)
                codes[i, first_drawn:, codebook] = _draw_frames(logits, state.settings, state.random).to(codes.device)
        report(len(states) * spec.fine_history)
    for state, (start, first_drawn), window in zip(states, windows, codes.cpu(), strict=True):
        state.codes[start + first_drawn : start + spec.fine_window] = window[first_drawn:]
        state.windows_done += 1


def _draw_frames(logits: torch.Tensor, settings: FineSettings, random: RowRandom) -> torch.Tensor:
    """A code for every frame of one row: (f, 1024) -> (f,), in one draw, as the original does."""
    if settings.temperature is None or is_greedy(settings.temperature):
        return logits.argmax(dim=-1)
    probs = probabilities(logits, settings.temperature, None, None)
    return torch.multinomial(probs, 1, generator=random.generator(probs.device))[:, 0]
