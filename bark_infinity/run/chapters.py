"""Which chapter each segment of a clip belongs to."""

from __future__ import annotations

from collections.abc import Sequence

from .planning import SegmentPlan


def chapters_of_segments(segments: Sequence[SegmentPlan]) -> list[int]:
    """The number of the chapter, from 0, that each segment belongs to. What is before the first heading is one too."""
    numbers: list[int] = []
    for before, segment in zip((None, *segments), segments, strict=False):
        begins = before is not None and (segment.chapter != before.chapter or _is_followed_by_chapter(before))
        numbers.append((numbers[-1] if numbers else 0) + begins)
    return numbers


def _is_followed_by_chapter(segment: SegmentPlan) -> bool:
    """Whether a heading stands between a segment and the next one; two chapters in a row may have the same title."""
    return "chapter" in (segment.pause.kind, *(sound.kind for sound in segment.pause.sounds))
