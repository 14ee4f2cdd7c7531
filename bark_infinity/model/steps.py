"""Whole steps of a causal stage with int8 or bfloat16 weights in one call of compiled code.

A step of a few rows is hundreds of small operations; as calls from Python they take longer than their work. Here the
operations of all blocks are one list of compiled loops with their arguments, made once for each number of rows.
Shapes: B rows, C width, L layers, H heads, S allocated positions, D width of a head.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from .attention import Attention, CompiledAttention, PrefixAttention
from .compiled_layers import CompiledBfloat16Linear, threads_of_rows
from .gpt import Block, CausalGPT
from .precision import SteppingLinear, pack
from .threads import Call, Program, can_run_programs


class CompiledBlocks:
    """The blocks of a causal stage, for steps over a KV cache. Norms, sums and residuals are float32."""

    def __init__(self, model: CausalGPT, keys: torch.Tensor, values: torch.Tensor):
        """keys, values (L, B, H, S, D): the cache, with as many rows as a step may have. See `works_for`."""
        attention = model.attention.step
        assert isinstance(attention, CompiledAttention)
        self._blocks, self._attention, self._keys, self._values = list(model.blocks), attention, keys, values
        rows, width, all_heads = keys.shape[1], model.config.width, keys.shape[2] * keys.shape[4]
        self._residuals = torch.empty(rows, width)  # (B, C)
        self._normalised = torch.empty(rows, width)
        self._qkv = torch.empty(rows, 3 * all_heads)
        self._attended = torch.empty(rows, all_heads)
        self._hidden = torch.empty(rows, 4 * width)
        self._lengths = torch.zeros(rows, dtype=torch.int64)
        self._programs: dict[tuple[int, int], Program] = {}  # by the number of rows and of threads

    @staticmethod
    def works_for(model: CausalGPT) -> bool:
        """True for a model with layers and attention in compiled loops, where loops can run on torch's threads."""
        layers = isinstance(model.blocks[0].qkv, SteppingLinear)
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
        sizes = rows, heads, length, self._attention.head_width
        program.add(Call(self._attention.loop, tensors, sizes, program.n_threads))
        self._add_product(program, block.attention_out, attended, x, "ADDED")
        self._add_norm(program, block.mlp_norm, x, normalised)
        self._add_product(program, block.mlp_in, normalised, hidden, "GELU")
        self._add_product(program, block.mlp_out, hidden, x, "ADDED")

    def _add_norm(self, program: Program, norm: nn.LayerNorm, x: torch.Tensor, result: torch.Tensor) -> None:
        weight = norm.weight.float()
        bias = torch.zeros_like(weight) if norm.bias is None else norm.bias.float()
        n_threads = threads_of_rows(len(x), program.n_threads)
        program.add(Call(program.loops.normalise, (x, weight, bias, result), x.shape, n_threads))

    def _add_product(
        self, program: Program, layer: SteppingLinear, x: torch.Tensor, result: torch.Tensor, mode: str
    ) -> None:
        for call in layer.steps.calls(x, result, getattr(program.loops, mode), program.n_threads):
            program.add(call)


def compile_narrow_steps(model: CausalGPT, prefix: PrefixAttention) -> None:
    """Give a narrow float32 model, whose weights are bfloat16 numbers, steps in compiled loops. Raises CannotCompile.

    `prefix`: attends before the steps.
    Compiled attention is made for heads of 64 channels: in steps, narrower heads are zero-padded.
    """
    config = model.config
    attention = CompiledAttention(torch.float32, config.head_width)
    n_more = attention.width_in_cache(config.head_width) - config.head_width
    padded = [
        (
            _with_more_outputs(block.qkv, 3 * config.n_head, n_more),
            _with_more_inputs(block.attention_out, config.n_head, n_more),
        )
        for block in model.blocks
    ]
    pack(model, torch.float32, compiled_steps=True)
    model.chosen_attention = Attention(attention, prefix)
    for block, (qkv, attention_out) in zip(model.blocks, padded, strict=True):
        block.qkv.steps, block.attention_out.steps = qkv, attention_out


def _with_more_outputs(layer: nn.Linear, n_groups: int, n_more: int) -> CompiledBfloat16Linear:
    """A layer whose outputs are in equal groups, with `n_more` outputs of 0 at the end of each."""
    weight, bias = layer.weight.unflatten(0, (n_groups, -1)), layer.bias
    more = F.pad(weight, (0, 0, 0, n_more)).flatten(0, 1)
    return CompiledBfloat16Linear(
        more, None if bias is None else F.pad(bias.unflatten(0, (n_groups, -1)), (0, n_more)).flatten()
    )


def _with_more_inputs(layer: nn.Linear, n_groups: int, n_more: int) -> CompiledBfloat16Linear:
    """A layer whose inputs are in equal groups, with `n_more` inputs that do not count at the end of each."""
    more = F.pad(layer.weight.unflatten(1, (n_groups, -1)), (0, n_more)).flatten(1)
    return CompiledBfloat16Linear(more, layer.bias)
