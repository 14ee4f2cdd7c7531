"""A changed clip takes the place, and the names, of the one before, in steps that can be repeated after a kill."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path

from ..files import errors_naming, sync_folder
from ..run.naming import FOLDER_SUFFIX
from .job_records import ClipRecord, Swap


def complete_swap(folder: Path, swap: Swap) -> ClipRecord:
    """Remove the files of the clip before, and give those of the new one their names. Returns the clip as it is then.

    The new clip keeps its own names where a playlist has them, or where another file has one of the wanted names. May be
    called again if it was interrupted. Raises OutputError.
    """
    new, old_name = swap.new, swap.old.name
    wanted = {name: old_name + name.removeprefix(new.name) for name in new.files}
    with errors_naming(folder / old_name):
        moved = {place for name, place in wanted.items() if not (folder / name).exists()}
        _remove(folder, (name for name in swap.old.files if name not in moved))
        open_moves = {name: place for name, place in wanted.items() if place not in moved}
        is_taken = any((folder / place).exists() for place in open_moves.values())
        if not moved and (is_taken or any(FOLDER_SUFFIX in name for name in new.files)):
            return new
        for name, place in open_moves.items():
            (folder / place).parent.mkdir(exist_ok=True)
            os.replace(folder / name, folder / place)
        _remove_folders(folder, new.files)
        sync_folder(folder)
    return dataclasses.replace(new, name=old_name, files=tuple(wanted.values()))


def _remove(folder: Path, names: Iterable[str]) -> None:
    names = list(names)
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(folder / name)
    _remove_folders(folder, names)


def _remove_folders(folder: Path, names: Iterable[str]) -> None:
    """Remove the folders of these files, if they are empty."""
    for inside in {name.rpartition("/")[0] for name in names} - {""}:
        with contextlib.suppress(OSError):
            os.rmdir(folder / inside)
