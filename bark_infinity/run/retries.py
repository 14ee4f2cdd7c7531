"""Faulty segments made again: from which seeds, and whether that can change anything."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from .. import constants as c
from ..bark import Segment, Settings
from ..checkpoints.reading import STAGES
from ..seeds import Seeds, derive_seed
from .checks import Try


def next_seeds(first: Segment, tries: Sequence[Try], settings: Settings, retries: int) -> Seeds | None:
    """The seeds of the next try of a segment, `first` as it was tried at first; None if it is done with."""
    if not tries[-1].faults or len(tries) > retries or not _other_seeds_change_it(first, settings):
        return None
    return dataclasses.replace(first.seeds, segment=derive_seed(first.seeds.segment, "retry", len(tries)))


def _other_seeds_change_it(segment: Segment, settings: Settings) -> bool:
    """Whether any of its tokens are drawn from the segment's own seed: not given, not greedy, without a seed of the stage."""
    drawn = [stage for stage in STAGES if stage != "semantic" or segment.semantic is None]
    return any(
        getattr(segment.seeds, stage) is None and getattr(settings, stage).temperature >= c.GREEDY_BELOW
        for stage in drawn
    )
