"""Locations of models on this machine: the original's cache, the hub's cache, or a folder. Needs no torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import CheckpointError
from ..files import cache_home

PUBLISHED = {"large": "suno/bark", "small": "suno/bark-small"}  # --model: repository of the hub
DOWNLOAD_GB = {"large": 4.5, "small": 1.7}  # of their weights
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")  # of transformers' layout, in the order of preference
INDEX_FILES = tuple(f"{name}.index.json" for name in WEIGHT_FILES)  # of weights in several files
TOKENIZER_REPO = "bert-base-multilingual-cased"  # these two are needed beside Suno's own files
CODEC_REPO = "facebook/encodec_24khz"
STAGE_FILES = {"semantic": "text", "coarse": "coarse", "fine": "fine"}  # Suno's names, before `_2.pt` or `.pt`


def original_cache() -> Path:
    """Where Suno's package keeps its downloads."""
    return cache_home() / "suno" / "bark_v0"


def original_codec() -> Path:
    """Where Suno's package, through Meta's `encodec`, left the codec: in the cache of torch's hub."""
    home = Path(os.environ.get("TORCH_HOME") or cache_home() / "torch").expanduser()
    return home / "hub" / "checkpoints" / "encodec_24khz-d7cc33bc.th"


def stage_file(folder: Path, stage: str, size: str | None = None) -> Path | None:
    """The file of a stage in `folder`: of size "large" or "small", or the larger one there is."""
    endings = {"large": ("_2.pt",), "small": (".pt",), None: ("_2.pt", ".pt")}[size]
    candidates = (folder / f"{STAGE_FILES[stage]}{ending}" for ending in endings)
    return next((path for path in candidates if path.is_file()), None)


def check_model_name(model: str) -> None:
    """Raise CheckpointError for a name that is no model's: neither published, the demo, a folder nor a hub repository."""
    if model in PUBLISHED or model == "demo" or os.path.isdir(model) or _is_repo_name(model):
        return
    raise CheckpointError(
        f"--model {model} is no folder here, and neither large, small, demo nor a hub repository (owner/name)"
    )


def needs_download(model: str, cache: str | None = None) -> bool:
    """Whether a model would be downloaded, as far as file names show it; `cache` is the folder for downloads."""
    if model in PUBLISHED:
        return not (_is_in_original_cache(model, cache) or _is_cached(PUBLISHED[model], WEIGHT_FILES, cache))
    if model == "demo" or os.path.isdir(model) or "/" not in model:
        return False
    return not _is_cached(model, (*WEIGHT_FILES, *INDEX_FILES), cache)


def _is_repo_name(name: str) -> bool:
    """Whether a name has the form of a hub repository's, owner/name."""
    if "/" not in name:
        return False
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def _is_in_original_cache(model: str, cache: str | None) -> bool:
    """True when all stages, tokenizer and codec are there, the latter two in the hub's cache or where torch's hub has them."""
    stages = all(stage_file(original_cache(), stage, model) for stage in STAGE_FILES)
    codec = original_codec().is_file() or _is_cached(CODEC_REPO, WEIGHT_FILES, cache)
    return stages and codec and _is_cached(TOKENIZER_REPO, ("tokenizer.json", "vocab.txt"), cache)


def _is_cached(repo: str, names: Sequence[str], cache: str | None) -> bool:
    """Whether one of these files of a repository is in the folder for downloads (None: the hub's cache)."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        by_hand = cache is not None and any(Path(cache, repo, name).is_file() for name in names)
        return by_hand or any(isinstance(try_to_load_from_cache(repo, name, cache_dir=cache), str) for name in names)
    except HFValidationError:  # no name of a repository
        return False
