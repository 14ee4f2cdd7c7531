"""Chapters of an audio file: title, start and end."""

from __future__ import annotations

from dataclasses import dataclass

from .. import constants as c


@dataclass(frozen=True)
class Chapter:
    """A part of a clip with a title: samples `start` (inclusive) to `stop` (exclusive) of the clip at 24 kHz."""

    title: str
    start: int
    stop: int

    @property
    def start_ms(self) -> int:
        return _milliseconds(self.start)

    @property
    def stop_ms(self) -> int:
        return _milliseconds(self.stop)


def _milliseconds(samples: int) -> int:
    return round(1000 * samples / c.SAMPLE_RATE)
