"""What is fastest on this processor, found by measuring: the type of products, and attention of prefixes and of single steps.

Each question is measured once on a machine and the answer is kept in a file, because the answers round differently: without
it, the same seed could give another sound tomorrow.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import nn

from ..errors import BarkError, UsageError
from ..files import write_whole
from .attention import (
    AttendToCache,
    Attention,
    CompiledAttention,
    CompiledPrefix,
    PrefixAttention,
    StepAttention,
    TorchAttention,
    TorchPrefix,
)
from .devices import DTYPES, cpu_capabilities
from .gpt import GPTConfig
from .precision import CompiledInt8Linear, Int8Linear, packed_layer
from .threads import NARROW, CannotCompile

Way = Sequence[tuple[float, Callable[[], object]]]
"""How something can be computed: parts, and how often each counts in the time of the whole."""

_TURNS = 3  # in which all ways are measured one after the other; the least time counts, others were disturbed
_MAX_FILE_BYTES = 1_000_000
# Of a segment of 6.8 s behind a voice: 339 semantic and 1,001 coarse steps, 16 rows side by side;
# prefills of 257 and 17 times 887 positions, and 6 passes of the fine stage over 1,024.
_STEP_ROWS, _STEPS = 16, 1340 / 16
_PREFILL_ROWS, _PREFILLS = 256, (257 + 17 * 887 + 6 * 1024) / 256
_MUCH_FASTER = 1.5
_MAX_WIDTH = 4096  # measured; a configuration may claim any, before its weights have been compared with it
_CACHE_ROWS, _CACHE_POSITIONS, _PREFILL_POSITIONS = 8, 512, 512  # that attention is measured with
_MIN_CACHE_BYTES = 2**24  # of a row in float32; smaller ones stay in the processor's cache, where torch is fast enough


@dataclass(frozen=True)
class Measured:
    """Milliseconds of each way that works here, and the fastest of those that were admitted."""

    fastest: str
    milliseconds: Mapping[str, float]


class Choices:
    """Answers that were measured on this machine; with a path, also by earlier processes."""

    def __init__(self, path: Path | None):
        self._path = path
        self._answers: dict[str, Measured] = {} if path is None else _read(path)

    @classmethod
    def of_this_machine(cls) -> Choices:
        return cls(choices_file())

    def known(self, question: str) -> Measured | None:
        """An answer that was measured before."""
        return self._answers.get(_here(question))

    def fastest(self, question: str, ways: Mapping[str, Way], admitted: Collection[str]) -> Measured:
        """The fastest of the admitted ways; all are measured unless the question has been answered before."""
        known = self.known(question)
        if known is None or known.fastest not in admitted:
            seconds = _measure(ways)
            fastest = min((name for name in ways if name in admitted), key=seconds.__getitem__)
            known = Measured(fastest, {name: round(1000 * value, 4) for name, value in seconds.items()})
            self._answers[_here(question)] = known
            self._write()
        return known

    def _write(self) -> None:
        if self._path is None:
            return
        answers = self._answers | _read(self._path) | self._answers  # another process may have added some
        content = {
            question: {"fastest": answer.fastest, "milliseconds": dict(answer.milliseconds)}
            for question, answer in sorted(answers.items())
        }
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._path, lambda file: file.write(json.dumps(content, indent=1).encode()))
        except (OSError, BarkError):  # a folder that cannot be written to: it is measured again next time
            self._path = None


def choices_file() -> Path:
    """In the user's folder for caches."""
    folder = os.environ.get("LOCALAPPDATA") if sys.platform == "win32" else os.environ.get("XDG_CACHE_HOME")
    return Path(folder or Path.home() / ".cache").expanduser() / "bark_infinity" / "measured.json"


