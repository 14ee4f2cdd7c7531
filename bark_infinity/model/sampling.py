"""Logits to tokens: pure filter functions, then one draw for each row from that row's own generator.

Order: negative text, repeat penalty, then as in the original top-p, top-k, temperature, softmax, draw.
Shapes: V vocabulary, B rows; leading dimensions written as "..." are free.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ..constants import GREEDY_BELOW


class RowRandom:
    """The random generators of one row of a batch, one for each device, all started from the row's seed.

    Without a seed, torch's default generator is used, as in the original's functions.
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
        """Exponential noise (draws, size) for `draws` draws from `size` tokens each; see `sample_with_noise`."""
        noise = torch.empty(draws, size, device=device)
        return noise.exponential_(generator=self.generator(device))


class NoiseBlocks:
    """Noise for the draws of one row, in blocks of `draws` draws that are taken in order; see `sample_with_noise`.

    Blocks are counted from the row's own first draw, so its noise does not depend on how many steps its neighbours allow.
    """

    def __init__(self, random: RowRandom, draws: int):
        self._random, self._draws = random, draws
        self._block = torch.empty(0)

    def left(self, drawn: int) -> int:
        """The number of draws until the next block begins, after the first `drawn` ones."""
        return self._draws - drawn % self._draws

    def take(self, drawn: int, n: int, size: int, device: torch.device) -> torch.Tensor:
        """Noise (n, size) for the draws `drawn`, `drawn` + 1, ... of one block, from `size` tokens each."""
        at = drawn % self._draws
        if at == 0:
            self._block = self._random.noise(self._draws, size, device)
        return self._block[at : at + n]


def is_greedy(temperature: float | None) -> bool:
    """True when the most probable token is taken without a draw."""
    return temperature is None or temperature < GREEDY_BELOW


def keep_top_p(logits: torch.Tensor, p: float) -> torch.Tensor:
    """-inf for all but the likeliest tokens whose probabilities together exceed p; the one that crosses it stays. (..., V)"""
    ordered, order = logits.sort(dim=-1, descending=True)
    exceeded = ordered.softmax(dim=-1).cumsum(dim=-1) > p
    exceeded = F.pad(exceeded[..., :-1], (1, 0))  # a token is dropped when those before it exceed p already
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
    """Multiply each token's odds by `factor` for every time it was drawn; `counts` has the shape of the logits.

    With a factor of 0 a token is repeated only when every other possible one was drawn as often.
    """
    return logits + counts * (math.log(factor) if factor > 0 else -1e4)


def apply_negative_logits(
    logits: torch.Tensor, negative: torch.Tensor, logits_scale: float | None, divergence_scale: float | None
) -> torch.Tensor:
    """Subtract the negative text's logits, scaled, from the text's. (..., V)

    The scale is `logits_scale` plus `divergence_scale` for each bit of the Jensen-Shannon divergence between both
    distributions (Lin, 1991), which is 0 to 1 bit.
    """
    scale: float | torch.Tensor = logits_scale or 0.0
    if divergence_scale:
        scale = scale + divergence_scale * divergence_bits(logits, negative)
    return logits - scale * negative


def divergence_bits(logits: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Jensen-Shannon divergence between the distributions of two sets of logits, in bits. (..., V) -> (..., 1)"""
    p, q = logits.softmax(dim=-1), others.softmax(dim=-1)
    mixture = (p + q) / 2
    return (_entropy_bits(mixture) - (_entropy_bits(p) + _entropy_bits(q)) / 2).clamp(0, 1)[..., None]


def _entropy_bits(probs: torch.Tensor) -> torch.Tensor:
    return torch.special.entr(probs).sum(dim=-1) / math.log(2)


@dataclass
class Mirostat:
    """Holds the draws of one row at a mean surprise of `tau` bits (Basu et al., 2021, arXiv:2007.14966, algorithm 1)."""

    tau: float
    learning_rate: float
    limit: float = math.nan  # the paper's mu, in bits

    def __post_init__(self) -> None:
        self.limit = 2 * self.tau

    def keep(self, probs: torch.Tensor) -> torch.Tensor:
        """Probabilities (V,) cut to the k most probable tokens, with k estimated by Zipf's law as in the paper."""
        ordered = probs.sort(descending=True).values
        k = self._top_k(ordered)
        kept = probs.masked_fill(probs < ordered[k - 1], 0.0)
        return kept / kept.sum()

    def observe(self, prob: float) -> None:
        """Adjust the limit after a draw; `prob` is the drawn token's probability before `keep`."""
        self.limit -= self.learning_rate * (-math.log2(max(prob, 1e-45)) - self.tau)

    def _top_k(self, ordered: torch.Tensor) -> int:
        n = len(ordered)
        s = zipf_exponent(ordered[:_MIROSTAT_TOKENS])
        if s < 1e-6:
            return n  # equal probabilities: every k gives the same surprise
        epsilon = s - 1
        shrink = -math.expm1(-epsilon * math.log(n)) / epsilon if abs(epsilon) > 1e-9 else math.log(n)
        log_k = (self.limit * math.log(2) - math.log(shrink)) / s
        return max(1, min(n, round(math.exp(min(log_k, math.log(n))))))


_MIROSTAT_TOKENS = 100  # the paper's m; more of them give the same estimate


def zipf_exponent(ordered: torch.Tensor) -> float:
    """The s of p_i ~ i**-s that fits these descending probabilities best (equation 30 of the paper)."""
    ordered = ordered[ordered > 0].double()
    ranks = torch.arange(1, len(ordered), dtype=torch.float64, device=ordered.device)
    t = ((ranks + 1) / ranks).log()
    b = (ordered[:-1] / ordered[1:]).log()
    return float((t * b).sum() / (t * t).sum()) if len(ordered) > 1 else 0.0


def probabilities(logits: torch.Tensor, temperature: float, top_k: int | None, top_p: float | None) -> torch.Tensor:
    """Float32 probabilities after the filters, in the original's order; 1 for the best token at temperature 0. (..., V)"""
    logits = for_sampling(logits)
    if top_p is not None:
        logits = keep_top_p(logits, top_p)
    if top_k is not None:
        logits = keep_top_k(logits, top_k)
    if is_greedy(temperature):
        return torch.zeros_like(logits).scatter(-1, logits.argmax(dim=-1, keepdim=True), 1.0)
    return (logits / temperature).softmax(dim=-1)


def for_sampling(logits: torch.Tensor) -> torch.Tensor:
    """The logits in float32, on a device with a working generator.

    Drawing on Apple's GPU has given wrong tokens for years, and DirectML has no generators.
    """
    return logits.float() if logits.device.type in ("cpu", "cuda") else logits.float().cpu()


def draw(probs: torch.Tensor, rows: Sequence[RowRandom]) -> torch.Tensor:
    """One token a row from (B, V) probabilities: (B,). Each row is drawn by itself, independent of its neighbours."""
    tokens = [torch.multinomial(p, 1, generator=row.generator(p.device)) for p, row in zip(probs, rows, strict=True)]
    return torch.cat(tokens)


def sample_with_noise(probs: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """One token for each row from probabilities (B, V) and exponential noise (B, V): (B,).

    The token with the largest ratio of probability to noise ("exponential race") has the distribution of a draw;
    `torch.multinomial` does the same. With noise made beforehand the GPU need not wait for the host.
    """
    return (probs / noise).argmax(dim=-1)


def draws_ahead(device: torch.device) -> int:
    """Steps that are drawn before the host reads their tokens: on CUDA each reading waits for all work in the queue."""
    return 16 if device.type == "cuda" else 1
