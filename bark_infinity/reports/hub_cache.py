"""The report about the hub's cache: its content, and whether Bark's models are complete there or in Suno's cache."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from .tables import count, known, never_fails, size, table

if TYPE_CHECKING:
    from huggingface_hub import CachedRepoInfo

_ABSENT, _COMPLETE = "absent", "complete"


def hub_cache_report(folder: Path | None = None) -> RenderableType:
    """Repositories in the cache `folder` (None: the hub's own), and the state of Bark's models."""
    return Group(hub_cache(folder), bark_models(folder))


@never_fails
def hub_cache(folder: Path | None) -> RenderableType:
    """All repositories in the cache, the largest first, with warnings about damaged and unfinished ones."""
    from huggingface_hub import scan_cache_dir

    folder = folder or _hub_folder()
    if not folder.is_dir():
        return Text(f"There is no cache of the hub in {folder}; the first download makes it.")
    found = scan_cache_dir(folder)
    repos = sorted(found.repos, key=lambda repo: (-repo.size_on_disk, repo.repo_id))
    columns = ("repository, its folder", "size", "files", "last used", "revision")
    shown = table(f"cache of the hub: {folder}", columns, map(_row, repos), numbers=columns[1:4])
    shown.show_footer = True
    totals = ("all", size(found.size_on_disk), str(sum(repo.nb_files for repo in repos)))
    for column, total in zip(shown.columns, totals, strict=False):
        column.footer = total
    lines = [Text.assemble(("warning: ", "yellow"), str(warning)) for warning in found.warnings]
    if unfinished := list(folder.glob("*/blobs/*.incomplete")):
        held = known(lambda: size(sum(path.stat().st_size for path in unfinished)))
        lines.append(Text(f"{count(len(unfinished), 'unfinished download')}, {held}, not counted above"))
    return Group(shown, *lines)


def _row(repo: CachedRepoInfo) -> tuple[str, ...]:
    revisions = sorted(repo.revisions, key=lambda revision: -revision.last_modified)
    name = repo.repo_id if repo.repo_type == "model" else f"{repo.repo_id} ({repo.repo_type})"
    return (
        f"{name}\n{repo.repo_path.name}",
        size(repo.size_on_disk),
        str(repo.nb_files),
        known(lambda: date.fromtimestamp(repo.last_accessed)),
        "\n".join(" ".join((*sorted(revision.refs), revision.commit_hash[:8])) for revision in revisions),
    )


def _hub_folder() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


# ---- Bark's models --------------------------------------------------------------------------------------------------


@never_fails
def bark_models(folder: Path | None) -> RenderableType:
    """The places of each published model, and whether it is complete there."""
    shown = table("Bark's models on this machine", ("model", "place", "state"), _models(folder or _hub_folder()))
    return Group(shown, Text("A model that is complete in neither place is downloaded when it is first used."))


def _models(folder: Path) -> Iterator[tuple[str, str, str]]:
    from ..checkpoints.places import PUBLISHED, original_cache

    original = original_cache()
    for model, repo in PUBLISHED.items():
        yield model, f"{repo} in the hub's cache", known(partial(_state_in_hub, repo, folder))
        yield model, str(original), known(partial(_state_of_original, original, model, folder))


def _state_in_hub(repo: str, folder: Path) -> str:
    from huggingface_hub.file_download import repo_folder_name

    from ..checkpoints.hub import Hub
    from ..checkpoints.places import WEIGHT_FILES
    from ..model.tokenizer import VOCABULARY_FILES

    place = folder / repo_folder_name(repo_id=repo, repo_type="model")
    if not place.is_dir():
        return _ABSENT
    hub, needed = Hub(str(folder), offline=True), (("config.json",), WEIGHT_FILES, VOCABULARY_FILES)
    lacks = [" or ".join(names) for names in needed if not any(hub.cached(repo, name) for name in names)]
    if not lacks:
        return _COMPLETE
    received = sum(path.stat().st_size for path in (place / "blobs").glob("*.incomplete"))
    return f"incomplete: no {', no '.join(lacks)}" + (f"; {size(received)} of it have come" if received else "")


def _state_of_original(original: Path, model: str, folder: Path) -> str:
    """The state of a model in Suno's layout, which has only the stages; tokenizer and codec come from the hub."""
    from ..checkpoints.hub import Hub
    from ..checkpoints.places import stage_file
    from ..checkpoints.reading import STAGES
    from ..checkpoints.suno import SunoCheckpoint
    from ..errors import CheckpointError

    lacks = [stage for stage in STAGES if not stage_file(original, stage, model)]
    if len(lacks) == len(STAGES):
        return _ABSENT
    if lacks:
        return f"incomplete: no {', no '.join(lacks)} stage"
    checkpoint = SunoCheckpoint(original, Hub(str(folder), offline=True), model)
    for name, read in (("tokenizer", checkpoint.tokenizer), ("codec", checkpoint.codec)):
        try:
            read()
        except CheckpointError:
            lacks.append(name)
    return f"all stages, but no {' and no '.join(lacks)}" if lacks else _COMPLETE
