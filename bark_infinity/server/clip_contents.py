"""The segments of a clip as they are seen: of a plan, of an unfinished clip's folder, or of a finished clip's manifest."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from .. import constants as c
from ..files import read_bounded
from ..output.clip_tokens import recorded_takes
from ..run.checks import FAULTS
from ..run.clips import FinishedSegment
from ..run.journal import about_take
from ..run.naming import FOLDER_SUFFIX, PLAYLIST_SUFFIX, RESULT_SUFFIXES
from ..run.planning import ClipPlan
from ..run.unfinished import UnfinishedClip, number_of_take
from ..text.word_errors import WordErrors
from .job_views import ClipView, JobState, SegmentView

WAITING, MADE, FAILED, SILENT = "waiting", "made", "failed", "silent"
"""The states of a segment."""
_MAX_BYTES = 100_000_000  # of a manifest
_FOLDERS = (FOLDER_SUFFIX, ".segments")  # of a clip, whose files are among its own
_SUFFIXES = (PLAYLIST_SUFFIX, *(suffix for suffix in RESULT_SUFFIXES if suffix not in (PLAYLIST_SUFFIX, *_FOLDERS)))


@dataclass(eq=False)
class ClipContents:
    """A clip of a job with its segments. `files`: names in the output folder, the audio first; empty until it is finished."""

    index: int
    name: str
    segments: list[SegmentView]
    state: JobState = JobState.WAITING
    seconds: float = 0.0
    files: tuple[str, ...] = ()

    @property
    def n_done(self) -> int:
        """The number of segments that are made."""
        return sum(segment.state in (MADE, SILENT) for segment in self.segments)

    def view(self, state: JobState | None = None) -> ClipView:
        """What is shown of the clip. `state`: that of the job, while the clip is not finished."""
        shown = self.state if self.state.is_over or state is None else state
        return ClipView(self.index, self.name, len(self.segments), self.n_done, self.seconds, shown, self.files)

    def set(self, index: int, view: SegmentView) -> None:
        """Replace a segment, by its index in the clip, by one whose index and clip are those of the one before."""
        self.segments[index] = dataclasses.replace(view, index=self.segments[index].index, clip=self.index)

    def keep_made(self, saved: ClipContents) -> None:
        """Show the segments that an earlier process has made, if the clip that it worked on has the same texts."""
        if [segment.text for segment in self.segments] == [segment.text for segment in saved.segments]:
            self.segments, self.seconds = saved.segments, saved.seconds

    def keep_revisions(self, before: ClipContents) -> None:
        """Give segments that are what they were before the revision that they had."""
        for k, (now, then) in enumerate(zip(self.segments, before.segments, strict=False)):
            if dataclasses.replace(now, revision=then.revision) == then:
                self.segments[k] = then


def contents_of_texts(
    index: int, first: int, name: str, texts: Iterable[tuple[str, str | None, str | None]], revision: int
) -> ClipContents:
    """A clip of which nothing is made. `texts`: text, speaker and chapter of each segment; `first`: the first one's index."""
    segments = [
        SegmentView(first + k, index, text, speaker, chapter, WAITING, None, None, (), None, 0, 0, revision)
        for k, (text, speaker, chapter) in enumerate(texts)
    ]
    return ClipContents(index, name, segments)


def contents_of_plan(index: int, first: int, plan: ClipPlan, revision: int) -> ClipContents:
    """A planned clip of which nothing is made."""
    texts = ((segment.written or segment.text, segment.speaker, segment.chapter) for segment in plan.segments)
    return contents_of_texts(index, first, plan.stem, texts, revision)


def contents_of_unfinished(index: int, first: int, clip: UnfinishedClip, revision: int) -> ClipContents:
    """A clip in progress, with what its run has saved so far. Where segments begin is not known before it is finished."""
    contents = contents_of_texts(index, first, clip.name, clip.texts, revision)
    takes: dict[int, dict[int, Mapping[str, Any]]] = {}
    for (path, _), about in zip(saved := sorted(clip.saved_takes().items()), map(_about, saved), strict=True):
        segment = about.get("segment")
        if type(segment) is int and 0 <= segment < len(contents.segments):
            takes.setdefault(segment, {})[number_of_take(path)] = about
    for k, abouts in takes.items():
        frames = abouts.get(0, {}).get("frames")
        seconds = frames / c.FRAME_RATE_HZ if type(frames) is int and frames >= 0 else None
        contents.segments[k] = dataclasses.replace(
            contents.segments[k], state=SILENT if frames == 0 else MADE, seconds=seconds, takes=len(abouts)
        )
    contents.seconds = sum(segment.seconds or 0.0 for segment in contents.segments)
    return contents


