"""Stage 2: semantic tokens to the codes of the first two codebooks, in sliding windows (the original's `generate_coarse`).

Shapes: B active rows, b rows of a group that are drawn alike, V entries of a codebook, T positions, C width, m frames. The
model's tokens are codes of both codebooks in turn, frame by frame ("interleaved"), each with the offset of its codebook in
the model's vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..model.gpt import CausalGPT
from ..model.sampling import NoiseBlocks, RowRandom, draw, draws_ahead, probabilities, sample_with_noise
from ..model.spec import BarkSpec
from .progress import Progress, Wanted, always_wanted, no_progress
from .slots import Group, Slots, batches


@dataclass(frozen=True)
class CoarseSettings:
    """How coarse tokens are drawn; options/table.py describes the flags of the same names."""

    temperature: float = 0.7
    top_k: int | None = None
    top_p: float | None = None
    max_coarse_history: int = 630  # interleaved tokens
    sliding_window_len: int = 60  # interleaved tokens
    alignment: int = -2  # a negative number: so many interleaved tokens are dropped from the end of the history
    use_kv_caching: bool = True


@dataclass(frozen=True, eq=False)
class CoarseRow:
    """One segment: its semantic tokens (n,), a history of semantic tokens (k,) and codes (2, m) that were spoken in the
    same time, its randomness and its settings."""

    semantic: np.ndarray
    history_semantic: np.ndarray
    history_coarse: np.ndarray
    random: RowRandom
    settings: CoarseSettings = CoarseSettings()
    is_wanted: Wanted = always_wanted


class _RowState:
    """A row of the batch, with the tokens generated for it so far. All tokens are ids of the model's vocabulary."""

    n_sequences = 1

    def __init__(self, row: CoarseRow, model: CausalGPT, spec: BarkSpec):
        self.random, self.settings, self.is_wanted = row.random, row.settings, row.is_wanted
        self.n_tokens = spec.coarse_steps(len(row.semantic))  # that it has when it is finished
        history, self.history = trim_history(row.history_semantic, row.history_coarse, spec, row.settings)
        self.semantic = np.concatenate([history, row.semantic])
        self.n_history = len(history)
        self.tokens: list[int] = []
        # A whole window's noise at a time, because the steps ahead end with the window.
        self._noise = NoiseBlocks(row.random, row.settings.sliding_window_len)
        self._model, self._spec = model, spec
        self._cached_window = self._window()  # where the prefix in the decoder's cache begins

    @property
    def use_kv_caching(self) -> bool:
        return self.settings.use_kv_caching

    @property
    def draws_like(self) -> tuple[float, int | None, float | None]:
        return self.settings.temperature, self.settings.top_k, self.settings.top_p

    @property
    def done(self) -> bool:
        return len(self.tokens) == self.n_tokens

    @property
    def next_token(self) -> int:
        """The token that the model reads next: the last one generated, or the last one of the prefix."""
        return self.tokens[-1] if self.tokens else self._prefix_ids()[-1]

    def prefix(self, _: int) -> torch.Tensor:
        """Embeddings (T, C) of 256 semantic positions, the infer token and all coarse tokens but the last."""
        self._cached_window = self._window()
        return self._model.token_embedding(torch.tensor(self._prefix_ids()[:-1], device=self._model.device))

    @property
    def steps_left_in_window(self) -> int:
        """Steps before the sliding window moves, or the row is finished."""
        return min(self.n_tokens - len(self.tokens), self._noise.left(len(self.tokens)))

    def needs_prefill(self) -> bool:
        """True when the sliding window has moved, so the cache is stale and the prefix must be encoded again.

        A window that has only grown longer, with both of its parts beginning where they did, can use the cache.
        """
        return len(self.tokens) % self.settings.sliding_window_len == 0 and self._window() != self._cached_window

    def noise(self, draws: int, size: int) -> torch.Tensor:
        """Exponential noise (draws, V) for the next draws, which are of one window."""
        return self._noise.take(len(self.tokens), draws, size, self._model.device)

    def _window(self) -> tuple[int, int]:
        """Indexes of the first semantic and the first coarse token in the window, counted from the start of the history."""
        at = self.n_history + round(len(self.tokens) / self._spec.coarse_per_semantic)
        longest = self.settings.max_coarse_history
        return (
            max(0, at - self._spec.max_semantic_history(longest)),
            max(0, len(self.history) + len(self.tokens) - longest),
        )

    def _prefix_ids(self) -> list[int]:
        """All ids that the model has read when it draws the next token."""
        n, (first_semantic, first_coarse) = self._spec.max_coarse_semantic, self._window()
        semantic = self.semantic[first_semantic : first_semantic + n].tolist()
        padding = [self._spec.coarse_semantic_pad_token] * (n - len(semantic))
        coarse = [*self.history.tolist(), *self.tokens][first_coarse:]
        return [*semantic, *padding, self._spec.coarse_infer_token, *coarse]


