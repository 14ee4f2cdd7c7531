"""Linear layers: weights kept and multiplied as they are, packed for the CPU, or as int8. No other module knows which.

Residuals and norms are float32 in every precision; a linear layer converts its input to the type it multiplies in.
Shapes: C inputs, O outputs of a layer.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from ..errors import UsageError
from .compiled_layers import CompiledBfloat16Linear, CompiledInt8Linear, CompiledLinear, Quantised, quantised
from .devices import cpu_capabilities, native_type
from .threads import load_loops, run_with

_ROWS_PACKED_FOR = 16  # rows that oneDNN orders the weights for; that order also suits one row and a thousand


class Linear(nn.Linear):
    """A linear layer with its weights in the order of the checkpoint, for any device."""

    def forward(self, x: torch.Tensor, gelu: bool = False) -> torch.Tensor:
        """(..., C) -> (..., O), followed by the exact GELU if asked for."""
        y = F.linear(x.to(self.weight.dtype), self.weight, self.bias)
        return F.gelu(y) if gelu else y


class PackedLinear(nn.Module):
    """float32 or bfloat16 weights, reordered for oneDNN once instead of at every product.

    A row's result does not depend on its neighbours, to the last bit. A single row would go to another kernel, which adds
    in another order, so it is doubled; that costs little, because reading the weights takes most of the time.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None):
        super().__init__()
        self.dtype, self.bias = weight.dtype, bias
        self.packed = torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS_PACKED_FOR)

    def forward(self, x: torch.Tensor, gelu: bool = False) -> torch.Tensor:
        """As Linear's."""
        function, algorithm = ("gelu", "none") if gelu else ("none", "")
        x = x.to(self.dtype)
        alone = x.numel() == x.shape[-1]
        y = torch.ops.mkldnn._linear_pointwise(
            torch.cat([x, x]) if alone else x, self.packed, self.bias, function, [], algorithm
        )
        return y[: len(x)]


class Int8Linear(nn.Module):
    """int8 weights with a scale for each output, and inputs with a scale for each row, in oneDNN's products.

    Rows do not depend on each other. Both scales are symmetric: the largest magnitude is the last level. Results are
    float32.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, given: Quantised | None = None):
        super().__init__()
        integers, scale = given or quantised(weight)
        self.packed = torch.ops.onednn.qlinear_prepack(integers, None)
        self.levels = _input_levels()
        self.middle = self.levels + 1.5  # half a level more, because the conversion to uint8 below truncates
        self.scale, self.zeros = scale, torch.zeros(len(scale), dtype=torch.int32)
        self.bias = None if bias is None else bias.float()

    def forward(self, x: torch.Tensor, gelu: bool = False) -> torch.Tensor:
        """As Linear's."""
        x = x.float()
        largest = x.abs().amax(dim=-1, keepdim=True).clamp_(min=1e-30)  # ten times as fast as torch.linalg's norm
        y = self.product(x.mul(self.levels / largest).add_(self.middle).to(torch.uint8)).mul_(largest / self.levels)
        if self.bias is not None:
            y += self.bias
        return F.gelu(y) if gelu else y

    def product(self, levels: torch.Tensor) -> torch.Tensor:
        """Inputs as integers, uint8 (..., C), `self.levels` + 1 for zero -> (..., O), not multiplied by the inputs' scales."""
        x_scale, zero_level, y_scale, y_zero = 1.0, self.levels + 1, 1.0, 0
        weights = self.packed, self.scale, self.zeros, None
        result: torch.Tensor = torch.ops.onednn.qlinear_pointwise(
            levels, x_scale, zero_level, *weights, y_scale, y_zero, torch.float32, "none", [], ""
        )
        return result


class FusedInt8Linear(Int8Linear):
    """Int8Linear for prefixes, with compiled loops around the product: quantising takes one pass over the inputs, not five."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, given: Quantised | None = None):
        """Raises CannotCompile."""
        super().__init__(weight, bias, given)
        self.loops = load_loops()
        if self.bias is None:
            self.bias = torch.zeros(len(weight))

    def forward(self, x: torch.Tensor, gelu: bool = False) -> torch.Tensor:
        """As Linear's."""
        x, n_threads = x.float().contiguous(), torch.get_num_threads()
        rows, channels = x.numel() // x.shape[-1], x.shape[-1]
        levels, scales = torch.empty(x.shape, dtype=torch.uint8), torch.empty(rows, 2)
        run_with(self.loops.quantise_unsigned, (x, levels, scales), (rows, channels, self.levels), n_threads)
        y = self.product(levels)
        mode = self.loops.GELU if gelu else self.loops.PLAIN
        run_with(self.loops.scale_rows, (y, scales, self.bias), (rows, y.shape[-1], mode), n_threads)
        return y


