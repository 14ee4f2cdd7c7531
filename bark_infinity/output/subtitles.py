"""Subtitles of a clip: collects when its words are spoken while it is generated, and writes them in any format."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

from .. import constants as c
from ..audio.alignment import Aligner, aligner_is_there, the_aligner
from ..errors import UsageError
from ..files import write_whole
from ..options.table import Options
from ..run.chapters import chapters_of_segments
from ..run.clips import FinishedSegment
from ..run.planning import ClipPlan
from ..text.subtitle_formats import (
    SUBTITLE_SUFFIXES,
    SUBTITLES_BY,
    Cue,
    Subtitles,
    TimedWord,
    format_subtitles,
    read_formats,
)
from ..text.subtitle_lines import Lines, split_cues, subtitle_text, words_of
from ..text.units import Span
from .descriptions import bare_name, clip_title
from .word_times import WordTimes, times_of_words

_SHORT_GAP = 0.3  # seconds between words or cues of a segment that are not shown, because that would flicker


def subtitles_of(segments: Iterable[FinishedSegment], format: str, by: str = "segment") -> str:
    """Subtitles of the finished segments of a clip, as the content of a file.

    `format`: srt, vtt, ass, lrc or json. `by`: segment, sentence or word. Raises UsageError for others.
    """
    (format,) = read_formats(format)[:1]
    if by not in SUBTITLES_BY:
        raise UsageError(f"subtitles are made by {', '.join(SUBTITLES_BY)}, not by {by!r}")
    timeline: Timeline | None = None
    for segment in segments:
        timeline = timeline or Timeline(segment.plan, by)
        timeline.add(segment)
    if timeline is None:
        raise UsageError("there is no segment to make subtitles of; finish the narration first")
    return format_subtitles(timeline.subtitles(), format)


class SubtitleFiles:
    """The files of --subtitles of one clip; none where it is not given."""

    def __init__(self, plan: ClipPlan, options: Options):
        self._formats = () if options.subtitles is None else read_formats(options.subtitles)
        self._timeline = Timeline(plan, options.subtitles_by)

    def add(self, segment: FinishedSegment) -> None:
        """Take the times of the next segment."""
        if self._formats:
            self._timeline.add(segment)

    def write(self, path_of: Callable[[str], Path]) -> Mapping[str, object]:
        """Write all files; `path_of`: the path for a suffix. Returns what the manifest has of them. Raises OSError."""
        if not self._formats:
            return {}
        subtitles = self._timeline.subtitles()
        for format in self._formats:
            _write(path_of(SUBTITLE_SUFFIXES[format]), format_subtitles(subtitles, format))
        return {"subtitles": {"formats": list(self._formats), "by": subtitles.by, "times": subtitles.times}}


def _write(path: Path, content: str) -> None:
    write_whole(path, lambda file: file.write(content.encode(errors="replace")), overwrite=False)


@dataclass(frozen=True, slots=True)
class _SpokenSegment:
    """A segment that is heard. `times`: of its words; None where its cue is as long as the segment."""

    index: int
    start: float
    end: float
    times: WordTimes | None


class Timeline:
    """Collects when the segments of a clip, and the words in them, are spoken. A segment takes a few hundred bytes."""

    def __init__(self, plan: ClipPlan, by: str):
        self._plan, self._by = plan, by
        self._segments: list[_SpokenSegment] = []
        self._n_samples = 0  # of the clip so far

    def add(self, segment: FinishedSegment) -> None:
        """Take the next finished segment. Those without words or without sound have no subtitles."""
        span, text = segment.record.span, self._text(segment.index)
        self._n_samples += len(segment.sound)
        if not text or span.start == span.stop:
            return
        times = None
        if self._by != "segment" or len(split_cues(text)) > 1:
            times = times_of_words(text, subtitle_text(segment.text), segment.audio, self._aligner)
        place = span.start / c.SAMPLE_RATE, span.stop / c.SAMPLE_RATE
        self._segments.append(_SpokenSegment(segment.index, *place, times))

    def subtitles(self) -> Subtitles:
        """The subtitles of the segments so far."""
        cues = tuple(cue for segment in self._segments for cue in self._cues(segment))
        title, seconds = subtitle_text(clip_title(self._plan)), self._n_samples / c.SAMPLE_RATE
        return Subtitles(title, seconds, self._describe_times(), cues, tuple(self._chapters()), self._by)

    @cached_property
    def _aligner(self) -> Aligner | None:
        """The aligner, where it is installed and the clip is in English."""
        if not aligner_is_there():
            return None
        aligner = the_aligner()
        return aligner if aligner.knows(self._plan.text) else None

    def _text(self, index: int) -> str:
        """The text of a segment as it is shown: as it is written."""
        segment = self._plan.segments[index]
        return subtitle_text(segment.written or segment.text)

    def _speaker(self, index: int) -> str | None:
        name, script = self._plan.segments[index].speaker, self._plan.script
        return name if name is None or (script is not None and name in script.cast) else bare_name(name)

    def _chapters(self) -> Iterator[tuple[float, str]]:
        numbers, before = chapters_of_segments(self._plan.segments), None
        for segment in self._segments:
            title, number = self._plan.segments[segment.index].chapter, numbers[segment.index]
            if title is not None and number != before:
                yield segment.start, subtitle_text(title)
            before = number

    def _describe_times(self) -> str:
        inside = [segment.times for segment in self._segments if segment.times is not None]
        n_aligned = sum(times.aligned for times in inside)
        if n_aligned == len(inside):
            return "exact for segments" + (", aligned inside them" if inside else "")
        if n_aligned == 0:
            return "exact for segments, in proportion to length inside them"
        return f"exact for segments, inside them aligned in {n_aligned} of {len(inside)}, else in proportion to length"

    def _cues(self, segment: _SpokenSegment) -> Iterator[Cue]:
        """Yield the cues of a segment."""
        text, speaker, number = self._text(segment.index), self._speaker(segment.index), segment.index + 1
        cues = split_cues(text, by_sentence=self._by != "segment")
        if segment.times is None:
            assert len(cues) == 1
            yield Cue(segment.start, segment.end, _texts(text, cues[0]), number, speaker)
            return
        clock = _Clock(segment.start, segment.times, words_of(text))
        spans = [clock.span(lines[0].start, lines[-1].end) for lines in cues]
        if self._by == "segment":
            spans[0] = segment.start, spans[0][1]
            spans[-1] = spans[-1][0], segment.end
        words = clock.words(text, cues) if self._by == "word" else [()] * len(cues)
        for lines, (start, end), own in zip(cues, _without_short_gaps(spans), words, strict=True):
            yield Cue(start, end, _texts(text, lines), number, speaker, own)


@dataclass(frozen=True)
class _Clock:
    """Tells when parts of a segment's text are spoken, in seconds from the beginning of the clip."""

    origin: float  # where the segment begins
    times: WordTimes
    places: Sequence[Span]  # of the words in the text

    def span(self, start: int, end: int) -> tuple[float, float]:
        """When text[start:end] is spoken."""
        return self.origin + self.times.begin(start, self.places), self.origin + self.times.end(end, self.places)

    def words(self, text: str, cues: Sequence[Lines]) -> list[tuple[tuple[TimedWord, ...], ...]]:
        """The words of each line of each cue."""
        parts = [[list(_words_in(line, self.places)) for line in lines] for lines in cues]
        spans = iter(_without_short_gaps(self.span(*word) for lines in parts for line in lines for word in line))
        return [
            tuple(tuple(TimedWord(*next(spans), text[start:end]) for start, end in line) for line in lines)
            for lines in parts
        ]


def _words_in(line: Span, words: Iterable[Span]) -> Iterator[Span]:
    """Yield the words in a line; of one that does not fit into a line, the part that is there."""
    for word in words:
        start, end = max(word.start, line.start), min(word.end, line.end)
        if start < end:
            yield Span(start, end)


def _texts(text: str, lines: Lines) -> tuple[str, ...]:
    return tuple(text[line.start : line.end] for line in lines)


def _without_short_gaps(spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Spans of time that last until the next one begins, where that is soon."""
    given = list(spans)
    joined = [
        (start, following if following - end < _SHORT_GAP else end) for (start, end), (following, _) in pairwise(given)
    ]
    return [*joined, *given[-1:]]
