"""Waveforms: silence, joining segments sample by sample, and audio files with their making written inside."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import constants as c
from .files import write_whole


@dataclass(frozen=True)
class Span:
    """Where a segment stands in its clip, in samples; `stop` is the first sample behind it."""

    start: int
    stop: int


def join(pieces: Sequence[np.ndarray], silence_seconds: float) -> tuple[np.ndarray, list[Span]]:
    """One waveform of several, float32 (samples,), with silence between (not behind the last), and each piece's span.

    An empty piece takes no silence: its span is empty.
    """
    gap = np.zeros(round(silence_seconds * c.SAMPLE_RATE), np.float32)
    parts: list[np.ndarray] = []
    spans: list[Span] = []
    position = 0
    for piece in pieces:
        if parts and len(piece):
            parts.append(gap)
            position += len(gap)
        spans.append(Span(position, position + len(piece)))
        if len(piece):
            parts.append(piece)
            position += len(piece)
    return np.concatenate(parts or [gap[:0]]), spans


def write_wav(path: Path, audio: np.ndarray, tags: Mapping[str, str]) -> None:
    """16-bit PCM WAV of mono samples in -1..1 (what lies outside is clipped). `tags`: title, comment, software, ...

    Raises FileExistsError where the name is taken: results are never overwritten.
    """
    import soundfile

    encoded = io.BytesIO()  # not straight into the file: libsndfile loses what the system says of a full disk
    with soundfile.SoundFile(encoded, "w", c.SAMPLE_RATE, 1, "PCM_16", format="WAV") as sound:
        for name, value in tags.items():
            if value:
                setattr(sound, name, value)
        sound.write(np.nan_to_num(audio))
    write_whole(path, lambda file: file.write(encoded.getbuffer()), overwrite=False)
