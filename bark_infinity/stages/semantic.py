"""Stage 1: text to semantic tokens."""

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
    draw,
    draws_ahead,
    for_sampling,
    keep_bottom_k,
    keep_inverted_p,
    keep_top_k,
    keep_top_p,
    move_away,
    probabilities,
    race,
    weigh_repeats,
)
from ..model.spec import BarkSpec
from .progress import Progress, no_progress
from .slots import Slots

_END = -1  # in place of a token: the speech has ended


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

    @property
    def looks_at_each_token(self) -> bool:
        """Whether a token must be known on the host before the next one is drawn."""
        return self.statistics or self.repeat_penalty is not None or self.mirostat_tau is not None


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
    """Semantic tokens (n,) of a row, none if the model ended the speech at once; statistics where they were asked for.

    `ended`: the speech was over, or as long as it may be, before the window was full.
    """

    tokens: np.ndarray
    statistics: Statistics | None = None
    ended: bool = True


class _Run:
    """A row under way."""

    def __init__(self, row: SemanticRow, model: CausalGPT, spec: BarkSpec, settings: SemanticSettings, steps: int):
        tau, penalty = settings.mirostat_tau, settings.repeat_penalty
        self.row, self.random = row, row.random
        self.mirostat = None if tau is None else Mirostat(tau, settings.mirostat_learning_rate)
        # how often each token was said, (V,), where repeats are weighed
        self.counts = None if penalty is None else torch.zeros(spec.semantic_vocab_size + 1)
        self.next_token = spec.semantic_infer_token
        self.made: list[int] = []
        self.done = self.ended = False
        self._entropies: list[float] = []  # nats
        self._log_likelihoods: list[float] = []
        self._model, self._spec, self._settings, self._steps = model, spec, settings, steps

    def take(self, tokens: Sequence[int]) -> None:
        """The next tokens, up to the end of the speech or of what it may take."""
        limit = self._settings.max_gen_duration_s
        for token in tokens:
            if token == _END:
                self.done = self.ended = True
                return
            self.made.append(token)
            self.next_token = token
            self.ended = limit is not None and len(self.made) / self._spec.semantic_rate_hz > limit
            if self.ended or len(self.made) == self._steps:
                self.done = True
                return

    def observe(self, token: int, probs: torch.Tensor, log_probs: torch.Tensor | None) -> None:
        """Learn from a token that was drawn: probabilities (V,) before mirostat, the model's own log probabilities (V,)."""
        if self.counts is not None:
            self.counts[token] += 1
        if self.mirostat is not None:
            self.mirostat.observe(float(probs[token]))
        if log_probs is not None:
            self._entropies.append(float(-(log_probs.exp() * log_probs).sum()))
            self._log_likelihoods.append(float(log_probs[token]))

    def result(self) -> SemanticMade:
        tokens = np.array(self.made, np.int64)
        if not self._entropies:
            return SemanticMade(tokens, ended=self.ended)
        perplexity = math.exp(-sum(self._log_likelihoods) / len(self._log_likelihoods))
        entropy = sum(self._entropies) / len(self._entropies) / math.log(2)
        return SemanticMade(tokens, Statistics(entropy, perplexity), self.ended)

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
    runs = [_Run(row, model, spec, settings, steps) for row in rows]
    places, length = min(at_once or len(rows), len(rows)), spec.max_text_ids + steps
    negative = any(len(row.negative_ids) for row in rows)
    decoders = [make_decoder(model, places, length, settings.use_kv_caching, which) for which in range(1 + negative)]
    slots = Slots(decoders, runs, places)
    ahead = 1 if settings.looks_at_each_token else draws_ahead(model.device)
    choose = _choose if ahead == 1 else _choose_ahead
    while slots.at_work:
        for run, tokens in zip(slots.at_work, choose(model, spec, slots, settings, ahead), strict=True):
            run.take(tokens)
        progress(sum(len(run.made) for run in runs), sum(len(run.made) if run.done else steps for run in runs))
        slots.leave([slot for slot, run in enumerate(slots.at_work) if run.done])
    return [run.result() for run in runs]


def _choose(
    model: CausalGPT, spec: BarkSpec, slots: Slots[_Run], settings: SemanticSettings, _: int
) -> Iterable[Sequence[int]]:
    """The next token of each run, or _END. Each run learns from its own."""
    runs = slots.at_work
    hidden = slots.step(slots.next_tokens(model.device))
    logits = [for_sampling(_logits(model, spec, h, settings.allow_early_stop)) for h in hidden]
    probs = _probabilities(logits, runs, settings)
    kept = _mirostat(probs, runs)
    tokens = draw(kept, [run.random for run in runs])
    tokens = tokens.masked_fill(_ended(tokens, kept, spec, settings), _END).tolist()
    log_probs = logits[0].log_softmax(dim=-1) if settings.statistics else None
    for slot, (run, token) in enumerate(zip(runs, tokens, strict=True)):
        if token != _END:
            run.observe(token, probs[slot], None if log_probs is None else log_probs[slot])
    return ([token] for token in tokens)


def _choose_ahead(
    model: CausalGPT, spec: BarkSpec, slots: Slots[_Run], settings: SemanticSettings, ahead: int
) -> Iterable[Sequence[int]]:
    """The next tokens of each run, `ahead` of them, read by the host all at once; what comes after an _END is void.

    Every row draws its noise in blocks of this size from its own beginning, so it never depends on its neighbours.
    """
    size = spec.semantic_vocab_size + settings.allow_early_stop
    noise = torch.stack([run.random.noise(ahead, size, model.device) for run in slots.at_work])  # (B, ahead, V)
    tokens = slots.next_tokens(model.device)
    taken = []
    for i in range(ahead):
        logits = [_logits(model, spec, h, settings.allow_early_stop).float() for h in slots.step(tokens)]
        probs = _probabilities(logits, slots.at_work, settings)
        tokens = race(probs, noise[:, i])
        taken.append(tokens.masked_fill(_ended(tokens, probs, spec, settings), _END))
    return torch.stack(taken, dim=1).tolist()


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


def _ended(tokens: torch.Tensor, probs: torch.Tensor, spec: BarkSpec, settings: SemanticSettings) -> torch.Tensor:
    """Per slot: end-of-speech was drawn, or was probable enough. (B,) bool"""
    if not settings.allow_early_stop:
        return torch.zeros_like(tokens, dtype=torch.bool)
    ended = tokens == spec.semantic_vocab_size
    return ended if settings.min_eos_p is None else ended | (probs[:, -1] >= settings.min_eos_p)
