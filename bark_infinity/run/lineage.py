"""Which earlier segments of a clip the history of each segment comes from: only those of its own speaker."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ..voices.history import HistoryPlan, Weights
from .planning import SegmentPlan


class _Speaker:
    """The segments of one speaker, and which of them are finished. Positions count his own segments."""

    def __init__(self, has_voice: bool):
        self.has_voice = has_voice  # whether his starting voice is given, or he needs none
        self.segments: list[int] = []  # indexes in the clip, ascending
        self.finished: list[bool] = []
        self.silent: list[bool] = []
        self.first_open = 0  # position of the first segment that is not finished
        self.first_voiced: int | None = None  # position of the first finished segment that is not silent, so far

    def knows_start(self, position: int) -> bool:
        """Whether the starting voice of this segment is final: no unfinished segment can become it."""
        candidates = position if self.first_voiced is None else min(position, self.first_voiced)
        return self.has_voice or self.first_open >= candidates


class Lineage:
    """Tracks which segments of a clip are finished, and for which of the others the history is known.

    The history of a segment comes from the starting voice and from the previous segment, as the rule's weights say, where
    - the previous segment is that of the same speaker, and the rule counts each speaker's segments for itself;
    - the starting voice is the speaker's given one, else his first segment that is not silent;
    - the starting voice takes the place of a silent previous segment;
    - a user's function may use all earlier segments of the speaker.

    The work for a segment does not grow with the number of segments.
    """

    def __init__(
        self,
        segments: Sequence[SegmentPlan],
        rule: HistoryPlan,
        has_voice: Callable[[str | None], bool],
        asks_function: bool = False,
    ):
        """`has_voice`: whether the starting voice of a speaker (None: the narrator) is given."""
        self._segments, self._rule, self._asks_function = segments, rule, asks_function
        self._speakers: list[_Speaker] = []  # of each segment
        self._positions: list[int] = []  # of each segment among its speaker's
        speakers: dict[str | None, _Speaker] = {}
        for index, segment in enumerate(segments):
            name = segment.speaker
            if name not in speakers:
                speakers[name] = _Speaker(rule.separate or has_voice(name))
            speaker = speakers[name]
            self._speakers.append(speaker)
            self._positions.append(len(speaker.segments))
            speaker.segments.append(index)
            speaker.finished.append(False)
            speaker.silent.append(False)

    def weights(self, index: int) -> Weights:
        """The shares of starting voice and previous segment in the history of a segment, by the rule."""
        return self._rule.weights(self._positions[index], wordless=not self._segments[index].text)

    def earlier(self, index: int) -> Sequence[int]:
        """All earlier segments of the same speaker."""
        return self._speakers[index].segments[: self._positions[index]]

    def previous(self, index: int) -> int | None:
        """The segment of the same speaker before this one."""
        return self._at(index, self._positions[index] - 1)

    def following(self, index: int) -> int | None:
        """The segment of the same speaker after this one."""
        return self._at(index, self._positions[index] + 1)

    def start(self, index: int) -> int | None:
        """The segment whose voice is so far the starting voice of this segment's speaker; None if that is given or unknown."""
        speaker = self._speakers[index]
        if speaker.has_voice or speaker.first_voiced is None:
            return None
        return speaker.segments[speaker.first_voiced]

    def is_known(self, index: int) -> bool:
        """Whether all segments that the history of this one depends on are finished."""
        speaker, position, weights = self._speakers[index], self._positions[index], self.weights(index)
        if position == 0:
            return True
        depends_on_start = weights.of_starting
        if weights.of_previous or self._asks_function:
            if not speaker.finished[position - 1]:
                return False
            depends_on_start |= speaker.silent[position - 1]
        return not depends_on_start or speaker.knows_start(position)

    def finish(self, index: int, silent: bool) -> Iterable[int]:
        """Record a finished segment. Returns all segments whose histories may be known from now on."""
        speaker, position = self._speakers[index], self._positions[index]
        n = len(speaker.segments)
        knew_start = speaker.knows_start(n)
        speaker.finished[position], speaker.silent[position] = True, silent
        if not silent and (speaker.first_voiced is None or position < speaker.first_voiced):
            speaker.first_voiced = position
        while speaker.first_open < n and speaker.finished[speaker.first_open]:
            speaker.first_open += 1
        if speaker.knows_start(n) is not knew_start:
            return speaker.segments[speaker.first_open :]
        candidates = (self.following(index), self._at(index, speaker.first_open))
        return [candidate for candidate in candidates if candidate is not None]

    def _at(self, index: int, position: int) -> int | None:
        """The segment of the same speaker at this position, if there is one."""
        segments = self._speakers[index].segments
        return segments[position] if 0 <= position < len(segments) else None
