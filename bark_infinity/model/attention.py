"""Attention of the causal stages: of whole prefixes by torch, of single steps over the KV cache by torch or compiled loops.

Shapes: B rows, T positions, H heads, D width of a head, C = H * D, S allocated positions of the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F

from . import threads
from .threads import address_of

Attend = Callable[[int, torch.Tensor], torch.Tensor]
"""(layer, query with key and value (B, T, 3, H, D)) -> attention output (B, T, H, D)."""

AttendToCache = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""(query with key and value (B, 1, 3, H, D), keys and values of a layer (rows, H, S, D)) -> attention output (B, 1, H, D).

The new key and value of each row are written into the cache.
"""


def attend_causally(_: int, qkv: torch.Tensor) -> torch.Tensor:
    """Every position attends to itself and those before it."""
    return join_heads(F.scaled_dot_product_attention(*split_heads(qkv), is_causal=True))


def attend_to_all(_: int, qkv: torch.Tensor) -> torch.Tensor:
    """Every position attends to all."""
    return join_heads(F.scaled_dot_product_attention(*split_heads(qkv)))


def split_heads(qkv: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(B, T, 3, H, D) -> query, key and value, each (B, H, T, D)."""
    return qkv.permute(2, 0, 3, 1, 4).unbind()


def join_heads(heads: torch.Tensor) -> torch.Tensor:
    """(B, H, T, D) -> (B, T, H, D)."""
    return heads.transpose(1, 2)


@dataclass(frozen=True)
class Attention:
    """How a causal stage attends while it generates: in single steps over a cache, and in prefills of this type."""

    step: StepAttention
    prefill_dtype: torch.dtype


class StepAttention(Protocol):
    """Attention of one new position of each row over a KV cache of type `cache_dtype`.

    No position is read that is not filled, and a row's result does not depend on its neighbours, to the last bit.
    """

    cache_dtype: torch.dtype

    def start(self, lengths: Sequence[int], device: torch.device) -> AttendToCache:
        """The attention of one step for rows that have so many positions filled; to be called for each layer."""


class TorchAttention:
    """`scaled_dot_product_attention`, for any device and type."""

    def __init__(self, cache_dtype: torch.dtype):
        self.cache_dtype = cache_dtype

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
    as long in float32 and up to 8 times in bfloat16. Sums are float32.
    """

    def __init__(self, cache_dtype: torch.dtype):
        """Raises CannotCompile."""
        loops = threads.load_loops()
        loop = {torch.float32: loops.attend_float32, torch.bfloat16: loops.attend_bfloat16}[cache_dtype]
        self.cache_dtype = cache_dtype
        self._code = loop  # owns what stands at the address
        self._loop: int = loop.address

    def start(self, lengths: Sequence[int], device: torch.device) -> AttendToCache:
        return _CompiledStep(self._loop, lengths)


class _CompiledStep:
    """One step of CompiledAttention. It owns the arrays whose addresses the compiled loop is given."""

    def __init__(self, loop: int, lengths: Sequence[int]):
        self._loop, self._n_threads = loop, torch.get_num_threads()
        self._lengths, self._counters = np.array(lengths, np.int64), np.zeros(2, np.int64)
        self._scratch: torch.Tensor | None = None
        self._arguments = np.zeros(10, np.int64)  # see loops.attend_float32
        self._arguments[[0, 4]] = address_of(self._counters), address_of(self._lengths)
        self._address = address_of(self._arguments)

    def __call__(self, qkv: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        rows, (_, heads, length, width) = len(self._lengths), keys.shape
        if self._scratch is None:
            self._scratch = torch.empty(self._n_threads, length + width)
        qkv, output = qkv.float().contiguous(), torch.empty(rows, 1, heads, width)
        self._arguments[1:4] = qkv.data_ptr(), keys.data_ptr(), values.data_ptr()
        self._arguments[5:] = output.data_ptr(), self._scratch.data_ptr(), rows, heads, length
        self._counters[:] = 0
        threads.run_on_all_threads(self._loop, self._address, self._n_threads)
        return output


def _equal_lengths(lengths: Sequence[int]) -> Iterator[tuple[slice, int]]:
    """Ranges of neighbouring slots of equal length, and that length with the token that is being read."""
    start = 0
    for length, group in groupby(lengths):
        stop = start + sum(1 for _ in group)
        yield slice(start, stop), length + 1
        start = stop
