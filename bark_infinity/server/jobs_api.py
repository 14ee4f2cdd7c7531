"""/v1/jobs: long texts as jobs that outlive the request, the connection and the server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from ..audio.formats import FORMATS
from ..errors import UsageError
from ..options.flag import Flag
from .event_stream import stream_events
from .job_views import ClipView, JobRequest, JobState, JobView, SegmentView
from .network_options import network_flags, network_options, unusable_characters
from .openai_errors import ApiError
from .services import Services

_MAX_TEXT_LENGTH = 20_000_000  # characters, as of books
_EVENT_STREAM = "text/event-stream"
_MEDIA_TYPES = {  # of what a clip has, by ending; the rest is downloaded as it is
    "wav": "audio/wav", "mp3": "audio/mpeg", "flac": "audio/flac", "ogg": "audio/ogg", "opus": "audio/ogg",
    "m4a": "audio/mp4", "m4b": "audio/mp4", "mp4": "audio/mp4", "json": "application/json", "txt": "text/plain",
    "srt": "text/plain", "vtt": "text/vtt", "ass": "text/plain", "lrc": "text/plain", "m3u8": "text/plain",
    "jpg": "image/jpeg", "png": "image/png",
}  # fmt: skip


class JobBody(BaseModel):
    """What a job is made of: a text, or the id of an upload. `options`: flags by name, as GET /v1/jobs/options lists them."""

    model_config = ConfigDict(extra="forbid")

    text: str | None = Field(None, max_length=_MAX_TEXT_LENGTH)
    upload: str | None = Field(None, max_length=200)
    name: str | None = Field(None, max_length=200)
    options: dict[str, bool | int | float | str | None] = Field(default_factory=dict, max_length=200)


class JobList(BaseModel):
    """Jobs, the newest first. `total`: of all that were asked for, also those beyond `limit`."""

    object: Literal["list"] = "list"
    data: list[JobView]
    total: int


class SegmentList(BaseModel):
    """Segments of a job. `revision`: of the job; as `since`, it asks for later changes."""

    object: Literal["list"] = "list"
    data: list[SegmentView]
    revision: int


class EventList(BaseModel):
    """Events of a job. `revision`: of the job; as `since`, it asks for later ones."""

    object: Literal["list"] = "list"
    data: list[dict[str, Any]]
    revision: int


class OptionAnswer(BaseModel):
    """A flag that a client may set. `default`: what the server was started with."""

    name: str
    group: str
    help: str
    kind: Literal["str", "bool", "int", "float"]
    choices: list[str]
    low: float | None
    high: float | None
    default: str | bool | int | float | None


class OptionList(BaseModel):
    """All flags that a client may set."""

    object: Literal["list"] = "list"
    data: list[OptionAnswer]


def job_routes(services: Services) -> APIRouter:
    """The routes of jobs."""
    router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
    store = services.store

    @router.post("", status_code=201)
    def create(body: JobBody, response: Response) -> JobView:
        """Make a job of a text or an upload."""
        job = store.create(job_request(body, services, "api"))
        response.headers["Location"] = f"/v1/jobs/{job.id}"
        return job

    @router.get("")
    def every(
        state: JobState | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        offset: Annotated[int, Query(ge=0, le=10**9)] = 0,
    ) -> JobList:
        """The jobs, the newest first; those of the page and of the command line in the same folder are among them."""
        jobs = [job for job in store.jobs() if state is None or job.state is state]
        return JobList(data=jobs[offset : offset + limit], total=len(jobs))

    @router.get("/options")
    def options() -> OptionList:
        """The flags that a job's `options` may have."""
        return OptionList(data=[_option(line, services) for line in network_flags()])

    @router.get("/{id}")
    def one(id: str) -> JobView:
        """A job, with its clips and how far they are."""
        return store.job(id)

    @router.delete("/{id}", status_code=204)
    def remove(id: str) -> None:
        """Cancel a job that is not finished, and take it off the list. Finished clips stay in the output folder."""
        store.remove(id)

    @router.get("/{id}/segments")
    def segments(id: str, since: Annotated[int, Query(ge=0, le=2**53)] = 0) -> SegmentList:
        """The segments that have changed since a revision of the job."""
        revision = store.job(id).revision
        return SegmentList(data=store.segments(id, since), revision=revision)

    @router.get("/{id}/events", response_model=EventList, responses={200: {"content": {_EVENT_STREAM: {}}}})
    def events(
        id: str,
        request: Request,
        since: Annotated[int, Query(ge=0, le=2**53)] = 0,
        last_event_id: Annotated[str | None, Header(max_length=40)] = None,
    ) -> EventList | StreamingResponse:
        """What has happened since a revision; with `Accept: text/event-stream`, also what happens until the job is over."""
        revision = store.job(id).revision
        if _EVENT_STREAM not in request.headers.get("accept", ""):
            return EventList(data=store.events(id, since), revision=revision)
        if last_event_id is not None and last_event_id.isascii() and last_event_id.isdigit():
            since = min(int(last_event_id), 2**53)
        return StreamingResponse(stream_events(store, id, since), media_type=_EVENT_STREAM)

    @router.head("/{id}/result", include_in_schema=False)
    @router.get("/{id}/result", response_class=FileResponse, responses=_RESULT)
    def result(
        id: str,
        clip: Annotated[int, Query(ge=0, le=10**9)] = 0,
        file: Annotated[str | None, Query(max_length=1000)] = None,
    ) -> FileResponse:
        """The audio of a finished clip, or another one of its files by name; parts of it with a Range header."""
        return file_response(file_of(store.job(id), clip, file), Path(services.defaults.output_dir))

    def add_action(name: str, act: Callable[[str], JobView], description: str) -> None:
        @router.post(f"/{{id}}/{name}", name=f"{name}_job", description=description)
        def do(id: str) -> JobView:
            return act(id)

    add_action("pause", store.pause, "Let a job wait until it is resumed; what is finished stays.")
    add_action("resume", store.go_on, "Let a paused job go on.")
    add_action("cancel", store.cancel, "Stop a job within a step of the model; what is finished stays.")
    add_action("retry", store.retry, "Start a failed or cancelled job again; what is finished is not made again.")
    add_action("move_up", store.move_up, "Put a waiting job first.")
    return router


