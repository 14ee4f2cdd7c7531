"""--convert_model: writes any checkpoint as a folder in transformers' layout, with one tensor at a time in memory."""

from __future__ import annotations

import contextlib
import json
import os
import struct
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import torch

from ..errors import OutputError
from ..files import to_disk
from ..model.codec import Codec
from ..model.encodec import modern_names
from ..model.gpt import GPTConfig
from ..model.tokenizer import IGNORES_TAGS, Tokenizer
from .huggingface import generation_config, model_config, tensor_name
from .reading import Checkpoint, check_spec, check_together, fitted, type_of

_TYPES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16", torch.bool: "BOOL"}  # safetensors' names
_ALIGNMENT = 64  # bytes; tensors begin at multiples of it, because they are used where they are mapped

Planned = Mapping[str, tuple[torch.Tensor, torch.dtype]]
"""Name in the file: the tensor as it is, and the type to write it in."""


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield a hidden folder, which is renamed to `target` when the block ends; after an error nothing is left.

    `target` must be empty or new; missing folders above it are created. Raises OutputError.
    """
    place = Path(os.path.realpath(target))
    top = place  # the first folder that has to be made
    while not os.path.exists(top.parent):
        top = top.parent
    try:
        with contextlib.suppress(FileNotFoundError):
            os.stat(place)  # raises OSError for a name that is not possible
        with tempfile.TemporaryDirectory(dir=top.parent, prefix=".", suffix=".tmp") as temporary:
            whole = Path(temporary, "whole")
            parts = whole / place.relative_to(top)
            parts.mkdir(parents=True)
            yield parts
            if place.is_dir():
                place.rmdir()  # Windows does not rename onto an existing folder
            whole.rename(top)
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(
            f"--convert_model {target} cannot be written ({reason}); free space or choose another folder"
        ) from None


def write_model(checkpoints: Mapping[str, Checkpoint], folder: Path, dtype: torch.dtype) -> None:
    """Write the checkpoints of the three stages, and the codec of the fine one, as one model into an empty folder.

    All of it is read before anything is written. Raises CheckpointError, OSError.
    """
    check_together(checkpoints)
    codec = checkpoints["fine"].codec()
    Codec(codec, torch.device("cpu"), checkpoints["fine"].name)  # raises CheckpointError if it is incomplete
    plan = {f"codec_model.{name}": (tensor, torch.float32) for name, tensor in modern_names(codec.read()).items()}
    configs: dict[str, GPTConfig] = {}
    masks: dict[str, tuple[torch.Tensor, torch.dtype]] = {}
    for stage, checkpoint in checkpoints.items():
        weights = checkpoint.stage(stage)
        check_spec(checkpoint.spec, stage, weights.config, checkpoint.name)
        _, state = fitted(weights, stage, checkpoint.name)
        kept = (name for name in state if not _is_tied_head(name, state))
        plan |= {tensor_name(stage, name): (state[name], type_of(name, dtype)) for name in kept}
        configs[stage] = weights.config
        if stage != "fine":
            masks |= _causal_masks(stage, weights.config)
    specs = {stage: checkpoint.spec for stage, checkpoint in checkpoints.items()}
    texts = _tokenizer_files(checkpoints["semantic"].tokenizer())
    texts["config.json"] = _json(model_config(configs, codec.config, str(dtype).removeprefix("torch.")))
    texts["generation_config.json"] = _json(generation_config(specs))
    for name, text in texts.items():
        _write(folder / name, [text.encode()])
    _write(folder / "model.safetensors", _safetensors(plan | masks))


def _is_tied_head(name: str, state: Mapping[str, torch.Tensor]) -> bool:
    """True for a head of the fine stage that equals the next codebook's embedding, which alone is written."""
    kind, _, rest = name.partition(".")
    if kind != "heads":
        return False
    embedding = state[f"token_embeddings.{int(rest.removesuffix('.weight')) + 1}.weight"]
    return state[name] is embedding or torch.equal(state[name], embedding)


def _causal_masks(stage: str, config: GPTConfig) -> Planned:
    """Causal masks, which some versions of transformers expect in the file; our own loaders ignore them."""
    mask = torch.ones(1, 1, config.block_size, config.block_size, dtype=torch.bool).tril()
    return {tensor_name(stage, f"blocks.{i}.attn.bias"): (mask, torch.bool) for i in range(config.n_layer)}


# ---- files ----------------------------------------------------------------------------------------------------------


def _write(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Write a file and flush it to the disk."""
    with open(path, "wb") as file:
        for part in parts:
            file.write(part)
        to_disk(file)


def _safetensors(plan: Planned) -> Iterator[bytes | memoryview]:
    """The parts of a `.safetensors` file; the library's own writer wants all tensors in memory."""
    # first tensors whose size keeps the next one aligned, then by size of their type, largest first
    plan = dict(sorted(plan.items(), key=lambda item: (_size(*item[1]) % _ALIGNMENT > 0, -item[1][1].itemsize)))
    yield _header(plan)
    for tensor, dtype in plan.values():
        yield memoryview(tensor.detach().to(dtype).reshape(-1).view(torch.uint8).numpy())


def _header(plan: Planned) -> bytes:
    """The header: its length (8 bytes, little-endian), then JSON with each tensor's type, shape and byte range."""
    entries: dict[str, Mapping[str, object]] = {"__metadata__": {"format": "pt"}}
    start = 0
    for name, (tensor, dtype) in plan.items():
        stop = start + _size(tensor, dtype)
        entries[name] = {"dtype": _TYPES[dtype], "shape": list(tensor.shape), "data_offsets": [start, stop]}
        start = stop
    text = json.dumps(entries).encode()
    text += b" " * (-(8 + len(text)) % _ALIGNMENT)
    return struct.pack("<Q", len(text)) + text


def _size(tensor: torch.Tensor, dtype: torch.dtype) -> int:
    """Bytes in the file."""
    return tensor.numel() * dtype.itemsize


def _json(content: Mapping[str, object]) -> str:
    return json.dumps(content, indent=2) + "\n"


def _tokenizer_files(tokenizer: Tokenizer) -> dict[str, str]:
    """The contents of `tokenizer.json` and of the `tokenizer_config.json` that transformers reads beside it."""
    text = tokenizer.to_json()
    content = json.loads(text)
    words = content["model"]["vocab"]
    tokens = {f"{name.lower()}_token": f"[{name}]" for name in ("UNK", "SEP", "PAD", "CLS", "MASK")}
    # None for those that the vocabulary lacks: transformers would add them
    config: dict[str, object] = {name: token if token in words else None for name, token in tokens.items()}
    normalizer = content["normalizer"] or {}
    if normalizer.get("type") == "BertNormalizer":
        config |= {"tokenizer_class": "BertTokenizer", "do_lower_case": normalizer["lowercase"]}
        config |= {"strip_accents": normalizer["strip_accents"]}
        config |= {"tokenize_chinese_chars": normalizer["handle_chinese_chars"]}
    else:
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
    if tokenizer.ignores_tags:
        config[IGNORES_TAGS] = True
    return {"tokenizer.json": text, "tokenizer_config.json": _json(config)}
