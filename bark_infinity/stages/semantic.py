"""Stage 1: text to semantic tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..decoding import make_decoder
from ..gpt import CausalGPT
from ..sampling import (
    Mirostat,
    RowRandom,
    draw,
    for_sampling,
    keep_bottom_k,
    keep_inverted_p,
    keep_top_k,
    keep_top_p,
    move_away,
    probabilities,
    weigh_repeats,
)
from ..spec import BarkSpec
from . import Progress, no_progress
from .slots import Slots


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
    inverted_p: float | None = None
    bottom_k: int | None = None
    repeat_penalty: float | None = None
    mirostat_tau: float | None = None  # bits
    mirostat_learning_rate: float = 1.0
    negative_logits_scale: float | None = None  # both count for rows with a negative text
    negative_divergence_scale: float | None = None
    statistics: bool = False  # measure entropy and perplexity: a softmax more a step


@dataclass(frozen=True, eq=False)
class SemanticRow:
    """One segment: WordPiece ids (at most 256, without offset), semantic history (n,), its randomness.

    `negative_ids`: of a text to move away from.
    """

    text_ids: Sequence[int]
    history: np.ndarray
    random: RowRandom
    negative_ids: Sequence[int] = ()


@dataclass(frozen=True)
class Statistics:
    """How sure the model itself was, before filters and temperature, over the tokens of a segment.

    entropy: mean of its distributions, in bits; perplexity: exp of the mean negative log-likelihood of what was drawn.
    """

    entropy: float
    perplexity: float


@dataclass(frozen=True, eq=False)
class SemanticMade:
    """Semantic tokens (n,) of a row, none if the model ended the speech at once; statistics where they were asked for."""

    tokens: np.ndarray
    statistics: Statistics | None = None


class _Run:
    """A row under way."""

    def __init__(self, row: SemanticRow, model: CausalGPT, spec: BarkSpec, settings: SemanticSettings):
        tau, penalty = settings.mirostat_tau, settings.repeat_penalty
        self.row, self.random = row, row.random
        self.mirostat = None if tau is None else Mirostat(tau, settings.mirostat_learning_rate)
        # how often each token was said, (V,), where repeats are weighed
        self.counts = None if penalty is None else torch.zeros(spec.semantic_vocab_size + 1)
        self.next_token = spec.semantic_infer_token
        self.made: list[int] = []
        self.done = False
        self._entropies: list[float] = []  # nats
        self._log_likelihoods: list[float] = []
        self._model, self._spec, self._settings = model, spec, settings


    def take(self, token: int) -> None:
        self.made.append(token)
        self.next_token = token
        if self.counts is not None:
            self.counts[token] += 1
        limit = self._settings.max_gen_duration_s
        self.done = limit is not None and len(self.made) / self._spec.semantic_rate_hz > limit

    def observe(self, token: int, probs: torch.Tensor, log_probs: torch.Tensor | None) -> None:
        """Learn from a token that was drawn: probabilities (V,) before mirostat, the model's own log probabilities (V,)."""
        if self.mirostat is not None:
            self.mirostat.observe(float(probs[token]))
        if log_probs is not None:
            self._entropies.append(float(-(log_probs.exp() * log_probs).sum()))
            self._log_likelihoods.append(float(log_probs[token]))

    def result(self) -> SemanticMade:
        tokens = np.array(self.made, np.int64)
        if not self._entropies:
            return SemanticMade(tokens)
        perplexity = math.exp(-sum(self._log_likelihoods) / len(self._log_likelihoods))
        return SemanticMade(tokens, Statistics(sum(self._entropies) / len(self._entropies) / math.log(2), perplexity))

    def prefix(self, decoder: int) -> torch.Tensor:
        """Text and history, embedded and summed, (256, C). The second decoder reads the negative text instead."""
        spec, n = self._spec, self._spec.max_text_ids
        text_ids = self.row.negative_ids if decoder else self.row.text_ids
        text = np.full(n, spec.text_pad_token)
        text[: len(text_ids)] = np.asarray(text_ids, np.int64) + spec.text_encoding_offset
        heard = np.full(n, spec.semantic_pad_token)
        history = self.row.history
        history = history[max(0, len(history) - min(n, self._settings.history_limit)) :]
        heard[: len(history)] = history
        embed, device = self._model.token_embedding, self._model.device
        return embed(torch.from_numpy(text).to(device)).float() + embed(torch.from_numpy(heard).to(device))


