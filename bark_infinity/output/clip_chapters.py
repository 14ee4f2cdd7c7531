"""The chapters of a clip: their titles before it is made, and where they begin and end in its sound afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..audio.chapters import Chapter
from ..run.chapters import chapters_of_segments
from ..run.clips import Clip
from ..run.planning import ClipPlan
from .manifest import seconds


def chapter_titles(plan: ClipPlan, title: str) -> list[str]:
    """The titles of the chapters, by the numbers of `chapters_of_segments`. `title`: of the clip, for text before them."""
    numbers = chapters_of_segments(plan.segments)
    by_number = {number: segment.chapter for number, segment in zip(numbers, plan.segments, strict=True)}
    return [title if named is None else named or str(number + 1) for number, named in by_number.items()]


def chapters_of(clip: Clip, title: str) -> list[Chapter]:
    """The chapters of a finished clip that have a sound; empty if the text names none. They fill the clip without a gap.

    Each begins with its first segment, so that the silence before it belongs to the chapter before. The first one begins
    with the clip.
    """
    if all(segment.chapter is None for segment in clip.plan.segments):
        return []
    return list(_chapters(clip, chapter_titles(clip.plan, title)))


def _chapters(clip: Clip, titles: Sequence[str]) -> Iterator[Chapter]:
    first: dict[int, int] = {}  # the segment with which each chapter begins
    for index, number in enumerate(chapters_of_segments(clip.plan.segments)):
        first.setdefault(number, index)
    starts = [clip.segments[index].span.start if number else 0 for number, index in first.items()]
    for title, start, stop in zip(titles, starts, [*starts[1:], clip.samples], strict=True):
        if start < stop:
            yield Chapter(title, start, stop)


def recorded_chapters(chapters: Sequence[Chapter]) -> list[dict[str, object]]:
    """The entries of chapters in a manifest."""
    return [{"title": one.title, "start": seconds(one.start), "end": seconds(one.stop)} for one in chapters]
