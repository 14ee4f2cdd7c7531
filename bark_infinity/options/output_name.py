"""The parts of --output_filename: folder, name and audio format; each may be left out."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from ..audio.formats import FORMATS, check_ending
from ..errors import UsageError

_SEPARATOR = r"[\\/]" if os.sep == "\\" else "/"


@dataclass(frozen=True)
class OutputName:
    """Where a clip is written. `stem`: the file name without the ending of its format; None: derived from the text."""

    folder: str
    stem: str | None
    format: str | None

    @classmethod
    def read(cls, filename: str | None, output_dir: str, output_format: str | None) -> OutputName:
        """From the three flags. Raises UsageError for a path without a file name and for an unsupported format."""
        if filename is None:
            return cls(output_dir, None, output_format)
        folder, name = os.path.split(filename)
        if not name and folder or name in (".", ".."):
            raise UsageError(
                f"--output_filename {filename} names a folder; put the name of a file after it, or use --output_dir"
            )
        stem, dot, ending = name.rpartition(".")
        ending = ending.lower() if dot else ""
        if ending not in FORMATS:
            check_ending(name, f"--output_filename {filename}")
            return cls(_folder(filename, folder, output_dir), name, output_format)
        if output_format not in (None, ending):
            raise UsageError(
                f"--output_filename {filename} and --output_format {output_format} contradict each other; "
                "change one of them or leave out --output_format"
            )
        return cls(_folder(filename, folder, output_dir), stem, ending)


def _folder(filename: str, folder: str, output_dir: str) -> str:
    """The folder of a clip: relative to the output folder, unless it is absolute or begins with ./ or ../."""
    parts = re.split(_SEPARATOR, folder)
    if os.path.splitdrive(folder)[0] or os.path.isabs(folder) or parts[0] in (".", ".."):
        return folder
    if ".." in parts:
        raise UsageError(
            f"--output_filename {filename} has a .. inside, where it could lead out of --output_dir; "
            "begin with ./ for a path from the current folder"
        )
    return os.path.join(output_dir, folder) if folder else output_dir
