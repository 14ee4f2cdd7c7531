"""A store of jobs for the page's tests: real plans of texts and uploads, and tones for speech, made when a test says so."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from bark_infinity.errors import UnknownJobError, UsageError
from bark_infinity.narration import ClipSource
from bark_infinity.options.resolve import resolve
from bark_infinity.options.table import Options
from bark_infinity.server.job_views import ClipView, JobRequest, JobState, JobView, SegmentView
from bark_infinity.server.uploads import Uploads

RATE = 24_000


class PageStore:
    """As `server.jobs.JobStore`, in memory. A job is made segment by segment by `advance`."""

    def __init__(self, folder: Path, uploads: Uploads):
        self.folder, self._uploads = folder, uploads
        self.requests: dict[str, JobRequest] = {}
        self._jobs: dict[str, JobView] = {}
        self._segments: dict[str, list[SegmentView]] = {}
        self._texts: dict[str, list[str]] = {}
        self._revision, self.lock = 0, threading.RLock()

    def create(self, request: JobRequest) -> JobView:
        source: dict[str, Any] = {"text_prompt": request.text}
        if request.upload is not None:
            source = {"prompt_file": str(self._uploads.find(request.upload).path)}
        planned = ClipSource(resolve(Options(output_dir=str(self.folder), **{**request.options, **source})))
        plans, _ = planned.plan()
        texts = [(k, s.text, s.speaker, s.chapter) for k, plan in enumerate(plans) for s in plan.segments]
        with self.lock:
            id = f"job{len(self.requests) + 1}"
            self.requests[id] = request
            self._segments[id] = [
                SegmentView(n, k, text, speaker, chapter, "waiting", None, None, (), None, 0, 0, self._next())
                for n, (k, text, speaker, chapter) in enumerate(texts)
            ]
            self._texts[id] = [text for _, text, _, _ in texts]
            clips = tuple(
                ClipView(k, plan.stem, len(plan.segments), 0, 0.0, JobState.WAITING, ()) for k, plan in enumerate(plans)
            )
            name = request.name or plans[0].text[:40]
            self._jobs[id] = JobView(
                id, name, JobState.WAITING, request.origin, time.time(), plans[0].text[:200], "bark-infinity --model demo",
                len(texts), 0, 0.0, None, None, None, clips, 0, 1,
            )  # fmt: skip
            return self._update(id)

    def advance(self, id: str, n: int = 1, **about: Any) -> JobView:
        """Make the next `n` segments of a job; `about`: what is told of them."""
        with self.lock:
            for _ in range(n):
                waiting = [s for s in self._segments[id] if s.state == "waiting"]
                if not waiting:
                    break
                segment, seconds = waiting[0], 0.5 + len(waiting[0].text) / 15
                made = {"state": "made", "seconds": seconds, "takes": 1, "revision": self._next(), **about}
                self._segments[id][segment.index] = dataclasses.replace(segment, **made)
                self._place(id)
            done = all(s.state != "waiting" for s in self._segments[id])
            if done:
                self._write(id)
            return self._update(id, state=JobState.FINISHED if done else JobState.RUNNING, position=None)

    def _place(self, id: str) -> None:
        """Put the segments of each clip one after the other."""
        ends: dict[int, float] = {}
        for k, segment in enumerate(self._segments[id]):
            if (
                segment.seconds is None
                or segment.clip not in ends
                and k
                and self._segments[id][k - 1].clip == segment.clip
            ):
                continue
            start = ends.get(segment.clip, 0.0)
            self._segments[id][k] = dataclasses.replace(segment, start=start)
            ends[segment.clip] = start + segment.seconds + 0.25

    def _write(self, id: str) -> None:
        clips = []
        for clip in self._jobs[id].clips:
            own = [self.segment_audio(id, s.index) for s in self._segments[id] if s.clip == clip.index]
            soundfile.write(self.folder / f"{clip.name}.wav", np.concatenate(own), RATE)
            (self.folder / f"{clip.name}.srt").write_text("1\n")
            files = (f"{clip.name}.wav", f"{clip.name}.srt")
            clips.append(dataclasses.replace(clip, files=files, state=JobState.FINISHED))
        self._jobs[id] = dataclasses.replace(self._jobs[id], clips=tuple(clips))

    def jobs(self) -> list[JobView]:
        with self.lock:
            return sorted(self._jobs.values(), key=lambda job: -int(job.id.removeprefix("job")))

    def job(self, id: str) -> JobView:
        with self.lock:
            if id not in self._jobs:
                raise UnknownJobError(f"there is no job {id[:40]!r}")
            return self._jobs[id]

    def segments(self, id: str, since: int = 0) -> list[SegmentView]:
        self.job(id)
        with self.lock:
            return [segment for segment in self._segments[id] if segment.revision > since]

    def changes(self, since: int) -> tuple[int, list[JobView]] | None:
        with self.lock:
            if since >= self._revision:
                return None
            return self._revision, [job for job in self.jobs() if job.revision > since]

    def pause(self, id: str) -> JobView:
        return self._update(id, state=JobState.PAUSED)

    def go_on(self, id: str) -> JobView:
        return self._update(id, state=JobState.RUNNING)

    def move_up(self, id: str) -> JobView:
        return self._update(id)

    def cancel(self, id: str) -> JobView:
        return self._update(id, state=JobState.CANCELLED)

    def retry(self, id: str) -> JobView:
        return self._update(id, state=JobState.RUNNING)

    def remove(self, id: str) -> None:
        self.job(id)
        with self.lock:
            del self._jobs[id]
            self._next()

    def edit(self, id: str, texts: Mapping[int, str]) -> JobView:
        if not all(text.strip() for text in texts.values()):
            raise UsageError("the new text of a segment has no words; give it some")
        with self.lock:
            for k, text in texts.items():
                self._change(id, k, text=text, state="waiting", faults=(), takes=0)
            return self._update(id, state=JobState.RUNNING)

    def make_again(self, id: str, segments: Sequence[int]) -> JobView:
        with self.lock:
            for k in segments:
                self._change(id, k, state="waiting", faults=())
            return self._update(id, state=JobState.RUNNING)

    def choose_take(self, id: str, segment: int, take: int) -> JobView:
        self._change(id, segment, chosen=take)
        return self._update(id)

    def segment_audio(self, id: str, segment: int, take: int | None = None) -> np.ndarray:
        own = self._segments[id][segment]
        time_s = np.arange(round((own.seconds or 1.0) * RATE)) / RATE
        pitch = 180 + 40 * (segment % 7) + 25 * (own.chosen if take is None else take)
        loud = np.abs(np.sin(time_s * (3 + segment % 3))) * np.sin(np.pi * time_s / time_s[-1]) ** 0.3
        return (0.3 * loud * np.sin(2 * np.pi * pitch * time_s)).astype(np.float32)

    def peaks(self, id: str, clip: int = 0) -> list[float]:
        own = [s for s in self.segments(id) if s.clip == clip and s.state == "made"]
        sound = [self.segment_audio(id, s.index)[::60] for s in own[:200]]
        return [
            float(np.abs(block).max()) * 3 for part in sound for block in np.array_split(part, max(1, len(part) // 8))
        ]

    def files(self, id: str) -> list[Path]:
        return [self.folder / name for clip in self.job(id).clips for name in clip.files]

    def fail(self, id: str, error: str) -> JobView:
        """End a job with an error."""
        return self._update(id, state=JobState.FAILED, error=error)

    def _change(self, id: str, segment: int, **about: Any) -> None:
        with self.lock:
            self._segments[id][segment] = dataclasses.replace(
                self._segments[id][segment], revision=self._next(), **about
            )

    def _next(self) -> int:
        self._revision += 1
        return self._revision

    def _update(self, id: str, **about: Any) -> JobView:
        self.job(id)
        with self.lock:
            made = [s for s in self._segments[id] if s.state == "made"]
            job = self._jobs[id]
            clips = []
            for clip in job.clips:
                own = [s for s in made if s.clip == clip.index]
                state = about.get("state", clip.state)
                clips.append(
                    dataclasses.replace(clip, n_done=len(own), seconds=sum(s.seconds or 0.0 for s in own), state=state)
                )
            self._jobs[id] = dataclasses.replace(
                job,
                clips=tuple(clips),
                n_done=len(made),
                seconds=sum(clip.seconds for clip in clips),
                left_s=2.0 * (job.n_segments - len(made)) or None,
                revision=self._next(),
                **about,
            )
            return self._jobs[id]
