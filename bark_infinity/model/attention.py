"""Attention of prefixes and of single steps over the KV cache, by torch or by compiled loops.

Shapes: B rows, T positions, H heads, D width of a head, C = H * D, S allocated positions of the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

import torch
import torch.nn.functional as F

from . import threads

Attend = Callable[[int, torch.Tensor], torch.Tensor]
"""(layer, query with key and value (B, T, 3, H, D)) -> attention output (B, T, H, D)."""

Cache = tuple[torch.Tensor, torch.Tensor]
"""Keys and values of a layer and row, (H, S, D) each."""

AttendToCache = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""(query with key and value (B, 1, 3, H, D), keys and values of a layer (rows, H, S, D)) -> attention output (B, 1, H, D).

The new key and value of each row are written into the cache.
"""

_LINE = 16  # float32 numbers in a cache line


def attend_causally(_: int, qkv: torch.Tensor) -> torch.Tensor:
    """Every position attends to itself and those before it."""
    return TorchPrefix().attend(qkv, causal=True)


def split_heads(qkv: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(B, T, 3, H, D) -> query, key and value, each (B, H, T, D)."""
    return qkv.permute(2, 0, 3, 1, 4).unbind()


def join_heads(heads: torch.Tensor) -> torch.Tensor:
    """(B, H, T, D) -> (B, T, H, D)."""
    return heads.transpose(1, 2)


@dataclass(frozen=True)
class Attention:
    """How a causal stage attends while it generates."""

    step: StepAttention
    prefix: PrefixAttention


class PrefixAttention(Protocol):
    """Attention of many positions of each row to each other, with nothing before them."""

    def attend(self, qkv: torch.Tensor, causal: bool) -> torch.Tensor:
        """Query with key and value (B, T, 3, H, D) -> attention output (B, T, H, D), float32 or as the input.

        `causal`: every position attends to itself and those before it, else to all.
        """

    def prefill(self, qkv: torch.Tensor, caches: Sequence[Cache], lengths: Sequence[int]) -> torch.Tensor:
        """As `attend`, causal. Each row's first `length` keys and values are written into its cache."""


class StepAttention(Protocol):
    """Attention of one new position of each row over a KV cache of type `cache_dtype`.

    No position is read that is not filled, and a row's result does not depend on its neighbours, to the last bit.
    """

    cache_dtype: torch.dtype

    def width_in_cache(self, head_width: int) -> int:
        """Channels that the cache has for a head; those beyond its own are zero padding."""

    def start(self, lengths: Sequence[int], device: torch.device) -> AttendToCache:
        """The attention of one step for rows that have so many positions filled; to be called for each layer."""


class TorchPrefix:
    """`scaled_dot_product_attention` in one type, for any device; None: in the type of the input."""

    def __init__(self, dtype: torch.dtype | None = None):
        self.dtype = dtype

    def attend(self, qkv: torch.Tensor, causal: bool) -> torch.Tensor:
        query, key, value = split_heads(qkv if self.dtype is None else qkv.to(self.dtype))
        return join_heads(F.scaled_dot_product_attention(query, key, value, is_causal=causal))

    def prefill(self, qkv: torch.Tensor, caches: Sequence[Cache], lengths: Sequence[int]) -> torch.Tensor:
        for row, ((keys, values), length) in enumerate(zip(caches, lengths, strict=True)):
            keys[:, :length, : qkv.shape[-1]] = qkv[row, :length, 1].transpose(0, 1)
            values[:, :length, : qkv.shape[-1]] = qkv[row, :length, 2].transpose(0, 1)
        return self.attend(qkv, causal=True)


class CompiledPrefix:
    """Compiled loops in float32, one row after the other, for CPUs and heads of 64 channels, or fewer, zero-padded.

    Causal attention computes little more than the half of the products that it needs.
    """

    def __init__(self) -> None:
        """Raises CannotCompile."""
        self._loops = threads.load_loops()

    def attend(self, qkv: torch.Tensor, causal: bool) -> torch.Tensor:
        outputs = self._outputs(qkv)
        for row, output in zip(qkv, outputs, strict=True):
            self._attend(row, None, causal, output)
        return outputs[..., : qkv.shape[-1]]

    def prefill(self, qkv: torch.Tensor, caches: Sequence[Cache], lengths: Sequence[int]) -> torch.Tensor:
        outputs = self._outputs(qkv)
        for row, output, cache, length in zip(qkv, outputs, caches, lengths, strict=True):
            self._attend(row[:length], cache, True, output[:length])
            output[length:] = 0  # padding
        return outputs[..., : qkv.shape[-1]]

    def _outputs(self, qkv: torch.Tensor) -> torch.Tensor:
        return torch.empty(*qkv.shape[:2], qkv.shape[3], self._loops.HEAD_WIDTH)

    def _attend(self, qkv: torch.Tensor, cache: Cache | None, causal: bool, output: torch.Tensor) -> None:
        """One row, (T, 3, H, D), into `output` (T, H, 64), which is contiguous."""
        n_threads, loops = torch.get_num_threads(), self._loops
        positions, _, heads, own = qkv.shape
        width = loops.HEAD_WIDTH
        qkv = qkv.float()
        if own < width:  # F.pad copies also where there is nothing to add
            qkv = F.pad(qkv, (0, width - own))
        qkv = qkv.contiguous()
        padded = _padded_row(positions, loops.COLUMNS_AT_ONCE)
        keys, values = torch.empty(heads, width, padded), torch.empty(heads, padded, width)
        scratch = torch.empty(n_threads, loops.QUERIES_AT_ONCE, 2 * width + padded)
        cached, length = ((keys, values), 0) if cache is None else (cache, cache[0].shape[1])
        pack = loops.pack_prefix_bfloat16 if cached[0].dtype == torch.bfloat16 else loops.pack_prefix_float32
        threads.run_with(pack, (qkv, *cached, keys, values), (positions, heads, length, padded), n_threads)
        tensors = qkv, keys, values, output, scratch
        threads.run_with(loops.attend_prefix, tensors, (positions, heads, padded, int(causal), own), n_threads)


def _padded_row(positions: int, columns_at_once: int) -> int:
    """The length of a row of float32 with padding, in a matrix that is read by columns.

    It holds whole groups of `columns_at_once`, in an odd number of cache lines, so that a column's numbers are in different
    cache sets.
    """
    padded = -(-positions // columns_at_once) * columns_at_once
    return padded + (_LINE if padded // _LINE % 2 == 0 else 0)


class TorchAttention:
    """`scaled_dot_product_attention`, for any device and type."""

    def __init__(self, cache_dtype: torch.dtype):
        self.cache_dtype = cache_dtype

    def width_in_cache(self, head_width: int) -> int:
        return head_width

    def start(self, lengths: Sequence[int], device: torch.device) -> AttendToCache:
        positions, slots = torch.tensor(lengths, device=device), torch.arange(len(lengths), device=device)
        groups = list(_equal_lengths(lengths))

        def attend(qkv: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
            query, key, value = split_heads(qkv.to(self.cache_dtype))
            keys[slots, :, positions], values[slots, :, positions] = key[:, :, 0], value[:, :, 0]
            # Rows of equal length together: no row reads beyond its own positions, so that no mask is needed.
            heads = [
                F.scaled_dot_product_attention(query[rows], keys[rows, :, :filled], values[rows, :, :filled])
                for rows, filled in groups
            ]
            return join_heads(heads[0] if len(heads) == 1 else torch.cat(heads))

        return attend


class CompiledAttention:
    """Loops over float32 or bfloat16 keys and values, compiled by Numba, for CPUs and heads of 64 channels.

    They read the cache at about the speed of memory, where torch's attention, made for many queries at once, takes 1.5 times
    as long in float32 and up to 8 times in bfloat16. Sums are float32. Narrower heads must be zero-padded.
    """

    def __init__(self, cache_dtype: torch.dtype, head_width: int = 64):
        """`head_width`: channels of a head without its padding. Raises CannotCompile, also for more than 64."""
        loops = threads.load_loops()
        if head_width > loops.HEAD_WIDTH:
            raise threads.CannotCompile
        self.cache_dtype, self.head_width, self._padded_width = cache_dtype, head_width, loops.HEAD_WIDTH
        self.loop = {torch.float32: loops.attend_float32, torch.bfloat16: loops.attend_bfloat16}[cache_dtype]

    def width_in_cache(self, head_width: int) -> int:
        return self._padded_width

    def start(self, lengths: Sequence[int], device: torch.device) -> AttendToCache:
        n_threads, filled = torch.get_num_threads(), torch.tensor(lengths)
        scratch: torch.Tensor | None = None

        def attend(qkv: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
            nonlocal scratch
            rows, (_, heads, length, width) = len(lengths), keys.shape
            if scratch is None:
                scratch = torch.empty(n_threads, length + 2 * width)
            qkv, output = qkv.float().contiguous(), torch.empty(rows, 1, heads, width)
            tensors = qkv, keys, values, filled, output, scratch
            threads.run_with(self.loop, tensors, (rows, heads, length, self.head_width), n_threads)
            return output

        return attend


def _equal_lengths(lengths: Sequence[int]) -> Iterator[tuple[slice, int]]:
    """Ranges of neighbouring slots of equal length, and that length with the token that is being read."""
    start = 0
    for length, group in groupby(lengths):
        stop = start + sum(1 for _ in group)
        yield slice(start, stop), length + 1
        start = stop
