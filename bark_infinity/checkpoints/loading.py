"""Loads a model and places its stages on their devices."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch

from ..model.choices import (
    Choices,
    can_fuse_int8,
    choose_dtype,
    fastest_attention,
    fastest_prefix,
    int8_advice,
    narrow_loops_work,
    narrow_steps_are_compiled,
    steps_are_compiled,
    wants_compiled_loops,
)
from ..model.codec import Codec
from ..model.devices import Placement, choose_device, directml_device, free_memory, return_free_memory
from ..model.gpt import CausalGPT, FineGPT
from ..model.precision import pack, working_type
from ..model.spec import BarkSpec
from ..model.steps import compile_narrow_steps
from ..model.threads import CannotCompile, load_loops
from ..model.tokenizer import Tokenizer
from ..options.table import Options
from .finding import find_checkpoints
from .fingerprint import fingerprint
from .hub import Hub
from .places import PUBLISHED, WEIGHT_FILES, original_cache
from .reading import STAGES, Checkpoint, StageWeights, build, check_spec, check_together
from .suno import SunoCheckpoint

_WORKING_BYTES = 2 * 2**30  # caches and activations of a few rows on a GPU, beside the weights


@dataclass(frozen=True)
class LoadedStage:
    """One stage's model with the numbers of the checkpoint it came from."""

    model: CausalGPT | FineGPT
    spec: BarkSpec
    placement: Placement
    source: str  # folder or repository
    fingerprint: str  # of its weights as they are in the checkpoint


@dataclass(frozen=True)
class ModelChoice:
    """Which model, where, and in which type; the flags of the same names say more. Small stages come from `small`."""

    model: str = "large"
    device: str = "auto"
    dtype: str = "auto"
    small_stages: frozenset[str] = frozenset()
    cpu_stages: frozenset[str] = frozenset()  # of semantic, coarse, fine and codec
    offload: bool | None = None
    enable_mps: bool | None = None
    directml: bool = False
    model_dir: str | None = None
    offline: bool = False
    force_reload: bool = False

    def model_of(self, stage: str) -> str:
        """Which model a stage comes from; the codec comes with the fine one."""
        return "small" if stage in self.small_stages else self.model

    @classmethod
    def from_options(cls, options: Options) -> ModelChoice:
        """The choice made by resolved options."""
        small = {"semantic": options.text_use_small, "coarse": options.coarse_use_small, "fine": options.fine_use_small}
        gpu = {
            "semantic": options.text_use_gpu,
            "coarse": options.coarse_use_gpu,
            "fine": options.fine_use_gpu,
            "codec": options.codec_use_gpu,
        }
        return cls(
            options.model,
            options.device,
            options.dtype,
            small_stages=frozenset(stage for stage, use in small.items() if use),
            cpu_stages=frozenset(stage for stage, use in gpu.items() if not use),
            offload=options.offload_cpu,
            enable_mps=options.global_enable_mps,
            directml=bool(options.suno_use_directml),
            model_dir=options.model_dir,
            offline=options.offline,
            force_reload=options.force_reload,
        )


@dataclass(frozen=True)
class Models:
    """All parts of a Bark, each on its device; the codec may still be loading."""

    name: str
    hub: Hub
    tokenizer: Tokenizer
    stages: Mapping[str, LoadedStage]
    codec: Future[Codec]
    codec_placement: Placement
    advice: str | None = None  # a sentence for the user about a faster choice


def load_models(choice: ModelChoice) -> Models:
    """Find, read and place a model. The codec, which is needed last, is built in a thread while the first stage works.

    Raises CheckpointError for a model that is missing, damaged or no Bark, UsageError for a device that is absent.
    """
    hub = Hub(choice.model_dir, choice.offline, choice.force_reload)
    checkpoints = find_checkpoints({stage: choice.model_of(stage) for stage in STAGES}, hub)
    weights = {stage: checkpoint.stage(stage) for stage, checkpoint in checkpoints.items()}
    check_together(checkpoints)
    choices = Choices.of_this_machine()
    placements = _place(weights, choice, choices)
    _compile_beside(weights, placements)
    tokenizer = checkpoints["semantic"].tokenizer()
    stages = {}
    for stage, checkpoint in checkpoints.items():
        check_spec(checkpoint.spec, stage, weights[stage].config, checkpoint.name)
        place = placements[stage]
        weights_digest = fingerprint(weights[stage].state)  # before packing, which makes weights unreadable
        model = build(weights[stage], stage, working_type(place.dtype), place.resting, checkpoint.name)
        if place.device.type == "cpu":
            _speed_up(model, place.dtype, choices)
        stages[stage] = LoadedStage(model, checkpoint.spec, place, checkpoint.name, weights_digest)
    return_free_memory()
    loader = ThreadPoolExecutor(1)
    codec = loader.submit(Codec, checkpoints["fine"].codec(), placements["codec"].resting, checkpoints["fine"].name)
    loader.shutdown(wait=False)
    on_cpu = choice.dtype == "auto" and placements["coarse"].device.type == "cpu"
    advice = int8_advice(weights["coarse"].config.width, choices) if on_cpu else None
    return Models(choice.model, hub, tokenizer, stages, codec, placements["codec"], advice)


