"""The layout of transformers: `config.json`, `generation_config.json`, tokenizer files and all weights in one place."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import torch

from ..errors import CheckpointError
from ..files import read_bounded
from ..model.codec import CodecWeights
from ..model.gpt import GPTConfig
from ..model.spec import BarkSpec
from ..model.tokenizer import Tokenizer
from .places import INDEX_FILES, WEIGHT_FILES
from .reading import Safetensors, StageWeights, load_pickled, make_config, rename, tensors_of

_COARSE_PER_SEMANTIC = (0.1, 100)  # coarse tokens for each semantic one: with more, a word would take hours
_MAX_JSON_BYTES = 10_000_000  # of a configuration or an index; published ones have at most 100 kB
_PREFIXES = {"semantic": "semantic", "coarse": "coarse_acoustics", "fine": "fine_acoustics"}
_NAMES = {  # theirs -> ours
    "input_embeds_layers.": "token_embeddings.",
    "input_embeds_layer.": "token_embedding.",
    "position_embeds_layer.": "position_embedding.",
    "layers.": "blocks.",
    ".layernorm_1.": ".attention_norm.",
    ".attn.att_proj.": ".qkv.",
    ".attn.out_proj.": ".attention_out.",
    ".layernorm_2.": ".mlp_norm.",
    ".mlp.in_proj.": ".mlp_in.",
    ".mlp.out_proj.": ".mlp_out.",
    "layernorm_final.": "norm.",
    "lm_heads.": "heads.",
    "lm_head.": "head.",
}
_SIZES = {  # GPTConfig's: (theirs, the value where config.json leaves it out, as transformers may)
    "n_layer": ("num_layers", 12),
    "n_head": ("num_heads", 12),
    "width": ("hidden_size", 768),
    "block_size": ("block_size", 1024),
    "input_vocab_size": ("input_vocab_size", 10_048),
    "output_vocab_size": ("output_vocab_size", 10_048),
}
_FINE_SIZES = {"n_codes_total": ("n_codes_total", 8), "n_codes_given": ("n_codes_given", 1)}
_SPEC = {  # (section of generation_config.json, its name): BarkSpec's
    ("semantic", "semantic_vocab_size"): "semantic_vocab_size",
    ("semantic", "semantic_rate_hz"): "semantic_rate_hz",
    ("semantic", "semantic_pad_token"): "semantic_pad_token",
    ("semantic", "semantic_infer_token"): "semantic_infer_token",
    ("semantic", "text_encoding_offset"): "text_encoding_offset",
    ("semantic", "text_pad_token"): "text_pad_token",
    ("semantic", "max_input_semantic_length"): "max_text_ids",
    ("semantic", "max_new_tokens"): "max_semantic_tokens",
    ("coarse_acoustics", "coarse_semantic_pad_token"): "coarse_semantic_pad_token",
    ("coarse_acoustics", "coarse_infer_token"): "coarse_infer_token",
    ("coarse_acoustics", "coarse_rate_hz"): "coarse_rate_hz",
    ("coarse_acoustics", "n_coarse_codebooks"): "n_coarse_codebooks",
    ("coarse_acoustics", "max_coarse_input_length"): "max_coarse_semantic",
    ("fine_acoustics", "n_fine_codebooks"): "n_fine_codebooks",
    ("fine_acoustics", "max_fine_history_length"): "fine_history",
    ("fine_acoustics", "max_fine_input_length"): "fine_window",
}
_COMMON = ("codebook_size", "sample_rate")  # outside of the sections
_SAMPLING = {  # our flags' defaults, for users of transformers: its own default, greedy decoding, gives hardly any speech
    "semantic": {"do_sample": True, "temperature": 0.7, "min_eos_p": 0.2},
    "coarse": {"do_sample": True, "temperature": 0.7},
    "fine": {"temperature": 0.5},
}


class HuggingFaceCheckpoint:
    """A checkpoint in transformers' layout: configuration, tensors and tokenizer."""

    def __init__(
        self,
        name: str,
        config: Mapping[str, object],
        generation: Mapping[str, object],
        tensors: Mapping[str, torch.Tensor],
        tokenizer: Tokenizer,
    ):
        self.name = name
        self.spec = _spec(generation, name)
        self._config, self._tensors, self._tokenizer = config, tensors, tokenizer

    @classmethod
    def open(cls, folder: Path, name: str | None = None) -> HuggingFaceCheckpoint:
        """A folder with the files of a hub repository or of `save_pretrained`. Raises CheckpointError."""
        generation = folder / "generation_config.json"
        return cls(
            name or str(folder),
            read_json(folder / "config.json"),
            read_json(generation) if generation.is_file() else {},
            read_tensors(folder),
            Tokenizer.from_folder(folder),
        )

    def has(self, stage: str) -> bool:
        return any(name.startswith(f"{_PREFIXES[stage]}.") for name in self._tensors)

    def stage(self, stage: str) -> StageWeights:
        prefix = f"{_PREFIXES[stage]}."
        state = {
            rename(_NAMES, name.removeprefix(prefix)): self._tensors[name]
            for name in self._tensors
            if name.startswith(prefix) and not name.endswith(".attn.bias")  # causal masks
        }
        if not state:
            raise CheckpointError(f"{self.name} has no weights of the {stage} stage; it is no Bark checkpoint")
        section = _section(self._config, _PREFIXES[stage], self.name)
        sizes = {ours: section.get(theirs, default) for ours, (theirs, default) in _size_names(stage).items()}
        return StageWeights(make_config(sizes, state, self.name), state)

    def tokenizer(self) -> Tokenizer:
        return self._tokenizer

    def codec(self) -> CodecWeights:
        prefix = "codec_model."
        names = [name for name in self._tensors if name.startswith(prefix)]
        return CodecWeights(
            _section(self._config, "codec", self.name),
            lambda: {name.removeprefix(prefix): self._tensors[name] for name in names},
        )


