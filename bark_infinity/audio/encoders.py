"""The streaming encoder of audio files that libsndfile writes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np

from .chapters import Chapter
from .encoding import Encoding
from .formats import SOUNDFILE_ENCODERS
from .guarded_file import GuardedFile
from .id3 import id3, id3_space
from .tags import Tags

_CONSEQUENCES = (RuntimeError, AssertionError)  # what soundfile raises if the file failed
_NAMES = {"title", "artist", "album", "comment", "software", "genre", "track"}
_SOUNDFILE_NAMES = {"track": "tracknumber"}
_MP3_KBITS = {True: (32, 320), False: (8, 160)}  # lowest and highest bit rate from 32 kHz on, and below
_MP3_HIGH_RATE = 32_000
_SFC_RF64_AUTO_DOWNGRADE = 0x1210  # sndfile.h; soundfile has no name for it


class SoundfileEncoder:
    """Encodes with libsndfile. Writing and closing raise the system's OSError; a discarded file is not complete."""

    def __init__(self, file: BinaryIO, tags: Tags, encoding: Encoding, may_be_long: bool = False):
        """`may_be_long`: an RF64 is written in place of a WAV, unless it stays below 4 GiB."""
        import soundfile

        container, codec, _ = SOUNDFILE_ENCODERS[encoding.format]
        self._raw, self._tags = file, tags
        self._start, self._tag_size = file.tell(), 0  # of the ID3 tag; other kinds of files have none
        texts = {_SOUNDFILE_NAMES.get(name, name): text for name, text in tags.texts.items() if name in _NAMES}
        if encoding.format == "mp3":
            texts = {}  # libsndfile's own ID3 tag declares UTF-8 text as Latin-1
            self._tag_size = id3_space(tags)
            file.write(id3(tags, size=self._tag_size))
        self._file = GuardedFile(file)
        with self._file.errors_raised(*_CONSEQUENCES):
            self._sound = soundfile.SoundFile(
                self._file,
                "w",
                encoding.sample_rate,
                1,
                codec,
                format="RF64" if may_be_long and encoding.format == "wav" else container,
                compression_level=_compression(encoding),
                bitrate_mode="CONSTANT" if encoding.constant_kbits is not None else None,
            )
            if self._sound.format == "RF64":
                with contextlib.suppress(
                    AttributeError
                ):  # a private API of soundfile; without it a short file stays RF64
                    soundfile._snd.sf_command(self._sound._file, _SFC_RF64_AUTO_DOWNGRADE, soundfile._ffi.NULL, 1)
            for name, text in texts.items():
                setattr(self._sound, name, text)

    def write(self, block: np.ndarray) -> None:
        """Samples (n,) float32 in -1..1."""
        with self._file.errors_raised(*_CONSEQUENCES):
            self._sound.write(block)

    def close(self, chapters: Sequence[Chapter] = ()) -> None:
        """Write the last bytes, and of an MP3 the chapters; the file itself stays open."""
        with self._file.errors_raised(*_CONSEQUENCES):
            self._sound.close()
        if chapters and self._tag_size:
            self._raw.seek(self._start)
            self._raw.write(id3(self._tags, chapters, self._tag_size))
            self._raw.seek(0, os.SEEK_END)

    def discard(self) -> None:
        """Free what libsndfile holds, finished or not."""
        with contextlib.suppress(RuntimeError):
            self._sound.close()


def _compression(encoding: Encoding) -> float | None:
    """libsndfile's measure of quality, 0..1: it maps the bit rates of an MP3 to it, highest first."""
    if encoding.constant_kbits is None:
        return SOUNDFILE_ENCODERS[encoding.format][2]
    low, high = _MP3_KBITS[encoding.sample_rate >= _MP3_HIGH_RATE]
    return (high - min(max(encoding.constant_kbits, low), high)) / (high - low)
