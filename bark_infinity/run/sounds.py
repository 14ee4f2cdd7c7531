"""The audio files that a script plays: found and measured while planning, read again when they are placed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .. import constants as c
from ..audio.reading import AudioError, read_audio, resample
from ..errors import TextError
from ..files import read_bounded
from .pauses import GapSound

_MAX_SECONDS = 600  # of a sound
_MAX_BYTES = 1_000_000_000

FindSound = Callable[[str], GapSound]
"""Finds the audio file that a script names. Raises TextError."""


class SoundFiles:
    """The audio files of a script, beside it or with a whole path. Each is read once to measure it."""

    def __init__(self, folder: Path) -> None:
        """`folder`: that of the script."""
        self._folder = folder
        self._found: dict[str, GapSound] = {}

    def find(self, file: str) -> GapSound:
        """The audio file with this name. Raises TextError."""
        if file not in self._found:
            self._found[file] = measure_sound(file, self._folder / Path(file).expanduser())
        return self._found[file]


def measure_sound(file: str, path: Path) -> GapSound:
    """The sound in a file, which a script calls `file`. Raises TextError."""
    sha256 = digest_of_sound(path)
    return GapSound(file, path, sha256, len(_read(path)))


def read_sound(sound: GapSound) -> np.ndarray:
    """The samples (n,) of a sound, float32 at 24 kHz. Raises TextError if the file is not what it was while planning."""
    if digest_of_sound(sound.path) != sound.sha256:
        raise TextError(f"the sound {sound.path} has changed since the script was planned; start again")
    return _read(sound.path)


def digest_of_sound(path: Path) -> str:
    """SHA-256 (hex) of a file. Raises TextError."""
    try:
        return hashlib.sha256(read_bounded(path, _MAX_BYTES)).hexdigest()
    except FileNotFoundError:
        raise TextError(f"there is no sound {path}; put the file there, or mend its name") from None
    except OSError as error:
        raise TextError(f"the sound {path} cannot be read ({error.strerror}); give an audio file") from None


def _read(path: Path) -> np.ndarray:
    try:
        content = read_audio(path, _MAX_SECONDS)
    except AudioError as error:
        raise TextError(f"the sound {path} {error}") from None
    if not content.whole:
        raise TextError(f"the sound {path} is longer than {_MAX_SECONDS // 60} minutes; cut it shorter")
    if not len(content.samples):
        raise TextError(f"the sound {path} is empty; give one with samples")
    return resample(content.samples, content.rate, c.SAMPLE_RATE)
