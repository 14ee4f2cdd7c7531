"""Decoders: a prefix for each row, then hidden states token by token, for rows that differ in prefix and length.

The active rows are in a decoder's slots 0..B-1. Shapes as in gpt.py, and L layers, S allocated positions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Protocol

import torch
import torch.nn.functional as F

from .attention import attend_causally, join_heads, split_heads
from .gpt import CausalGPT
from .steps import CompiledBlocks

_REACH = 256  # positions: lengths of the cache that a captured step reads are multiples of it, with a graph for each
_GPU_POSITIONS_AT_ONCE = 2**14  # prefilled together, with padding: fills a GPU with some hundred MiB of activations


class Decoder(Protocol):
    """What the causal stages need of a decoder."""

    def prefill(self, slots: Sequence[int], prefixes: Sequence[torch.Tensor]) -> None:
        """Read the prefix of each row, token embeddings (T_i, C) with T_i > 0, into its slot.

        A slot is that of an active row, which it replaces, or the next unused one.
        """

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """Read the next token of each active row, (B,) -> its hidden states (B, C)."""

    def keep(self, alive: Sequence[int]) -> list[int]:
        """Drop all slots but `alive` (ascending); returns, for each remaining slot, the slot that its row was in before."""


class CachedDecoder:
    """Decoder with a KV cache that is allocated once and written in place."""

    def __init__(self, model: CausalGPT, rows: int, length: int):
        config = model.config
        self.model = model
        self.attention = model.attention
        width = self.attention.step.width_in_cache(config.head_width)
        shape = (config.n_layer, rows, config.n_head, length, width)
        self.keys = torch.empty(shape, dtype=self.attention.step.cache_dtype, device=model.device)  # (L, B, H, S, D)
        self.values = torch.empty_like(self.keys)
        if width > config.head_width:
            self.keys.zero_()
            self.values.zero_()
        self.lengths: list[int] = []  # positions written so far, in each active slot
        self._blocks = CompiledBlocks(model, self.keys, self.values) if CompiledBlocks.works_for(model) else None

    def prefill(self, slots: Sequence[int], prefixes: Sequence[torch.Tensor]) -> None:
        # One prefix keeps all cores of a CPU busy, and alone it gives the same values in every batch.
        most = 1 if self.keys.device.type == "cpu" else _GPU_POSITIONS_AT_ONCE
        for part in _prefill_batches([len(prefix) for prefix in prefixes], most):
            self._prefill([slots[i] for i in part], [prefixes[i] for i in part])

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        device = self.keys.device
        attend_to_cache = self.attention.step.start(self.lengths, device)

        def attend(layer: int, qkv: torch.Tensor) -> torch.Tensor:
            return attend_to_cache(qkv, self.keys[layer], self.values[layer])

        embeddings = self.model.token_embedding(tokens)[:, None]  # (B, 1, C)
        positions = torch.tensor(self.lengths, device=device)[:, None]
        if self._blocks is not None:
            x = self.model.embed(embeddings, positions)
            hidden = self.model.norm(self._blocks.step(x[:, 0], self.lengths))
        else:
            hidden = self.model(embeddings, positions, attend)[:, 0]
        self.lengths = [length + 1 for length in self.lengths]
        return hidden

    def keep(self, alive: Sequence[int]) -> list[int]:
        order = compact(alive)
        for slot, source in enumerate(order):
            if slot != source:
                filled = self.lengths[source]
                self.keys[:, slot, :, :filled] = self.keys[:, source, :, :filled]
                self.values[:, slot, :, :filled] = self.values[:, source, :, :filled]
        self.lengths = [self.lengths[source] for source in order]
        return order

    def _prefill(self, slots: Sequence[int], prefixes: Sequence[torch.Tensor]) -> None:
        lengths = [len(prefix) for prefix in prefixes]
        # Shorter rows are padded on the right, which causal attention hides from their own positions.
        padded = torch.nn.utils.rnn.pad_sequence(list(prefixes), batch_first=True)  # (B, T, C)

        def attend(layer: int, qkv: torch.Tensor) -> torch.Tensor:
            return self.attention.prefix.prefill(
                qkv, [(self.keys[layer, k], self.values[layer, k]) for k in slots], lengths
            )

        self.model.prefill(padded, torch.arange(padded.shape[1], device=padded.device), attend)
        for slot, length in zip(slots, lengths, strict=True):
            self.lengths[slot : slot + 1] = [length]


class GraphedDecoder(CachedDecoder):
    """For CUDA: a step is captured as a graph once for each number of rows and length of the cache, and then replayed.

    A step is one or two kernel launches, and the host waits for nothing. Hidden states stay valid until the next step.
    A graph may have more rows than are active; the surplus rows are computed and ignored.
    """

    def __init__(self, model: CausalGPT, rows: int, length: int):
        super().__init__(model, rows, length)
        self.keys.zero_()  # a masked position that holds NaN would still spoil the sum
        self.values.zero_()
        self.rows, self.length = rows, length
        self._slots = torch.arange(rows, device=model.device)
        self._reach = torch.arange(length, device=model.device)
        self._tokens = torch.zeros(rows, dtype=torch.long, device=model.device)
        self._positions = torch.zeros_like(self._tokens)
        self._captured: dict[tuple[int, int], Callable[[], torch.Tensor]] = {}

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        n = len(tokens)
        rows = min(self.rows, 1 << (n - 1).bit_length())
        reach = min(self.length, -(-(max(self.lengths) + 1) // _REACH) * _REACH)
        self._tokens[:n] = tokens
        if (rows, reach) not in self._captured:
            self._captured[rows, reach] = self._capture(rows, reach)
        self.lengths = [min(length + 1, self.length - 1) for length in self.lengths]
        return self._captured[rows, reach]()[:n]

    def prefill(self, slots: Sequence[int], prefixes: Sequence[torch.Tensor]) -> None:
        super().prefill(slots, prefixes)
        self._copy_lengths()

    def keep(self, alive: Sequence[int]) -> list[int]:
        order = super().keep(alive)
        self._copy_lengths()
        return order

    def _copy_lengths(self) -> None:
        """Copy the length of each slot to the device."""
        self._positions[: len(self.lengths)] = torch.tensor(self.lengths, device=self._positions.device)

    def _static_step(self, rows: int, reach: int) -> torch.Tensor:
        """A step that reads only buffers at fixed addresses, as graphs require; hidden states (rows, C)."""
        slots, positions = self._slots[:rows], self._positions[:rows]
        mask = self._reach[:reach] <= positions[:, None, None, None]  # (B, 1, 1, S)

        def attend(layer: int, qkv: torch.Tensor) -> torch.Tensor:
            keys, values = self.keys[layer], self.values[layer]
            query, key, value = split_heads(qkv.to(keys))
            keys[slots, :, positions], values[slots, :, positions] = key[:, :, 0], value[:, :, 0]
            keys, values = keys[:rows, :, :reach], values[:rows, :, :reach]
            return join_heads(F.scaled_dot_product_attention(query, keys, values, attn_mask=mask))

        embeddings = self.model.token_embedding(self._tokens[:rows])[:, None]
        hidden = self.model(embeddings, positions[:, None], attend)[:, 0]
        # A row that has ended is stepped until the host notices, so its position must stay inside the cache.
        positions.add_(1).clamp_(max=self.length - 1)
        return hidden

    def _capture(self, rows: int, reach: int) -> Callable[[], torch.Tensor]:
        step = partial(self._static_step, rows, reach)
        if self.keys.device.type != "cuda":
            return step
        before = self._positions.clone()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(2):  # the first calls set up libraries, which must not be captured
                step()
        torch.cuda.current_stream().wait_stream(side)
        self._positions.copy_(before)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            hidden = step()
        self._positions.copy_(before)

        def replay() -> torch.Tensor:
            graph.replay()
            return hidden

        return replay


class RecomputingDecoder:
    """Decoder without a cache: every step computes the whole sequence again, row by row. Slow; the same tokens."""

    def __init__(self, model: CausalGPT):
        self.model = model
        self.sequences: list[torch.Tensor] = []  # (T_i, C) in each slot

    def prefill(self, slots: Sequence[int], prefixes: Sequence[torch.Tensor]) -> None:
        for slot, prefix in zip(slots, prefixes, strict=True):
            self.sequences[slot : slot + 1] = [prefix]

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        embeddings = self.model.token_embedding(tokens)[:, None]
        self.sequences = [torch.cat(pair) for pair in zip(self.sequences, embeddings, strict=True)]
        return torch.stack([self._last_hidden(sequence) for sequence in self.sequences])

    def keep(self, alive: Sequence[int]) -> list[int]:
        self.sequences = [self.sequences[slot] for slot in alive]
        return list(alive)

    def _last_hidden(self, sequence: torch.Tensor) -> torch.Tensor:
        positions = torch.arange(len(sequence), device=sequence.device)
        return self.model(sequence[None], positions, attend_causally)[0, -1]


def make_decoder(model: CausalGPT, rows: int, length: int, cached: bool) -> Decoder:
    """A decoder for up to `rows` rows of up to `length` positions.

    On CUDA the decoder of an earlier batch (`keep_decoder`) is used again if it is large enough, because capturing graphs is
    slow. It is the caller's alone, so that another batch may begin before this one has ended.
    """
    if not cached:
        return RecomputingDecoder(model)
    if not can_capture(model.device):
        return CachedDecoder(model, rows, length)
    kept, model.kept_decoder = model.kept_decoder, None
    if not isinstance(kept, GraphedDecoder) or kept.rows < rows or kept.length < length:
        kept = None  # frees its memory before the new one is allocated
        kept = GraphedDecoder(model, rows, length)
    kept.lengths = []
    return kept


def keep_decoder(model: CausalGPT, decoder: Decoder) -> None:
    """Keep the decoder of a batch that has ended for a later one, if it has graphs, and no larger one is kept."""
    kept = model.kept_decoder
    size = kept.rows * kept.length if isinstance(kept, GraphedDecoder) else 0
    if isinstance(decoder, GraphedDecoder) and decoder.rows * decoder.length > size:
        model.kept_decoder = decoder


def can_capture(device: torch.device) -> bool:
    """True when steps can be captured as graphs on this device."""
    return device.type == "cuda"


def compact(alive: Sequence[int]) -> list[int]:
    """Source slot of each slot 0..len(alive)-1 when rows from the end fill the holes: as few moves as possible."""
    movers = iter([slot for slot in alive if slot >= len(alive)])
    staying = set(alive)
    return [slot if slot in staying else next(movers) for slot in range(len(alive))]


def _prefill_batches(lengths: Sequence[int], most: int) -> Iterator[range]:
    """Ranges of rows to be prefilled together: up to `most` positions with their padding, or one row."""
    start = 0
    for stop in range(1, len(lengths) + 1):
        if stop == len(lengths) or (stop + 1 - start) * max(lengths[start : stop + 1]) > most:
            yield range(start, stop)
            start = stop


def cache_bytes_per_row(model: CausalGPT) -> int:
    """Bytes of one row's keys and values at full context."""
    config, step = model.config, model.attention.step
    numbers = config.n_layer * config.n_head * step.width_in_cache(config.head_width) * config.block_size
    return 2 * numbers * step.cache_dtype.itemsize