_RESULT: dict[int | str, dict[str, Any]] = {
    200: {"content": {"audio/*": {}, "application/octet-stream": {}}},
    206: {"description": "The part that a Range header asks for.", "content": {"audio/*": {}}},
}


def job_request(body: JobBody, services: Services, origin: str) -> JobRequest:
    """What a client asks for, checked. `origin`: as of JobRequest. Raises ApiError, BarkError."""
    if (body.text is None) == (body.upload is None):
        raise ApiError(400, "a job has either a text or an upload; give one of them", "text")
    for field in ("text", "name"):
        if (unusable := unusable_characters(getattr(body, field) or "")) is not None:
            raise ApiError(400, f"the {field} has {unusable}; leave them out", field)
    if body.text is not None and not body.text.strip():
        raise ApiError(400, "the text is empty; give it words to speak", "text")
    if body.upload is not None and (upload := services.uploads.find(body.upload)).kind not in SPOKEN:
        raise UsageError(f"{upload.name} is no text, book or subtitles, which a job could speak; it is a {upload.kind}")
    options = network_options(body.options, services.names, services.defaults)
    return JobRequest(options, body.text, body.upload, body.name, origin)


SPOKEN = frozenset(("text", "book", "subtitles"))
"""Kinds of uploads that can be spoken."""


def _option(line: Flag, services: Services) -> OptionAnswer:
    kinds: dict[type, Literal["str", "bool", "int", "float"]] = {str: "str", bool: "bool", int: "int", float: "float"}
    default = getattr(services.defaults.asked or services.defaults, line.name)
    return OptionAnswer(
        name=line.name,
        group=line.group,
        help=line.help,
        kind=kinds[line.kind],
        choices=list(line.choices),
        low=line.low,
        high=line.high,
        default=None if line.path else default,
    )


def file_of(job: JobView, index: int, name: str | None = None) -> str:
    """The name of a file of a finished clip, below the output folder; None: of its audio. Raises ApiError."""
    clip = next((clip for clip in job.clips if clip.index == index), None)
    if clip is None:
        raise ApiError(404, f"the job {job.id} has no clip {index}; it has {len(job.clips)}, from 0", "clip")
    if not clip.files:
        raise ApiError(409, f"clip {index} of the job {job.id} is not finished", "clip", code="not_finished")
    if name is None:
        return _audio_of(clip)
    if name not in clip.files:
        raise ApiError(404, f"clip {index} has no such file; it has {', '.join(clip.files)}", "file")
    return name


def _audio_of(clip: ClipView) -> str:
    """The audio file of a clip, or the playlist of one in chapters."""
    return next((name for name in clip.files if _ending(name) in FORMATS), clip.files[0])


def file_response(name: str, folder: Path) -> FileResponse:
    """The answer with a file below the output folder. Raises ApiError."""
    path = folder / name
    try:
        if not path.resolve().is_relative_to(folder.resolve()):
            raise FileNotFoundError
        status = path.stat()
    except OSError:
        raise ApiError(404, f"the file {name} is not in the output folder any more", "file") from None
    media_type = _MEDIA_TYPES.get(_ending(name), "application/octet-stream")
    return FileResponse(path, media_type=media_type, filename=path.name, stat_result=status)


def _ending(name: str) -> str:
    return name.rpartition(".")[2].lower()
