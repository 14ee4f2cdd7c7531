"""Stage 1: text to semantic tokens."""

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
class SemanticSettings:
    """How semantic tokens are drawn; the flags of the same names say more."""

    temperature: float = 0.7
    top_k: int | None = None
    top_p: float | None = None
    min_eos_p: float | None = 0.2
    max_gen_duration_s: float | None = None
    allow_early_stop: bool = True
    use_kv_caching: bool = True
    history_limit: int = 256  # semantic tokens of history at most


@dataclass(frozen=True, eq=False)
class SemanticRow:
    """One segment: WordPiece ids (at most 256, without offset), semantic history (n,), its randomness."""

    text_ids: Sequence[int]
    history: np.ndarray
    random: RowRandom


@torch.inference_mode()
def generate_semantic(
    model: CausalGPT,
    spec: BarkSpec,
    rows: Sequence[SemanticRow],
    settings: SemanticSettings,
    progress: Progress = no_progress,
) -> list[np.ndarray]:
    """Semantic tokens (n,) of each row; none if the model ends the speech at once."""
    steps = min(spec.max_semantic_tokens, model.config.block_size - spec.max_text_ids)
    decoder = make_decoder(model, len(rows), spec.max_text_ids + steps, settings.use_kv_caching)
    made: list[list[int]] = [[] for _ in rows]
    at_work = list(range(len(rows)))  # row of each slot
    hidden = decoder.prefill([_prefix(model, spec, row, settings) for row in rows])
    for step in range(steps):
        probs = probabilities(
            _logits(model, spec, hidden, settings.allow_early_stop),
            settings.temperature,
            settings.top_k,
            settings.top_p,
        )
        drawn = draw(probs, [rows[row].random for row in at_work])
        ended = _speech_ended(drawn, probs, spec, settings)
        tokens = drawn.tolist()
        alive = []
        for slot, row in enumerate(at_work):
            if ended[slot]:
                continue
            made[row].append(tokens[slot])
            if not _long_enough(len(made[row]), spec, settings):
                alive.append(slot)
        progress(sum(map(len, made)), sum(map(len, made)) + len(alive) * (steps - step - 1))
        if not alive or step == steps - 1:
            break
        if len(alive) < len(at_work):
            order = decoder.keep(alive)
            at_work, drawn = [at_work[slot] for slot in order], drawn[order]
        hidden = decoder.step(drawn.to(hidden.device))
    return [np.array(tokens, np.int64) for tokens in made]


def _prefix(model: CausalGPT, spec: BarkSpec, row: SemanticRow, settings: SemanticSettings) -> torch.Tensor:
    """Text and history, embedded and summed, then the sign to begin: (257, C)."""
    n = spec.max_text_ids
    text = np.full(n, spec.text_pad_token)
    text[: len(row.text_ids)] = np.asarray(row.text_ids, np.int64) + spec.text_encoding_offset
    history = np.full(n, spec.semantic_pad_token)
    heard = row.history[max(0, len(row.history) - min(n, settings.history_limit)) :]
    history[: len(heard)] = heard
    device = model.head.weight.device
    embed = model.token_embedding
    both = embed(torch.from_numpy(text).to(device)) + embed(torch.from_numpy(history).to(device))
    return torch.cat([both, embed(torch.tensor([spec.semantic_infer_token], device=device))])


def _logits(model: CausalGPT, spec: BarkSpec, hidden: torch.Tensor, early_stop: bool) -> torch.Tensor:
    """Logits of the semantic tokens (B, 10000), with end-of-speech behind them where it is allowed (B, 10001)."""
    logits = model.logits(hidden, 0, spec.semantic_vocab_size)
    if not early_stop:
        return logits
    end = model.logits(hidden, spec.semantic_pad_token, spec.semantic_pad_token + 1)
    return torch.cat([logits, end], dim=-1)


def _speech_ended(drawn: torch.Tensor, probs: torch.Tensor, spec: BarkSpec, settings: SemanticSettings) -> list[bool]:
    """Per slot: end-of-speech was drawn, or was probable enough."""
    if not settings.allow_early_stop:
        return [False] * len(drawn)
    ended = drawn == spec.semantic_vocab_size
    if settings.min_eos_p is not None:
        ended |= probs[:, -1] >= settings.min_eos_p
    return ended.tolist()


def _long_enough(n_tokens: int, spec: BarkSpec, settings: SemanticSettings) -> bool:
    limit = settings.max_gen_duration_s
    return limit is not None and n_tokens / spec.semantic_rate_hz > limit