@torch.inference_mode()
def generate_coarse(
    model: CausalGPT,
    spec: BarkSpec,
    rows: Sequence[CoarseRow],
    progress: Progress = no_progress,
    max_active: int | None = None,
) -> list[np.ndarray]:
    """Codes (2, m) of each row, with m = 0 for a row without semantic tokens.

    Up to `max_active` rows (None: all) are decoded side by side, the others wait. Rows may differ in any of their settings;
    `slots.batches` says which of them do not run side by side. A row that is not wanted any more leaves with the frames that
    it has.
    """
    states = [_RowState(row, model, spec) for row in rows]
    total = sum(state.n_tokens for state in states)
    working = [state for state in states if state.n_tokens]
    longest = max((s.settings.max_coarse_history + s.settings.sliding_window_len for s in working), default=0)
    max_ahead = draws_ahead(model.device)
    done = 0
    for slots in batches(model, working, spec.max_coarse_semantic + longest, max_active):
        while slots.active:
            ahead = 1 if max_ahead == 1 else min(max_ahead, *(state.steps_left_in_window for state in slots.active))
            drawn = _decode(model, spec, slots, ahead, noise_ahead=max_ahead > 1)
            for state, tokens in zip(slots.active, drawn, strict=True):
                state.tokens += tokens
            done += len(drawn) * ahead
            progress(done, total)
            slots.release()
            slots.prefill([state for state in slots.active if state.needs_prefill()])
    return [_deinterleave(state.tokens, spec) for state in states]


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


def _decode(
    model: CausalGPT, spec: BarkSpec, slots: Slots[_RowState], ahead: int, noise_ahead: bool
) -> list[list[int]]:
    """The next `ahead` ids of each active row, of both codebooks in turn, read back by the host once.

    `noise_ahead`: draw with noise made a window at a time, so that no step waits for the host; else with each row's
    generator.
    """
    first, n, size = spec.semantic_vocab_size, spec.n_coarse_codebooks, spec.codebook_size
    device, states = model.device, slots.active
    codebooks = torch.tensor([[(len(state.tokens) + i) % n for state in states] for i in range(ahead)], device=device)
    rows = torch.arange(len(states), device=device)
    noise = [
        torch.stack([state.noise(ahead, size) for state in group.rows]) if noise_ahead else None
        for group in slots.groups
    ]  # (b, ahead, V)
    tokens, drawn = slots.next_tokens(), []
    for i, codebook in enumerate(codebooks):  # (B,): of each row's next token
        logits = model.logits(slots.step(tokens), first, first + n * size).unflatten(-1, (n, size))[rows, codebook]
        codes = [
            _draw(group, logits, None if own is None else own[:, i])
            for group, own in zip(slots.groups, noise, strict=True)
        ]
        tokens = slots.join(codes) + first + size * codebook
        drawn.append(tokens)
    return torch.stack(drawn, dim=1).tolist()


def _draw(group: Group[_RowState], logits: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
    """A code (b,) of each row of the group, from all rows' logits (B, V); `noise` (b, V) decides the draws, if given."""
    probs = probabilities(group.of(logits), *group.rows[0].draws_like)
    return draw(probs, [state.random for state in group.rows]) if noise is None else sample_with_noise(probs, noise)


def _interleave(coarse: np.ndarray, spec: BarkSpec) -> np.ndarray:
    """(2, m) codes -> (2m,) ids of the coarse vocabulary."""
    offsets = spec.semantic_vocab_size + spec.codebook_size * np.arange(len(coarse))
    return (coarse.T + offsets).reshape(-1)


def _deinterleave(ids: Sequence[int], spec: BarkSpec) -> np.ndarray:
    """(2m,) ids of the coarse vocabulary -> (2, m) codes; half a frame at their end is left out."""
    n = spec.n_coarse_codebooks
    offsets = spec.semantic_vocab_size + spec.codebook_size * np.arange(n)
    return (np.array(ids[: len(ids) // n * n], np.int64).reshape(-1, n) - offsets).T