def _size_names(stage: str) -> Mapping[str, tuple[str, int]]:
    return _SIZES | (_FINE_SIZES if stage == "fine" else {})


def _section(config: Mapping[str, object], name: str, source: str) -> Mapping[str, object]:
    section = config.get(f"{name}_config")
    if not isinstance(section, Mapping):
        raise CheckpointError(f"{source} has no {name}_config in its configuration; it is no Bark checkpoint")
    return section


def _spec(generation: Mapping[str, object], source: str) -> BarkSpec:
    """Special tokens, rates and windows; missing ones have their published values. Raises CheckpointError."""
    values = {}
    sections = {}
    for name in ("semantic", "coarse_acoustics", "fine_acoustics"):
        section = generation.get(f"{name}_config")
        sections[name] = section if isinstance(section, dict) else {}
    given = {ours: sections[section].get(theirs) for (section, theirs), ours in _SPEC.items()}
    given |= {name: generation.get(name) for name in _COMMON}
    for name, value in given.items():
        if value is None:
            continue
        whole = isinstance(getattr(BarkSpec, name), int)
        if type(value) not in ((int,) if whole else (int, float)) or not 0 < value < 10_000_000:
            raise CheckpointError(
                f"generation_config.json of {source} gives {name} as {value!r}; use the published file"
            )
        values[name] = value
    spec = BarkSpec(**values)
    low, high = _COARSE_PER_SEMANTIC
    if not low < spec.coarse_per_semantic < high or spec.fine_history > spec.fine_window:
        raise CheckpointError(
            f"generation_config.json of {source} gives rates or windows that do not go together; use the published file"
        )
    if spec.sample_rate != BarkSpec.sample_rate:
        raise CheckpointError(
            f"{source} makes sound at {spec.sample_rate} Hz; only {BarkSpec.sample_rate} Hz is supported"
        )
    return spec


# ---- writing --------------------------------------------------------------------------------------------------------


def tensor_name(stage: str, name: str) -> str:
    """transformers' name of the tensor that this program calls `name`."""
    return f"{_PREFIXES[stage]}.{rename({ours: theirs for theirs, ours in _NAMES.items()}, name)}"


def model_config(stages: Mapping[str, GPTConfig], codec: Mapping[str, object], dtype: str) -> dict[str, object]:
    """The content of a `config.json`. `dtype`: of the stages; the codec is always float32."""
    sections = {
        f"{_PREFIXES[stage]}_config": {
            theirs: getattr(config, ours) for ours, (theirs, _) in _size_names(stage).items()
        }
        | {"model_type": _PREFIXES[stage], "bias": config.bias, "dtype": dtype}
        for stage, config in stages.items()
    }
    codec = {**codec, "model_type": "encodec", "dtype": "float32"}
    return {"model_type": "bark", "architectures": ["BarkModel"], "dtype": dtype, **sections, "codec_config": codec}


def generation_config(specs: Mapping[str, BarkSpec]) -> dict[str, object]:
    """The content of a `generation_config.json` that gives each stage its spec when it is read."""
    sections = {
        f"{prefix}_config": {
            theirs: getattr(specs[stage], ours) for (section, theirs), ours in _SPEC.items() if section == prefix
        }
        | _SAMPLING[stage]
        for stage, prefix in _PREFIXES.items()
    }
    first = specs["semantic"]
    sections["semantic_config"]["eos_token_id"] = first.semantic_pad_token  # transformers reads both from it
    return {"model_type": "bark", **sections, **{name: getattr(first, name) for name in _COMMON}}


# ---- files ----------------------------------------------------------------------------------------------------------


def read_json(path: Path) -> Mapping[str, object]:
    """A JSON object. Raises CheckpointError."""
    try:
        content = json.loads(read_bounded(path, _MAX_JSON_BYTES))
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing; copy the whole checkpoint") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); copy or download it again") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds no JSON object; copy or download it again")
    return content


def index_parts(index: Path) -> list[str]:
    """The names of the weight files that an index lists, all in its folder. Raises CheckpointError."""
    parts = read_json(index).get("weight_map")
    names = set(parts.values()) if isinstance(parts, dict) and all(map(_is_plain_name, parts.values())) else set()
    if not names:
        raise CheckpointError(
            f"{index} does not say where the weights are, in files beside it; copy or download it again"
        )
    return sorted(names)


def _is_plain_name(part: object) -> bool:
    return isinstance(part, str) and re.fullmatch(r"\w[\w.-]*", part) is not None


def read_tensors(folder: Path) -> Mapping[str, torch.Tensor]:
    """All weights of a folder, from one file or several, safetensors before pickles. Raises CheckpointError."""
    for name, index in zip(WEIGHT_FILES, INDEX_FILES, strict=True):
        paths = [folder / name]
        if (folder / index).is_file():
            paths = [folder / part for part in index_parts(folder / index)]
            if missing := [path for path in paths if not path.is_file()]:
                raise CheckpointError(f"{missing[0]} is missing; copy the whole checkpoint")
        elif not paths[0].is_file():
            continue
        if name.endswith(".safetensors"):
            return Safetensors(paths)
        return {k: v for path in paths for k, v in tensors_of(load_pickled(path), path).items()}
    raise CheckpointError(f"{folder} has neither {' nor '.join(WEIGHT_FILES)}; copy the whole checkpoint")