def _about(saved: tuple[Path, int]) -> Mapping[str, Any]:
    return _about_once(*saved)


@lru_cache(maxsize=20_000)  # about 1 kB each
def _about_once(path: Path, changed: int) -> Mapping[str, Any]:
    """What is recorded of a saved take, read once for each time it changes."""
    return about_take(path)


def contents_of_manifest(
    index: int, first: int, name: str, content: Mapping[str, Any], files: tuple[str, ...], revision: int
) -> ClipContents:
    """A finished clip, from the parsed JSON of its manifest; what is damaged in it is left out."""
    entries = [entry for entry in content.get("segments", ()) if isinstance(entry, dict)]
    segments = [_recorded(first + k, index, entry, revision) for k, entry in enumerate(entries)]
    seconds = number_in(content.get("seconds")) or 0.0
    return ClipContents(index, name, segments, JobState.FINISHED, seconds, files)


def _recorded(number: int, clip: int, entry: Mapping[str, Any], revision: int) -> SegmentView:
    start, end = number_in(entry.get("start")), number_in(entry.get("end"))
    seconds = None if start is None or end is None else round(end - start, 6)
    takes, chosen, errors = 1, 0, None
    with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
        recorded = recorded_takes(entry)
        takes, chosen, errors = len(recorded.tries), recorded.chosen, recorded.tries[recorded.chosen].word_errors
    faults = entry.get("faults")
    return SegmentView(
        number,
        clip,
        text_in(entry.get("written")) or text_in(entry.get("text")) or "",
        text_in(entry.get("speaker")),
        text_in(entry.get("chapter")),
        SILENT if entry.get("frames") == 0 else MADE,
        start,
        seconds,
        faults_in_words(faults if isinstance(faults, dict) else None),
        _rate(errors),
        takes,
        chosen,
        revision,
    )


def view_of_segment(segment: FinishedSegment, revision: int) -> SegmentView:
    """A segment that has just been placed in its clip; the clip's contents know its index in the job."""
    plan, record = segment.plan.segments[segment.index], segment.record
    return SegmentView(
        segment.index,
        0,
        plan.written or plan.text,
        plan.speaker,
        plan.chapter,
        SILENT if segment.generation.silent else MADE,
        round(segment.start, 6),  # as the manifest has it
        round(record.seconds, 6),
        faults_in_words(record.kept.faults),
        _rate(record.kept.word_errors),
        len(record.tries),
        record.chosen,
        revision,
    )


def faults_in_words(faults: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Each fault of a take as a few words. `faults`: {name: measured value}."""
    known = {name: number_in(value) for name, value in (faults or {}).items() if name in FAULTS}
    return tuple(FAULTS[name].format(value) for name, value in known.items() if value is not None)


def _rate(errors: WordErrors | None) -> float | None:
    return None if errors is None else errors.rate


def number_in(value: object) -> float | None:
    """A finite number in a file of anybody's; None for anything else."""
    with contextlib.suppress(OverflowError):
        if isinstance(value, int | float) and math.isfinite(value):
            return float(value)
    return None


def text_in(value: object) -> str | None:
    """A text in a file of anybody's, as UTF-8 can have it; None for anything else."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else None


# ---- files of finished clips ------------------------------------------------------------------------------------------


def read_content(path: Path) -> Mapping[str, Any] | None:
    """The JSON of a clip's manifest; None if the file is missing, damaged, or something else."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        content = json.loads(read_bounded(path, _MAX_BYTES))
        if isinstance(content, dict) and isinstance(content.get("segments"), list) and "settings" in content:
            return content
    return None


def files_of_clip(folder: Path, stem: str, names: Container[str] | None = None) -> tuple[str, ...]:
    """The files of a finished clip, by names in the output folder, what a user opens first.

    `names`: all that is in the folder, where that is known.
    """
    found = []
    for suffix in _SUFFIXES:
        name = f"{stem}{suffix}"
        if name in names if names is not None else (folder / name).is_file():
            found.append(name)
    for suffix in _FOLDERS:
        name = f"{stem}{suffix}"
        if name in names if names is not None else (folder / name).is_dir():
            with contextlib.suppress(OSError):
                found += sorted(f"{name}/{inside}" for inside in (path.name for path in (folder / name).iterdir()))
    return tuple(found)


def audio_files(files: Sequence[str]) -> tuple[str, ...]:
    """Those of a finished clip's files that hold its sound, in order."""
    if files[0].endswith(PLAYLIST_SUFFIX):
        return tuple(name for name in files if FOLDER_SUFFIX in name)
    return (files[0],)
