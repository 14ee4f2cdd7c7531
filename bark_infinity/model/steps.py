"""Whole steps of a causal stage with int8 weights in one call of compiled code.

A step of a few rows is hundreds of small operations; as calls from Python they take longer than their work. Here the
operations of all blocks are one list of compiled loops with their arguments, made once for each number of rows.
Shapes: B rows, C width, L layers, H heads, S allocated positions, D width of a head.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from .attention import CompiledAttention
from .gpt import Block, CausalGPT
from .precision import CompiledInt8Linear, SteppingInt8Linear
from .threads import Program, can_run_programs

_ROWS_FOR_THREADS = 8  # below, a row's norm takes less time than waking a thread


class CompiledBlocks:
    """The blocks of a causal stage, for steps over a KV cache. Norms, sums and residuals are float32."""

    def __init__(self, model: CausalGPT, keys: torch.Tensor, values: torch.Tensor):
        """keys, values (L, B, H, S, D): the cache, with as many rows as a step may have. See `works_for`."""
        attention = model.attention.step
        assert isinstance(attention, CompiledAttention)
        self._blocks, self._attention, self._keys, self._values = list(model.blocks), attention, keys, values
        rows, width = keys.shape[1], model.config.width
        self._residuals = torch.empty(rows, width)  # (B, C)
        self._normalised = torch.empty(rows, width)
        self._qkv = torch.empty(rows, 3 * width)
        self._attended = torch.empty(rows, width)
        self._hidden = torch.empty(rows, 4 * width)
        self._lengths = torch.zeros(rows, dtype=torch.int64)
        self._programs: dict[tuple[int, int], Program] = {}  # by the number of rows and of threads

    @staticmethod
    def works_for(model: CausalGPT) -> bool:
        """True for a model with int8 layers and attention in compiled loops, where loops can run on torch's threads."""
        layers = isinstance(model.blocks[0].qkv, SteppingInt8Linear)
        return layers and isinstance(model.attention.step, CompiledAttention) and can_run_programs()

    def step(self, embeddings: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
        """Token and position embeddings (B, C), and the filled positions of each row -> residuals after all blocks (B, C).

        The new keys and values are written into the cache.
        """
        rows, n_threads = len(lengths), torch.get_num_threads()
        self._residuals[:rows] = embeddings
        self._lengths[:rows] = torch.tensor(lengths)
        if (rows, n_threads) not in self._programs:
            self._programs[rows, n_threads] = self._program(rows, n_threads)
        self._programs[rows, n_threads].run()
        return self._residuals[:rows]

    def _program(self, rows: int, n_threads: int) -> Program:
        program = Program(n_threads)
        for layer, block in enumerate(self._blocks):
            self._add_block(program, block, self._keys[layer], self._values[layer], rows)
        return program

    def _add_block(self, program: Program, block: Block, keys: torch.Tensor, values: torch.Tensor, rows: int) -> None:
        x, normalised, qkv, attended, hidden = (
            buffer[:rows] for buffer in (self._residuals, self._normalised, self._qkv, self._attended, self._hidden)
        )
        _, heads, length, width = keys.shape
        self._add_norm(program, block.attention_norm, x, normalised)
        self._add_product(program, block.qkv, normalised, qkv, "PLAIN")
        scratch = torch.empty(program.n_threads, length + 2 * width)
        tensors = qkv, keys, values, self._lengths, attended, scratch
        program.add(self._attention.loop, tensors, (rows, heads, length))
        self._add_product(program, block.attention_out, attended, x, "ADDED")
        self._add_norm(program, block.mlp_norm, x, normalised)
        self._add_product(program, block.mlp_in, normalised, hidden, "GELU")
        self._add_product(program, block.mlp_out, hidden, x, "ADDED")

    def _add_norm(self, program: Program, norm: nn.LayerNorm, x: torch.Tensor, result: torch.Tensor) -> None:
        weight = norm.weight.float()
        bias = torch.zeros_like(weight) if norm.bias is None else norm.bias.float()
        program.add(program.loops.normalise, (x, weight, bias, result), x.shape, self._threads_of_rows(program, x))

    def _add_product(
        self, program: Program, layer: SteppingInt8Linear, x: torch.Tensor, result: torch.Tensor, mode: str
    ) -> None:
        steps: CompiledInt8Linear = layer.steps
        levels, scales, scratch = steps.working_memory(len(x), program.n_threads)
        program.add(steps.loops.quantise, (x, levels, scales), x.shape, self._threads_of_rows(program, x))
        tensors = levels, scales, steps.weight, steps.scale, steps.bias, result, scratch
        sizes = *x.shape, steps.n_padded, getattr(program.loops, mode)
        program.add(steps.loops.multiply, tensors, sizes)

    def _threads_of_rows(self, program: Program, x: torch.Tensor) -> int:
        return program.n_threads if len(x) >= _ROWS_FOR_THREADS else 1
