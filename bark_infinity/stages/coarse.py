"""Stage 2: semantic tokens to the first two codebooks, interleaved frame by frame, in sliding windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..decoding import make_decoder
from ..gpt import CausalGPT
from ..sampling import RowRandom, draw, probabilities
from ..spec import BarkSpec
from . import Progress, no_progress


@dataclass(frozen=True)
class CoarseSettings:
    """How coarse tokens are drawn; the flags of the same names say more."""

    temperature: float = 0.7
    top_k: int | None = None
    top_p: float | None = None
    max_coarse_history: int = 630  # interleaved tokens
    sliding_window_len: int = 60  # interleaved tokens
    alignment: int = -2  # interleaved tokens dropped from the end of the history, negative
    use_kv_caching: bool = True


@dataclass(frozen=True, eq=False)
class CoarseRow:
    """One segment: new semantic tokens (n,); history as semantic (k,) and coarse (2, m) of the same time; randomness."""

    semantic: np.ndarray
    history_semantic: np.ndarray
    history_coarse: np.ndarray
    random: RowRandom


class _Run:
    """A row under way: everything in the model's ids."""

    def __init__(self, row: CoarseRow, spec: BarkSpec, settings: CoarseSettings):
        self.random = row.random
        self.steps = spec.coarse_steps(len(row.semantic))
        history, self.history = trim_history(row.history_semantic, row.history_coarse, spec, settings)
        self.semantic = np.concatenate([history, row.semantic])
        self.n_history = len(history)
        self.made: list[int] = []

    def window(self, spec: BarkSpec, settings: CoarseSettings) -> np.ndarray:
        """Input ids at the start of a window: 256 semantic positions, the sign to begin, the coarse tokens so far."""
        at = self.n_history + round(len(self.made) / spec.coarse_per_semantic)
        n = spec.max_coarse_semantic
        start = max(0, at - spec.max_semantic_history(settings.max_coarse_history))
        heard = self.semantic[start : start + n]
        padding = np.full(n - len(heard), spec.coarse_semantic_pad_token)
        coarse = np.concatenate([self.history, np.array(self.made, np.int64)])[-settings.max_coarse_history :]
        return np.concatenate([heard, padding, [spec.coarse_infer_token], coarse])


@torch.inference_mode()
def generate_coarse(
    model: CausalGPT,
    spec: BarkSpec,
    rows: Sequence[CoarseRow],
    settings: CoarseSettings,
    progress: Progress = no_progress,
) -> list[np.ndarray]:
    """Codes (2, frames) of each row; no frames for a row without semantic tokens."""
    runs = [_Run(row, spec, settings) for row in rows]
    total = sum(run.steps for run in runs)
    device = model.head.weight.device
    waiting = [run for run in runs if run.steps]
    longest = spec.max_coarse_semantic + settings.max_coarse_history + settings.sliding_window_len
    decoder = make_decoder(model, len(waiting), longest, settings.use_kv_caching)
    step = 0
    while waiting:
        windows = [torch.from_numpy(run.window(spec, settings)).to(device) for run in waiting]
        hidden = decoder.prefill([model.token_embedding(ids) for ids in windows])
        at_work = waiting  # row of each slot
        for in_window in range(settings.sliding_window_len):
            tokens = _draw(model, spec, hidden, step, settings, [run.random for run in at_work])
            for run, token in zip(at_work, tokens.tolist(), strict=True):
                run.made.append(token)
            step += 1
            progress(sum(len(run.made) for run in runs), total)
            alive = [slot for slot, run in enumerate(at_work) if run.steps > step]
            if not alive or in_window == settings.sliding_window_len - 1:
                break
            if len(alive) < len(at_work):
                order = decoder.keep(alive)
                at_work, tokens = [at_work[slot] for slot in order], tokens[order]
            hidden = decoder.step(tokens.to(device))
        waiting = [run for run in waiting if run.steps > step]
    return [_deinterleave(run.made, spec) for run in runs]


def trim_history(
    semantic: np.ndarray, coarse: np.ndarray, spec: BarkSpec, settings: CoarseSettings
) -> tuple[np.ndarray, np.ndarray]:
    """The ends of both histories that were spoken in the same time, as long as the window allows.

    (k,) semantic and (2, m) coarse in; (k',) semantic tokens and (m',) interleaved ids out. m' may be odd: the original
    cuts between the codebooks of a frame, and its tokens follow from that.
    """
    ids = _interleave(coarse, spec)
    n_semantic = min(
        spec.max_semantic_history(settings.max_coarse_history),
        len(semantic) - len(semantic) % 2,
        int(len(ids) / spec.coarse_per_semantic),
    )
    n_ids = round(n_semantic * spec.coarse_per_semantic)
    ids = ids[len(ids) - n_ids :]
    return semantic[len(semantic) - n_semantic :], ids[: max(0, n_ids + settings.alignment)]


def _draw(
    model: CausalGPT,
    spec: BarkSpec,
    hidden: torch.Tensor,
    step: int,
    settings: CoarseSettings,
    randoms: Sequence[RowRandom],
) -> torch.Tensor:
    """One id a slot (B,), of the codebook whose turn it is."""
    start = spec.semantic_vocab_size + step % spec.n_coarse_codebooks * spec.codebook_size
    logits = model.logits(hidden, start, start + spec.codebook_size)
    return draw(probabilities(logits, settings.temperature, settings.top_k, settings.top_p), randoms) + start


def _interleave(coarse: np.ndarray, spec: BarkSpec) -> np.ndarray:
    """(2, m) codes -> (2m,) ids of the coarse vocabulary."""
    offsets = spec.semantic_vocab_size + spec.codebook_size * np.arange(len(coarse))
    return (coarse.T + offsets).reshape(-1)


def _deinterleave(ids: Sequence[int], spec: BarkSpec) -> np.ndarray:
    """(2m,) ids of the coarse vocabulary -> (2, m) codes."""
    offsets = spec.semantic_vocab_size + spec.codebook_size * np.arange(spec.n_coarse_codebooks)
    return (np.array(ids, np.int64).reshape(-1, spec.n_coarse_codebooks) - offsets).T
