"""Logits to tokens: small pure filters, then one draw a row from that row's own generator.

Order: negative text, repeats, then as in the original top-p, top-k, temperature, softmax, draw. V = vocabulary; leading
dimensions are free.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ..constants import GREEDY_BELOW


class RowRandom:
    """The randomness of one row of a batch: a generator a device, each started from the row's seed.

    Without a seed it is torch's default generator, as in the original's functions.
    """

    def __init__(self, seed: int | None = None):
        self.seed = seed
        self._generators: dict[torch.device, torch.Generator] = {}

    def generator(self, device: torch.device) -> torch.Generator | None:
        """The generator to draw from on `device`; None is torch's default one."""
        if self.seed is None:
            return None
        if device not in self._generators:
            self._generators[device] = torch.Generator(device).manual_seed(self.seed)
        return self._generators[device]

    def noise(self, draws: int, size: int, device: torch.device) -> torch.Tensor:
        """Exponential noise for so many draws from `size` tokens each, (draws, size)."""
        noise = torch.empty(draws, size, device=device)
        return noise.exponential_(generator=self.generator(device))


def is_greedy(temperature: float | None) -> bool:
    """Whether the likeliest token is taken without a draw."""
    return temperature is None or temperature < GREEDY_BELOW


def keep_top_p(logits: torch.Tensor, p: float) -> torch.Tensor:
    """-inf for all but the likeliest tokens whose probabilities together exceed p; the one that crosses it stays. (..., V)"""
    ordered, order = logits.sort(dim=-1, descending=True)
    exceeded = ordered.softmax(dim=-1).cumsum(dim=-1) > p
    exceeded = F.pad(exceeded[..., :-1], (1, 0))  # a token goes when those before it exceed p already
    return logits.masked_fill(torch.zeros_like(exceeded).scatter(-1, order, exceeded), -torch.inf)


def keep_top_k(logits: torch.Tensor, k: int) -> torch.Tensor:
    """-inf below the k-th largest logit; ties with it stay. (..., V)"""
    kth = logits.topk(min(k, logits.shape[-1]), dim=-1).values[..., -1:]
    return logits.masked_fill(logits < kth, -torch.inf)


def keep_inverted_p(logits: torch.Tensor, p: float) -> torch.Tensor:
    """-inf for all but the unlikeliest tokens whose probabilities together exceed p; the one that crosses it stays. (..., V)"""
    ordered, order = logits.sort(dim=-1)
    exceeded = F.pad((ordered.softmax(dim=-1).cumsum(dim=-1) > p)[..., :-1], (1, 0))
    return logits.masked_fill(torch.zeros_like(exceeded).scatter(-1, order, exceeded), -torch.inf)


def keep_bottom_k(logits: torch.Tensor, k: int) -> torch.Tensor:
    """-inf above the k-th smallest logit; ties with it stay. Tokens that another filter took out do not count. (..., V)"""
    possible = logits.masked_fill(logits.isneginf(), torch.inf)
    kth = possible.topk(min(k, logits.shape[-1]), dim=-1, largest=False).values
    kth = kth.masked_fill(kth.isposinf(), -torch.inf).amax(dim=-1, keepdim=True)
    return logits.masked_fill(logits > kth, -torch.inf)


def apply_repeat_penalty(logits: torch.Tensor, counts: torch.Tensor, factor: float) -> torch.Tensor:
    """Each token's odds times `factor` for every time it was said: `counts`, of the shape of the logits.

    At 0 a token comes again only where every other possible one was said as often.
    """
    return logits + counts * (math.log(factor) if factor > 0 else -1e4)


def apply_negative_logits(
    logits: torch.Tensor, negative: torch.Tensor, logits_scale: float | None, divergence_scale: float | None
) -> torch.Tensor:
    """Less `logits_scale` of the negative text's logits, and `divergence_scale` of them for each bit of divergence. (..., V)

    Divergence is that of Jensen and Shannon between both distributions (Lin, 1991), 0 to 1 bit.
    """
    scale = logits_scale or 0.0
    if divergence_scale:
        scale = scale + divergence_scale * divergence_bits(logits, negative)
    return logits - scale * negative