def _speed_up(model: CausalGPT | FineGPT, dtype: torch.dtype, choices: Choices) -> None:
    """Give a model on the CPU the layers and the attention that are fastest here."""
    if isinstance(model, FineGPT):
        if wants_compiled_loops(model.config, dtype) or narrow_loops_work(model.config, dtype):
            model.attention = fastest_prefix(model.config, dtype, choices, causal=False)
        pack(model, dtype, fused=dtype == torch.int8 and can_fuse_int8(model.config))
        return
    if narrow_steps_are_compiled(model, dtype):
        compile_narrow_steps(model, fastest_prefix(model.config, dtype, choices))
        return
    attention = model.chosen_attention = fastest_attention(model.config, dtype, choices)
    fused = dtype == torch.int8 and can_fuse_int8(model.config)
    pack(model, dtype, fused, steps_are_compiled(model.config, dtype, attention, choices))


def _compile_beside(weights: Mapping[str, StageWeights], placements: Mapping[str, Placement]) -> None:
    """Begin to compile loops that a stage may want, which takes seconds the first time, while weights are being read."""
    on_cpu = [stage for stage in weights if placements[stage].device.type == "cpu"]
    if any(wants_compiled_loops(weights[stage].config, placements[stage].dtype) for stage in on_cpu):
        threading.Thread(target=_load_loops_or_not, name="compile", daemon=True).start()


def _load_loops_or_not() -> None:
    with contextlib.suppress(CannotCompile):  # who needs them asks again
        load_loops().compile_all()


def load_codec(choice: ModelChoice) -> Codec:
    """Load only the codec of the chosen model. Raises CheckpointError, UsageError for an absent device.

    Where a published model is not on this machine yet, only its codec is downloaded, a fiftieth of it.
    """
    device = codec_device(choice)
    checkpoint = _checkpoint_beside_weights(choice, "fine")
    return Codec(checkpoint.codec(), device, checkpoint.name)


def load_tokenizer(choice: ModelChoice) -> Tokenizer:
    """Load only the tokenizer of the chosen model. Raises CheckpointError."""
    return _checkpoint_beside_weights(choice, "semantic").tokenizer()


def _checkpoint_beside_weights(choice: ModelChoice, stage: str) -> Checkpoint:
    """The checkpoint of a stage of which only what is beside its weights is read: these are not downloaded for it."""
    hub = Hub(choice.model_dir, choice.offline, choice.force_reload)
    model = choice.model_of(stage)
    repo = PUBLISHED.get(model)
    if repo and not any(hub.cached(repo, name) for name in WEIGHT_FILES):
        return SunoCheckpoint(original_cache(), hub)
    return find_checkpoints({stage: model}, hub)[stage]


def codec_device(choice: ModelChoice) -> torch.device:
    """The device of the codec: the CPU also for Apple's GPU, which lacks convolutions of the codec's size."""
    device = _main_device(choice)
    return torch.device("cpu") if "codec" in choice.cpu_stages or device.type == "mps" else device


def _main_device(choice: ModelChoice) -> torch.device:
    """The device for all parts that are not kept on the CPU. Raises UsageError for one that is absent."""
    return directml_device() if choice.directml else choose_device(choice.device, choice.enable_mps)


def _place(weights: Mapping[str, StageWeights], choice: ModelChoice, choices: Choices) -> dict[str, Placement]:
    """Device, type and offloading of each stage and the codec."""
    device, cpu = _main_device(choice), torch.device("cpu")
    on = {stage: cpu if stage in choice.cpu_stages else device for stage in STAGES} | {"codec": codec_device(choice)}
    dtypes = {
        stage: choose_dtype(choice.dtype, on[stage], stage_weights.config.width, choices)
        for stage, stage_weights in weights.items()
    } | {"codec": torch.float32}
    moved = [stage for stage in STAGES if on[stage] != cpu]
    offload = choice.offload
    if offload is None and moved:
        size = sum(t.numel() * dtypes[stage].itemsize for stage in moved for t in weights[stage].state.values())
        offload = size + _WORKING_BYTES > free_memory(device)
    return {stage: Placement(on[stage], dtypes[stage], bool(offload) and on[stage] != cpu) for stage in on}
