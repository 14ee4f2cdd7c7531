"""Linear layers in compiled loops made for few rows, as steps have them.

Shapes: C inputs, O outputs of a layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from .threads import Call, CannotCompile, load_loops, run_with

Quantised = tuple[torch.Tensor, torch.Tensor]
"""Weights (O, C) as int8 (O, C), and the scale of each output, float32 (O,)."""

_OUTPUTS_QUANTISED_AT_ONCE = 64  # so that intermediate values stay in the processor's cache
_ROWS_FOR_THREADS = 8  # below, a loop over rows takes less time than waking a thread


def threads_of_rows(rows: int, n_threads: int) -> int:
    """The number of threads for a loop whose items of work are rows."""
    return n_threads if rows >= _ROWS_FOR_THREADS else 1


class CompiledLinear(nn.Module):
    """A linear layer for few rows. A row's result does not depend on its neighbours, to the last bit; results are float32.

    The weights are kept in the order in which its loops read them: oneDNN's packed ones cannot be read by others.
    """

    n_outputs: int
    n_padded: int  # with outputs of 0, to whole items of work

    def calls(self, x: torch.Tensor, y: torch.Tensor, mode: int, n_threads: int) -> Iterator[Call]:
        """The loops that compute y (rows, padded O) of x (rows, C), both float32; `mode`: see `loops.PLAIN`."""
        raise NotImplementedError

    def forward(self, x: torch.Tensor, gelu: bool = False) -> torch.Tensor:
        """(..., C) -> (..., O), followed by the exact GELU if asked for."""
        loops, x = load_loops(), x.float().contiguous()
        y = torch.empty(*x.shape[:-1], self.n_padded)
        rows, mode = x.view(-1, x.shape[-1]), loops.GELU if gelu else loops.PLAIN
        for call in self.calls(rows, y.view(-1, self.n_padded), mode, torch.get_num_threads()):
            run_with(*call)
        return y[..., : self.n_outputs]

    def _pad(self, weight: torch.Tensor, bias: torch.Tensor | None, outputs: int) -> torch.Tensor:
        """The weights with rows of 0, to a multiple of `outputs`. Sets the sizes and the bias."""
        self.n_outputs = len(weight)
        self.n_padded = -(-self.n_outputs // outputs) * outputs
        n_more = self.n_padded - self.n_outputs
        self.bias = torch.zeros(self.n_padded) if bias is None else F.pad(bias.float(), (0, n_more))
        return F.pad(weight, (0, 0, 0, n_more))


# ---- int8 -----------------------------------------------------------------------------------------------------------


def quantised(weight: torch.Tensor) -> Quantised:
    """Weights (O, C) as int8. Scales are symmetric: the largest magnitude is the last level."""
    integers, scales = torch.empty_like(weight, dtype=torch.int8), torch.empty(len(weight))
    for start in range(0, len(weight), _OUTPUTS_QUANTISED_AT_ONCE):
        part = slice(start, start + _OUTPUTS_QUANTISED_AT_ONCE)
        values = weight[part].float()
        scales[part] = (values.abs().amax(dim=1) / 127).clamp_(min=1e-30)
        integers[part] = (values / scales[part, None]).round_()
    return integers, scales


class Int8Loops(NamedTuple):
    """Compiled loops that multiply few rows by int8 weights: by pairs of weights, or by quads; see `loops.py`."""

    quantise: Any
    multiply: Any
    level_type: torch.dtype  # of the inputs as integers
    outputs: int  # the number of outputs must be a multiple of it
    channels: int  # and that of input channels a multiple of this
    scratch: int  # int32 numbers of each thread
    interleave: Callable[[torch.Tensor], torch.Tensor]  # weights int8 (O, C) in the order in which they are read

    @classmethod
    def fastest(cls) -> Int8Loops:
        """The loops of this processor. Raises CannotCompile for one without AVX2."""
        loops = load_loops()
        return cls.of_quads(loops) if loops.HAS_QUADS else cls.of_pairs(loops)

    @classmethod
    def of_pairs(cls, loops: Any) -> Int8Loops:
        """With AVX2: inputs of 13 bits. Raises CannotCompile without it."""
        if not loops.HAS_PAIRS:
            raise CannotCompile
        sizes = loops.PAIR_OUTPUTS, loops.PAIR_CHANNELS, 4 * loops.PAIR_OUTPUTS
        return cls(loops.quantise_pairs, loops.multiply_pairs, torch.int16, *sizes, lambda weights: weights)

    @classmethod
    def of_quads(cls, loops: Any) -> Int8Loops:
        """With AVX512-VNNI: inputs of 8 bits."""
        outputs, channels = loops.QUAD_OUTPUTS, loops.QUAD_CHANNELS

        def interleave(weights: torch.Tensor) -> torch.Tensor:
            unsigned = (weights ^ -128).view(torch.uint8)  # adds 128: the sign is the highest bit
            return unsigned.unflatten(1, (-1, channels)).unflatten(0, (-1, outputs)).transpose(1, 2).contiguous()

        sizes = outputs, channels, 8 * outputs
        return cls(loops.quantise_quads, loops.multiply_quads, torch.int8, *sizes, interleave)


class CompiledInt8Linear(CompiledLinear):
    """int8 weights with a scale for each output, and inputs with a scale for each row."""

    def __init__(
        self,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        given: Quantised | None = None,
        loops: Int8Loops | None = None,
    ):
        """`given`: the weights, quantised before. `loops` None: the fastest.

        Raises CannotCompile, also for processors without AVX2 and for odd widths.
        """
        super().__init__()
        self.loops = loops or Int8Loops.fastest()
        if weight.shape[1] % self.loops.channels:
            raise CannotCompile
        integers, scale = given or quantised(weight)
        self.weight = self.loops.interleave(self._pad(integers, bias, self.loops.outputs))
        self.scale = F.pad(scale, (0, self.n_padded - self.n_outputs))

    def calls(self, x: torch.Tensor, y: torch.Tensor, mode: int, n_threads: int) -> Iterator[Call]:
        """As CompiledLinear's."""
        rows, channels = x.shape
        levels, scales = torch.empty(rows, channels, dtype=self.loops.level_type), torch.empty(rows, 2)
        scratch = torch.empty(n_threads, self.loops.scratch, dtype=torch.int32)
        yield Call(self.loops.quantise, (x, levels, scales), (rows, channels), threads_of_rows(rows, n_threads))
        tensors = levels, scales, self.weight, self.scale, self.bias, y, scratch
        yield Call(self.loops.multiply, tensors, (rows, channels, self.n_padded, mode), n_threads)


# ---- bfloat16 -------------------------------------------------------------------------------------------------------


class CompiledBfloat16Linear(CompiledLinear):
    """bfloat16 weights and float32 inputs, with float32 sums: reading the weights takes longer than multiplying."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None):
        """Raises CannotCompile, also for processors without AVX512."""
        super().__init__()
        self._loops = load_loops()
        if not self._loops.HAS_WIDE:
            raise CannotCompile
        outputs = self._loops.BFLOAT16_OUTPUTS
        padded = self._pad(weight.to(torch.bfloat16), bias, outputs)
        # (O / 32, C, 16, 2): output k of 32 beside output k + 16, which one 32-bit number holds
        self.weight = padded.unflatten(0, (-1, 2, outputs // 2)).permute(0, 3, 2, 1).contiguous()

    def calls(self, x: torch.Tensor, y: torch.Tensor, mode: int, n_threads: int) -> Iterator[Call]:
        """As CompiledLinear's."""
        scratch = torch.empty(n_threads, 8, self._loops.BFLOAT16_OUTPUTS)
        tensors, sizes = (x, self.weight, self.bias, y, scratch), (*x.shape, self.n_padded, mode)
        yield Call(self._loops.multiply_bfloat16, tensors, sizes, n_threads)
