"""Tries of a segment: which one is best, and the seeds of the next try of a faulty segment."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import constants as c
from ..bark import Segment, Settings
from ..checkpoints.reading import STAGES
from ..seeds import Seeds, derive_seed
from .checks import FAULTS, LESS_IS_WORSE

_SERIOUSNESS = {name: -rank for rank, name in enumerate(FAULTS)}


@dataclass(frozen=True, slots=True)
class Try:
    """The seeds of one try of a segment, and its faults: {name: measured value}, empty without faults, None if unchecked."""

    seeds: Seeds
    faults: Mapping[str, float] | None

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Try:
        """The inverse of `content`. Raises KeyError, TypeError or ValueError for anything else."""
        measured = content["faults"]
        faults = None if measured is None else {name: float(value) for name, value in dict(measured).items()}
        if unknown := (faults or {}).keys() - FAULTS.keys():
            raise ValueError(f"unknown faults: {unknown}")
        return cls(Seeds(**content["seeds"]), faults)

    def content(self) -> dict[str, object]:
        """This try as a JSON object."""
        return {"seeds": self.seeds.given(), "faults": None if self.faults is None else dict(self.faults)}

    @property
    def badness(self) -> list[tuple[int, float]]:
        """A sort key for tries, smallest is best: compares the most serious fault first, then its measured value."""
        faults = (self.faults or {}).items()
        sign = {name: -1 if name in LESS_IS_WORSE else 1 for name in FAULTS}
        return sorted(((_SERIOUSNESS[name], sign[name] * measured) for name, measured in faults), reverse=True)

    def describe(self) -> str:
        """The faults in words; an empty string without faults."""
        return ", ".join(FAULTS[name].format(measured) for name, measured in (self.faults or {}).items())


def best_of(tries: Sequence[Try]) -> int:
    """The index of the least faulty try; the first one if several are equal."""
    return min(range(len(tries)), key=lambda index: tries[index].badness)


def describe_faults(tries: Sequence[Try]) -> str | None:
    """A sentence about the faults of a segment and its retries; None if nothing was wrong."""
    kept = best_of(tries)
    if len(tries) == 1:
        return tries[0].describe() or None
    if not tries[kept].faults:
        return f"{tries[0].describe()}; tried again, and try {kept + 1} has no fault"
    return f"{tries[kept].describe()}; that is try {kept + 1}, the best of {len(tries)}"


def next_seeds(first: Segment, tries: Sequence[Try], settings: Settings, retries: int) -> Seeds | None:
    """The seeds of a segment's next try; None if the last try has no faults, or another try is not allowed or would not help.

    `first`: the segment with the seeds of its first try. `retries`: the maximum number of tries after the first.
    """
    if not tries[-1].faults or len(tries) > retries or not _depends_on_its_seed(first, settings):
        return None
    assert first.seeds.segment is not None  # a run gives every segment a seed
    return dataclasses.replace(first.seeds, segment=derive_seed(first.seeds.segment, "retry", len(tries)))


def _depends_on_its_seed(segment: Segment, settings: Settings) -> bool:
    """Whether any stage draws tokens from the segment's seed: is not greedy, has no seed of its own and no given tokens."""
    drawn = [stage for stage in STAGES if stage != "semantic" or segment.semantic is None]
    return any(
        getattr(segment.seeds, stage) is None and getattr(settings, stage).temperature >= c.GREEDY_BELOW
        for stage in drawn
    )