@torch.inference_mode()
def generate_semantic(
    model: CausalGPT,
    spec: BarkSpec,
    rows: Sequence[SemanticRow],
    settings: SemanticSettings,
    progress: Progress = no_progress,
    at_once: int | None = None,
) -> list[SemanticMade]:
    """What each row says. `at_once` rows stand side by side, the others wait for a place."""
    steps = min(spec.max_semantic_tokens, model.config.block_size - spec.max_text_ids)
    runs = [_Run(row, model, spec, settings) for row in rows]
    negative = any(len(row.negative_ids) for row in rows)
    places = min(at_once or len(rows), len(rows))
    decoders = [
        make_decoder(model, places, spec.max_text_ids + steps, settings.use_kv_caching) for _ in range(1 + negative)
    ]
    slots = Slots(decoders, runs, places)
    while slots.at_work:
        hidden = slots.step(slots.next_tokens(model.device))
        logits = [for_sampling(_logits(model, spec, h, settings.allow_early_stop)) for h in hidden]
        _choose(logits, slots.at_work, spec, settings, steps)
        progress(sum(len(run.made) for run in runs), sum(len(run.made) if run.done else steps for run in runs))
        slots.leave([slot for slot, run in enumerate(slots.at_work) if run.done])
    return [run.result() for run in runs]


def _choose(
    logits: Sequence[torch.Tensor], runs: Sequence[_Run], spec: BarkSpec, settings: SemanticSettings, steps: int
) -> None:
    """Give each run its next token, or end it. `logits`: (B, V), and if any row has a negative text those after it."""
    probs = _probabilities(logits, runs, settings)
    kept = _mirostat(probs, runs)
    drawn = draw(kept, [run.random for run in runs])
    ended = _speech_ended(drawn, kept, spec, settings)
    own = logits[0].log_softmax(dim=-1) if settings.statistics else None
    for slot, (run, token) in enumerate(zip(runs, drawn.tolist(), strict=True)):
        if ended[slot]:
            run.done = True
            continue
        run.take(token)
        run.observe(token, probs[slot], None if own is None else own[slot])
        run.done |= len(run.made) == steps


def _probabilities(logits: Sequence[torch.Tensor], runs: Sequence[_Run], settings: SemanticSettings) -> torch.Tensor:
    """What the tokens of all slots are drawn from, (B, V), but for mirostat."""
    logits, *negative = logits
    if negative:
        moved = move_away(logits, *negative, settings.negative_logits_scale, settings.negative_divergence_scale)
        wanted = torch.tensor([bool(len(run.row.negative_ids)) for run in runs], device=logits.device)
        logits = torch.where(wanted[:, None], moved, logits)
    if settings.repeat_penalty is not None:
        counts = torch.stack([run.counts for run in runs])[:, : logits.shape[-1]]
        logits = weigh_repeats(logits, counts.to(logits.device), settings.repeat_penalty)
    for apply, limit in (
        (keep_top_p, settings.top_p),
        (keep_top_k, settings.top_k),
        (keep_inverted_p, settings.inverted_p),
        (keep_bottom_k, settings.bottom_k),
    ):
        if limit is not None:
            logits = apply(logits, limit)
    return probabilities(logits, settings.temperature, None, None)


def _mirostat(probs: torch.Tensor, runs: Sequence[_Run]) -> torch.Tensor:
    if runs[0].mirostat is None:
        return probs
    return torch.stack([run.mirostat.keep(p) for run, p in zip(runs, probs, strict=True)])


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
