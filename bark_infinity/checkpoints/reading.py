"""Shared by both checkpoint layouts: reads tensors without unpickling, and builds models with strict checks."""

from __future__ import annotations

import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from ..constants import MAX_COARSE_INPUT
from ..errors import CheckpointError
from ..model.codec import CodecWeights
from ..model.gpt import CausalGPT, FineGPT, GPTConfig
from ..model.spec import BarkSpec
from ..model.tokenizer import Tokenizer
from ..voices.npz import BoundedFile

_OLD_PICKLES = 5  # in a file of torch before 1.6: magic number, protocol, machine, content, keys
_MAX_PARTS = 1000  # layers or codebooks; a limit, because they are built before their tensors are looked up
STAGES = ("semantic", "coarse", "fine")
_SHARED = ("semantic_vocab_size", "semantic_rate_hz", "coarse_rate_hz", "codebook_size", "n_coarse_codebooks")


@dataclass(frozen=True)
class StageWeights:
    """One stage as read: its sizes, and its tensors under this program's names."""

    config: GPTConfig
    state: Mapping[str, torch.Tensor]


class Checkpoint(Protocol):
    """A checkpoint that has been found; its parts are read when asked for, and raise CheckpointError."""

    name: str  # for messages and manifests
    spec: BarkSpec

    def has(self, stage: str) -> bool: ...

    def stage(self, stage: str) -> StageWeights: ...

    def tokenizer(self) -> Tokenizer: ...

    def codec(self) -> CodecWeights: ...


# ---- files ----------------------------------------------------------------------------------------------------------


class Safetensors(Mapping[str, torch.Tensor]):
    """The tensors of one or several `.safetensors` files, mapped into memory, read when asked for."""

    def __init__(self, paths: Sequence[Path]):
        self._files: dict[str, tuple[Path, Any]] = {}  # the library gives its open files no public type
        for path in paths:
            try:
                file: Any = safe_open(path, framework="pt")
            except (SafetensorError, OSError) as error:
                raise CheckpointError(
                    f"{path} is damaged or no safetensors file ({error}); copy or download it again"
                ) from None
            self._files.update(dict.fromkeys(file.keys(), (path, file)))

    def __getitem__(self, name: str) -> torch.Tensor:
        path, file = self._files[name]
        try:
            return file.get_tensor(name)
        except SafetensorError as error:  # a type that torch does not have
            raise CheckpointError(f"{path} has {name} in an unusable form ({error}); use the published file") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def load_pickled(path: Path) -> Mapping[object, object]:
    """The dict in a `.pt` or `.bin` file, by torch's reader that builds tensors and plain values and runs nothing."""
    scalar = np._core.multiarray.scalar  # type: ignore[attr-defined]  # not public, and pickles name it
    scalars = [scalar, (scalar, "numpy.core.multiarray.scalar"), np.dtype]
    dtypes = [np.dtypes.Float64DType, np.dtypes.Float32DType]  # Suno's `best_val_loss` can be a NumPy scalar
    try:
        zipped = zipfile.is_zipfile(path)
        _check_growth(path, zipped)
        with torch.serialization.safe_globals([*scalars, *dtypes]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is in the file; an error says enough
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped or None)
    except pickle.UnpicklingError as error:
        asked = re.search(r"GLOBAL (\S+)", str(error))
        what = (
            f"asks to run {asked[1][:100]}, which no checkpoint needs"
            if asked
            else "is damaged or holds more than tensors"
        )
        raise CheckpointError(f"{path} {what}; use the published file") from None
    except Exception as error:  # of zip, of torch, or of whatever the values are put together with
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise CheckpointError(f"{path} is damaged or no checkpoint ({reason}); copy or download it again") from None
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds {type(content).__name__} instead of a checkpoint; use the published file")
    return content


