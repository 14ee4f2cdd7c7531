"""From a prefix to the next token's hidden state, step by step, for B rows whose prefixes may differ in length.

A decoder has three moves: `prefill`, `step` and `keep`. Its slots 0..B-1 hold the rows at work.
Legend as in gpt.py; L layers, S allocated positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F

from .gpt import CausalGPT


class Decoder(Protocol):
    """What the causal stages need of a decoder."""

    def prefill(self, prefixes: Sequence[torch.Tensor]) -> torch.Tensor:
        """Token embeddings of each row's prefix, (T_i, C) -> hidden states of their last positions, (B, C)."""

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """The token each row has just got, (B,) -> hidden states for the next one, (B, C)."""

    def keep(self, alive: Sequence[int]) -> list[int]:
        """Drop all slots but `alive` (ascending); returns, for each new slot, the slot its row was in."""


class CachedDecoder:
    """Keys and values of all positions in one block of memory, allocated once and written in place."""

    def __init__(self, model: CausalGPT, rows: int, length: int):
        config = model.config
        weight = model.head.weight
        shape = (config.n_layer, rows, config.n_head, length, config.head_width)
        self.model = model
        # Zeros, for steps read what is masked beyond a shorter row's end, and even masked a NaN would spread.
        self.keys = torch.zeros(shape, dtype=weight.dtype, device=weight.device)  # (L, B, H, S, D)
        self.values = torch.zeros_like(self.keys)
        self.lengths = torch.zeros(0, dtype=torch.long)  # (B,) on the CPU: positions written so far

    def prefill(self, prefixes: Sequence[torch.Tensor]) -> torch.Tensor:
        # Shorter rows are padded on the right: no real position sees the padding, and steps overwrite it.
        self.lengths = torch.tensor([len(prefix) for prefix in prefixes])
        padded = torch.nn.utils.rnn.pad_sequence(list(prefixes), batch_first=True)  # (B, T, C)
        positions = torch.arange(padded.shape[1], device=padded.device)
        hidden = self.model(padded, positions, self._attend_prefix)
        return hidden[torch.arange(len(prefixes)), self.lengths - 1]

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        positions = self.lengths.to(self.keys.device)
        filled = int(self.lengths.max()) + 1
        even = bool((self.lengths == self.lengths[0]).all())
        slots = torch.arange(len(tokens), device=self.keys.device)
        mask = None if even else torch.arange(filled, device=self.keys.device) <= positions[:, None, None, None]

        def attend(layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
            keys, values = self.keys[layer, : len(slots)], self.values[layer, : len(slots)]
            if even:
                keys[:, :, filled - 1], values[:, :, filled - 1] = key[:, :, 0], value[:, :, 0]
            else:
                keys[slots, :, positions], values[slots, :, positions] = key[:, :, 0], value[:, :, 0]
            return F.scaled_dot_product_attention(query, keys[:, :, :filled], values[:, :, :filled], attn_mask=mask)

        embeddings = self.model.token_embedding(tokens)[:, None]  # (B, 1, C)
        hidden = self.model(embeddings, positions[:, None], attend)
        self.lengths += 1
        return hidden[:, 0]

    def keep(self, alive: Sequence[int]) -> list[int]:
        order = compact(alive)
        filled = int(self.lengths.max())
        for slot, source in enumerate(order):
            if slot != source:
                self.keys[:, slot, :, :filled] = self.keys[:, source, :, :filled]
                self.values[:, slot, :, :filled] = self.values[:, source, :, :filled]
        self.lengths = self.lengths[order]
        return order

    def _attend_prefix(self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        rows, _, length, _ = key.shape
        self.keys[layer, :rows, :, :length] = key
        self.values[layer, :rows, :, :length] = value
        return F.scaled_dot_product_attention(query, key, value, is_causal=True)


class RecomputingDecoder:
    """No cache: every step runs the whole sequence again, row by row. Slow, little memory, same tokens."""

    def __init__(self, model: CausalGPT):
        self.model = model
        self.sequences: list[torch.Tensor] = []  # (T_i, C) a row

    def prefill(self, prefixes: Sequence[torch.Tensor]) -> torch.Tensor:
        self.sequences = list(prefixes)
        return torch.stack([self._last_hidden(sequence) for sequence in self.sequences])

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        embeddings = self.model.token_embedding(tokens)[:, None]
        return self.prefill([torch.cat(pair) for pair in zip(self.sequences, embeddings, strict=True)])

    def keep(self, alive: Sequence[int]) -> list[int]:
        self.sequences = [self.sequences[slot] for slot in alive]
        return list(alive)

    def _last_hidden(self, sequence: torch.Tensor) -> torch.Tensor:
        positions = torch.arange(len(sequence), device=sequence.device)
        return self.model(sequence[None], positions, _attend_causally)[0, -1]


def _attend_causally(_: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    return F.scaled_dot_product_attention(query, key, value, is_causal=True)


def make_decoder(model: CausalGPT, rows: int, length: int, cached: bool) -> Decoder:
    """A decoder for up to `rows` rows of up to `length` positions."""
    return CachedDecoder(model, rows, length) if cached else RecomputingDecoder(model)


def compact(alive: Sequence[int]) -> list[int]:
    """Source slot of each slot 0..len(alive)-1 when rows from the end fill the holes: as few moves as possible."""
    movers = iter([slot for slot in alive if slot >= len(alive)])
    staying = set(alive)
    return [slot if slot in staying else next(movers) for slot in range(len(alive))]


def cache_bytes_per_row(model: CausalGPT) -> int:
    """Memory that one row's keys and values take at full context."""
    config = model.config
    return 2 * config.n_layer * config.width * config.block_size * model.head.weight.element_size()
