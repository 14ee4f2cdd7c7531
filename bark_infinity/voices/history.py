"""Which history the next segment of a clip hears: interval, weights, and the arrays that follow from them.

Two sources: the *starting voice* (the given one, or the first segment's own) and the *segment before*. A history is the
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
    """What the three stages hear before a segment; empty arrays where a stage gets none.

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
    """Shares (0..1) of one stage's window. None follows the interval."""

    starting: float = 1.0  # of the starting voice, for the first segment
    future: float | None = None  # of the starting voice, for later segments
    previous: float | None = None  # of the segment before, for later segments

    def at(self, index: int, returns: bool) -> tuple[float, float]:
        """Shares of (starting voice, segment before) for segment `index`; `returns`: the interval names the starting voice."""
        if index == 0:
            return self.starting, 0.0
        future = self.future if self.future is not None else float(returns)
        previous = self.previous if self.previous is not None else float(not returns)
        return future, previous


@dataclass(frozen=True)
class Weights:
    """What one segment hears: for each stage the shares (0..1) of its window due to (starting voice, segment before)."""

    semantic: tuple[float, float] = (1.0, 0.0)
    coarse: tuple[float, float] = (1.0, 0.0)
    fine: tuple[float, float] = (1.0, 0.0)

    @property
    def of_starting(self) -> bool:
        """Whether the starting voice is heard at all."""
        return any(starting > 0 for starting, _ in (self.semantic, self.coarse, self.fine))

    @property
    def of_previous(self) -> bool:
        """Whether the segment before is heard at all."""
        return any(previous > 0 for _, previous in (self.semantic, self.coarse, self.fine))

    def history(self, starting: Voice | None, previous: Voice | None, spec: BarkSpec) -> History:
        """The arrays the stages hear. The coarse stage's semantic tokens are cut in time with its frames."""
        starting, previous = starting or _SILENT, previous or _SILENT

        n_start, n_previous = _lengths(self.semantic, spec.max_text_ids, starting.semantic, previous.semantic)
        semantic = np.concatenate([_last(starting.semantic, n_start), _last(previous.semantic, n_previous)])

        n_start, n_previous = _lengths(self.coarse, c.COARSE_HISTORY_WINDOW, starting.coarse, previous.coarse)
        coarse = np.concatenate([_last(starting.coarse, n_start), _last(previous.coarse, n_previous)], axis=1)
        beside = (_beside(starting, n_start, spec), _beside(previous, n_previous, spec))
        coarse_semantic = np.concatenate([_last(starting.semantic, beside[0]), _last(previous.semantic, beside[1])])

        n_start, n_previous = _lengths(self.fine, spec.fine_history, starting.fine, previous.fine)
        fine = np.concatenate([_last(starting.fine, n_start), _last(previous.fine, n_previous)], axis=1)
        return History(semantic, coarse_semantic, coarse, fine)


GOES_ON = Weights((0.0, 1.0), (0.0, 1.0), (0.0, 1.0))  # from the segment before alone


@dataclass(frozen=True)
class HistoryPlan:
    """The rule for all segments of a clip. `interval` is --stable_mode_interval."""

    interval: int = 1
    semantic: StageWeights = StageWeights()
    coarse: StageWeights = StageWeights()
    fine: StageWeights = StageWeights()
    separate: bool = False  # no history between segments: each hears the given voice alone, or none
    semantic_only_every: int | None = None  # every x-th segment has no history but the semantic stage's

    def weights(self, index: int, wordless: bool = False) -> Weights:
        """What segment `index` (from 0) hears; a `wordless` one goes on from the segment before, whatever the weights."""
        returns = self.separate or (self.interval > 0 and index % self.interval == 0)
        shares = [stage.at(index, returns) for stage in (self.semantic, self.coarse, self.fine)]
        if self.separate:
            shares = [(starting, 0.0) for starting, _ in shares]
        weights = GOES_ON if wordless and index else Weights(*shares)
        if self.semantic_only_every is not None and (index + 1) % self.semantic_only_every == 0:
            weights = replace(weights, coarse=(0.0, 0.0), fine=(0.0, 0.0))
        return weights


_SILENT = Voice(*(np.zeros(shape, np.int64) for shape in (0, (c.N_COARSE_CODEBOOKS, 0), (c.N_FINE_CODEBOOKS, 0))))


def _lengths(shares: tuple[float, float], window: int, starting: np.ndarray, previous: np.ndarray) -> tuple[int, int]:
    """Tokens of each source; what does not fit the window beside the segment before is taken off the starting voice."""
    n_previous = min(round(shares[1] * window), previous.shape[-1])
    n_starting = min(round(shares[0] * window), starting.shape[-1], window - n_previous)
    return n_starting, n_previous


def _beside(voice: Voice, frames: int, spec: BarkSpec) -> int:
    """Semantic tokens of a source beside its last `frames` frames: all beside all, though the ratio varies by rounding."""
    return len(voice.semantic) if frames == voice.coarse.shape[1] else spec.semantic_of_frames(frames)


def _last(tokens: np.ndarray, n: int) -> np.ndarray:
    """The last n of the last axis; unlike `[-n:]`, none for 0."""
    return tokens[..., max(0, tokens.shape[-1] - n) :]
