"""Suno's own layout: `text_2.pt`, `coarse_2.pt`, `fine_2.pt` (large) or without `_2` (small)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from ..errors import CheckpointError
from ..model.codec import CodecWeights
from ..model.spec import BarkSpec
from ..model.tokenizer import Tokenizer
from .hub import Hub
from .huggingface import read_json, read_tensors
from .places import CODEC_REPO, STAGE_FILES, TOKENIZER_REPO, original_codec, stage_file
from .reading import StageWeights, load_pickled, make_config, rename, tensors_of

_NAMES = {  # theirs -> ours
    "_orig_mod.": "",
    "transformer.wtes.": "token_embeddings.",
    "transformer.wte.": "token_embedding.",
    "transformer.wpe.": "position_embedding.",
    "transformer.h.": "blocks.",
    "transformer.ln_f.": "norm.",
    ".ln_1.": ".attention_norm.",
    ".attn.c_attn.": ".qkv.",
    ".attn.c_proj.": ".attention_out.",
    ".ln_2.": ".mlp_norm.",
    ".mlp.c_fc.": ".mlp_in.",
    ".mlp.c_proj.": ".mlp_out.",
    "lm_heads.": "heads.",
    "lm_head.": "head.",
}

_CODEC_NAMES = {  # Meta's -> transformers'
    ".model.": ".layers.",
    ".conv.conv.": ".conv.",
    ".convtr.convtr.": ".conv.",
    "quantizer.vq.": "quantizer.",
    "._codebook.": ".codebook.",
}


class SunoCheckpoint:
    """A folder in Suno's layout. Tokenizer and codec are in its `tokenizer/` and `codec/`, or come from the hub.

    The codec may also be where Suno's package left it, which spares a download.
    """

    spec = BarkSpec()

    def __init__(self, folder: Path, hub: Hub, size: str | None = None):
        self.name = str(folder)
        self._folder, self._hub, self._size = folder, hub, size

    def has(self, stage: str) -> bool:
        return stage_file(self._folder, stage, self._size) is not None

    def stage(self, stage: str) -> StageWeights:
        path = stage_file(self._folder, stage, self._size)
        if path is None:
            raise CheckpointError(
                f"{self._folder} has no {STAGE_FILES[stage]}_2.pt or {STAGE_FILES[stage]}.pt; copy it there"
            )
        content = load_pickled(path)
        tensors, sizes = content.get("model"), content.get("model_args")
        if not isinstance(tensors, Mapping) or not isinstance(sizes, Mapping):
            raise CheckpointError(f"{path} has no 'model' and 'model_args'; it is not one of Suno's checkpoints")
        state = {
            rename(_NAMES, name): tensor
            for name, tensor in tensors_of(tensors, path).items()
            if not name.endswith(".attn.bias")  # causal masks of an older torch
        }
        return StageWeights(make_config(_sizes(sizes, stage, path), state, str(path)), state)

    def tokenizer(self) -> Tokenizer:
        folder = self._folder / "tokenizer"
        return Tokenizer.from_folder(folder if folder.is_dir() else self._hub.tokenizer_folder(TOKENIZER_REPO))

    def codec(self) -> CodecWeights:
        folder = self._folder / "codec"
        if not folder.is_dir():
            if not self._hub.has_weights(CODEC_REPO) and (path := original_codec()).is_file():
                return CodecWeights({}, lambda: _read_original_codec(path))
            folder = self._hub.weights_folder(CODEC_REPO)
        return CodecWeights(read_json(folder / "config.json"), lambda: read_tensors(folder))


def _read_original_codec(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of Meta's own file of the 24 kHz codec under transformers' names. Raises CheckpointError."""
    content = load_pickled(path)
    best = content.get("best_state", content)
    if not isinstance(best, Mapping):
        raise CheckpointError(f"{path} holds no tensors; it is not Meta's codec")
    return {rename(_CODEC_NAMES, name): tensor for name, tensor in tensors_of(best, path).items()}


def _sizes(args: Mapping[str, object], stage: str, path: Path) -> dict[str, object]:
    """GPTConfig's sizes from Suno's `model_args`."""
    try:
        sizes = {
            "n_layer": args["n_layer"],
            "n_head": args["n_head"],
            "width": args["n_embd"],
            "block_size": args["block_size"],
            "input_vocab_size": args["input_vocab_size"] if "input_vocab_size" in args else args["vocab_size"],
            "output_vocab_size": args["output_vocab_size"] if "output_vocab_size" in args else args["vocab_size"],
        }
        fine = (
            {"n_codes_total": args["n_codes_total"], "n_codes_given": args["n_codes_given"]} if stage == "fine" else {}
        )
    except KeyError as error:
        raise CheckpointError(f"{path} does not say its {error.args[0]}; it is not one of Suno's checkpoints") from None
    return sizes | fine
