"""The settings that a script gives to a speaker or to a paragraph, in place of those of the run."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import UsageError
from ..options.flag import SAMPLING, SEEDS
from ..options.layers import layered
from ..options.resolve import resolve
from ..options.table import Options, flags

_STATISTICS = "extra_stats"  # a flag of the output that sampling follows too


def options_of_segment(own: Mapping[str, object], options: Options) -> Options:
    """The resolved sampling settings of a segment: its own, by flag name, over those of the run's options.

    Raises UsageError for settings that contradict each other.
    """
    names = {line.name for line in flags() if line.group in (SAMPLING, SEEDS) or line.name == _STATISTICS}
    of_run = {name: value for name, value in options.changed().items() if name in names}
    return resolve(Options.from_settings(layered(own, of_run)))


def check_own_settings(own: Mapping[str, object], options: Options, whose: str) -> None:
    """Raise UsageError for settings of a segment that contradict each other or those of the run."""
    try:
        options_of_segment(own, options)
    except UsageError as error:
        raise UsageError(f"the settings of {whose}: {error}") from None
