"""Reads audio files of any format, mixed to one channel, and resamples them."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

_RATES = range(4_000, 192_001)  # samples per second that a file may have
_BLOCK = 2**16  # samples read at once
# Formats that FFmpeg may take a file for: those that hold sound themselves, none that names other files or addresses.
_FFMPEG_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,aac,ac3,aiff,amr,ape,asf,avi,caf,flac,flv,mp3,mpeg,ogg,tta,w64,wav,wv"
)
_FFMPEG_OPTIONS = {"format_whitelist": _FFMPEG_FORMATS, "protocol_whitelist": "file"}


class AudioError(ValueError):
    """A file that cannot be used as audio. The message follows the name of the file: "has 3 samples a second; ..."."""


class AudioContent(NamedTuple):
    """float32 samples (n,) of all channels mixed, and where they come from."""

    samples: np.ndarray
    rate: int  # samples per second
    channels: int
    whole: bool  # whether that is all of the file


def read_audio(path: Path, max_seconds: int) -> AudioContent:
    """At most so many seconds of a file that libsndfile or FFmpeg's libraries read. Raises AudioError."""
    content = _read(path, max_seconds)
    if not np.isfinite(content.samples).all():
        raise AudioError("holds samples that are no numbers; export it again")
    return content


def resample(samples: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """Samples at another rate, float32, by cutting or extending the spectrum; its upper 5% fade out against ringing."""
    if rate == wanted:
        return samples
    step = rate // math.gcd(rate, wanted)
    padded = step * (
        len(samples) // step + 1 + rate // (10 * step)
    )  # 0.1 s of silence: the end must not meet the start
    limit = min(rate, wanted) / 2
    fade = np.clip((limit - np.fft.rfftfreq(padded, 1 / rate)) / (0.05 * limit), 0, 1)
    spectrum = np.fft.rfft(samples, padded) * np.sin(fade * np.pi / 2) ** 2
    n_resampled = padded * wanted // rate
    waveform = np.fft.irfft(spectrum[: n_resampled // 2 + 1], n_resampled) * (n_resampled / padded)
    return waveform[: -(-len(samples) * wanted // rate)].astype(np.float32)


def _read(path: Path, max_seconds: int) -> AudioContent:
    try:
        return _decode(path, max_seconds)
    except RuntimeError as error:
        reason = str(error).rpartition(": ")[2].strip().rstrip(".")
    if (content := _decode_with_ffmpeg(path, max_seconds)) is None:
        raise AudioError(f"cannot be read as a recording ({reason}); convert it to wav, flac, ogg, mp3 or m4a")
    return content


def _decode(path: Path, max_seconds: int) -> AudioContent:
    """As `_read`, by libsndfile, block by block: minutes of many channels would not fit. Raises RuntimeError."""
    with _open_by_libsndfile(path) as file:
        frames = min(file.frames, max_seconds * file.samplerate)
        samples = [block.mean(axis=1) for block in file.blocks(_BLOCK, frames=frames, dtype="float32", always_2d=True)]
        mixed = np.concatenate(samples or [np.zeros(0, np.float32)])
        return AudioContent(mixed, file.samplerate, file.channels, file.frames <= frames)


def _decode_with_ffmpeg(path: Path, max_seconds: int) -> AudioContent | None:
    """As `_read`, by FFmpeg's libraries, for what libsndfile does not read; None if they read no sound in it either."""
    blocks: list[np.ndarray] = []
    n = rate = channels = 0
    for block in _blocks_by_ffmpeg(path):
        rate, channels = block.rate, block.channels
        blocks.append(block.samples)
        n += len(block.samples)
        if n > max_seconds * rate:
            break
    if not n:
        return None
    return AudioContent(np.concatenate(blocks)[: max_seconds * rate], rate, channels, n <= max_seconds * rate)


@contextlib.contextmanager
def _open_by_libsndfile(path: Path) -> Iterator[Any]:
    """A `soundfile.SoundFile`. Raises RuntimeError if libsndfile cannot read the file, AudioError for its rate."""
    import soundfile

    # Opened by number: soundfile takes a file whose name ends in .raw for samples without a header.
    with open(path, "rb") as opened, open(opened.fileno(), "rb", closefd=False) as nameless:
        file = soundfile.SoundFile(nameless)
        _check_rate(file.samplerate)
        yield file


def _blocks_by_ffmpeg(path: Path) -> Iterator[AudioContent]:
    """Blocks of the samples that FFmpeg's libraries read, until a place where the file is damaged. Raises AudioError."""
    import av

    resampler = av.AudioResampler("fltp")  # to float32 by channel; the rate stays
    try:
        with av.open(f"file:{path.absolute()}", container_options=_FFMPEG_OPTIONS) as container:
            for frame in container.decode(audio=0):
                for block in resampler.resample(frame):
                    _check_rate(block.sample_rate)
                    mixed = block.to_ndarray().mean(axis=0)
                    yield AudioContent(mixed, block.sample_rate, block.layout.nb_channels, False)
    except (av.FFmpegError, UnicodeError, IndexError):  # IndexError: it has no audio
        return


def _check_rate(rate: int) -> None:
    if rate not in _RATES:
        raise AudioError(f"has {rate} samples a second; give a recording with {_RATES[0]} to {_RATES[-1]}")


# ---- parts of long files --------------------------------------------------------------------------------------------


def read_spans(path: Path, spans: Iterable[tuple[float, float]]) -> Iterator[tuple[np.ndarray, int]]:
    """Yield the samples of each span (start and stop in seconds, by start), and their rate; memory is bounded.

    Spans beyond the end of the file come out shorter, or empty. Raises AudioError.
    """
    blocks = audio_blocks(path)
    held, first, rate = (
        np.zeros(0, np.float32),
        0,
        0,
    )  # samples that are read and not left behind, and the first one's place
    for start, stop in spans:
        while not rate or first + len(held) < round(stop * rate):
            if (block := next(blocks, None)) is None:
                break
            rate = block.rate
            dropped = min(max(0, round(start * rate) - first), len(held))
            held, first = np.concatenate([held[dropped:], block.samples]), first + dropped
        if not rate:
            raise AudioError("holds no sound; give the audio of the clip")
        place = max(0, round(start * rate) - first)
        yield held[place : max(place, round(stop * rate) - first)], rate


def audio_blocks(path: Path) -> Iterator[AudioContent]:
    """The samples of a whole file, mixed to one channel, block by block. Raises AudioError."""
    try:
        with _open_by_libsndfile(path) as file:
            for block in file.blocks(_BLOCK, dtype="float32", always_2d=True):
                yield AudioContent(block.mean(axis=1), file.samplerate, file.channels, False)
    except RuntimeError:
        yield from _blocks_by_ffmpeg(path)
