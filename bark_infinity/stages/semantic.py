"""Stage 1: text to semantic tokens, as `generate_text_semantic` of the original does it.

Shapes: B active rows, V vocabulary (semantic tokens, and end of speech behind them where it may be drawn), C width.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..model.decoding import make_decoder
from ..model.gpt import CausalGPT
from ..model.sampling import (
    Mirostat,
    RowRandom,
    apply_negative_logits,
    apply_repeat_penalty,
    draw,
    draws_ahead,
    for_sampling,
    keep_bottom_k,
    keep_inverted_p,
    keep_top_k,
    keep_top_p,
    probabilities,
    sample_with_noise,
)
from ..model.spec import BarkSpec
from .progress import Progress, no_progress
from .slots import Slots

_END = -1  # stands in place of a token where the speech has ended


@dataclass(frozen=True)
class SemanticSettings:
    """How semantic tokens are drawn; options/table.py describes the flags of the same names."""

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
    negative_logits_scale: float | None = None  # this and the next apply to rows with a negative text
    negative_divergence_scale: float | None = None
    statistics: bool = False  # measure entropy and perplexity, which costs another softmax in each step

    @property
    def needs_each_token(self) -> bool:
        """True when the host must know a token before the next one can be drawn."""
        return self.statistics or self.repeat_penalty is not None or self.mirostat_tau is not None


@dataclass(frozen=True, eq=False)
class SemanticRow:
    """One segment: WordPiece ids (at most 256, without Bark's offset), semantic history (n,), and its randomness.

    `negative_ids`: WordPiece ids of the negative text, which the tokens are steered away from.
    """

    text_ids: Sequence[int]
    history: np.ndarray
    random: RowRandom
    negative_ids: Sequence[int] = ()


@dataclass(frozen=True)
class Statistics:
    """How certain the model was over the tokens of a segment, measured before filters and temperature.

    entropy: mean of its distributions, in bits; perplexity: exp of the mean negative log-likelihood of the drawn tokens.
    """

    entropy: float
    perplexity: float


@dataclass(frozen=True, eq=False)
class SemanticResult:
    """Semantic tokens (n,) of a row, none if the model ended the speech at once, and statistics if asked for.

    `ended`: False when the window was full before the speech had ended or reached `max_gen_duration_s`.
    """

    tokens: np.ndarray
    statistics: Statistics | None = None
    ended: bool = True


class _RowState:
    """A row of the batch, with the tokens generated for it so far."""

    def __init__(self, row: SemanticRow, model: CausalGPT, spec: BarkSpec, settings: SemanticSettings, max_tokens: int):
        tau, penalty = settings.mirostat_tau, settings.repeat_penalty
        self.row, self.random = row, row.random
        self.mirostat = None if tau is None else Mirostat(tau, settings.mirostat_learning_rate)
        # how often each token was drawn, (V,), where repeats are penalised
        self.counts = None if penalty is None else torch.zeros(spec.semantic_vocab_size + 1)
        self.next_token = spec.semantic_infer_token
        self.tokens: list[int] = []
        self.done = self.ended = False
        self._entropies: list[float] = []  # nats
        self._log_likelihoods: list[float] = []
        self._model, self._spec, self._settings, self._max_tokens = model, spec, settings, max_tokens

    def append(self, tokens: Sequence[int]) -> None:
        """Take the next tokens, up to the end of the speech or the longest that it may be."""
        max_seconds = self._settings.max_gen_duration_s
        for token in tokens:
            if token == _END:
                self.done = self.ended = True
                return
            self.tokens.append(token)
            self.next_token = token
            seconds = len(self.tokens) / self._spec.semantic_rate_hz
            self.ended = max_seconds is not None and seconds > max_seconds
            if self.ended or len(self.tokens) == self._max_tokens:
                self.done = True
                return

    def observe(self, token: int, probs: torch.Tensor, log_probs: torch.Tensor | None) -> None:
        """Update counts, mirostat and statistics with a drawn token.

        `probs` (V,): before mirostat's cut. `log_probs` (V,): the model's own, before all filters.
        """
        if self.counts is not None:
            self.counts[token] += 1
        if self.mirostat is not None:
            self.mirostat.observe(float(probs[token]))
        if log_probs is not None:
            self._entropies.append(float(-(log_probs.exp() * log_probs).sum()))
            self._log_likelihoods.append(float(log_probs[token]))

    def result(self) -> SemanticResult:
        """The tokens of a finished row, with its statistics if they were measured."""
        tokens = np.array(self.tokens, np.int64)
        if not self._entropies:
            return SemanticResult(tokens, ended=self.ended)
        perplexity = math.exp(-sum(self._log_likelihoods) / len(self._log_likelihoods))
        entropy = sum(self._entropies) / len(self._entropies) / math.log(2)
        return SemanticResult(tokens, Statistics(entropy, perplexity), self.ended)

    def prefix(self, decoder: int) -> torch.Tensor:
        """Embeddings of text and history, summed position by position, (256, C). Decoder 1 reads the negative text."""
        spec, n = self._spec, self._spec.max_text_ids
        text_ids = self.row.negative_ids if decoder else self.row.text_ids
        text = np.full(n, spec.text_pad_token)
        text[: len(text_ids)] = np.asarray(text_ids, np.int64) + spec.text_encoding_offset
        padded_history = np.full(n, spec.semantic_pad_token)
        history = self.row.history
        history = history[max(0, len(history) - min(n, self._settings.history_limit)) :]
        padded_history[: len(history)] = history
        embed, device = self._model.token_embedding, self._model.device
        return embed(torch.from_numpy(text).to(device)).float() + embed(torch.from_numpy(padded_history).to(device))


@torch.inference_mode()
def generate_semantic(
    model: CausalGPT,
    spec: BarkSpec,
    rows: Sequence[SemanticRow],
    settings: SemanticSettings,
    progress: Progress = no_progress,
    max_active: int | None = None,
) -> list[SemanticResult]:
    """Semantic tokens of each row. Up to `max_active` rows (None: all) are decoded side by side, the others wait."""
    max_tokens = min(spec.max_semantic_tokens, model.config.block_size - spec.max_text_ids)
    states = [_RowState(row, model, spec, settings, max_tokens) for row in rows]
    n_slots, length = min(max_active or len(rows), len(rows)), spec.max_text_ids + max_tokens
    negative = any(len(row.negative_ids) for row in rows)
    decoders = [make_decoder(model, n_slots, length, settings.use_kv_caching, which) for which in range(1 + negative)]
    slots = Slots(decoders, states, n_slots)
    ahead = 1 if settings.needs_each_token else draws_ahead(model.device)
    decode = _decode if ahead == 1 else _decode_ahead
    while slots.active:
        for state, tokens in zip(slots.active, decode(model, spec, slots, settings, ahead), strict=True):
            state.append(tokens)
        total = sum(len(state.tokens) if state.done else max_tokens for state in states)
        progress(sum(len(state.tokens) for state in states), total)
        slots.release([slot for slot, state in enumerate(slots.active) if state.done])
    return [state.result() for state in states]


def _decode(
    model: CausalGPT, spec: BarkSpec, slots: Slots[_RowState], settings: SemanticSettings, _: int
) -> Iterable[Sequence[int]]:
    """The next token of each active row, or _END. Each row's counts, mirostat and statistics are updated."""
    states = slots.active
    hidden = slots.step(slots.next_tokens(model.device))
    logits = [for_sampling(_logits(model, spec, h, settings.allow_early_stop)) for h in hidden]
    probs = _probabilities(logits, states, settings)
    kept = _keep_mirostat(probs, states)
    drawn = draw(kept, [state.random for state in states])
    tokens: list[int] = drawn.masked_fill(_ended(drawn, kept, spec, settings), _END).tolist()
    log_probs = logits[0].log_softmax(dim=-1) if settings.statistics else None
    for slot, (state, token) in enumerate(zip(states, tokens, strict=True)):
        if token != _END:
            state.observe(token, probs[slot], None if log_probs is None else log_probs[slot])
    return ([token] for token in tokens)


def _decode_ahead(
    model: CausalGPT, spec: BarkSpec, slots: Slots[_RowState], settings: SemanticSettings, ahead: int
) -> Iterable[Sequence[int]]:
    """The next `ahead` tokens of each active row, read back by the host once; tokens after an _END are to be ignored.

    Every row draws its noise in blocks of `ahead` steps counted from its own beginning, so its tokens do not depend on
    when its neighbours started.
    """
    size = spec.semantic_vocab_size + settings.allow_early_stop
    noise = torch.stack([state.random.noise(ahead, size, model.device) for state in slots.active])  # (B, ahead, V)
    tokens = slots.next_tokens(model.device)
    drawn = []
    for i in range(ahead):
        logits = [_logits(model, spec, h, settings.allow_early_stop).float() for h in slots.step(tokens)]
        probs = _probabilities(logits, slots.active, settings)
        tokens = sample_with_noise(probs, noise[:, i])
        drawn.append(tokens.masked_fill(_ended(tokens, probs, spec, settings), _END))
    return torch.stack(drawn, dim=1).tolist()


def _probabilities(
    of_decoders: Sequence[torch.Tensor], states: Sequence[_RowState], settings: SemanticSettings
) -> torch.Tensor:
    """Probabilities (B, V) after all filters but mirostat, from each decoder's logits (B, V), the negative text's second."""
    logits = of_decoders[0]
    if len(of_decoders) > 1:
        steered = apply_negative_logits(
            logits, of_decoders[1], settings.negative_logits_scale, settings.negative_divergence_scale
        )
        has_negative = torch.tensor([bool(len(state.row.negative_ids)) for state in states], device=logits.device)
        logits = torch.where(has_negative[:, None], steered, logits)
    if settings.repeat_penalty is not None:
        counts = torch.stack([state.counts for state in states if state.counts is not None])[:, : logits.shape[-1]]
        logits = apply_repeat_penalty(logits, counts.to(logits.device), settings.repeat_penalty)
    if settings.top_p is not None:
        logits = keep_top_p(logits, settings.top_p)
    if settings.top_k is not None:
        logits = keep_top_k(logits, settings.top_k)
    if settings.inverted_p is not None:
        logits = keep_inverted_p(logits, settings.inverted_p)
    if settings.bottom_k is not None:
        logits = keep_bottom_k(logits, settings.bottom_k)
    return probabilities(logits, settings.temperature, None, None)


def _keep_mirostat(probs: torch.Tensor, states: Sequence[_RowState]) -> torch.Tensor:
    """Probabilities (B, V) cut by each row's mirostat, or as they are where it is off."""
    filters = [state.mirostat for state in states if state.mirostat is not None]
    if not filters:
        return probs
    return torch.stack([mirostat.keep(p) for mirostat, p in zip(filters, probs, strict=True)])


def _logits(model: CausalGPT, spec: BarkSpec, hidden: torch.Tensor, early_stop: bool) -> torch.Tensor:
    """Logits of the semantic tokens (B, 10000), with end of speech behind them where it is allowed (B, 10001)."""
    logits = model.logits(hidden, 0, spec.semantic_vocab_size)
    if not early_stop:
        return logits
    end = model.logits(hidden, spec.semantic_pad_token, spec.semantic_pad_token + 1)
    return torch.cat([logits, end], dim=-1)


def _ended(tokens: torch.Tensor, probs: torch.Tensor, spec: BarkSpec, settings: SemanticSettings) -> torch.Tensor:
    """(B,) bool: True where end of speech was drawn, or has at least the probability `min_eos_p`."""
    if not settings.allow_early_stop:
        return torch.zeros_like(tokens, dtype=torch.bool)
    ended = tokens == spec.semantic_vocab_size
    return ended if settings.min_eos_p is None else ended | (probs[:, -1] >= settings.min_eos_p)
