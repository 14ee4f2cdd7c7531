"""Logits to tokens: small pure filters, then one draw a row from that row's own generator.

Order of the original: top-p, top-k, temperature, softmax, draw. V = vocabulary; leading dimensions are free.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F


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


def is_greedy(temperature: float | None) -> bool:
    """Whether the likeliest token is taken without a draw: at 0, and where a division would overflow float32."""
    return temperature is None or temperature < 1e-6


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


def probabilities(logits: torch.Tensor, temperature: float, top_k: int | None, top_p: float | None) -> torch.Tensor:
    """Float32 probabilities after the filters, in the original's order; temperature 0 puts all on the likeliest. (..., V)"""
    logits = logits.float()
    if logits.device.type == "mps":
        logits = logits.cpu()  # sampling on Apple's GPU has returned noise for years
    if top_p is not None:
        logits = keep_top_p(logits, top_p)
    if top_k is not None:
        logits = keep_top_k(logits, top_k)
    if is_greedy(temperature):
        return torch.zeros_like(logits).scatter(-1, logits.argmax(dim=-1, keepdim=True), 1.0)
    return (logits / temperature).softmax(dim=-1)


def draw(probs: torch.Tensor, rows: Sequence[RowRandom]) -> torch.Tensor:
    """One token a row from (B, V) probabilities: (B,). Each row has its own draw, so that it knows no neighbours."""
    tokens = [torch.multinomial(p, 1, generator=row.generator(p.device)) for p, row in zip(probs, rows, strict=True)]
    return torch.cat(tokens)
