"""Reads audio files of any format, mixed to one channel, and resamples them."""

from __future__ import annotations

import math
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

_RATES = range(4_000, 192_001)  # samples per second that a file may have
_BLOCK = 2**16  # samples read at once


class AudioError(ValueError):
    """A file that cannot be used as audio. The message follows the name of the file: "has 3 samples a second; ..."."""


class AudioContent(NamedTuple):
    """float32 samples (n,) of all channels mixed, and where they come from."""

    samples: np.ndarray
    rate: int  # samples per second
    channels: int
    whole: bool  # whether that is all of the file


def read_audio(path: Path, max_seconds: int) -> AudioContent:
    """At most so many seconds of a file that libsndfile reads, or ffmpeg if it is on the PATH. Raises AudioError."""
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
    if shutil.which("ffmpeg") is None:
        raise AudioError(
            f"cannot be read as wav, flac, ogg, opus or mp3 ({reason}); convert it, or install the "
            "program ffmpeg, which reads more"
        )
    with tempfile.TemporaryDirectory() as folder:
        converted = Path(folder, "converted.wav")
        command = ["ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin", "-protocol_whitelist", "file"]
        command += ["-i", str(path.absolute()), "-vn", "-t", str(max_seconds + 1), "-c:a", "pcm_f32le", str(converted)]
        try:
            process = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=max_seconds)
        except subprocess.TimeoutExpired:
            raise AudioError(f"takes ffmpeg more than {max_seconds} s to read; cut it shorter") from None
        if process.returncode or not converted.exists():
            raise AudioError("holds no sound that libsndfile or ffmpeg can read; give a recording")
        return _decode(converted, max_seconds)


def _decode(path: Path, max_seconds: int) -> AudioContent:
    """As `_read`, by libsndfile, block by block: minutes of many channels would not fit. Raises RuntimeError."""
    import soundfile

    # Opened by number: soundfile takes a file whose name ends in .raw for samples without a header.
    with open(path, "rb") as opened, open(opened.fileno(), "rb", closefd=False) as nameless:
        file = soundfile.SoundFile(nameless)
        if file.samplerate not in _RATES:
            raise AudioError(
                f"has {file.samplerate} samples a second; give a recording with {_RATES[0]} to {_RATES[-1]}"
            )
        frames = min(file.frames, max_seconds * file.samplerate)
        blocks = file.blocks(_BLOCK, frames=frames, dtype="float32", always_2d=True)
        samples = [block.mean(axis=1) for block in blocks]
        mixed = np.concatenate(samples or [np.zeros(0, np.float32)])
        return AudioContent(mixed, file.samplerate, file.channels, file.frames <= frames)
