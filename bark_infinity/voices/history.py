"""The history of each segment of a clip: interval, weights, and the arrays that follow from them.

Two sources: the *starting voice* (the given one, or the first segment's own) and the *previous segment*. A history is the
end of the first followed by the end of the second, each cut to its share of the stage's window.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .. import constants as c
from ..model.spec import BarkSpec
from .voice import Voice


@dataclass(frozen=True, eq=False)
class History:
    """The tokens that the three stages continue in a segment; empty arrays where a stage has no history.

    semantic (n,); coarse (2, m) with coarse_semantic (k,), the semantic tokens spoken in the same time; fine (8, f).
    """

    semantic: np.ndarray
    coarse_semantic: np.ndarray
    coarse: np.ndarray
    fine: np.ndarray

    def __repr__(self) -> str:
        sizes = f"{len(self.semantic)} semantic tokens, {self.coarse.shape[1]} coarse frames, {self.fine.shape[1]} fine frames"
        return f"History({sizes})"

    @classmethod
    def of_voice(cls, voice: Voice | None) -> History:
        """The whole voice for every stage, as the original does; the stages cut it to their windows."""
        if voice is None:
            none = np.zeros(0, np.int64)
            return cls(none, none, none.reshape(c.N_COARSE_CODEBOOKS, 0), none.reshape(c.N_FINE_CODEBOOKS, 0))
        return cls(voice.semantic, voice.semantic, voice.coarse, voice.fine)


@dataclass(frozen=True)
class StageWeights:
    """Shares (0..1) of one stage's history window. None follows the interval."""

    starting: float = 1.0  # of the starting voice, for the first segment
    future: float | None = None  # of the starting voice, for later segments
    previous: float | None = None  # of the previous segment, for later segments

    def at(self, index: int, returns: bool) -> tuple[float, float]:
        """Shares of (starting voice, previous segment) for segment `index`.

        `returns`: the interval makes this segment return to the starting voice.
        """
        if index == 0:
            return self.starting, 0.0
        future = self.future if self.future is not None else float(returns)
        previous = self.previous if self.previous is not None else float(not returns)
        return future, previous


@dataclass(frozen=True)
class Weights:
    """The history of one segment: each stage's shares (0..1) of its window for (starting voice, previous segment)."""

    semantic: tuple[float, float] = (1.0, 0.0)
    coarse: tuple[float, float] = (1.0, 0.0)
    fine: tuple[float, float] = (1.0, 0.0)

    @property
    def of_starting(self) -> bool:
        """True when any stage's history contains the starting voice."""
        return any(starting > 0 for starting, _ in (self.semantic, self.coarse, self.fine))

    @property
    def of_previous(self) -> bool:
        """True when any stage's history contains the previous segment."""
        return any(previous > 0 for _, previous in (self.semantic, self.coarse, self.fine))

    def history(self, starting: Voice | None, previous: Voice | None, spec: BarkSpec) -> History:
        """The arrays for the stages; the coarse stage's semantic tokens cover the same time as its frames."""
        starting, previous = starting or _SILENT, previous or _SILENT

        n_start, n_previous = _lengths(self.semantic, spec.max_text_ids, starting.semantic, previous.semantic)
        semantic = np.concatenate([_last(starting.semantic, n_start), _last(previous.semantic, n_previous)])

        n_start, n_previous = _lengths(self.coarse, c.COARSE_HISTORY_WINDOW, starting.coarse, previous.coarse)
        coarse = np.concatenate([_last(starting.coarse, n_start), _last(previous.coarse, n_previous)], axis=1)
        n_start, n_previous = _semantic_beside(starting, n_start, spec), _semantic_beside(previous, n_previous, spec)
        coarse_semantic = np.concatenate([_last(starting.semantic, n_start), _last(previous.semantic, n_previous)])

        n_start, n_previous = _lengths(self.fine, spec.fine_history, starting.fine, previous.fine)
        fine = np.concatenate([_last(starting.fine, n_start), _last(previous.fine, n_previous)], axis=1)
        return History(semantic, coarse_semantic, coarse, fine)


PREVIOUS_ONLY = Weights((0.0, 1.0), (0.0, 1.0), (0.0, 1.0))


@dataclass(frozen=True)
class HistoryPlan:
    """The rule that gives each segment of a clip its history. `interval` is --stable_mode_interval."""

    interval: int = 1
    semantic: StageWeights = StageWeights()
    coarse: StageWeights = StageWeights()
    fine: StageWeights = StageWeights()
    separate: bool = False  # segments do not continue each other: each has the given voice as history, or none
    semantic_only_every: int | None = None  # every n-th segment has a history in the semantic stage only

    def weights(self, index: int, wordless: bool = False) -> Weights:
        """Weights of segment `index` (from 0); a `wordless` one always continues the previous segment."""
        returns = self.separate or (self.interval > 0 and index % self.interval == 0)
        shares = [stage.at(index, returns) for stage in (self.semantic, self.coarse, self.fine)]
        if self.separate:
            shares = [(starting, 0.0) for starting, _ in shares]
        weights = PREVIOUS_ONLY if wordless and index else Weights(*shares)
        if self.semantic_only_every is not None and (index + 1) % self.semantic_only_every == 0:
            weights = replace(weights, coarse=(0.0, 0.0), fine=(0.0, 0.0))
        return weights


_SILENT = Voice(*(np.zeros(shape, np.int64) for shape in (0, (c.N_COARSE_CODEBOOKS, 0), (c.N_FINE_CODEBOOKS, 0))))


def _lengths(shares: tuple[float, float], window: int, starting: np.ndarray, previous: np.ndarray) -> tuple[int, int]:
    """Number of tokens from each source; if they do not fit the window, the starting voice gets fewer."""
    n_previous = min(round(shares[1] * window), previous.shape[-1])
    n_starting = min(round(shares[0] * window), starting.shape[-1], window - n_previous)
    return n_starting, n_previous


def _semantic_beside(voice: Voice, frames: int, spec: BarkSpec) -> int:
    """Number of semantic tokens spoken in a voice's last `frames` frames; for all frames, all of them."""
    return len(voice.semantic) if frames == voice.coarse.shape[1] else spec.semantic_of_frames(frames)


def _last(tokens: np.ndarray, n: int) -> np.ndarray:
    """The last n entries of the last axis; unlike `[-n:]`, none for n = 0."""
    return tokens[..., max(0, tokens.shape[-1] - n) :]
