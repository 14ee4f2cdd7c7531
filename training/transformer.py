"""Bark's transformer in the form used for training, and its tensor names in transformers' layout."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .loop import products
from .settings import Shape


class Block(nn.Module):
    def __init__(self, shape: Shape, causal: bool):
        super().__init__()
        width = shape.width
        self.heads, self.causal = shape.heads, causal
        self.norm_1 = nn.LayerNorm(width, bias=not causal)  # Bark's fine stage alone has norms with biases
        self.norm_2 = nn.LayerNorm(width, bias=not causal)
        self.attention_in = nn.Linear(width, 3 * width, bias=False)
        self.attention_out = nn.Linear(width, width, bias=False)
        self.mlp_in = nn.Linear(width, 4 * width, bias=False)
        self.mlp_out = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        rows, length, width = x.shape
        qkv = self.attention_in(self.norm_1(x)).view(rows, length, 3, self.heads, width // self.heads)
        attended = F.scaled_dot_product_attention(*qkv.permute(2, 0, 3, 1, 4), is_causal=self.causal)
        x = x + self.attention_out(attended.transpose(1, 2).reshape(rows, length, width))
        return x + self.mlp_out(F.gelu(self.mlp_in(self.norm_2(x))))


class Transformer(nn.Module):
    """Blocks and the last norm: [rows, length, width] to the same."""

    def __init__(self, shape: Shape, causal: bool = True):
        super().__init__()
        self.blocks = nn.ModuleList(Block(shape, causal) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(shape.width, bias=not causal)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                deep = math.sqrt(2 * shape.layers) if name.endswith("out.weight") else 1.0
                nn.init.normal_(weight, std=0.03 * math.sqrt(256 / shape.width) / deep)

    def forward(self, x: Tensor) -> Tensor:
        with products(exact=not self.training):  # residuals, norms and what is done with the result stay float32
            for block in self.blocks:
                x = block(x)
        normalised: Tensor = self.norm(x)
        return normalised

    def exported(self, prefix: str) -> dict[str, Tensor]:
        """The weights under their names in a checkpoint."""
        parts = {
            "norm_1": "layernorm_1",
            "norm_2": "layernorm_2",
            "attention_in": "attn.att_proj",
            "attention_out": "attn.out_proj",
            "mlp_in": "mlp.in_proj",
            "mlp_out": "mlp.out_proj",
        }
        weights = {f"{prefix}.layernorm_final.{name}": weight for name, weight in self.norm.named_parameters()}
        for i, block in enumerate(self.blocks):
            for name, weight in block.named_parameters():
                part, kind = name.rsplit(".", 1)
                weights[f"{prefix}.layers.{i}.{parts[part]}.{kind}"] = weight
        return weights


@dataclass(frozen=True)
class SharedSinusoids:
    """Sinusoidal position encodings with the same periods for queries and for keys, each in channels of its own.

    periods: [count], in the unit of the positions; query, key: first channels.
    """

    periods: Tensor
    query: int
    key: int

    @property
    def count(self) -> int:
        return len(self.periods)

    def encoded(self, at: Tensor) -> Tensor:
        """Positions [n] to their encodings [n, 2 * count]: sines, then cosines."""
        return sinusoids(at, self.periods)

    @property
    def query_channels(self) -> slice:
        return slice(self.query, self.query + 2 * self.count)

    @property
    def key_channels(self) -> slice:
        return slice(self.key, self.key + 2 * self.count)

    @torch.no_grad()
    def align_head(self, block: Block, head: int, offset: float, sharpness: float, first: int = 0) -> None:
        """Initialise channels of a head, from its `first`, to attend to keys at the query's position plus `offset`.

        The query matrix rotates the encodings by `offset`, so that the logit is `sharpness` squared times the sum of cos(2 pi
        difference / period). The head then attends to the right position from the first step, and need not find it.
        """
        width = block.attention_in.in_features
        start = head * width // block.heads + first
        angles = 2 * math.pi * offset / self.periods
        sine, cosine = angles.sin().diag(), angles.cos().diag()
        turned = torch.cat([torch.cat([cosine, sine], 1), torch.cat([-sine, cosine], 1)])
        rows = slice(start, start + 2 * self.count)
        block.attention_in.weight[rows, self.query_channels] = sharpness * turned
        block.attention_in.weight[width:][rows, self.key_channels] = sharpness * torch.eye(2 * self.count)


def periods_between(shortest: float, longest: float, count: int) -> Tensor:
    """[count]: periods in geometric progression."""
    return torch.exp(torch.linspace(math.log(shortest), math.log(longest), count))


def harmonic_periods(longest: float, count: int) -> Tensor:
    """[count]: `longest` and its fractions. Positions modulo `longest` then have neighbours at both ends."""
    return longest / torch.arange(1, count + 1)


def table(rows: int, width: int, std: float) -> nn.Parameter:
    """A randomly initialised embedding table [rows, width]."""
    return nn.Parameter(torch.randn(rows, width) * std)


def sinusoids(at: Tensor, periods: Tensor) -> Tensor:
    """[n], [periods] to [n, 2 * periods]: sines, then cosines. `periods` are in the unit of `at`."""
    angles = 2 * math.pi * at.float()[:, None] / periods
    return torch.cat([angles.sin(), angles.cos()], 1)
