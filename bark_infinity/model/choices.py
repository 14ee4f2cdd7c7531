"""What is fastest on this processor, found by measuring: the type of products, and attention of prefixes and of single steps.

Each question is measured once on a machine and the answer is kept in a file, because the answers round differently: without
it, the same seed could give another sound tomorrow.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from ..errors import BarkError, UsageError
from ..files import cache_home, write_whole
from .attention import (
    Attention,
    CompiledAttention,
    CompiledPrefix,
    PrefixAttention,
    StepAttention,
    TorchAttention,
    TorchPrefix,
)
from .compiled_layers import CompiledBfloat16Linear, CompiledInt8Linear
from .decoding import CachedDecoder
from .devices import DTYPES, cpu_capabilities
from .gpt import CausalGPT, GPTConfig
from .precision import pack, packed_layer, working_type
from .threads import NARROW, CannotCompile, load_loops

Way = Sequence[tuple[float, Callable[[], object]]]
"""How something can be computed: parts, and how often each counts in the time of the whole."""

_T = TypeVar("_T")
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
        answers = _read(self._path) | self._answers  # another process may have added some
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
    local = os.environ.get("LOCALAPPDATA") if sys.platform == "win32" else None
    return (Path(local) if local else cache_home()) / "bark_infinity" / "measured.json"


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
    cpu = cpu_capabilities().get("cpuname", "unknown processor")
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


def can_fuse_int8(config: GPTConfig) -> bool:
    """True where int8 layers of a stage on the CPU can run in compiled loops what is around their products."""
    if not wants_compiled_loops(config, torch.int8):
        return False
    try:
        load_loops()
    except CannotCompile:
        return False
    return True


def narrow_loops_work(config: GPTConfig, dtype: torch.dtype) -> bool:
    """True for a narrow float32 model on a CPU with AVX512, with heads that compiled loops can attend with."""
    if config.width >= NARROW or dtype != torch.float32:
        return False
    try:
        loops = load_loops()
    except CannotCompile:
        return False
    # Narrower heads are zero-padded; in much narrower ones most products would be with zeros.
    return loops.HAS_WIDE and loops.HEAD_WIDTH // 2 < config.head_width <= loops.HEAD_WIDTH


def narrow_steps_are_compiled(model: CausalGPT, dtype: torch.dtype) -> bool:
    """True for a narrow float32 model whose steps take compiled loops; not measured, as that is always faster.

    There are loops for float32 inputs and bfloat16 weights. So its weights must be such numbers, as in a checkpoint that
    was saved in bfloat16; then nothing is lost.
    """
    if not narrow_loops_work(model.config, dtype) or model.config.width % load_loops().BFLOAT16_OUTPUTS:
        return False
    return all(torch.equal(w, w.to(torch.bfloat16).float()) for w in model.parameters() if w.dim() > 1)


@torch.inference_mode()
def steps_are_compiled(config: GPTConfig, dtype: torch.dtype, attention: Attention | None, choices: Choices) -> bool:
    """True where steps of a stage with weights of `dtype` and this attention are faster in compiled loops than in oneDNN.

    A block is measured, for one row and for many. float32 keeps oneDNN's sums; for narrow models see
    `narrow_steps_are_compiled`.
    """
    if dtype not in (torch.int8, torch.bfloat16) or config.width < NARROW:
        return False
    kind = CompiledInt8Linear if dtype == torch.int8 else CompiledBfloat16Linear

    def compiled() -> bool:
        kind(torch.zeros(1, config.width), None)  # raises CannotCompile where it does not work
        return True

    def steps(compiled: bool) -> Callable[[], object]:
        sizes = dataclasses.replace(config, n_layer=1, block_size=_CACHE_POSITIONS + 1)
        model = CausalGPT(dataclasses.replace(sizes, input_vocab_size=1, output_vocab_size=1)).requires_grad_(False)
        for parameter in model.parameters():
            parameter.data = torch.full_like(parameter, 0.5, dtype=working_type(dtype) if parameter.dim() > 1 else None)
        model.chosen_attention = attention
        pack(model, dtype, fused=can_fuse_int8(config), compiled_steps=compiled)
        decoders = [CachedDecoder(model, rows, _CACHE_POSITIONS + 1) for rows in (1, _STEP_ROWS)]

        def work() -> None:
            for decoder in decoders:
                rows = decoder.keys.shape[1]
                decoder.lengths = [_CACHE_POSITIONS] * rows
                decoder.step(torch.zeros(rows, dtype=torch.int64))

        return work

    makers: dict[str, Callable[[], bool]] = {"compiled": compiled, "oneDNN": lambda: False}
    return _fastest_of(f"{_name(dtype)} steps of width {config.width}", makers, steps, choices)


# ---- attention ------------------------------------------------------------------------------------------------------


def wants_compiled_loops(config: GPTConfig, dtype: torch.dtype) -> bool:
    """True for a stage on the CPU whose attention may be faster in compiled loops.

    Narrow models would gain less than loading the loops costs, and there are none for float16.
    """
    cache_bytes = 2 * 4 * config.n_layer * config.width * config.block_size
    return config.head_width == 64 and cache_bytes >= _MIN_CACHE_BYTES and dtype != torch.float16


@torch.inference_mode()
def fastest_attention(config: GPTConfig, dtype: torch.dtype, choices: Choices) -> Attention | None:
    """How a causal stage with weights of `dtype` attends on the CPU; None: as torch does in the stage's own type.

    A stage in float32 keeps float32 keys and values; others may keep them in either type, whichever is faster.
    """
    if not wants_compiled_loops(config, dtype):
        return None
    types = _cache_types(dtype)
    makers: dict[str, Callable[[], StepAttention]] = {
        f"compiled {_name(types[0])}": partial(CompiledAttention, types[0]),  # the smaller type is always faster there
        **{f"torch {_name(kept)}": partial(TorchAttention, kept) for kept in types},
    }

    def step(attention: StepAttention) -> Callable[[], object]:
        shape = 2, _CACHE_ROWS, config.n_head, _CACHE_POSITIONS + 1, 64
        keys, values = torch.zeros(shape, dtype=attention.cache_dtype)
        qkv, lengths = torch.ones(_CACHE_ROWS, 1, 3, config.n_head, 64), [_CACHE_POSITIONS] * _CACHE_ROWS
        return lambda: attention.start(lengths, torch.device("cpu"))(qkv, keys, values)

    question = f"attention of a step, {config.n_head} heads, {_names(types)}"
    return Attention(_fastest_of(question, makers, step, choices), fastest_prefix(config, dtype, choices))


@torch.inference_mode()
def fastest_prefix(config: GPTConfig, dtype: torch.dtype, choices: Choices, causal: bool = True) -> PrefixAttention:
    """How a stage on the CPU with weights of `dtype` attends where it reads many positions at once."""
    types = _cache_types(dtype)
    makers: dict[str, Callable[[], PrefixAttention]] = {
        "compiled float32": CompiledPrefix,
        **{f"torch {_name(kept)}": partial(TorchPrefix, kept) for kept in types},
    }

    def prefix(attention: PrefixAttention) -> Callable[[], object]:
        return partial(attention.attend, torch.ones(1, _PREFILL_POSITIONS, 3, config.n_head, 64), causal)

    what = "a prefix" if causal else "all positions to all"
    return _fastest_of(f"attention of {what}, {config.n_head} heads, {_names(types)}", makers, prefix, choices)


def _fastest_of(
    question: str,
    makers: Mapping[str, Callable[[], _T]],
    work_of: Callable[[_T], Callable[[], object]],
    choices: Choices,
) -> _T:
    """What the fastest maker makes; one that raises CannotCompile does not work here, and at least one must.

    `work_of`: what is timed of each.
    """
    known = choices.known(question)
    if known is not None and known.fastest in makers:
        with contextlib.suppress(CannotCompile):  # Numba was there when it was measured
            return makers[known.fastest]()
    found: dict[str, _T] = {}
    for name, make in makers.items():
        with contextlib.suppress(CannotCompile):
            found[name] = make()
    ways = {name: ((1.0, work_of(one)),) for name, one in found.items()}
    return found[choices.fastest(question, ways, ways).fastest]


def _cache_types(dtype: torch.dtype) -> list[torch.dtype]:
    """Types that keys and values may have beside weights of `dtype`."""
    return [torch.float32] if dtype == torch.float32 else [torch.bfloat16, torch.float32]


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _names(types: Sequence[torch.dtype]) -> str:
    return " or ".join(map(_name, types))
