"""Full-size checkpoints with random weights, in the layout of transformers: nothing is downloaded to measure speed."""

from __future__ import annotations

import json
import math
import os
import shutil
import string
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_BLOCK = 2**24 + 43  # random numbers drawn once and reused; prime to every width, so that no two rows are alike
_STD = 0.02  # logits come out near 0.6, as even as a random model's can be
_CHARACTERS = string.ascii_letters + string.digits + string.punctuation
_VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_CHARACTERS, *(f"##{c}" for c in _CHARACTERS)]
_END_OF_SPEECH = 10_000
_COARSE_IDS = 12_048  # ids that the coarse stage may draw lie below


@dataclass(frozen=True)
class Size:
    """Sizes of a model's three stages, and the codec's where they are not the published ones."""

    layers: int
    heads: int
    width: int
    codec: tuple[tuple[str, int], ...] = ()


SIZES = {
    "large": Size(24, 16, 1024),
    "small": Size(12, 12, 768),
    "tiny": Size(2, 2, 32, (("num_filters", 4), ("num_lstm_layers", 1), ("hidden_size", 16))),  # to try the benchmark
}


def write_checkpoint(folder: Path, size: Size, seed: int = 0) -> None:
    """Config, tokenizer and float32 weights, one file a stage. The folder appears whole or not at all."""
    partial = folder.with_name(f"{folder.name}.partial-{os.getpid()}")
    partial.mkdir(parents=True)
    try:
        _write_small_files(partial, size)
        _write_weights(partial, size, seed)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _config(size: Size):
    from transformers import BarkConfig

    sizes = {"num_layers": size.layers, "num_heads": size.heads, "hidden_size": size.width}
    sizes |= {"block_size": 1024, "dropout": 0.0, "bias": False}

    def stage(inputs: int, outputs: int) -> dict[str, int]:
        return sizes | {"input_vocab_size": inputs, "output_vocab_size": outputs}

    return BarkConfig(
        semantic_config=stage(129_600, 10_048),
        coarse_acoustics_config=stage(12_096, 12_096),
        fine_acoustics_config=stage(1_056, 1_056) | {"n_codes_total": 8, "n_codes_given": 1},
        codec_config=dict(size.codec),
    )


def _write_small_files(folder: Path, size: Size) -> None:
    from transformers.models.bark import generation_configuration_bark as bark

    _config(size).save_pretrained(folder)
    generation = bark.BarkGenerationConfig.from_sub_model_configs(
        bark.BarkSemanticGenerationConfig(),
        bark.BarkCoarseGenerationConfig(),
        bark.BarkFineGenerationConfig(temperature=0.5),
    )
    (folder / "generation_config.json").write_text(json.dumps(generation.to_dict(), default=lambda x: x.to_dict()))
    (folder / "vocab.txt").write_text("\n".join(_VOCABULARY) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False}))


def _write_weights(folder: Path, size: Size, seed: int) -> None:
    from safetensors.torch import save_file

    files: dict[str, str] = {}  # of each tensor
    for part, tensors in _parts(size, seed):
        name = f"model-{part}.safetensors"
        save_file(tensors, folder / name, metadata={"format": "pt"})
        files |= dict.fromkeys(tensors, name)
    index = {"metadata": {}, "weight_map": files}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def _parts(size: Size, seed: int) -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
    """Each stage and the codec, one after the other: all at once would take twice the memory of the model."""
    import torch
    from transformers.models.bark import modeling_bark as bark

    config = _config(size)
    block = torch.randn(_BLOCK, generator=torch.Generator().manual_seed(seed)) * _STD
    stages = {
        "semantic": (bark.BarkSemanticModel, config.semantic_config),
        "coarse_acoustics": (bark.BarkCoarseModel, config.coarse_acoustics_config),
        "fine_acoustics": (bark.BarkFineModel, config.fine_acoustics_config),
    }
    for prefix, (kind, sizes) in stages.items():
        with torch.device("meta"):
            shapes = {name: tensor.shape for name, tensor in kind(sizes).state_dict().items()}
        tensors = {
            f"{prefix}.{name}": _tensor(block, name, shape, place)
            for place, (name, shape) in enumerate(shapes.items())
            if not name.startswith("lm_heads.")  # the fine stage's heads are tied to its embeddings
        }
        if prefix == "semantic":
            tensors["semantic.lm_head.weight"][_END_OF_SPEECH] = 0
        if prefix == "coarse_acoustics":  # transformers leaves these ids open to the second codebook
            tensors["coarse_acoustics.lm_head.weight"][_COARSE_IDS:] = 0
        yield prefix, tensors
    yield "codec", _codec(config.codec_config)


def _tensor(block: torch.Tensor, name: str, shape: torch.Size, place: int) -> torch.Tensor:
    """Random numbers out of the block, from another start for each `place`; norms leave what they are given."""
    import torch

    if "layernorm" in name or name.endswith(".bias"):
        return torch.zeros(shape) if name.endswith(".bias") else torch.ones(shape)
    n = math.prod(shape)
    start = place * 1_000_003 % max(1, len(block) - n)
    numbers = block if n <= len(block) else block.repeat(math.ceil(n / len(block)))
    return numbers[start : start + n].view(shape).clone()


def _codec(config) -> dict[str, torch.Tensor]:
    import torch
    from transformers import EncodecModel

    torch.manual_seed(0)
    tensors = {f"codec_model.{name}": tensor.clone() for name, tensor in EncodecModel(config).state_dict().items()}
    for name, tensor in tensors.items():
        if name.endswith("codebook.embed"):  # zeros in a new model
            tensor.normal_()
    return tensors
