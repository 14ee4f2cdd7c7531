"""What is measured: a segment of speech behind a voice, stage by stage, each case in a process of its own.

A causal stage is timed over a short and a long run of tokens. Both start with the same prefill, so that what a prefill
and what a step costs follows from the two; a whole segment is made of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from bark_infinity import Voice
from bark_infinity import constants as c
from bark_infinity.model.spec import BarkSpec

from .floors import Floor

OURS, THEIRS = "ours", "transformers"
STAGES = ("semantic", "coarse", "fine", "codec")
WHOLE = "whole"  # all four in a row

SPEC = BarkSpec()
SEGMENT_TOKENS = 339  # semantic: 6.8 s, as long as fits behind a voice into one fine window
SEGMENT_FRAMES = SPEC.coarse_steps(SEGMENT_TOKENS) // SPEC.n_coarse_codebooks
SEGMENT_SECONDS = SEGMENT_FRAMES / c.FRAME_RATE_HZ
VOICE_SECONDS = 7.0  # fills the history of every stage
WINDOW = 60  # coarse tokens
_SEMANTIC_PREFIX = SPEC.max_text_ids + 1
_COARSE_PREFIX = SPEC.max_coarse_semantic + 1 + c.MAX_COARSE_HISTORY
_TOKENS = {  # of a segment
    "semantic": SEGMENT_TOKENS,
    "coarse": 2 * SEGMENT_FRAMES,
    "fine": 6 * SEGMENT_FRAMES,  # those that the stage makes
    "codec": c.N_FINE_CODEBOOKS * SEGMENT_FRAMES,
}


@dataclass(frozen=True)
class Work:
    """Prefills and steps of a run of a causal stage, for each row."""

    prefills: int
    steps: int


@dataclass(frozen=True)
class Case:
    """One process: a model in a type on a device, and what it is to make with `rows` segments side by side."""

    who: str
    size: str
    folder: str
    dtype: str
    device: str
    rows: int
    stages: tuple[str, ...]
    semantic_tokens: int = 64
    coarse_windows: int = 1
    budget_s: float = 8.0  # for repeating a run

    @property
    def model(self) -> tuple[str, str, str]:
        return self.who, self.size, self.dtype

    def __str__(self) -> str:
        return f"{self.who}, {self.size}, {self.dtype}, {self.rows} row{'s' * (self.rows > 1)}"

    @property
    def coarse_semantic(self) -> int:
        """Semantic tokens that call for so many windows of coarse tokens."""
        return math.ceil(self.coarse_windows * WINDOW / SPEC.coarse_per_semantic)

    def short(self, stage: str) -> Work:
        return Work(1, 0) if stage == "semantic" else _coarse_work(SPEC.coarse_steps(1))

    def long(self, stage: str) -> Work:
        if stage == "semantic":
            return Work(1, self.semantic_tokens - 1)
        return _coarse_work(SPEC.coarse_steps(self.coarse_semantic))

    def least_seconds(self, stage: str, floor: Floor) -> float:
        """What no machine of these rates can be faster than, for both runs of a causal stage, or one window."""
        if stage == "fine":
            return floor.fine(self.rows)
        if stage not in ("semantic", "coarse"):
            return 0.0
        short, long = self.short(stage), self.long(stage)
        step = floor.step(stage, self.rows, context(stage, long))
        prefill = floor.prefill(stage, self.rows, prefix(stage))
        return (short.prefills + long.prefills) * prefill + (short.steps + long.steps) * step


@dataclass
class Times:
    """Seconds of each run; `short` where there are two lengths."""

    long: list[float] = field(default_factory=list)
    short: list[float] = field(default_factory=list)


@dataclass
class Report:
    """What a process found."""

    case: Case
    times: dict[str, Times] = field(default_factory=dict)
    import_s: float | None = None  # of the library
    load_s: float | None = None  # from the folder to three stages that are ready
    codec_s: float | None = None  # until the codec is ready too
    peak_bytes: int | None = None  # of the process; on a GPU, of what torch took there
    loaded_bytes: int | None = None  # the same when the model was just loaded
    refused: str | None = None  # why there is no such model here
    failed: dict[str, str] = field(default_factory=dict)  # stages that broke


def random_voice() -> Voice:
    """A voice that fills the history of every stage."""
    rng = np.random.default_rng(0)
    frames = int(VOICE_SECONDS * c.FRAME_RATE_HZ)
    fine = rng.integers(0, c.CODEBOOK_SIZE, (c.N_FINE_CODEBOOKS, frames))
    return Voice(rng.integers(0, c.SEMANTIC_VOCAB_SIZE, SPEC.semantic_of_frames(frames)), fine[:2], fine)


def segment_work(stage: str) -> Work:
    """Of a whole segment."""
    return Work(1, SEGMENT_TOKENS - 1) if stage == "semantic" else _coarse_work(2 * SEGMENT_FRAMES)


def tokens(stage: str) -> int:
    """Tokens of a whole segment."""
    return _TOKENS[stage]


def prefix(stage: str) -> int:
    """Positions of a prefill behind a voice."""
    return _SEMANTIC_PREFIX if stage == "semantic" else _COARSE_PREFIX


def context(stage: str, work: Work) -> int:
    """Positions that a step reads, on average."""
    return prefix(stage) + (work.steps // work.prefills + 1) // 2


def _coarse_work(n_tokens: int) -> Work:
    prefills = math.ceil(n_tokens / WINDOW)  # which also give a token each
    return Work(prefills, n_tokens - prefills)