def divergence_bits(logits: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Jensen-Shannon divergence between the distributions of two sets of logits, in bits. (..., V) -> (..., 1)"""
    ours, theirs = logits.softmax(dim=-1), others.softmax(dim=-1)
    middle = (ours + theirs) / 2
    return (_entropy_bits(middle) - (_entropy_bits(ours) + _entropy_bits(theirs)) / 2).clamp(0, 1)[..., None]


def _entropy_bits(probs: torch.Tensor) -> torch.Tensor:
    return torch.special.entr(probs).sum(dim=-1) / math.log(2)


@dataclass
class Mirostat:
    """Draws of one row held at a surprise of `tau` bits (Basu et al., 2021, arXiv:2007.14966, algorithm 1)."""

    tau: float
    learning_rate: float
    limit: float = math.nan  # the paper's mu, in bits

    def __post_init__(self):
        self.limit = 2 * self.tau

    def keep(self, probs: torch.Tensor) -> torch.Tensor:
        """(V,) probabilities of the k likeliest tokens alone, k by Zipf's law as the paper estimates it."""
        ordered = probs.sort(descending=True).values
        k = self._top_k(ordered)
        kept = probs.masked_fill(probs < ordered[k - 1], 0.0)
        return kept / kept.sum()

    def observe(self, prob: float) -> None:
        """Learn from a token that was drawn; `prob` is what it had before `keep`."""
        self.limit -= self.learning_rate * (-math.log2(max(prob, 1e-45)) - self.tau)

    def _top_k(self, ordered: torch.Tensor) -> int:
        n = len(ordered)
        s = zipf_exponent(ordered[:_MIROSTAT_TOKENS])
        if s < 1e-6:
            return n  # all alike: no number of them is more surprising than another
        epsilon = s - 1
        shrink = -math.expm1(-epsilon * math.log(n)) / epsilon if abs(epsilon) > 1e-9 else math.log(n)
        log_k = (self.limit * math.log(2) - math.log(shrink)) / s
        return max(1, min(n, round(math.exp(min(log_k, math.log(n))))))


_MIROSTAT_TOKENS = 100  # the paper's m: as good as more


def zipf_exponent(ordered: torch.Tensor) -> float:
    """The s of p_i ~ i**-s that fits these descending probabilities best (equation 30 of the paper)."""
    ordered = ordered[ordered > 0].double()
    ranks = torch.arange(1, len(ordered), dtype=torch.float64, device=ordered.device)
    t = ((ranks + 1) / ranks).log()
    b = (ordered[:-1] / ordered[1:]).log()
    return float((t * b).sum() / (t * t).sum()) if len(ordered) > 1 else 0.0


def probabilities(logits: torch.Tensor, temperature: float, top_k: int | None, top_p: float | None) -> torch.Tensor:
    """Float32 probabilities after the filters, in the original's order; temperature 0 puts all on the likeliest. (..., V)"""
    logits = for_sampling(logits)
    if top_p is not None:
        logits = keep_top_p(logits, top_p)
    if top_k is not None:
        logits = keep_top_k(logits, top_k)
    if is_greedy(temperature):
        return torch.zeros_like(logits).scatter(-1, logits.argmax(dim=-1, keepdim=True), 1.0)
    return (logits / temperature).softmax(dim=-1)


def for_sampling(logits: torch.Tensor) -> torch.Tensor:
    """The logits in float32 on a device that draws: Apple's GPU has returned noise for years, DirectML has no generators."""
    return logits.float() if logits.device.type in ("cpu", "cuda") else logits.float().cpu()


def draw(probs: torch.Tensor, rows: Sequence[RowRandom]) -> torch.Tensor:
    """One token a row from (B, V) probabilities: (B,). Each row has its own draw, so that it knows no neighbours."""
    tokens = [torch.multinomial(p, 1, generator=row.generator(p.device)) for p, row in zip(probs, rows, strict=True)]
    return torch.cat(tokens)


def sample_with_noise(probs: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """One token a row, (B, V) and exponential noise (B, V) -> (B,): the first to arrive, if each comes at its probability's
    rate. What `torch.multinomial` does for one draw, with noise from before, so that the host need not be asked."""
    return (probs / noise).argmax(dim=-1)


def draws_ahead(device: torch.device) -> int:
    """Steps that are drawn before the host reads what came of them: on CUDA reading means waiting for every step."""
    return 16 if device.type == "cuda" else 1
