"""The settings that a script gives to a speaker or to a paragraph, in place of those of the run."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..options.flag import SAMPLING, SEEDS
from ..options.layers import layered
from ..options.resolve import resolve
from ..options.table import Options, flags

if TYPE_CHECKING:  # planning is done without torch
    from ..bark import Settings
    from .planning import ClipPlan

_STATISTICS = "extra_stats"  # a flag of the output that sampling follows too


def options_of_segment(own: Mapping[str, object], options: Options) -> Options:
    """The resolved sampling settings of a segment: its own, by flag name, over those of the run's options.

    Raises UsageError for settings that contradict each other.
    """
    names = {line.name for line in flags() if line.group in (SAMPLING, SEEDS) or line.name == _STATISTICS}
    of_run = {name: value for name, value in options.changed().items() if name in names}
    return resolve(Options.from_settings(layered(own, of_run)))


def with_sampling_settings(plans: Iterable[ClipPlan], options: Options) -> list[ClipPlan]:
    """The plans, where segments whose script gives them settings of their own have these as the model takes them."""
    from ..bark import Settings  # late: it imports torch

    made: dict[tuple[tuple[str, object], ...], Settings] = {}

    def settings_of(own: Mapping[str, object]) -> Settings:
        key = tuple(sorted(own.items()))
        if key not in made:
            made[key] = Settings.from_options(options_of_segment(own, options))
        return made[key]

    def with_settings(plan: ClipPlan) -> ClipPlan:
        if not any(segment.own for segment in plan.segments):
            return plan
        segments = (
            dataclasses.replace(segment, settings=settings_of(segment.own)) if segment.own else segment
            for segment in plan.segments
        )
        return dataclasses.replace(plan, segments=tuple(segments))

    return [with_settings(plan) for plan in plans]


def check_own_settings(own: Mapping[str, object], options: Options, whose: str) -> None:
    """Raise UsageError for settings of a segment that contradict each other or those of the run."""
    try:
        options_of_segment(own, options)
    except UsageError as error:
        raise UsageError(f"the settings of {whose}: {error}") from None
