"""Waveforms: silence, joining segments sample by sample, and audio files with their making written inside."""

from __future__ import annotations

import hashlib
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .. import constants as c
from ..files import write_whole
from .encoders import FfmpegEncoder, SoundfileEncoder
from .formats import FFMPEG_ENCODERS, FFMPEG_FORMATS, SOUNDFILE_ENCODERS

# samples encoded at once, however they come: Vorbis turns on it, and ten minutes at once crash libsndfile
_BLOCK = 2**16
_INAUDIBLE_PERCENT = 0.01  # of a clip's samples
_LEAST_GAIN_DB = -100.0  # that --gain_db takes
_WAV_SAMPLES = 2**31 - 2**19  # of two bytes; a WAV counts its bytes, the tags' too, in 32 bits


@dataclass(frozen=True, slots=True)
class Span:
    """Where a segment stands in its clip, in samples; `stop` is the first sample behind it."""

    start: int
    stop: int


class Joiner:
    """Joins pieces one after the other, with silence between (not behind the last), all louder by so many decibels."""

    def __init__(self, gain_db: float = 0.0):
        self._factor = np.float32(10 ** (gain_db / 20))
        self._pause = 0.0  # seconds, before the next piece
        self._digest = hashlib.sha256()
        self._length = 0

    def add(self, piece: np.ndarray, pause_seconds: float) -> tuple[np.ndarray, Span]:
        """What the next piece adds to the whole, float32 (samples,), and where the piece itself stands in that.

        `pause_seconds`: the silence between this piece and the next. An empty piece takes no silence: its span is
        empty, and its pause becomes one with the pause before it, as long as the longer of both.
        """
        added = piece
        if self._length and len(piece):
            added = np.concatenate([np.zeros(round(self._pause * c.SAMPLE_RATE), np.float32), piece])
        self._pause = pause_seconds if len(piece) else max(self._pause, pause_seconds)
        if self._factor != 1:
            added = added * self._factor
        self._digest.update(added.astype("<f4").tobytes())
        self._length += len(added)
        return added, Span(self._length - len(piece), self._length)

    @property
    def sha256(self) -> str:
        """Of all that is joined so far, in little-endian float32."""
        return self._digest.hexdigest()


# ---- files ----------------------------------------------------------------------------------------------------------


def write_audio(
    path: Path, samples: np.ndarray, tags: Mapping[str, str], format: str = "wav", ffmpeg_parameters: str = ""
) -> None:
    """An audio file of samples that are all there, as `AudioEncoder` makes it.

    Raises OutputError, and FileExistsError where the name is taken: results are never overwritten.
    """

    def write(file: BinaryIO) -> None:
        with AudioEncoder(file, path, tags, format, ffmpeg_parameters, len(samples)) as encoder:
            encoder.write(samples)

    write_whole(path, write, overwrite=False)


@dataclass
class Level:
    """How loud the samples of a file are before they are clipped to -1..1."""

    samples: int = 0
    clipped: int = 0  # samples beyond full scale
    peak: float = 0.0  # largest magnitude; 1 is full scale

    def add(self, block: np.ndarray) -> None:
        """Measure finite samples (n,)."""
        magnitudes = np.abs(block)
        self.samples += len(block)
        self.clipped += int(np.count_nonzero(magnitudes > 1))
        self.peak = max(self.peak, float(magnitudes.max(initial=0)))

    def clipping(self, gain_db: float) -> str | None:
        """A sentence about clipped samples and the largest gain without any; None where they cannot be heard.

        `gain_db`: the gain that was applied. Any clipping by a gain is worth a sentence.
        """
        percent = 100 * self.clipped / max(1, self.samples)
        if not self.clipped or (gain_db <= 0 and percent < _INAUDIBLE_PERCENT):
            return None
        found = f"{percent:.3g} % of the samples are clipped"
        fitting = math.floor(10 * (gain_db - 20 * math.log10(self.peak))) / 10
        if fitting < _LEAST_GAIN_DB:  # samples that were infinite
            return found
        return f"{found}; --gain_db {fitting:g} is the most that fits"


class AudioEncoder:
    """Encodes mono samples at 24 kHz in -1..1, as they come, into a file that is open for writing.

    What lies outside is clipped, and `level` says how much; what is no number is silence. After `close`, or a `with`
    block that did not raise, the file is whole; `discard` lets go of it, as it is. All raise OSError for what the system
    says, OutputError for what ffmpeg says. `path`: where the file will stand. `tags`: title, comment, software; a WAV's
    are read by others up to 2 KB each. `format`: one of FORMATS. `most_samples`: a WAV that may be beyond 4 GiB is an
    RF64 then.
    """

    def __init__(
        self,
        file: BinaryIO,
        path: Path,
        tags: Mapping[str, str],
        format: str = "wav",
        ffmpeg_parameters: str = "",
        most_samples: int = 0,
    ):
        tags = {name: _clean(value) for name, value in tags.items() if value}
        self._encoder: SoundfileEncoder | FfmpegEncoder
        if format in FFMPEG_FORMATS:
            how = (*FFMPEG_ENCODERS[format], *shlex.split(ffmpeg_parameters))
            self._encoder = FfmpegEncoder(file, path, format, tags, how)
        else:
            container, codec, compression = SOUNDFILE_ENCODERS[format]
            if format == "wav" and most_samples > _WAV_SAMPLES:
                container = "RF64"
            self._encoder = SoundfileEncoder(file, tags, container, codec, compression)
        self.level = Level()
        self._held = np.zeros(0, np.float32)  # less than a block
        self._least = 0 if format == "wav" else 1  # of no samples most encoders make a file that nobody can read

    def __enter__(self) -> AudioEncoder:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.close()
        finally:
            self.discard()

    def write(self, samples: np.ndarray) -> None:
        """The next samples (n,)."""
        self._least = max(0, self._least - len(samples))
        for start in range(0, len(samples), _BLOCK):
            self._held = np.concatenate([self._held, samples[start : start + _BLOCK]])
            if len(self._held) >= _BLOCK:
                self._encode(self._held[:_BLOCK])
                self._held = self._held[_BLOCK:]

    def close(self) -> None:
        """Write what is still to be written; the file itself stays open."""
        if len(rest := np.concatenate([self._held, np.zeros(self._least, np.float32)])):
            self._encode(rest)
        self._encoder.close()

    def discard(self) -> None:
        """Free what the encoder holds, finished or not."""
        self._encoder.discard()

    def _encode(self, block: np.ndarray) -> None:
        block = np.nan_to_num(block)
        self.level.add(block)
        self._encoder.write(np.clip(block, -1, 1))


def _clean(tag: str) -> str:
    """Without what neither libsndfile nor a command line takes: zeros, and bytes that were no UTF-8."""
    return tag.replace("\0", "").encode(errors="replace").decode()
