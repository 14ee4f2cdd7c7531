"""Uploaded files: kept under their hash in a hidden folder of the output folder, bounded, known by their content."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Upload:
    """An uploaded file. `id`: the hash of its content. `name`: as it is shown."""

    id: str
    name: str
    kind: str  # book, subtitles, text, recording or voice
    bytes: int
    path: Path


class Uploads:
    """The uploaded files of an output folder."""

    def __init__(self, folder: Path, most_bytes: int, most_bytes_in_all: int):
        """`folder`: the output folder."""
        self.folder = folder / ".uploads"

    def find(self, id: str) -> Upload:
        """The upload with this id. Raises UnknownUploadError."""
        raise NotImplementedError

    def all(self) -> list[Upload]:
        """All uploads, the latest first."""
        raise NotImplementedError
