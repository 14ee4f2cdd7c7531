"""Joins segments into one waveform, and writes audio files with tags."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .. import constants as c
from ..files import write_whole
from .av_encoder import AvEncoder
from .chapters import Chapter
from .encoders import SoundfileEncoder
from .encoding import Encoding
from .formats import AV_FORMATS
from .tags import Tags

# Samples per call of the encoder, so that Vorbis files do not depend on how the samples arrive; ten minutes at once crash
# libsndfile.
_BLOCK = 2**16
_INAUDIBLE_PERCENT = 0.01  # of a clip's samples
_LEAST_GAIN_DB = -100.0  # the lowest value of --gain_db
_DEFAULT_ENCODING = Encoding()
_WAV_SAMPLES = 2**31 - 2**19  # of two bytes; a WAV counts its bytes, including tags, in 32 bits


@dataclass(frozen=True, slots=True)
class Span:
    """The place of a segment in its clip: samples `start` (inclusive) to `stop` (exclusive)."""

    start: int
    stop: int


class Joiner:
    """Joins pieces of audio one after the other, with silence or a crossfade between them, and applies a gain to all.

    `lead_seconds`: the silence before the first piece. `crossfade_seconds`: for how long two pieces that meet sound at the
    same time, at most half of each; the end of a piece is held back until it is known what it meets.
    """

    def __init__(self, gain_db: float = 0.0, lead_seconds: float = 0.0, crossfade_seconds: float = 0.0):
        self._factor = np.float32(10 ** (gain_db / 20))
        self._pause = lead_seconds  # before the next piece
        self._crossfade = _n_samples(crossfade_seconds)
        self._held = np.zeros(0, np.float32)  # the end of the last piece, which the next one may be faded into
        self._digest = hashlib.sha256()
        self._n_added = 0
        self.crossfades = 0
        """Number of crossfades so far."""

    def add(self, piece: np.ndarray, pause_seconds: float, meets_next: bool = False) -> tuple[np.ndarray, Span]:
        """Append a piece. Returns what it adds to the whole (pause and piece, float32 (samples,)), and the piece's span.

        `pause_seconds`: the silence between this piece and the next; `meets_next`: whether there is a crossfade if that is
        none. An empty piece adds nothing: its span is empty, and only the longer one of the pauses before and after it is
        kept.
        """
        if not len(piece):
            if self.length:
                self._pause = max(self._pause, pause_seconds)
            return self._append(piece), Span(self.length, self.length)
        silence, held = np.zeros(_n_samples(self._pause), np.float32), self._held
        overlap = 0 if len(silence) else min(len(held), len(piece) // 2)
        start = self.length + len(silence) - overlap
        both = _crossfade(held[len(held) - overlap :], piece[:overlap])
        added = np.concatenate([held[: len(held) - overlap], silence, both, piece[overlap:]])
        self._pause = pause_seconds
        self.crossfades += overlap > 0
        n_held = min(self._crossfade, len(piece) // 2) if meets_next and not _n_samples(pause_seconds) else 0
        added, self._held = added[: len(added) - n_held], added[len(added) - n_held :]
        return self._append(added), Span(start, start + len(piece))

    def wait_until(self, seconds: float) -> None:
        """The next piece begins so many seconds after the whole does, or later, where the pause before it would end."""
        self._pause = max(self._pause, seconds - self.length / c.SAMPLE_RATE)

    def finish(self, silence_seconds: float = 0.0) -> np.ndarray:
        """Append what is held back of the last piece, and silence. Returns them."""
        added = np.concatenate([self._held, np.zeros(_n_samples(silence_seconds), np.float32)])
        self._held = self._held[:0]
        return self._append(added)

    @property
    def pause_seconds(self) -> float:
        """The silence before the piece that is added next."""
        return self._pause

    def amplified(self, piece: np.ndarray) -> np.ndarray:
        """Samples with the gain."""
        return piece if self._factor == 1 else piece * self._factor

    def _append(self, added: np.ndarray) -> np.ndarray:
        added = self.amplified(added)
        self._digest.update(added.astype("<f4").tobytes())
        self._n_added += len(added)
        return added

    @property
    def length(self) -> int:
        """Number of samples joined so far."""
        return self._n_added + len(self._held)

    @property
    def sha256(self) -> str:
        """Digest of all samples joined so far, as little-endian float32."""
        return self._digest.hexdigest()


def _n_samples(seconds: float) -> int:
    return round(seconds * c.SAMPLE_RATE)


def _crossfade(ending: np.ndarray, beginning: np.ndarray) -> np.ndarray:
    """Two pieces (n,) at once, of which one fades out and the other in, with the same power in sum all the time."""
    angle = (np.arange(len(ending), dtype=np.float32) + 0.5) / max(1, len(ending)) * (np.pi / 2)
    return (ending * np.cos(angle) + beginning * np.sin(angle)).astype(np.float32)


# ---- files ----------------------------------------------------------------------------------------------------------


def write_audio(
    path: Path, samples: np.ndarray, tags: Mapping[str, str], format: str = "wav", ffmpeg_parameters: str = ""
) -> None:
    """Write all samples (n,) at 24 kHz to an audio file. `tags`: texts as `Tags` has them.

    Raises OutputError, and FileExistsError if the name is taken: results are never overwritten.
    """

    def write(file: BinaryIO) -> None:
        encoding = Encoding(format, parameters=ffmpeg_parameters)
        with AudioEncoder(file, path, Tags(tags), encoding, len(samples)) as encoder:
            encoder.write(samples)

    write_whole(path, write, overwrite=False)


@dataclass
class Level:
    """Statistics of the samples of a file before they are clipped to -1..1."""

    samples: int = 0
    clipped: int = 0  # samples beyond full scale
    peak: float = 0.0  # largest magnitude; 1 is full scale

    def add(self, block: np.ndarray) -> None:
        """Measure finite samples (n,)."""
        magnitudes = np.abs(block)
        self.samples += len(block)
        self.clipped += int(np.count_nonzero(magnitudes > 1))
        self.peak = max(self.peak, float(magnitudes.max(initial=0)))

    def include(self, other: Level) -> None:
        """Add the statistics of other samples."""
        self.samples += other.samples
        self.clipped += other.clipped
        self.peak = max(self.peak, other.peak)

    def clipping(self, gain_db: float) -> str | None:
        """A sentence about clipped samples and the largest gain without clipping; None if there is nothing to report.

        `gain_db`: the gain that was applied. Without a positive gain, an inaudible share of clipped samples is not
        reported.
        """
        percent = 100 * self.clipped / max(1, self.samples)
        if not self.clipped or (gain_db <= 0 and percent < _INAUDIBLE_PERCENT):
            return None
        found = f"{percent:.3g} % of the samples are clipped"
        fitting = math.floor(10 * (gain_db - 20 * math.log10(self.peak))) / 10
        if fitting < _LEAST_GAIN_DB:  # some samples were infinite
            return found
        return f"{found}; --gain_db {fitting:g} is the most that fits"


class AudioEncoder:
    """Encodes mono samples, block by block, into a file that is open for writing and reading.

    Samples outside -1..1 are clipped and counted in `level`; NaN becomes silence. After `close`, or a `with` block that
    did not raise, the file is complete; `discard` releases the encoder in any state. Methods raise OSError from the
    system and OutputError from FFmpeg. `path`: the final path of the file, for messages. `most_samples`: an upper bound; a
    WAV that may exceed 4 GiB is written as RF64.
    """

    def __init__(
        self, file: BinaryIO, path: Path, tags: Tags, encoding: Encoding = _DEFAULT_ENCODING, most_samples: int = 0
    ):
        texts = {name: _clean(value) for name, value in tags.texts.items() if value}
        tags = Tags(texts, tags.cover, tuple(map(_clean, tags.chapters)))
        self._encoder: SoundfileEncoder | AvEncoder
        if encoding.format in AV_FORMATS:
            self._encoder = AvEncoder(file, path, tags, encoding)
        else:
            self._encoder = SoundfileEncoder(file, tags, encoding, most_samples > _WAV_SAMPLES)
        self.level = Level()
        self._closed = False
        self._held = np.zeros(0, np.float32)  # samples not encoded yet, less than a block
        self._least = (
            0 if encoding.format == "wav" else 1
        )  # least samples: without any, most encoders write a file that cannot be read

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

    def close(self, chapters: Sequence[Chapter] = ()) -> None:
        """Encode the remaining samples and complete the file, which itself stays open.

        `chapters`: in order, some or all of `Tags.chapters`; only CHAPTER_FORMATS keep them. A second call does nothing.
        """
        if self._closed:
            return
        self._closed = True
        if len(rest := np.concatenate([self._held, np.zeros(self._least, np.float32)])):
            self._encode(rest)
        self._encoder.close([Chapter(_clean(one.title), one.start, one.stop) for one in chapters])

    def discard(self) -> None:
        """Release the encoder, finished or not."""
        self._encoder.discard()

    def _encode(self, block: np.ndarray) -> None:
        block = np.nan_to_num(block)
        self.level.add(block)
        self._encoder.write(np.clip(block, -1, 1))


def _clean(tag: str) -> str:
    """A tag without NUL characters and lone surrogates, which libsndfile and command lines do not accept."""
    return tag.replace("\0", "").encode(errors="replace").decode()
