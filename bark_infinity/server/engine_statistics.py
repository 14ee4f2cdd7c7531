"""What a shared engine has done: batches, how full they were, sound, and the time that it took."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from .. import constants as c
from ..bark import Generation


@dataclass(frozen=True)
class EngineStatistics:
    """Totals since the engine was made, and `clients`, `queued` and `running` segments now."""

    batches: int
    segments: int  # finished
    rows_used: int  # frames made in all rows
    rows_offered: int  # frames that all rows of the batch size could have made in the same steps
    sound_s: float
    busy_s: float
    urgent_s: float  # of busy_s, for urgent clients
    queued: int
    running: int
    clients: int

    @property
    def fill(self) -> float:
        """The share of all rows' steps that made something; 1.0 before the first batch."""
        return self.rows_used / self.rows_offered if self.rows_offered else 1.0


class Meter:
    """Adds up what an `EngineStatistics` tells."""

    def __init__(self) -> None:
        self._batches = self._segments = self._used = self._offered = 0
        self._sound_s = self._busy_s = self._urgent_s = 0.0

    def batch(self, lengths: Sequence[int], rows: int) -> None:
        """A batch of `rows` rows has made segments of these lengths in frames."""
        self._batches += bool(lengths)
        self._used += sum(lengths)
        self._offered += rows * steps_of_batch(lengths, rows)

    def finished(self, generation: Generation) -> None:
        """A segment has been generated."""
        self._segments += 1
        self._sound_s += generation.voice.fine.shape[1] / c.FRAME_RATE_HZ

    def worked(self, seconds: float, urgent: bool) -> None:
        """The engine's thread was busy."""
        self._busy_s += seconds
        self._urgent_s += seconds if urgent else 0.0

    def statistics(self, queued: int, running: int, clients: int) -> EngineStatistics:
        """The totals so far, with what is there now."""
        done = self._batches, self._segments, self._used, self._offered
        return EngineStatistics(*done, self._sound_s, self._busy_s, self._urgent_s, queued, running, clients)


def steps_of_batch(lengths: Sequence[int], rows: int) -> int:
    """Steps that a batch of `rows` rows takes where each row that ends is replaced by the next waiting one."""
    ends = [0] * rows  # of each row, as a heap
    for length in lengths:
        heapq.heapreplace(ends, ends[0] + length)
    return max(ends)
