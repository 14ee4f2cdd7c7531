"""What the page and the API see of jobs: frozen snapshots of a job, its clips and its segments, and what a job is made of."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass


class JobState(str, enum.Enum):
    """What a job is doing. Those that are over are FINISHED, FAILED or CANCELLED."""

    WAITING = "waiting"
    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        """Whether the job will do nothing more unless somebody asks for it."""
        return self in (JobState.FINISHED, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True, slots=True)
class SegmentView:
    """A segment of a job's clip.

    `index`: its number in the job, from 0, over all clips. `clip`: the index of its clip. `text`: as it is spoken.
    `speaker`: None for the narrator. `state`: "waiting", "made", "failed" (its clip was given up) or "silent" (made, and
    without sound). `start`, `seconds`: where its sound begins in the clip and how long it is; None until it is in place.
    `faults`: in words, of the chosen take. `word_errors`: the rate of wrong words that a recogniser heard in it; None if
    nobody listened. `takes`: how many were made; `chosen`: the index, from 0, of the one in the clip. `revision`: rises
    with every change; part of the address of its sound.
    """

    index: int
    clip: int
    text: str
    speaker: str | None
    chapter: str | None
    state: str
    start: float | None
    seconds: float | None
    faults: tuple[str, ...]
    word_errors: float | None
    takes: int
    chosen: int
    revision: int


@dataclass(frozen=True, slots=True)
class ClipView:
    """A clip of a job. `seconds`: of sound so far. `files`: names in the output folder, the audio first, once it is whole."""

    index: int
    name: str
    n_segments: int
    n_done: int
    seconds: float
    state: JobState
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class JobView:
    """A job as it was at `revision`.

    `origin`: "page", "api" or "command line". `created`: Unix seconds. `text`: its first 200 characters. `command`: the
    command line that does the same. `n_segments`: 0 until it is planned. `seconds`: of sound so far. `left_s`: estimated
    seconds until it is finished; None while nothing is known. `error`: why it failed. `note`: a sentence about it.
    `position`: among the jobs that wait, from 1; None for others.
    """

    id: str
    name: str
    state: JobState
    origin: str
    created: float
    text: str
    command: str
    n_segments: int
    n_done: int
    seconds: float
    left_s: float | None
    error: str | None
    note: str | None
    clips: tuple[ClipView, ...]
    revision: int
    position: int | None


@dataclass(frozen=True)
class JobRequest:
    """What a job is asked to do.

    `options`: flags by name, as `options.flag.Flag.read` takes their values; those from the network are checked by then.
    `text`: what is spoken, or `upload`: the id of an uploaded file (a book, subtitles, a text). `name`: shown for the job;
    None: the beginning of its text. `origin`: "page" or "api".
    """

    options: Mapping[str, object]
    text: str | None
    upload: str | None
    name: str | None
    origin: str
