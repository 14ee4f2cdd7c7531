"""The transformer of Bark's three stages: shapes only. Where keys and values are kept is the caller's `attend`.

B rows, T positions, C width, H heads, D = C / H, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

Attend = Callable[[int, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""(layer, query, key, value), each (B, H, T, D) -> attention output (B, H, T, D)."""


@dataclass(frozen=True)
class GPTConfig:
    """Sizes of one stage, from its checkpoint. `bias` and `norm_bias`: whether Linear and LayerNorm have one."""

    n_layer: int
    n_head: int
    width: int
    block_size: int
    input_vocab_size: int
    output_vocab_size: int
    bias: bool = False
    norm_bias: bool = False
    n_codes_total: int = 1  # fine stage: codebooks, and below those that are given
    n_codes_given: int = 1

    @property
    def head_width(self) -> int:
        return self.width // self.n_head


class Embedding(nn.Embedding):
    """Without random weights at first: they come from a checkpoint, and drawing them on `meta` imports a second of torch."""

    def reset_parameters(self) -> None:
        pass


class Block(nn.Module):
    """Pre-norm GPT-2 block."""

    def __init__(self, config: GPTConfig, layer: int):
        super().__init__()
        self.layer, self.n_head = layer, config.n_head
        width, bias = config.width, config.bias
        self.attention_norm = nn.LayerNorm(width, eps=1e-5, bias=config.norm_bias)
        self.qkv = nn.Linear(width, 3 * width, bias)
        self.attention_out = nn.Linear(width, width, bias)
        self.mlp_norm = nn.LayerNorm(width, eps=1e-5, bias=config.norm_bias)
        self.mlp_in = nn.Linear(width, 4 * width, bias)
        self.mlp_out = nn.Linear(4 * width, width, bias)

    def forward(self, x: torch.Tensor, attend: Attend) -> torch.Tensor:
        qkv = self.qkv(self.attention_norm(x))  # (B, T, 3C)
        query, key, value = qkv.unflatten(-1, (3, self.n_head, -1)).permute(2, 0, 3, 1, 4)  # each (B, H, T, D)
        heads = attend(self.layer, query, key, value)
        x = x + self.attention_out(heads.transpose(1, 2).flatten(2))
        return x + self.mlp_out(F.gelu(self.mlp_in(self.mlp_norm(x))))


class CausalGPT(nn.Module):
    """Semantic and coarse stage: tokens in, logits of the next token out."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.config = config
        self.token_embedding = Embedding(config.input_vocab_size, config.width)
        self.position_embedding = Embedding(config.block_size, config.width)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.n_layer))
        self.norm = nn.LayerNorm(config.width, eps=1e-5, bias=config.norm_bias)
        self.head = nn.Linear(config.width, config.output_vocab_size, bias=False)

    def forward(self, embeddings: torch.Tensor, positions: torch.Tensor, attend: Attend) -> torch.Tensor:
        """Token embeddings (B, T, C) at positions (T,) or (B, T) -> normalised hidden states (B, T, C)."""
        x = embeddings + self.position_embedding(positions)
        for block in self.blocks:
            x = block(x, attend)
        return self.norm(x)

    def logits(self, hidden: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        """Logits of the ids start..stop alone, (..., stop - start): no stage reads the whole vocabulary."""
        return F.linear(hidden, self.head.weight[start:stop])


class FineGPT(nn.Module):
    """Fine stage: all codebooks up to one in, logits of that one out, every frame seeing every other."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.config = config
        codebooks = range(config.n_codes_total)
        self.token_embeddings = nn.ModuleList(Embedding(config.input_vocab_size, config.width) for _ in codebooks)
        self.position_embedding = Embedding(config.block_size, config.width)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.n_layer))
        self.norm = nn.LayerNorm(config.width, eps=1e-5, bias=config.norm_bias)
        heads = range(config.n_codes_total - config.n_codes_given)
        self.heads = nn.ModuleList(nn.Linear(config.width, config.output_vocab_size, bias=False) for _ in heads)

    def forward(self, codes: torch.Tensor, codebook: int) -> torch.Tensor:
        """Codes (B, T, codebooks), those up to `codebook` read -> normalised hidden states (B, T, C)."""
        x = sum(self.token_embeddings[i](codes[..., i]) for i in range(codebook + 1))
        x = x + self.position_embedding.weight[: codes.shape[1]]
        for block in self.blocks:
            x = block(x, _attend_to_all)
        return self.norm(x)

    def logits(self, hidden: torch.Tensor, codebook: int, n_ids: int) -> torch.Tensor:
        """Logits of the first n_ids entries of `codebook`."""
        return F.linear(hidden, self.heads[codebook - self.config.n_codes_given].weight[:n_ids])


def _attend_to_all(_: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    return F.scaled_dot_product_attention(query, key, value)
