"""Compiled loops beside torch's own, one layer of the large model at a time, and how far each is from memory's speed.

`python benchmarks/loops.py` takes a minute. Layers take turns through more memory than the caches hold, as in a model.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a script's own folder is there, the checkout is not

import torch
from torch import nn

from bark_infinity.model.attention import CompiledAttention, CompiledPrefix, TorchAttention, TorchPrefix
from bark_infinity.model.compiled_layers import CompiledInt8Linear
from bark_infinity.model.precision import Int8Linear
from benchmarks.floors import read_bandwidth

_LAYERS, _HEADS, _HEAD_WIDTH, _WIDTH = 8, 16, 64, 1024
_FILLED = 886  # positions of a coarse prefill
_ROUNDS = 5  # the least time counts
_BANDWIDTH_S = 1.0


def main() -> None:
    bandwidth = read_bandwidth("cpu", _BANDWIDTH_S)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads; memory read: {bandwidth / 1e9:.1f} GB/s\n")
    print("| one layer, milliseconds | rows | torch | compiled | as fast | compiled, times memory's floor |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    with torch.inference_mode():
        for dtype in (torch.float32, torch.bfloat16):
            for rows in (1, 16):
                name = f"attention of a step, {_FILLED} positions, {str(dtype).removeprefix('torch.')}"
                n_bytes = 2 * rows * _FILLED * _WIDTH * dtype.itemsize
                _show(name, rows, _step_attention(dtype, rows), n_bytes / bandwidth)
        for positions, causal in ((_FILLED, True), (1024, False)):
            name = f"attention of {positions} positions, {'causal' if causal else 'to all'}, float32"
            _show(name, 1, _prefix_attention(positions, causal), None)
        for rows in (1, 16):
            _show("products of a step, int8", rows, _int8_products(rows), 12 * _WIDTH**2 / bandwidth)


def _show(name: str, rows: int, ways: Mapping[str, Callable[[], None]], floor_s: float | None) -> None:
    """A line of the table. The ways take turns, so that a busy moment slows both."""
    least = dict.fromkeys(ways, float("inf"))
    for turn in range(1 + _ROUNDS):
        for way, work in ways.items():
            start = time.perf_counter()
            work()
            if turn:
                least[way] = min(least[way], (time.perf_counter() - start) / _LAYERS)
    torchs, compiled = least["torch"], least["compiled"]
    floor = "-" if floor_s is None else f"{compiled / floor_s:.2f}x"
    print(
        f"| {name} | {rows} | {1e3 * torchs:.2f} | {1e3 * compiled:.2f} | {torchs / compiled:.2f}x | {floor} |",
        flush=True,
    )


def _step_attention(dtype: torch.dtype, rows: int) -> dict[str, Callable[[], None]]:
    cache = torch.randn(2, _LAYERS, rows, _HEADS, 1024, _HEAD_WIDTH).to(dtype)
    qkv, lengths = torch.randn(rows, 1, 3, _HEADS, _HEAD_WIDTH), [_FILLED] * rows

    def way(attention: TorchAttention | CompiledAttention) -> Callable[[], None]:
        def work() -> None:
            attend = attention.start(lengths, torch.device("cpu"))
            for layer in range(_LAYERS):
                attend(qkv, cache[0, layer], cache[1, layer])

        return work

    return {"torch": way(TorchAttention(dtype)), "compiled": way(CompiledAttention(dtype))}


def _prefix_attention(positions: int, causal: bool) -> dict[str, Callable[[], None]]:
    qkv = torch.randn(_LAYERS, 1, positions, 3, _HEADS, _HEAD_WIDTH)

    def way(attention: TorchPrefix | CompiledPrefix) -> Callable[[], None]:
        def work() -> None:
            for layer in qkv:
                attention.attend(layer, causal)

        return work

    return {"torch": way(TorchPrefix()), "compiled": way(CompiledPrefix())}


def _int8_products(rows: int) -> dict[str, Callable[[], None]]:
    """The four products of a layer."""
    shapes = [(3 * _WIDTH, _WIDTH), (_WIDTH, _WIDTH), (4 * _WIDTH, _WIDTH), (_WIDTH, 4 * _WIDTH)]
    weights = [torch.randn(shape) for shape in shapes]
    inputs = [torch.randn(rows, 1, channels) for _, channels in shapes]

    def way(kind: type[nn.Module]) -> Callable[[], None]:
        layers = [[kind(weight, None) for weight in weights] for _ in range(_LAYERS)]

        def work() -> None:
            for products in layers:
                for product, x in zip(products, inputs, strict=True):
                    product(x)

        return work

    return {"torch": way(Int8Linear), "compiled": way(CompiledInt8Linear)}


if __name__ == "__main__":
    main()
