"""What the names in a client's request stand for: voices by name, and uploads by id or by the name they were given."""

from __future__ import annotations

from dataclasses import dataclass

from ..run.random_voice import RANDOM
from .uploads import Uploads
from .voice_shelf import VoiceShelf


@dataclass(frozen=True)
class NetworkNames:
    """Finds what clients name, for options and for the scripts of a job (`run.script_names.ScriptNames`). No name is a path."""

    voices: VoiceShelf
    uploads: Uploads

    def voice(self, name: str) -> str:
        """A voice as --history_prompt takes it. Raises VoiceError."""
        return name if name == RANDOM else self.voices.resolve(name)

    def sound(self, name: str) -> str:
        """The path of an uploaded recording. Raises UnknownUploadError."""
        return str(self.uploads.named(name, "recording").path)

    def cover(self, name: str) -> str:
        """The path of an uploaded image. Raises UnknownUploadError."""
        return str(self.uploads.named(name, "image").path)

    def text(self, name: str) -> str:
        """The path of an uploaded text. Raises UnknownUploadError."""
        return str(self.uploads.named(name, "text").path)
