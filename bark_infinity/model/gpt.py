"""The transformers of Bark's three stages. Residuals and norms are float32.

The caller's `attend` keeps keys and values; `precision` multiplies the weights.
Shapes: B rows, T positions, C width, H heads, D = C / H.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from .attention import Attend, Attention, PrefixAttention, TorchAttention, TorchPrefix
from .precision import Head, Linear


@dataclass(frozen=True)
class GPTConfig:
    """Sizes of one stage, from its checkpoint. `bias` and `norm_bias`: whether Linear and LayerNorm have a bias."""

    n_layer: int
    n_head: int
    width: int
    block_size: int
    input_vocab_size: int
    output_vocab_size: int
    bias: bool = False
    norm_bias: bool = False
    n_codes_total: int = 1  # fine stage: number of codebooks; below, how many of them are given
    n_codes_given: int = 1

    @property
    def head_width(self) -> int:
        return self.width // self.n_head


class Embedding(nn.Embedding):
    """An embedding without random initial weights, whose drawing on `meta` would import a second of torch."""

    def reset_parameters(self) -> None:
        pass


class Block(nn.Module):
    """Pre-norm GPT-2 block."""

    def __init__(self, config: GPTConfig, layer: int):
        super().__init__()
        self.layer, self.n_head = layer, config.n_head
        width, bias = config.width, config.bias
        self.attention_norm = nn.LayerNorm(width, eps=1e-5, bias=config.norm_bias)
        self.qkv = Linear(width, 3 * width, bias)
        self.attention_out = Linear(width, width, bias)
        self.mlp_norm = nn.LayerNorm(width, eps=1e-5, bias=config.norm_bias)
        self.mlp_in = Linear(width, 4 * width, bias)
        self.mlp_out = Linear(4 * width, width, bias)

    def forward(self, x: torch.Tensor, attend: Attend) -> torch.Tensor:
        x = x + self.attention_out(attend(self.layer, self.project(x)).flatten(2))
        return x + self.mlp_out(self.mlp_in(self.mlp_norm(x), gelu=True))

    def project(self, x: torch.Tensor) -> torch.Tensor:
        """Query, key and value of residuals (B, T, C), as (B, T, 3, H, D)."""
        return self.qkv(self.attention_norm(x)).unflatten(-1, (3, self.n_head, -1))


class CausalGPT(nn.Module):
    """Semantic and coarse stage: tokens in, logits of the next token out."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.config = config
        self.token_embedding = Embedding(config.input_vocab_size, config.width)
        self.position_embedding = Embedding(config.block_size, config.width)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.n_layer))
        self.norm = nn.LayerNorm(config.width, eps=1e-5, bias=config.norm_bias)
        self.head = Head(config.width, config.output_vocab_size)
        self.kept_decoder: object | None = None  # for the next batch; its captured graphs read these weights
        self.chosen_attention: Attention | None = None  # None: torch's, in the working type

    def _apply(self, *args: Any, **kwargs: Any) -> CausalGPT:
        """nn.Module's hook for moving weights: captured graphs read the old ones, so they are dropped."""
        self.kept_decoder = None
        return super()._apply(*args, **kwargs)

    @property
    def device(self) -> torch.device:
        return self.position_embedding.weight.device

    @property
    def working_type(self) -> torch.dtype:
        """The type of the embeddings."""
        return self.position_embedding.weight.dtype

    @property
    def attention(self) -> Attention:
        """How decoders with a cache attend."""
        return self.chosen_attention or Attention(TorchAttention(self.working_type), TorchPrefix(self.working_type))

    def forward(self, embeddings: torch.Tensor, positions: torch.Tensor, attend: Attend) -> torch.Tensor:
        """Token embeddings (B, T, C) at positions (T,) or (B, T) -> normalised hidden states (B, T, C)."""
        x = self.embed(embeddings, positions)
        for block in self.blocks:
            x = block(x, attend)
        return self.norm(x)

    def embed(self, embeddings: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """The residuals before the first block, float32 (B, T, C)."""
        return embeddings.float() + self.position_embedding(positions)

    def prefill(self, embeddings: torch.Tensor, positions: torch.Tensor, attend: Attend) -> None:
        """As `forward`, but only for the keys and values given to `attend`: the last block's output is not computed."""
        x = self.embed(embeddings, positions)
        *blocks, last = self.blocks
        for block in blocks:
            x = block(x, attend)
        attend(last.layer, last.project(x))

    def logits(self, hidden: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        """Logits of the ids start..stop-1 alone, (..., C) -> (..., stop - start): no stage needs the whole vocabulary."""
        return self.head(hidden, start, stop)


class FineGPT(nn.Module):
    """Fine stage: reads the codebooks up to one and gives that one's logits; every frame attends to all frames."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.config = config
        codebooks = range(config.n_codes_total)
        self.token_embeddings = nn.ModuleList(Embedding(config.input_vocab_size, config.width) for _ in codebooks)
        self.position_embedding = Embedding(config.block_size, config.width)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.n_layer))
        self.norm = nn.LayerNorm(config.width, eps=1e-5, bias=config.norm_bias)
        self.attention: PrefixAttention = TorchPrefix()
        heads = range(config.n_codes_total - config.n_codes_given)
        self.heads = nn.ModuleList(Head(config.width, config.output_vocab_size) for _ in heads)

    @property
    def device(self) -> torch.device:
        return self.position_embedding.weight.device

    def forward(self, codes: torch.Tensor, codebook: int) -> torch.Tensor:
        """Codes (B, T, codebooks), those up to `codebook` read -> normalised hidden states (B, T, C)."""
        x = sum(self.token_embeddings[i](codes[..., i]).float() for i in range(codebook + 1))
        x = x + self.position_embedding.weight[: codes.shape[1]]
        for block in self.blocks:
            x = block(x, lambda _, qkv: self.attention.attend(qkv, causal=False))
        return self.norm(x)

    def logits(self, hidden: torch.Tensor, codebook: int, n_ids: int) -> torch.Tensor:
        """Logits of the first n_ids entries of `codebook`, (..., C) -> (..., n_ids)."""
        return self.heads[codebook - self.config.n_codes_given](hidden, 0, n_ids)