class SteppingLinear(nn.Module):
    """A layer for prefixes and one for steps: which of them multiplies a row never depends on its neighbours."""

    def __init__(self, prefixes: nn.Module, steps: CompiledLinear):
        super().__init__()
        self.prefixes, self.steps = prefixes, steps

    @classmethod
    def in_int8(cls, weight: torch.Tensor, bias: torch.Tensor | None) -> SteppingLinear:
        """Raises CannotCompile."""
        given = quantised(weight)
        return cls(FusedInt8Linear(weight, bias, given), CompiledInt8Linear(weight, bias, given))

    @classmethod
    def in_bfloat16(cls, weight: torch.Tensor, bias: torch.Tensor | None) -> SteppingLinear:
        """With prefixes in the type of the weights; for float32 ones that are bfloat16 numbers too. Raises CannotCompile."""
        return cls(PackedLinear(weight, bias), CompiledBfloat16Linear(weight, bias))

    def forward(self, x: torch.Tensor, gelu: bool = False) -> torch.Tensor:
        """As Linear's; a step is (B, 1, C)."""
        result: torch.Tensor = (self.steps if x.dim() == 3 and x.shape[1] == 1 else self.prefixes)(x, gelu)
        return result


@functools.cache
def _input_levels() -> int:
    """Levels of an input to either side of zero. Without VNNI pairs of products are added in 16 bits: two of 8 do not fit."""
    cpu = cpu_capabilities()
    return 127 if any(cpu.get(name) for name in ("avx512vnni", "avxvnni", "amxint8")) else 63


Kind = Callable[[torch.Tensor, torch.Tensor | None], nn.Module]


class Head(Linear):
    """The output layer of a stage. No stage needs the whole vocabulary: each part asked for is packed once."""

    def __init__(self, width: int, vocab_size: int):
        super().__init__(width, vocab_size, bias=False)
        self.kind: Kind | None = None
        self._parts: dict[tuple[int, int], nn.Module] = {}

    def forward(  # type: ignore[override]  # a Linear for its weight alone, never called as one
        self, hidden: torch.Tensor, start: int, stop: int
    ) -> torch.Tensor:
        """(..., C) -> logits of the ids start..stop-1, (..., stop - start)."""
        if self.kind is None:
            return F.linear(hidden.to(self.weight.dtype), self.weight[start:stop])
        if (start, stop) not in self._parts:
            self._parts[start, stop] = self.kind(self.weight[start:stop], None)
        return self._parts[start, stop](hidden)


def pack(model: nn.Module, dtype: torch.dtype, fused: bool = False, compiled_steps: bool = False) -> None:
    """Replace a CPU model's linear layers, one at a time, by those that multiply fastest in `dtype`.

    `fused`: int8 layers use compiled loops around their products; `compiled_steps`: layers use them for the products of
    single steps, for which float32 weights must be bfloat16 numbers. Both raise CannotCompile where loops do not work. Where
    torch has no oneDNN, float32 and bfloat16 layers stay as they are, and int8 raises UsageError.
    """
    kind = head_kind = _kind(dtype)
    if kind is None:
        if dtype == torch.int8:
            raise UsageError("--dtype int8 needs a torch with oneDNN, which this one lacks; choose bfloat16 or float32")
        return
    if dtype == torch.int8 and fused:
        kind = FusedInt8Linear
    if compiled_steps:  # heads are only asked for logits of steps
        kind, head_kind = {
            torch.int8: (SteppingLinear.in_int8, CompiledInt8Linear),
            torch.bfloat16: (SteppingLinear.in_bfloat16, CompiledBfloat16Linear),
            torch.float32: (SteppingLinear.in_bfloat16, CompiledBfloat16Linear),
        }[dtype]
    for module in list(model.modules()):
        if isinstance(module, Head):
            module.kind = head_kind
        for name, layer in list(module.named_children()):
            if type(layer) is Linear:
                setattr(module, name, kind(layer.weight, layer.bias))


def packed_layer(weight: torch.Tensor, dtype: torch.dtype) -> nn.Module | None:
    """A layer of float32 weights (O, C) in the form that multiplies fastest in `dtype`; None where that does not work."""
    kind = _kind(dtype)
    return None if kind is None else kind(weight.to(working_type(dtype)), None)


def _kind(dtype: torch.dtype) -> Kind | None:
    """The kind of layer for `dtype` on the CPU; None where it does not work with this torch and processor."""
    kind = Int8Linear if dtype == torch.int8 else PackedLinear
    return kind if _works(kind, working_type(dtype)) else None


def working_type(dtype: torch.dtype) -> torch.dtype:
    """The type of embeddings and of keys and values beside weights of `dtype`."""
    return native_type() if dtype == torch.int8 else dtype


@functools.cache
def _works(kind: Kind, dtype: torch.dtype) -> bool:
    """True when this build of torch and this processor have the operators of a kind of layer."""
    try:
        kind(torch.ones(32, 32, dtype=dtype), None)(torch.ones(1, 32))
    except (RuntimeError, NotImplementedError, AttributeError):
        return False
    return True
