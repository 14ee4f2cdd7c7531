"""The image that the front matter of a script names as the cover of its book."""

from __future__ import annotations

from ..audio.images import MAX_COVER_BYTES, image_fault
from ..errors import TextError
from ..files import read_bounded
from ..options.table import Options
from ..text.events import Script
from .script_source import script_folder


def read_cover(script: Script, options: Options) -> bytes | None:
    """The cover of the script of --prompt_file; None if it has none. Raises TextError.

    Other texts may come from strangers, who name no files of this machine.
    """
    if script.book.cover is None or options.prompt_file is None:
        return None
    path = script_folder(options) / script.book.cover
    where = f"--prompt_file {options.prompt_file}: the cover {script.book.cover} in [book]"
    try:
        image = read_bounded(path, MAX_COVER_BYTES)
    except OSError as error:
        raise TextError(
            f"{where} cannot be read ({error.strerror}); put it beside the script, or leave it out"
        ) from None
    if (fault := image_fault(image)) is not None:
        raise TextError(f"{where} {fault}, or leave it out")
    return image
