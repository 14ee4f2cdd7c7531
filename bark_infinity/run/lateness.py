"""Measures by how much segments with a fixed time ([at:...], --fit_subtitles) begin after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .planning import ClipPlan

_LEAST = 0.001  # seconds from which a segment is late


@dataclass(frozen=True)
class Lateness:
    """How many segments of a clip have a time at which they should begin, how many are late, and the worst of them."""

    n_timed: int
    n_late: int
    worst_seconds: float
    worst_index: int

    def content(self) -> dict[str, object]:
        """These facts as a JSON object."""
        worst = {"worst_seconds": round(self.worst_seconds, 6), "worst_segment": self.worst_index + 1}
        return {"timed": self.n_timed, "late": self.n_late, **(worst if self.n_late else {})}

    def describe(self) -> str:
        """A sentence about the late segments."""
        if not self.n_late:
            return f"all of {self.n_timed} cues begin at their times"
        worst = f"the worst by {self.worst_seconds:.2f} s (segment {self.worst_index + 1})"
        return f"{self.n_late} of {self.n_timed} cues begin late, {worst}: what is before them is too long"


def lateness_of(plan: ClipPlan, starts: Mapping[int, float]) -> Lateness | None:
    """How late the segments of a clip begin; None if none of them has a time. `starts`: by index, in seconds."""
    delays = {k: start - at for k, start in starts.items() if (at := plan.segments[k].start_at) is not None}
    if not delays:
        return None
    worst = max(delays, key=delays.__getitem__)
    return Lateness(len(delays), sum(delay >= _LEAST for delay in delays.values()), delays[worst], worst)
