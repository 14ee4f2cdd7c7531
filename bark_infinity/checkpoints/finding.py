"""Finds the checkpoint of each stage by name or path, and chooses the reader for its layout."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ..errors import CheckpointError
from ..model.tokenizer import TOKENIZER_FILES
from .hub import Hub
from .huggingface import HuggingFaceCheckpoint
from .places import PUBLISHED, check_model_name, original_cache, stage_file
from .reading import STAGES, Checkpoint, StageWeights, build, check_spec, check_together
from .suno import SunoCheckpoint

__all__ = ["STAGES", "Checkpoint", "Hub", "StageWeights", "build", "check_spec", "check_together", "find_checkpoints"]

DEMO = Path(__file__).parents[1] / "assets" / "demo"  # a tiny Bark that `training/` made


def find_checkpoints(models: Mapping[str, str], hub: Hub) -> dict[str, Checkpoint]:
    """The checkpoint of each stage, from the name of its model: large, small, demo, a folder, or a hub repository.

    Published models are looked for in the original's cache, then in the hub's, then downloaded. Raises CheckpointError.
    """
    found: dict[str, Checkpoint] = {}
    for stage, model in models.items():
        same = (checkpoint for other, checkpoint in found.items() if models[other] == model and checkpoint.has(stage))
        found[stage] = next(same, None) or _find(model, stage, hub)
    return found


def _find(model: str, stage: str, hub: Hub) -> Checkpoint:
    if model == "demo":
        return _open_demo()
    if model in PUBLISHED:
        folder = original_cache()
        if stage_file(folder, stage, model):
            return SunoCheckpoint(folder, hub, model)
        return _open_repo(PUBLISHED[model], hub)
    if os.path.isdir(model):  # unlike Path.is_dir, it raises for no name
        return _open_folder(Path(model), hub)
    check_model_name(model)
    return _open_repo(model, hub)


def _open_demo() -> Checkpoint:
    return HuggingFaceCheckpoint.open(DEMO, "the built-in demo model")


def _open_folder(folder: Path, hub: Hub) -> Checkpoint:
    if (folder / "config.json").is_file():
        return HuggingFaceCheckpoint.open(folder)
    if any(stage_file(folder, stage) for stage in STAGES):
        return SunoCheckpoint(folder, hub)
    raise CheckpointError(
        f"--model {folder} holds no Bark: neither config.json (transformers' layout) nor text_2.pt or text.pt (Suno's)"
    )


def _open_repo(repo: str, hub: Hub) -> Checkpoint:
    folder = hub.weights_folder(repo, beside=("generation_config.json", *TOKENIZER_FILES))
    return HuggingFaceCheckpoint.open(folder, repo)
