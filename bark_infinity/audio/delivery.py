"""Measures an encoded audio file by decoding it, and compares it with what ACX asks of audiobooks.

ACX's limits: https://www.acx.com/help/acx-audio-submission-requirements/201456300
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import OutputError
from .mpeg_frames import MpegFrames, read_frames

_STEP_SECONDS = 0.01  # of the measurements of level over time
_NOISE_STEPS = 50  # the noise floor is the level of the quietest half second
_SOUND_DB = -50.0  # level of a step from which it is no room tone any more, which is below -60 dB
_LEAST_DB = -120.0  # what silence is shown as

RMS_DB = (-23.0, -18.0)
PEAK_DB = -3.0
NOISE_FLOOR_DB = -60.0
SAMPLE_RATE = 44_100
LEAST_KBITS = 192
MOST_SECONDS = 7200.0
HEAD_SECONDS = (0.5, 1.0)
TAIL_SECONDS = (1.0, 5.0)


@dataclass(frozen=True)
class Delivery:
    """What is measured of an encoded file. Levels in dB of full scale."""

    sample_rate: int
    channels: int
    seconds: float
    rms_db: float
    peak_db: float
    noise_floor_db: float
    head_seconds: float  # before the first sound
    tail_seconds: float  # behind the last sound
    frames: MpegFrames  # empty for other files than MP3


@dataclass(frozen=True)
class Criterion:
    """One thing that a shop asks for."""

    name: str
    wanted: str
    found: str
    passed: bool
    mend: str  # what to do if it failed


def check_acx(paths: Sequence[Path]) -> Iterator[tuple[Path, list[Criterion]]]:
    """Compare the files of a book with what ACX asks for, one after the other. Raises OutputError for one it cannot read."""
    channels: int | None = None
    for path in paths:
        measured = measure(path)
        channels = channels or measured.channels
        yield path, _acx_criteria(measured, channels)


def _acx_criteria(measured: Delivery, channels: int) -> list[Criterion]:
    """What ACX asks for beside what is measured of a file. `channels`: of the book's first file."""
    mp3, frames = "--output_format mp3", measured.frames
    bit_rates = "/".join(map(str, sorted(frames.kbits))) or "no MP3"
    kinds = {1: "mono", 2: "stereo"}
    alike = len(frames.channels) <= 1 and measured.channels == channels
    level = "--loudness audiobook sets the level and the peaks"
    edges = "--loudness audiobook puts silence around each file"
    return [
        _within("RMS level", measured.rms_db, RMS_DB, "dB", level),
        _at_most("peak", measured.peak_db, PEAK_DB, "dB", level),
        _at_most(
            "noise floor", measured.noise_floor_db, NOISE_FLOOR_DB, "dB", "take a voice or a --seed with less noise"
        ),
        Criterion(
            "sample rate",
            f"{SAMPLE_RATE} Hz",
            f"{measured.sample_rate} Hz",
            measured.sample_rate == SAMPLE_RATE,
            f"--sample_rate {SAMPLE_RATE}",
        ),
        Criterion(
            "bit rate",
            f"constant, {LEAST_KBITS} kbit/s or more",
            f"{'varying, ' if len(frames.kbits) > 1 else ''}{bit_rates}{' kbit/s' if frames.kbits else ''}",
            len(frames.kbits) == 1 and min(frames.kbits) >= LEAST_KBITS,
            f"{mp3} --sample_rate {SAMPLE_RATE} --loudness audiobook",
        ),
        Criterion(
            "channels",
            "mono or stereo, in all files alike",
            kinds.get(measured.channels, str(measured.channels)) + ("" if len(frames.channels) <= 1 else ", changing"),
            measured.channels in kinds and alike,
            "encode all files alike",
        ),
        Criterion(
            "length",
            f"{MOST_SECONDS / 60:g} minutes at most",
            f"{measured.seconds / 60:.1f} minutes",
            measured.seconds <= MOST_SECONDS,
            "make a file of each chapter",
        ),
        _within("silence before", measured.head_seconds, HEAD_SECONDS, "s", edges, digits=2),
        _within("silence behind", measured.tail_seconds, TAIL_SECONDS, "s", edges, digits=2),
    ]


