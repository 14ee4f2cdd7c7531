"""Stage 1: text to semantic tokens, as `generate_text_semantic` of the original does it.

Shapes: B active rows, b rows of a group that are drawn alike, S sequences (a row's text, and its negative text if it has
one), V vocabulary (semantic tokens, and end of speech behind them where it may be drawn), C width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..model.gpt import CausalGPT
from ..model.sampling import (
    Mirostat,
    NoiseBlocks,
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
from .progress import Progress, Wanted, always_wanted, no_progress
from .slots import Group, Slots, batches

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
    """One segment: WordPiece ids (at most 256, without Bark's offset), semantic history (n,), its randomness and settings.

    `negative_ids`: WordPiece ids of the negative text, which the tokens are steered away from.
    """

    text_ids: Sequence[int]
    history: np.ndarray
    random: RowRandom
    settings: SemanticSettings = SemanticSettings()
    negative_ids: Sequence[int] = ()
    is_wanted: Wanted = always_wanted


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

    def __init__(self, row: SemanticRow, model: CausalGPT, spec: BarkSpec, max_tokens: int):
        self.row, self.random, self.settings, self.is_wanted = row, row.random, row.settings, row.is_wanted
        tau, penalty = self.settings.mirostat_tau, self.settings.repeat_penalty
        self.mirostat = None if tau is None else Mirostat(tau, self.settings.mirostat_learning_rate)
        # how often each token was drawn, (V,), where repeats are penalised
        self.counts = None if penalty is None else torch.zeros(spec.semantic_vocab_size + 1)
        self.next_token = spec.semantic_infer_token
        self.tokens: list[int] = []
        self.done = self.ended = False
        self._noise = NoiseBlocks(row.random, draws_ahead(model.device))
        self._entropies: list[float] = []  # nats
        self._log_likelihoods: list[float] = []
        self._model, self._spec, self._max_tokens = model, spec, max_tokens

    @property
    def use_kv_caching(self) -> bool:
        return self.settings.use_kv_caching

    @property
    def n_sequences(self) -> int:
        """The text's, and the negative text's if there is one."""
        return 2 if len(self.row.negative_ids) else 1

    @property
    def draws_like(self) -> SemanticSettings:
        return self.settings

    @property
    def steps_ahead(self) -> int:
        """Steps that can be drawn before the host reads the row's tokens."""
        return 1 if self.settings.needs_each_token else self._noise.left(len(self.tokens))

    def noise(self, draws: int, size: int) -> torch.Tensor:
        """Exponential noise (draws, V) for the next draws."""
        return self._noise.take(len(self.tokens), draws, size, self._model.device)

    def append(self, tokens: Sequence[int]) -> None:
        """Take the next tokens, up to the end of the speech or the longest that it may be."""
        max_seconds = self.settings.max_gen_duration_s
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

    def prefix(self, sequence: int) -> torch.Tensor:
        """Embeddings of text and history, summed position by position, (256, C). Sequence 1 has the negative text."""
        spec, n = self._spec, self._spec.max_text_ids
        text_ids = self.row.negative_ids if sequence else self.row.text_ids
        text = np.full(n, spec.text_pad_token)
        text[: len(text_ids)] = np.asarray(text_ids, np.int64) + spec.text_encoding_offset
        padded_history = np.full(n, spec.semantic_pad_token)
        history = self.row.history
        history = history[max(0, len(history) - min(n, self.settings.history_limit)) :]
        padded_history[: len(history)] = history
        embed, device = self._model.token_embedding, self._model.device
        return embed(torch.from_numpy(text).to(device)).float() + embed(torch.from_numpy(padded_history).to(device))


@torch.inference_mode()
def generate_semantic(
    model: CausalGPT,
    spec: BarkSpec,
    rows: Sequence[SemanticRow],
    progress: Progress = no_progress,
    max_active: int | None = None,
) -> list[SemanticResult]:
    """Semantic tokens of each row. Up to `max_active` rows (None: all) are decoded side by side, the others wait.

    Rows may differ in any of their settings; `slots.batches` says which of them do not run side by side. A row that is not
    wanted any more leaves with the tokens that it has.
    """
    max_tokens = min(spec.max_semantic_tokens, model.config.block_size - spec.max_text_ids)
    states = [_RowState(row, model, spec, max_tokens) for row in rows]
    max_ahead = draws_ahead(model.device)
    for slots in batches(model, states, spec.max_text_ids + max_tokens, max_active):
        while slots.active:
            ahead = 1 if max_ahead == 1 else min(state.steps_ahead for state in slots.active)
            for state, tokens in zip(slots.active, _decode(model, spec, slots, ahead, max_ahead > 1), strict=True):
                state.append(tokens)
            total = sum(len(state.tokens) if state.done else max_tokens for state in states)
            progress(sum(len(state.tokens) for state in states), total)
            slots.release()
    return [state.result() for state in states]


def _decode(
    model: CausalGPT, spec: BarkSpec, slots: Slots[_RowState], ahead: int, noise_ahead: bool
) -> list[list[int]]:
    """The next `ahead` tokens of each active row, read back by the host once; tokens after an _END are to be ignored.

    `noise_ahead`: draw with noise made in blocks, so that no step waits for the host; else, and for rows that need each
    token, with each row's generator.
    """
    early_stop = any(group.rows[0].settings.allow_early_stop for group in slots.groups)
    noise = [_noise(group.rows, ahead, spec) if noise_ahead else None for group in slots.groups]
    tokens, drawn = slots.next_tokens(), []
    for i in range(ahead):
        logits = _logits(model, spec, slots.step(tokens), early_stop)
        pairs = [
            _draw(group, logits, spec, None if own is None else own[:, i])
            for group, own in zip(slots.groups, noise, strict=True)
        ]
        tokens, ended = (slots.join(of_groups) for of_groups in zip(*pairs, strict=True))
        drawn.append(tokens.masked_fill(ended, _END))
    return torch.stack(drawn, dim=1).tolist()


def _noise(rows: Sequence[_RowState], draws: int, spec: BarkSpec) -> torch.Tensor | None:
    """Noise (b, draws, V) for the next draws of rows with equal settings; None if the host must know each token."""
    if rows[0].settings.needs_each_token:
        return None
    return torch.stack([row.noise(draws, _vocabulary(rows[0].settings, spec)) for row in rows])


def _draw(
    group: Group[_RowState], logits: torch.Tensor, spec: BarkSpec, noise: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The next token of each row of the group, and whether its speech has ended, (b,) each.

    `logits`: of all sequences, (S, V). `noise` (b, V): decides the draws, if given; else each row's generator does, and the
    row's counts, mirostat and statistics are updated.
    """
    states, settings = group.rows, group.rows[0].settings
    size = _vocabulary(settings, spec)
    own, *negative = (for_sampling(group.of(logits, k)[:, :size]) for k in range(states[0].n_sequences))
    probs = _probabilities(own, negative, states, settings)
    if noise is not None:
        tokens = sample_with_noise(probs, noise)
        return tokens, _ended(tokens, probs, spec, settings)
    kept = _keep_mirostat(probs, states)
    tokens = draw(kept, [state.random for state in states])
    ended = _ended(tokens, kept, spec, settings)
    if settings.needs_each_token:
        log_probs = own.log_softmax(dim=-1) if settings.statistics else None
        for k, (state, token) in enumerate(zip(states, tokens.masked_fill(ended, _END).tolist(), strict=True)):
            if token != _END:
                state.observe(token, probs[k], None if log_probs is None else log_probs[k])
    return tokens, ended


def _probabilities(
    logits: torch.Tensor, negative: Sequence[torch.Tensor], states: Sequence[_RowState], settings: SemanticSettings
) -> torch.Tensor:
    """Probabilities (b, V) after all filters but mirostat, from the logits (b, V) of the texts and of the negative ones."""
    for unwanted in negative:
        logits = apply_negative_logits(
            logits, unwanted, settings.negative_logits_scale, settings.negative_divergence_scale
        )
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
    """Probabilities (b, V) cut by each row's mirostat, or as they are where it is off."""
    filters = [state.mirostat for state in states if state.mirostat is not None]
    if not filters:
        return probs
    return torch.stack([mirostat.keep(p) for mirostat, p in zip(filters, probs, strict=True)])


def _logits(model: CausalGPT, spec: BarkSpec, hidden: torch.Tensor, early_stop: bool) -> torch.Tensor:
    """Logits of the semantic tokens (S, 10000), with end of speech behind them where it is allowed (S, 10001)."""
    logits = model.logits(hidden, 0, spec.semantic_vocab_size)
    if not early_stop:
        return logits
    end = model.logits(hidden, spec.semantic_pad_token, spec.semantic_pad_token + 1)
    return torch.cat([logits, end], dim=-1)


def _vocabulary(settings: SemanticSettings, spec: BarkSpec) -> int:
    """Number of tokens that may be drawn."""
    return spec.semantic_vocab_size + settings.allow_early_stop


def _ended(tokens: torch.Tensor, probs: torch.Tensor, spec: BarkSpec, settings: SemanticSettings) -> torch.Tensor:
    """(b,) bool: True where end of speech was drawn, or has at least the probability `min_eos_p`."""
    if not settings.allow_early_stop:
        return torch.zeros_like(tokens, dtype=torch.bool)
    ended = tokens == spec.semantic_vocab_size
    return ended if settings.min_eos_p is None else ended | (probs[:, -1] >= settings.min_eos_p)
