"""The server's services without a model: jobs that are kept in memory and finish when a test says so."""

from __future__ import annotations

import dataclasses
import itertools
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bark_infinity.errors import QueueFullError, TextError, UnknownJobError
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options
from bark_infinity.server.job_views import ClipView, JobRequest, JobState, JobView, SegmentView
from bark_infinity.server.services import ServerSettings, Services
from bark_infinity.server.uploads import Uploads
from bark_infinity.server.voice_shelf import VoiceShelf

SETTINGS = ServerSettings(
    most_waiting=50, most_body_bytes=200_000, most_upload_bytes=100_000, most_uploads_bytes=250_000
)


class FakeStore:
    """The store of jobs, as `server.jobs.JobStore` is used. `requests`: what was created, by id."""

    def __init__(self, folder: Path, most_waiting: int = 50):
        self.requests: dict[str, JobRequest] = {}
        self._folder, self._most_waiting = folder, most_waiting
        self._jobs: dict[str, JobView] = {}
        self._events: dict[str, list[dict[str, Any]]] = {}
        self._lock = threading.RLock()
        self._revisions, self._ids = itertools.count(1), itertools.count(1)

    def create(self, request: JobRequest) -> JobView:
        with self._lock:
            if sum(job.state is JobState.WAITING for job in self._jobs.values()) >= self._most_waiting:
                raise QueueFullError("the queue is full; wait", retry_after_s=7)
            if request.text is not None and "unspeakable" in request.text:
                raise TextError("the text has nothing to say; give it words")
            id = f"job{next(self._ids)}"
            self.requests[id] = request
            text = (request.text or "")[:200]
            job = JobView(
                id, request.name or text[:40], JobState.WAITING, request.origin, time.time(), text, "bark-infinity", 3, 0, 0.0,
                None, None, None, (ClipView(0, id, 3, 0, 0.0, JobState.WAITING, ()),), 0, 1,
            )  # fmt: skip
            return self._put(job, "created")

    def jobs(self) -> list[JobView]:
        with self._lock:
            return list(reversed(self._jobs.values()))

    def job(self, id: str) -> JobView:
        with self._lock:
            if id not in self._jobs:
                raise UnknownJobError(f"there is no job {id[:40]!r}; GET /v1/jobs lists them")
            return self._jobs[id]

    def segments(self, id: str, since: int = 0) -> list[SegmentView]:
        revision = self.job(id).revision
        made = [
            SegmentView(k, 0, f"Sentence {k}.", None, None, "made", k * 2.0, 1.5, (), 0.0, 1, 0, revision)
            for k in range(3)
        ]
        return made if revision > since else []

    def events(self, id: str, since: int) -> list[dict[str, Any]]:
        self.job(id)
        return [event for event in self._events[id] if event["revision"] > since]

    def pause(self, id: str) -> JobView:
        return self._change(id, JobState.PAUSED)

    def go_on(self, id: str) -> JobView:
        return self._change(id, JobState.WAITING)

    def move_up(self, id: str) -> JobView:
        return self._change(id, self.job(id).state)

    def cancel(self, id: str) -> JobView:
        return self._change(id, JobState.CANCELLED)

    def retry(self, id: str) -> JobView:
        return self._change(id, JobState.WAITING)

    def remove(self, id: str) -> None:
        self.job(id)
        with self._lock:
            del self._jobs[id]

    def finish(self, id: str, files: Sequence[str]) -> JobView:
        """End a job with these files in the output folder."""
        (clip,) = self.job(id).clips
        clip = dataclasses.replace(clip, state=JobState.FINISHED, files=tuple(files), n_done=3, seconds=6.0)
        return self._put(dataclasses.replace(self.job(id), state=JobState.FINISHED, clips=(clip,)), "finished")

    def _change(self, id: str, state: JobState) -> JobView:
        return self._put(dataclasses.replace(self.job(id), state=state), state.value)

    def _put(self, job: JobView, event: str) -> JobView:
        with self._lock:
            job = dataclasses.replace(job, revision=next(self._revisions))
            self._jobs[job.id] = job
            self._events.setdefault(job.id, []).append({"type": event, "revision": job.revision})
            return job


@dataclasses.dataclass
class FakeStatistics:
    """As `server.engine_statistics.EngineStatistics`."""

    batches: int = 2
    segments: int = 5
    rows_used: int = 90
    rows_offered: int = 100
    sound_s: float = 12.0
    busy_s: float = 4.0
    urgent_s: float = 1.0
    queued: int = 3
    running: int = 2
    clients: int = 1
    fill: float = 0.9


class FakeEngine:
    """As `server.shared_engine.SharedEngine`, without a model."""

    name = "fake"

    def statistics(self) -> FakeStatistics:
        return FakeStatistics()


def make_services(folder: Path, settings: ServerSettings = SETTINGS, **options: Any) -> Services:
    """Services whose output folder is `folder/out` and whose voices are in `folder/voices`."""
    defaults = resolve(Options(output_dir=str(folder / "out"), voice_dir=str(folder / "voices"), **options))
    uploads = Uploads(folder / "out", settings.most_upload_bytes, settings.most_uploads_bytes)
    voices = VoiceShelf((folder / "voices", folder / "out"), folder / "voices", uploads)
    store: Any = FakeStore(folder / "out", settings.most_waiting)
    engine: Any = FakeEngine()
    return Services(store, engine, engine, defaults, voices, uploads, settings)
