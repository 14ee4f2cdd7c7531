"""The voices that a client of the server may speak with: by name, or by the id of an upload."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath

from ..errors import UnknownUploadError, VoiceError
from ..files import errors_naming, make_folder, portable_stem
from ..voices.library import FoundVoice, find_voice, list_voices
from ..voices.recorded_voices import find_recorded_voice
from .uploads import Upload, Uploads

_MAX_NAME_LENGTH = 200
_MAX_STEM_BYTES = 80


class VoiceShelf:
    """The voices of a server. A client names them; no path of a client is ever opened."""

    def __init__(self, folders: Sequence[Path], voice_dir: Path, uploads: Uploads):
        """`folders`: as of `voices.library.voice_folders`, `voice_dir` among them."""
        self._folders, self._voice_dir, self._uploads = folders, voice_dir, uploads

    def listed(self) -> list[FoundVoice]:
        """All voices that are found by name, sorted by language and name; Bark's presets are not among them."""
        return list_voices(self._folders, self._voice_dir)

    def resolve(self, name: str) -> str:
        """A client's voice as --history_prompt takes it: its name, or the path of an upload. Raises VoiceError."""
        try:
            return str(self._uploads.named(name, "voice").path)
        except UnknownUploadError:
            pass
        _check_name(name)
        if find_recorded_voice(name, self._voice_dir) is None:
            path = find_voice(name, self._folders)
            if path is not None and not any(_is_inside(path, folder) for folder in self._folders):
                raise VoiceError(
                    f"there is no voice {name} among those of this server; choose one of GET /v1/audio/voices"
                )
        return name

    def add(self, upload: Upload, name: str) -> str:
        """Keep an uploaded voice or recording in --voice_dir, under a name. Returns the name, which is then a voice.

        A recording is cloned when the voice is first spoken with. Raises VoiceError for another kind of file, and for a
        name that is taken; OutputError.
        """
        stem = portable_stem(name, _MAX_STEM_BYTES)
        voice, folder = self._voice_dir / f"{stem}.npz", self._voice_dir / stem
        if upload.kind not in ("voice", "recording"):
            raise VoiceError(f"{upload.name} is no voice and no recording of one; upload an .npz, a wav, flac or mp3")
        if voice.exists() or folder.exists():
            raise VoiceError(f"there is a voice {stem} already; choose another name")
        make_folder(self._voice_dir)
        with errors_naming(self._voice_dir):
            if upload.kind == "voice":
                shutil.copyfile(upload.path, voice)
            else:
                folder.mkdir()
                shutil.copyfile(upload.path, folder / upload.name)
        return stem


def _check_name(name: str) -> None:
    """Raise VoiceError for what is no name but a path that leads elsewhere, by the rules of any system."""
    parts = name.split("/")
    leads_out = any(part == "" or part.startswith((".", "~")) or PureWindowsPath(part).anchor for part in parts)
    if len(name) > _MAX_NAME_LENGTH or not name.isprintable() or leads_out or "\\" in name:
        raise VoiceError(f"{name[:60]!r} is no name of a voice; choose one of GET /v1/audio/voices, or upload a voice")


def _is_inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())