def _check_growth(path: Path, zipped: bool) -> None:
    """Raise ValueError for content that torch's reader would expand to more memory than the file has bytes."""
    with open(path, "rb") as file:
        if not zipped:
            for _ in range(_OLD_PICKLES):
                _check_pickle(file)
            return
        with zipfile.ZipFile(BoundedFile(file)) as archive:
            for member in archive.infolist():
                if member.compress_type != zipfile.ZIP_STORED:
                    raise ValueError(f"{member.filename} in it is compressed, as in no checkpoint")
                if member.filename.endswith("data.pkl"):
                    with archive.open(member) as pickled:
                        _check_pickle(pickled)


def _check_pickle(file: IO[bytes]) -> None:
    """Scan the next pickle in a file without executing it.

    Raises ValueError if it creates a bytearray, which can be of any size whatever the size of the file.
    """
    for operation, argument, _ in pickletools.genops(file):
        if operation.name == "GLOBAL" and str(argument).endswith(" bytearray"):
            raise ValueError("it makes a bytearray, as no checkpoint does")


def tensors_of(content: Mapping[Any, object], path: Path) -> dict[str, torch.Tensor]:
    """The tensors of an unpickled dict. Raises CheckpointError for one that has fewer bytes than its shape promises."""
    tensors = {k: v for k, v in content.items() if isinstance(k, str) and isinstance(v, torch.Tensor)}
    for name, tensor in tensors.items():
        plain = tensor.layout is torch.strided and not tensor.is_quantized and tensor.device.type == "cpu"
        if not plain or tensor.nbytes > tensor.untyped_storage().nbytes():
            raise CheckpointError(f"{path} has {name} in an unusable form; use the published file")
    return tensors


# ---- models ---------------------------------------------------------------------------------------------------------


def rename(names: Mapping[str, str], name: str) -> str:
    """Translate a checkpoint's name of a tensor by replacing the parts listed in `names`."""
    for theirs, ours in names.items():
        name = name.replace(theirs, ours)
    return name


def make_config(sizes: Mapping[str, object], state: Mapping[str, torch.Tensor], source: str) -> GPTConfig:
    """GPTConfig from a checkpoint's sizes; whether there are biases is read off the tensors. Raises CheckpointError."""
    checked: dict[str, int] = {}
    for name, value in sizes.items():
        most = _MAX_PARTS if name in ("n_layer", "n_codes_total", "n_codes_given") else 10_000_000
        if type(value) is not int or not 0 < value < most:
            raise CheckpointError(f"{source} gives {name} as {value!r}, not a usable size; it is no Bark checkpoint")
        checked[name] = value
    config = GPTConfig(**checked, bias="blocks.0.qkv.bias" in state, norm_bias="blocks.0.attention_norm.bias" in state)
    if config.width % config.n_head:
        raise CheckpointError(
            f"{source} gives a width of {config.width} for {config.n_head} heads; it is no Bark checkpoint"
        )
    return config


def build(
    weights: StageWeights, stage: str, dtype: torch.dtype, device: torch.device, source: str
) -> CausalGPT | FineGPT:
    """The model of one stage, every tensor of it from the checkpoint. Raises CheckpointError naming the first misfit.

    Files stay mapped, so that beside the model no more than one tensor takes memory that the system cannot take back.
    """
    model, state = fitted(weights, stage, source)
    state = {name: tensor.to(device=device, dtype=type_of(name, dtype)) for name, tensor in state.items()}
    model.load_state_dict(state, assign=True)
    return model.eval().requires_grad_(False)


def type_of(name: str, dtype: torch.dtype) -> torch.dtype:
    """The type of a tensor in a stage of `dtype`; norms are float32 in any, as the residuals are that they scale."""
    return torch.float32 if "norm" in name else dtype


