"""Server-sent events of a job, as programs follow it: no thread waits for them, however many there are."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from starlette.concurrency import run_in_threadpool

from ..errors import UnknownJobError
from .job_views import JobView

_LOOK_S = 0.5  # between two looks for new events
_ALIVE_S = 15.0  # after which a comment shows that the connection is alive


class EventSource(Protocol):
    """What is asked of the store of jobs."""

    def job(self, id: str) -> JobView:
        """The job. Raises UnknownJobError."""

    def events(self, id: str, since: int) -> Sequence[Mapping[str, object]]:
        """What has happened since a revision. Raises UnknownJobError."""


async def stream_events(source: EventSource, id: str, since: int, look_s: float = _LOOK_S) -> AsyncIterator[str]:
    """Yield events as text until the job is over or removed; each has the job's revision as its id."""
    silent_s = 0.0
    while True:
        try:
            job = await run_in_threadpool(source.job, id)
            events = await run_in_threadpool(source.events, id, since)
        except UnknownJobError:
            yield "event: removed\ndata: {}\n\n"
            return
        for event in events:
            yield f"id: {job.revision}\nevent: job\ndata: {json.dumps(event)}\n\n"
        since = max(since, job.revision)
        if job.state.is_over:
            yield f"id: {job.revision}\nevent: over\ndata: {json.dumps({'state': job.state.value})}\n\n"
            return
        silent_s = 0.0 if events else silent_s + look_s
        if silent_s >= _ALIVE_S:
            silent_s = 0.0
            yield ": alive\n\n"
        await asyncio.sleep(look_s)
