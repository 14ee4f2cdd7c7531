"""Events of a job as a stream: those before, those that come, and the end."""

from __future__ import annotations

import asyncio
import json

from fake_server import FakeStore

from bark_infinity.server.event_stream import stream_events
from bark_infinity.server.job_views import JobRequest, JobState


def events(chunk: str) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in chunk.strip().splitlines())


def test_stream_follows_the_job_to_its_end(tmp_path):
    store = FakeStore(tmp_path)
    id = store.create(JobRequest({}, "Hello.", None, None, "api")).id

    async def follow() -> list[dict[str, str]]:
        seen = []
        async for chunk in stream_events(store, id, 0, look_s=0.01):
            seen.append(events(chunk))
            if len(seen) == 1:
                store.pause(id)
            if len(seen) == 2:
                store.finish(id, ["a.wav"])
        return seen

    seen = asyncio.run(follow())
    assert [json.loads(event["data"]).get("type") for event in seen] == ["created", "paused", "finished", None]
    assert seen[-1]["event"] == "over" and json.loads(seen[-1]["data"]) == {"state": "finished"}
    assert [int(event["id"]) for event in seen] == sorted(int(event["id"]) for event in seen)


def test_stream_goes_on_after_the_last_event_that_was_seen(tmp_path):
    store = FakeStore(tmp_path)
    id = store.create(JobRequest({}, "Hello.", None, None, "api")).id
    seen = store.job(id).revision
    store.cancel(id)

    async def follow() -> list[str]:
        return [chunk async for chunk in stream_events(store, id, seen, look_s=0.01)]

    first, over = asyncio.run(follow())
    assert '"cancelled"' in first and "event: over" in over


def test_stream_of_a_removed_job_ends(tmp_path):
    store = FakeStore(tmp_path)
    id = store.create(JobRequest({}, "Hello.", None, None, "api")).id

    async def follow() -> list[str]:
        seen = []
        async for chunk in stream_events(store, id, 0, look_s=0.01):
            seen.append(chunk)
            if store.jobs():
                assert store.job(id).state is JobState.WAITING
                store.remove(id)
        return seen

    assert asyncio.run(follow())[-1].startswith("event: removed")