def _read(path: Path) -> dict[str, Measured]:
    """The answers in a file; none where it is missing or not as it was written."""
    try:
        with open(path, "rb") as file:
            content = json.loads(file.read(_MAX_FILE_BYTES))
        return {
            str(question): Measured(
                str(answer["fastest"]), {str(k): float(v) for k, v in answer["milliseconds"].items()}
            )
            for question, answer in content.items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _here(question: str) -> str:
    """The question, and everything else that its answer depends on."""
    cpu = cpu_capabilities().get("cpu_name") or cpu_capabilities().get("cpuname") or "unknown processor"
    level, threads = torch.backends.cpu.get_cpu_capability(), torch.get_num_threads()
    return f"{question}; {cpu}, {level}, {threads} threads, torch {torch.__version__}"


def _measure(ways: Mapping[str, Way]) -> dict[str, float]:
    """Seconds of each way. They take turns, so that a busy moment slows all of them."""
    least: dict[tuple[str, int], float] = {}
    for turn in range(1 + _TURNS):
        for name, parts in ways.items():
            for index, (_, work) in enumerate(parts):
                start = time.perf_counter()
                work()
                seconds = time.perf_counter() - start
                if turn:  # the first call also prepares
                    least[name, index] = min(seconds, least.get((name, index), seconds))
    return {name: sum(w * least[name, index] for index, (w, _) in enumerate(ways[name])) for name in ways}


# ---- products -------------------------------------------------------------------------------------------------------


def choose_dtype(name: str, device: torch.device, width: int, choices: Choices) -> torch.dtype:
    """The type of a stage's weights on a device.

    `auto`: on a CPU whichever type multiplies layers of `width` faster, on CUDA bfloat16 where the card multiplies it
    natively, else float32. Raises UsageError for int8 beside a GPU.
    """
    if name == "int8" and device.type != "cpu":
        raise UsageError(f"--dtype int8 is for the CPU; choose bfloat16 for {device.type}, or --device cpu")
    if name != "auto":
        return DTYPES[name]
    if device.type == "cpu":
        return DTYPES[fastest_products(width, choices).fastest] if width >= NARROW else torch.float32
    native = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if native else torch.float32


@torch.inference_mode()
def fastest_products(width: int, choices: Choices) -> Measured:
    """`float32` or `bfloat16` for a CPU, whichever multiplies a layer of `width` by 4 * `width` faster.

    The times are those of such a layer in all of a segment, and of `int8` beside them.
    """
    width = min(width, _MAX_WIDTH)
    question = f"products of width {width}"
    return choices.known(question) or choices.fastest(question, dict(_products(width)), ("float32", "bfloat16"))


def int8_advice(width: int, choices: Choices) -> str | None:
    """A sentence for somebody who left the type to `auto`, where int8 multiplies much faster than the type chosen."""
    if width < NARROW:
        return None
    measured = fastest_products(width, choices)
    times = measured.milliseconds.get("int8", float("inf"))
    ratio = measured.milliseconds[measured.fastest] / times
    if ratio < _MUCH_FASTER:
        return None
    return f"--dtype int8 would multiply {ratio:.1f} times as fast as {measured.fastest} here, a little less exactly"


def _products(width: int) -> Iterable[tuple[str, Way]]:
    step, prefill = (torch.ones(rows, width) for rows in (_STEP_ROWS, _PREFILL_ROWS))
    for name in ("float32", "bfloat16", "int8"):
        layer = packed_layer(torch.full((4 * width, width), 0.5), DTYPES[name])
        if layer is None and name == "float32":
            layer = nn.Linear(width, 4 * width)
        if layer is not None:
            yield name, ((_STEPS, partial(layer, step)), (_PREFILLS, partial(layer, prefill)))


@torch.inference_mode()
def int8_steps_are_compiled(width: int, choices: Choices) -> bool:
    """True where products of steps with int8 weights are faster in compiled loops than in oneDNN."""
    if width < NARROW:
        return False
    question = f"int8 products of a step, width {width}"
    known = choices.known(question)
    if known is not None and known.fastest == "oneDNN":
        return False
    weight, step = torch.full((4 * width, width), 0.5), torch.ones(_STEP_ROWS, 1, width)
    try:
        layers: dict[str, nn.Module] = {
            "compiled": CompiledInt8Linear(weight, None),
            "oneDNN": Int8Linear(weight, None),
        }
    except CannotCompile:
        return False
    ways: dict[str, Way] = {name: ((1.0, partial(layer, step)),) for name, layer in layers.items()}
    return choices.fastest(question, ways, ways).fastest == "compiled"


# ---- attention ------------------------------------------------------------------------------------------------------


def wants_compiled_loops(config: GPTConfig) -> bool:
    """True for a stage whose attention may be faster in compiled loops: narrow ones gain too little for the time they take."""
    cache_bytes = 2 * 4 * config.n_layer * config.width * config.block_size
    return config.head_width == 64 and cache_bytes >= _MIN_CACHE_BYTES


@torch.inference_mode()
def fastest_attention(config: GPTConfig, dtype: torch.dtype, choices: Choices) -> Attention | None:
    """How a causal stage with weights of `dtype` attends on the CPU; None: as torch does in the stage's own type.

    A stage in float32 keeps float32 keys and values; others may keep them in either type, whichever is faster.
    """
    if not wants_compiled_loops(config) or dtype == torch.float16:
        return None
    types = _cache_types(dtype)
    question = f"attention of a step, {config.n_head} heads, {_names(types)}"
    known = choices.known(question)
    if known is None or (step := _step_attention(known.fastest)) is None:
        found = {name: _step_attention(name) for name in _step_ways(types)}
        ways = {name: _step_way(step, config.n_head) for name, step in found.items() if step is not None}
        step = found[choices.fastest(question, ways, ways).fastest]
    assert step is not None
    return Attention(step, fastest_prefix(config, dtype, choices))


def _step_ways(types: Sequence[torch.dtype]) -> list[str]:
    compiled = f"compiled {_name(types[0])}"  # the smaller type is always the faster one in compiled loops
    return [compiled, *(f"torch {_name(dtype)}" for dtype in types)]


def _step_attention(name: str) -> StepAttention | None:
    """By the name of a way; None where it does not work here."""
    kind, _, dtype = name.partition(" ")
    if dtype not in DTYPES:
        return None
    if kind != "compiled":
        return TorchAttention(DTYPES[dtype])
    try:
        return CompiledAttention(DTYPES[dtype])
    except CannotCompile:
        return None


def _step_way(attention: StepAttention, n_head: int) -> Way:
    cpu = torch.device("cpu")
    keys, values = torch.zeros(2, _CACHE_ROWS, n_head, _CACHE_POSITIONS + 1, 64, dtype=attention.cache_dtype)
    qkv = torch.ones(_CACHE_ROWS, 1, 3, n_head, 64)

    def work() -> torch.Tensor:
        attend: AttendToCache = attention.start([_CACHE_POSITIONS] * _CACHE_ROWS, cpu)
        return attend(qkv, keys, values)

    return ((1.0, work),)


@torch.inference_mode()
def fastest_prefix(config: GPTConfig, dtype: torch.dtype, choices: Choices, causal: bool = True) -> PrefixAttention:
    """How a stage on the CPU with weights of `dtype` attends where it reads many positions at once."""
    types = _cache_types(dtype)
    what = "a prefix" if causal else "all positions to all"
    question = f"attention of {what}, {config.n_head} heads, {_names(types)}"
    names = ["compiled float32", *(f"torch {_name(kept)}" for kept in types)]
    known = choices.known(question)
    if known is None or (prefix := _prefix_attention(known.fastest)) is None:
        found = {name: _prefix_attention(name) for name in names}
        qkv = torch.ones(1, _PREFILL_POSITIONS, 3, config.n_head, 64)
        ways: dict[str, Way] = {
            name: ((1.0, partial(prefix.attend, qkv, causal)),) for name, prefix in found.items() if prefix is not None
        }
        prefix = found[choices.fastest(question, ways, ways).fastest]
    assert prefix is not None
    return prefix


def _prefix_attention(name: str) -> PrefixAttention | None:
    """By the name of a way; None where it does not work here."""
    kind, _, dtype = name.partition(" ")
    if kind == "torch":
        return TorchPrefix(DTYPES[dtype]) if dtype in DTYPES else None
    try:
        return CompiledPrefix()
    except CannotCompile:
        return None


def _cache_types(dtype: torch.dtype) -> list[torch.dtype]:
    """Types that keys and values may have beside weights of `dtype`."""
    return [torch.float32] if dtype == torch.float32 else [torch.bfloat16, torch.float32]


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _names(types: Sequence[torch.dtype]) -> str:
    return " or ".join(map(_name, types))