def fitted(weights: StageWeights, stage: str, source: str) -> tuple[CausalGPT | FineGPT, dict[str, torch.Tensor]]:
    """The model of one stage on `meta`, and all its tensors, as read. Raises CheckpointError naming the first misfit."""
    with torch.device("meta"):
        model = (FineGPT if stage == "fine" else CausalGPT)(weights.config)
    wanted = {name: tensor.shape for name, tensor in model.state_dict().items()}
    state = dict(weights.state)
    for i in range(weights.config.n_codes_total - weights.config.n_codes_given if stage == "fine" else 0):
        # Heads are tied to the next codebook's embedding, and files may hold such a pair once.
        if f"heads.{i}.weight" not in state and f"token_embeddings.{i + 1}.weight" in state:
            state[f"heads.{i}.weight"] = state[f"token_embeddings.{i + 1}.weight"]
    check_tensors(wanted, state, f"the {stage} stage in {source}", "it is no Bark checkpoint")
    return model, state


def check_tensors(wanted: Mapping[str, torch.Size], state: Mapping[str, torch.Tensor], what: str, verdict: str) -> None:
    """Raise CheckpointError about `what`, with the first misfit, unless `state` has just the names and shapes wanted."""
    missing, foreign = sorted(set(wanted) - set(state)), sorted(set(state) - set(wanted))
    if missing or foreign:
        misfit = f"lacks {missing[0]}" if missing else f"has an unknown {foreign[0]}"
        more = len(missing) + len(foreign) - 1
        raise CheckpointError(f"{what} {misfit}{f' (and {more} more misfits)' if more else ''}; {verdict}")
    for name, shape in wanted.items():
        if state[name].shape != shape:
            raise CheckpointError(
                f"{what} has {name} of shape {tuple(state[name].shape)} where its configuration "
                f"says {tuple(shape)}; the file and its configuration do not belong together"
            )


def check_together(checkpoints: Mapping[str, Checkpoint]) -> None:
    """Raise CheckpointError if one stage's tokens are not the next one's."""
    first = checkpoints["semantic"]
    for stage, checkpoint in checkpoints.items():
        for number in _SHARED:
            ours, theirs = getattr(first.spec, number), getattr(checkpoint.spec, number)
            if ours != theirs:
                raise CheckpointError(
                    f"the semantic stage of {first.name} and the {stage} stage of {checkpoint.name} cannot work together: "
                    f"{number} is {ours} and {theirs}; take all stages from one model"
                )


def check_spec(spec: BarkSpec, stage: str, config: GPTConfig, source: str) -> None:
    """Raise CheckpointError if special tokens lie outside a stage's vocabulary, or its windows outside its context."""
    n_coarse = spec.semantic_vocab_size + spec.n_coarse_codebooks * spec.codebook_size
    inputs, outputs, positions = {
        "semantic": (
            max(spec.semantic_infer_token, spec.text_pad_token, spec.semantic_pad_token) + 1,
            max(spec.semantic_pad_token + 1, spec.semantic_vocab_size),
            spec.max_text_ids + 1,
        ),
        "coarse": (
            max(spec.coarse_infer_token + 1, spec.coarse_semantic_pad_token + 1, n_coarse),
            n_coarse,
            spec.max_coarse_semantic + MAX_COARSE_INPUT,  # the last token of a window is drawn, not read
        ),
        "fine": (spec.codebook_size + 1, spec.codebook_size, spec.fine_window),
    }[stage]
    if stage == "fine" and not (
        config.n_codes_given <= spec.n_coarse_codebooks < spec.n_fine_codebooks <= config.n_codes_total
    ):
        raise CheckpointError(
            f"the fine stage in {source} does not have the codebooks that its configuration speaks of"
        )
    sizes = config.input_vocab_size, config.output_vocab_size, config.block_size
    for what, has, needs in zip(
        ("input ids", "output ids", "positions"), sizes, (inputs, outputs, positions), strict=True
    ):
        if has < needs:
            raise CheckpointError(
                f"the {stage} stage in {source} has {has} {what} where its configuration needs {needs}; "
                "the weights and the configuration do not belong together"
            )
