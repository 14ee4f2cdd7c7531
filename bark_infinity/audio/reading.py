"""Reads audio files of any format, mixed to one channel, and resamples them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

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
    import soundfile

    # Opened by number: soundfile takes a file whose name ends in .raw for samples without a header.
    with open(path, "rb") as opened, open(opened.fileno(), "rb", closefd=False) as nameless:
        file = soundfile.SoundFile(nameless)
        _check_rate(file.samplerate)
        frames = min(file.frames, max_seconds * file.samplerate)
        blocks = file.blocks(_BLOCK, frames=frames, dtype="float32", always_2d=True)
        samples = [block.mean(axis=1) for block in blocks]
        mixed = np.concatenate(samples or [np.zeros(0, np.float32)])
        return AudioContent(mixed, file.samplerate, file.channels, file.frames <= frames)


def _decode_with_ffmpeg(path: Path, max_seconds: int) -> AudioContent | None:
    """As `_read`, by FFmpeg's libraries, for what libsndfile does not read; None if they read no sound in it either."""
    import av

    resampler = av.AudioResampler("fltp")  # to float32 by channel; the rate stays
    blocks: list[np.ndarray] = []
    n = rate = channels = 0
    try:
        with av.open(f"file:{path.absolute()}", container_options=_FFMPEG_OPTIONS) as container:
            for frame in container.decode(audio=0):
                for block in resampler.resample(frame):
                    rate, channels = block.sample_rate, block.layout.nb_channels
                    blocks.append(block.to_ndarray().mean(axis=0))
                    n += len(blocks[-1])
                if n > max_seconds * rate:
                    break
    except (av.FFmpegError, UnicodeError, IndexError):  # IndexError: it has no audio
        if not n:  # else the file is damaged behind what was read
            return None
    if not n:
        return None
    _check_rate(rate)
    samples = np.concatenate(blocks)[: max_seconds * rate]
    return AudioContent(samples, rate, channels, n <= max_seconds * rate)


def _check_rate(rate: int) -> None:
    if rate not in _RATES:
        raise AudioError(f"has {rate} samples a second; give a recording with {_RATES[0]} to {_RATES[-1]}")