def _within(name: str, value: float, limits: tuple[float, float], unit: str, mend: str, digits: int = 1) -> Criterion:
    low, high = limits
    return Criterion(name, f"{low:g} to {high:g} {unit}", f"{value:.{digits}f} {unit}", low <= value <= high, mend)


def _at_most(name: str, value: float, limit: float, unit: str, mend: str) -> Criterion:
    shown = f"{value:.1f} {unit}" if value > _LEAST_DB else "silent"
    return Criterion(name, f"{limit:g} {unit} at most", shown, value <= limit, mend)


def measure(path: Path) -> Delivery:
    """Decode an audio file and measure it, in memory that does not grow with its length. Raises OutputError."""
    import av  # late: it loads FFmpeg's libraries

    try:
        frames = read_frames(path)
        with av.open(str(path)) as container:
            stream = container.streams.audio[0]
            meters = _Meters(stream.rate, stream.codec_context.channels)
            resampler = av.AudioResampler(format="fltp")
            for frame in container.decode(stream):
                for converted in resampler.resample(frame):
                    meters.add(converted.to_ndarray())
        return meters.result(frames)
    except (OSError, ValueError, IndexError, av.FFmpegError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"{path} cannot be measured ({str(reason)[:200]}); encode it again") from None


class _Meters:
    """Measures decoded sound."""

    def __init__(self, rate: int, channels: int):
        self._rate, self._channels = rate, channels
        self._step = round(rate * _STEP_SECONDS)
        self._held = np.zeros((channels, 0), np.float32)  # less than a step
        self._recent = np.zeros(0)  # powers of the last steps, which the next half second may begin with
        self._n_samples, self._square_sum, self._peak = 0, 0.0, 0.0
        self._n_steps = 0
        self._first: int | None = None  # the first step with a sound
        self._last = -1  # the last step with a sound
        self._noise = math.inf  # power of the quietest half second

    def add(self, samples: np.ndarray) -> None:
        """The next samples (channels, n)."""
        self._n_samples += samples.shape[1]
        self._peak = max(self._peak, float(np.abs(samples).max(initial=0)))
        held = np.concatenate([self._held, samples], axis=1)
        n = held.shape[1] // self._step
        self._held = held[:, n * self._step :]
        if n:
            squares = np.square(held[:, : n * self._step].astype(np.float64)).mean(axis=0)
            self._add_powers(squares.reshape(n, self._step).mean(axis=1))

    def _add_powers(self, powers: np.ndarray) -> None:
        self._square_sum += float(powers.sum()) * self._step
        sounding = np.flatnonzero(powers > 10 ** (_SOUND_DB / 10))
        if len(sounding):
            self._first = self._n_steps + int(sounding[0]) if self._first is None else self._first
            self._last = self._n_steps + int(sounding[-1])
        self._n_steps += len(powers)
        recent = np.concatenate([self._recent, powers])
        if len(recent) >= _NOISE_STEPS:
            windows = np.lib.stride_tricks.sliding_window_view(recent, _NOISE_STEPS).mean(axis=1)
            self._noise = min(self._noise, float(windows.min()))
        self._recent = recent[-(_NOISE_STEPS - 1) :]

    def result(self, frames: MpegFrames) -> Delivery:
        total = self._square_sum + float(np.square(self._held.astype(np.float64)).mean(axis=0).sum())
        seconds = self._n_samples / self._rate
        mean = total / max(1, self._n_samples)
        first = self._n_steps if self._first is None else self._first
        return Delivery(
            self._rate,
            self._channels,
            seconds,
            _decibels(mean),
            _decibels(self._peak**2),
            _decibels(mean if math.isinf(self._noise) else self._noise),
            first * self._step / self._rate,
            seconds - (self._last + 1) * self._step / self._rate,
            frames,
        )


def _decibels(power: float) -> float:
    return max(_LEAST_DB, 10 * math.log10(power)) if power > 0 else _LEAST_DB


def sound_files(path: Path) -> Sequence[Path]:
    """The audio files of a finished clip: the file itself, or those that a playlist names. Raises OutputError."""
    return list(_entries(path)) if path.suffix == ".m3u8" else [path]


def _entries(playlist: Path) -> Iterator[Path]:
    try:
        lines = playlist.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        raise OutputError(f"the playlist {playlist} cannot be read; make the clip again") from None
    return (playlist.parent / line for line in lines if line and not line.startswith("#"))
