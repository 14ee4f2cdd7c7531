"""Stage 1: text to semantic tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

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


@dataclass(eq=False)
class _Run:
    """A row under way."""

    row: SemanticRow
    mirostat: Mirostat | None
    counts: torch.Tensor | None  # (V,) how often each token was said, where repeats are weighed
    made: list[int] = field(default_factory=list)
    entropies: list[float] = field(default_factory=list)  # nats
    log_likelihoods: list[float] = field(default_factory=list)

    def statistics(self) -> Statistics | None:
        if not self.entropies:
            return None
        perplexity = math.exp(-sum(self.log_likelihoods) / len(self.log_likelihoods))
        return Statistics(sum(self.entropies) / len(self.entropies) / math.log(2), perplexity)


@dataclass(frozen=True, eq=False)
class SemanticMade:
    """Semantic tokens (n,) of a row, none if the model ended the speech at once; statistics where they were asked for."""

    tokens: np.ndarray
    statistics: Statistics | None = None


@torch.inference_mode()
def generate_semantic(
    model: CausalGPT,
    spec: BarkSpec,
    rows: Sequence[SemanticRow],
    settings: SemanticSettings,
    progress: Progress = no_progress,
) -> list[SemanticMade]:
    """What each row says."""
    steps = min(spec.max_semantic_tokens, model.config.block_size - spec.max_text_ids)
    decoder = _Decoders(model, spec, rows, settings, spec.max_text_ids + steps)
    runs = [_start(row, spec, settings) for row in rows]
    at_work = list(runs)  # of each slot
    for step in range(steps):
        logits = for_sampling(decoder.logits)
        probs = _probabilities(logits, decoder.negative_logits, at_work, settings)
        kept = _mirostat(probs, at_work)
        drawn = draw(kept, [run.row.random for run in at_work])
        ended = _speech_ended(drawn, kept, spec, settings)
        alive = [slot for slot, run in enumerate(at_work) if not ended[slot]]
        _take(drawn, probs, logits, [(slot, at_work[slot]) for slot in alive], settings)
        alive = [slot for slot in alive if not _long_enough(len(at_work[slot].made), spec, settings)]
        done = sum(len(run.made) for run in runs)
        progress(done, done + len(alive) * (steps - step - 1))
        if not alive or step == steps - 1:
            break
        if len(alive) < len(at_work):
            order = decoder.keep(alive)
            at_work, drawn = [at_work[slot] for slot in order], drawn[order]
        decoder.step(drawn)
    return [SemanticMade(np.array(run.made, np.int64), run.statistics()) for run in runs]


class _Decoders:
    """The decoder of all rows, and one beside it that says the same tokens after the negative texts, if there are any."""

    def __init__(
        self,
        model: CausalGPT,
        spec: BarkSpec,
        rows: Sequence[SemanticRow],
        settings: SemanticSettings,
        length: int,
    ):
        self._model, self._spec, self._early_stop = model, spec, settings.allow_early_stop
        texts = [[row.text_ids for row in rows]]
        if any(len(row.negative_ids) for row in rows):
            texts.append([row.negative_ids for row in rows])
        self._decoders = [make_decoder(model, len(rows), length, settings.use_kv_caching) for _ in texts]
        self._hidden = [
            decoder.prefill([_prefix(model, spec, t, row.history, settings) for t, row in zip(ids, rows, strict=True)])
            for decoder, ids in zip(self._decoders, texts, strict=True)
        ]

    @property
    def logits(self) -> torch.Tensor:
        """Of the next token of each slot, (B, V)."""
        return _logits(self._model, self._spec, self._hidden[0], self._early_stop)

    @property
    def negative_logits(self) -> torch.Tensor | None:
        """The same after the negative text."""
        if len(self._hidden) == 1:
            return None
        return for_sampling(_logits(self._model, self._spec, self._hidden[1], self._early_stop))

    def keep(self, alive: Sequence[int]) -> list[int]:
        return [decoder.keep(alive) for decoder in self._decoders][0]

    def step(self, tokens: torch.Tensor) -> None:
        self._hidden = [decoder.step(tokens.to(self._hidden[0].device)) for decoder in self._decoders]


def _start(row: SemanticRow, spec: BarkSpec, settings: SemanticSettings) -> _Run:
    tau, penalty = settings.mirostat_tau, settings.repeat_penalty
    mirostat = None if tau is None else Mirostat(tau, settings.mirostat_learning_rate)
    return _Run(row, mirostat, None if penalty is None else torch.zeros(spec.semantic_vocab_size + 1))


def _probabilities(
    logits: torch.Tensor, negative: torch.Tensor | None, runs: Sequence[_Run], settings: SemanticSettings
) -> torch.Tensor:
    """What the tokens of all slots are drawn from, (B, V), but for mirostat."""
    if negative is not None:
        moved = move_away(logits, negative, settings.negative_logits_scale, settings.negative_divergence_scale)
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


def _take(
    drawn: torch.Tensor,
    probs: torch.Tensor,
    logits: torch.Tensor,
    slots: Sequence[tuple[int, _Run]],
    settings: SemanticSettings,
) -> None:
    """Give each run its token, and what it learns from it."""
    tokens = drawn.tolist()
    own = logits.log_softmax(dim=-1) if settings.statistics else None
    for slot, run in slots:
        token = tokens[slot]
        run.made.append(token)
        if run.counts is not None:
            run.counts[token] += 1
        if run.mirostat is not None:
            run.mirostat.observe(float(probs[slot, token]))
        if own is not None:
            run.entropies.append(float(-(own[slot].exp() * own[slot]).sum()))
            run.log_likelihoods.append(float(own[slot, token]))


def _prefix(
    model: CausalGPT, spec: BarkSpec, text_ids: Sequence[int], history: np.ndarray, settings: SemanticSettings
) -> torch.Tensor:
    """Text and history, embedded and summed, then the sign to begin: (257, C)."""
    n = spec.max_text_ids
    text = np.full(n, spec.text_pad_token)
    text[: len(text_ids)] = np.asarray(text_ids, np.int64) + spec.text_encoding_offset
    heard = np.full(n, spec.semantic_pad_token)
    history = history[max(0, len(history) - min(n, settings.history_limit)) :]
    heard[: len(history)] = history
    device = model.head.weight.device
    embed = model.token_embedding
    both = embed(torch.from_numpy(text).to(device)) + embed(torch.from_numpy(heard).to(device))
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
