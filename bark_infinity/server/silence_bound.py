"""Refuses texts from the network that ask for so much silence that it would fill the disk or the memory."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from ..errors import TextError
from ..options.table import Options
from ..run.planning import ClipPlan
from ..text.tags import MAX_PAUSE

_PER_SPEECH = 3.0  # seconds of silence for each of speech: a film has that much where little is said
_MEND = "shorten [pause:...] and [at:...], the sounds, or the flags --add_silence_..."


def check_silence(plans: Sequence[ClipPlan], options: Options) -> None:
    """Raise TextError for clips of one job with more silence and sounds than they may have.

    No gap may be longer than an hour, and all together not longer than an hour and three times the speech, as it is estimated.
    """
    silence = speech = longest = 0.0
    for plan in plans:
        lengths = [segment.seconds(options) for segment in plan.segments]
        starts = [*plan.starts(options), plan.seconds(options)]
        gaps = [starts[0], *(end - start - own for (start, end), own in zip(pairwise(starts), lengths, strict=True))]
        silence, speech, longest = silence + sum(gaps), speech + sum(lengths), max(longest, *gaps)
    most = MAX_PAUSE + _PER_SPEECH * speech
    if longest > MAX_PAUSE + 1.0:  # one of an hour may be, however it is rounded
        raise TextError(
            f"the pauses and sounds between two segments last {_minutes(longest)}, and may last an hour; {_MEND}"
        )
    if silence > most:
        raise TextError(
            f"the pauses and sounds of the text last {_minutes(silence)} in all, more than the {_minutes(most)} that go with "
            f"{_minutes(speech)} of speech; {_MEND}"
        )


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:,.1f} minutes"
