"""The voices that a client of the server may speak with: by name, or by the id of an upload."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..voices.library import FoundVoice, list_voices
from .uploads import Uploads


class VoiceShelf:
    """The voices of a server. A client names them; no path of a client is ever opened."""

    def __init__(self, folders: Sequence[Path], voice_dir: Path, uploads: Uploads):
        """`folders`: as of `voices.library.voice_folders`."""
        self._folders, self._voice_dir, self._uploads = folders, voice_dir, uploads

    def listed(self) -> list[FoundVoice]:
        """All voices that are found by name, sorted by language and name."""
        return list_voices(self._folders, self._voice_dir)

    def resolve(self, name: str) -> str:
        """A client's voice as --history_prompt takes it: the name of a voice, or the path of an upload. Raises VoiceError."""
        raise NotImplementedError
