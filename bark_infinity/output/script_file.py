"""--export_script: writes what would be spoken as a script, with the cover of its book beside it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ..audio.images import image_suffix
from ..errors import OutputError
from ..files import write_whole
from ..text.events import Script
from ..text.script import format_script


def export_script(path: Path, script: Script, cover: bytes | None) -> None:
    """Write a script that is read as an equal one. Raises OutputError, also if the file is there already."""
    if path.exists():
        raise OutputError(f"--export_script {path} is there already; give another name, or remove it first")
    if cover is not None:
        image = _cover_path(path, cover)
        if not image.exists():
            write_whole(image, lambda file: file.write(cover), overwrite=False)
        script = dataclasses.replace(script, book=dataclasses.replace(script.book, cover=image.name))
    text = format_script(script)
    write_whole(path, lambda file: file.write(text.encode()), overwrite=False)


def _cover_path(script: Path, cover: bytes) -> Path:
    """A path beside a script that is free, or already has this image."""
    number = 0
    while True:
        path = script.with_name(f"{script.stem}{f'_{number}' if number else ''}{image_suffix(cover)}")
        if not path.exists() or (path.is_file() and path.read_bytes() == cover):
            return path
        number += 1
