"""What the page asks and tells of jobs, as JSON under /api: their state, their segments, and what is to be done with them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import BaseModel, Field

from ..errors import BarkError, UnknownError
from .downloads import Exports, zip_stream
from .job_views import ClipView, JobView, SegmentView
from .jobs_api import JobBody, file_of, file_response, job_request
from .services import Services
from .sounds import FOREVER, sound_answer, wave_bytes

_MOST_EDITS = 10_000  # segments changed at a time


class Edits(BaseModel):
    """New texts of segments, by their index in the job."""

    texts: dict[int, str] = Field(max_length=_MOST_EDITS)


class Chosen(BaseModel):
    """Segments, by their index in the job."""

    segments: list[int] = Field(max_length=_MOST_EDITS)


class Take(BaseModel):
    """A take of a segment, by its index."""

    take: int = Field(ge=0)


def segment_content(segment: SegmentView) -> dict[str, object]:
    """A segment as JSON has it."""
    return {name: getattr(segment, name) for name in SegmentView.__slots__}


def job_content(job: JobView) -> dict[str, object]:
    """A job as JSON has it."""
    content: dict[str, object] = {name: getattr(job, name) for name in JobView.__slots__}
    return content | {"clips": [_clip_content(clip) for clip in job.clips]}


def _clip_content(clip: ClipView) -> Mapping[str, object]:
    return {name: getattr(clip, name) for name in ClipView.__slots__}


def page_job_routes(services: Services) -> APIRouter:
    """The routes of jobs for the page."""
    router = APIRouter(prefix="/api")
    store = services.store
    folder = Path(services.defaults.output_dir)
    exports = Exports(lambda codes: services.engine.decode([codes])[0])

    @router.get("/state", response_model=None)
    def state(since: int = 0, job: str | None = None, segments: int = 0) -> Response | dict[str, object]:
        """What has changed after revision `since`, or status 204. Of the open `job`, its segments after revision `segments`."""
        changes = store.changes(since)
        if changes is None:
            return Response(status_code=204)
        revision, jobs = changes
        content: dict[str, object] = {"revision": revision, "jobs": [job_content(view) for view in jobs]}
        content["order"] = [view.id for view in store.jobs()]
        if job is not None:
            with contextlib.suppress(BarkError):  # it is gone, or its text cannot be read any more
                content["segments"] = [segment_content(view) for view in store.segments(job, segments)]
        return content

    @router.post("/jobs", status_code=201)
    def create(body: JobBody) -> dict[str, object]:
        """Make a job of a text or an upload."""
        return job_content(store.create(job_request(body, services, "page")))

    @router.get("/jobs/{id}")
    def job(id: str) -> dict[str, object]:
        """A job with all its segments."""
        content: dict[str, object] = {"job": job_content(store.job(id)), "segments": []}
        with contextlib.suppress(BarkError):  # its text cannot be read any more
            content["segments"] = [segment_content(view) for view in store.segments(id)]
        return content

    @router.delete("/jobs/{id}", status_code=204)
    def remove(id: str) -> None:
        """Take a job off the list. Its finished clips stay in the output folder."""
        store.remove(id)

    @router.post("/jobs/{id}/{action}")
    def act(id: str, action: str) -> dict[str, object]:
        """Pause a job and the like."""
        actions: dict[str, Any] = {
            "pause": store.pause,
            "go_on": store.go_on,
            "move_up": store.move_up,
            "cancel": store.cancel,
            "retry": store.retry,
        }
        if action not in actions:
            raise UnknownError(f"a job cannot {action[:40]!r}; it can {', '.join(actions)}")
        return job_content(actions[action](id))

    @router.put("/jobs/{id}/texts")
    def edit(id: str, edits: Edits) -> dict[str, object]:
        """Give segments other texts, which makes them again."""
        return job_content(store.edit(id, edits.texts))

    @router.put("/jobs/{id}/again")
    def make_again(id: str, chosen: Chosen) -> dict[str, object]:
        """Make segments again from other seeds."""
        return job_content(store.make_again(id, chosen.segments))

    @router.put("/jobs/{id}/segments/{index}/take")
    def choose_take(id: str, index: int, chosen: Take) -> dict[str, object]:
        """Put another take of a segment in the clip."""
        return job_content(store.choose_take(id, index, chosen.take))

    @router.get("/jobs/{id}/segments/{index}/audio")
    def segment_audio(request: Request, id: str, index: int, take: int | None = None) -> Response:
        """The sound of a segment; its address has the segment's revision too, so that it never changes."""
        return sound_answer(wave_bytes(store.segment_audio(id, index, take)), request, cache=FOREVER)

    @router.get("/jobs/{id}/clips/{clip}/peaks")
    def peaks(id: str, clip: int) -> list[float]:
        """How loud a clip is over its time, 0 to 1, for its drawing."""
        return [round(float(peak), 3) for peak in store.peaks(id, clip)]

    def exported(id: str, clip: int, format: str) -> Path:
        """The audio file of a finished clip, if it has this format, else one that is made of its tokens."""
        audio = Path(file_of(store.job(id), clip))  # checks that it is finished
        if audio.suffix == f".{format}" and audio.parent == Path():
            return folder / audio
        (view,) = (view for view in store.job(id).clips if view.index == clip)
        return exports.export(folder / f"{view.name}.json", format)

    @router.put("/jobs/{id}/clips/{clip}/exports/{format}", status_code=204)
    def prepare_export(id: str, clip: int, format: str) -> None:
        """Encode a finished clip in another format, so that it can be downloaded at once."""
        exported(id, clip, format)

    @router.get("/jobs/{id}/clips/{clip}/exports/{format}")
    def export(id: str, clip: int, format: str) -> FileResponse:
        """A finished clip in another format."""
        made = exported(id, clip, format)
        return file_response(made.name, made.parent)

    @router.get("/jobs/{id}/zip")
    def everything(id: str, name: Annotated[str, Query(max_length=200)] = "clips") -> StreamingResponse:
        """All files of a job in one archive."""
        headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}.zip"}
        return StreamingResponse(zip_stream(store.files(id), folder), media_type="application/zip", headers=headers)

    return router
