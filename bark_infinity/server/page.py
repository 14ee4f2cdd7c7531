"""The page: its HTML, its own scripts and style, and what it asks of texts and voices as JSON under /api."""

from __future__ import annotations

import hashlib
import json
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from .. import constants as c
from ..audio.formats import FORMATS
from ..errors import BarkError, TextError, UnknownError, UsageError, VoiceError
from ..options.layers import layered
from ..options.resolve import resolve
from ..options.table import Options
from .flag_form import form_groups
from .job_options import TEXT_FILE, command_of
from .jobs_api import JobBody, job_request
from .network_options import ALLOWED, CHECKED
from .page_jobs import page_job_routes
from .preview import preview
from .services import Services
from .sounds import sound_answer, wave_bytes
from .voice_gallery import gallery, voice_sample

_HERE = Path(__file__).parent
_LEAST_SOUND_S = 30.0  # of generated sound, from which on the engine's speed is known


@dataclass(frozen=True)
class StaticFile:
    """A file of the page. `tag`: its HTTP entity tag."""

    content: bytes
    media_type: str
    tag: str


def static_files() -> Mapping[str, StaticFile]:
    """All scripts, styles and images of the page, by name."""
    files = {}
    for path in sorted((_HERE / "static").iterdir()):
        content = path.read_bytes()
        media_type = "text/javascript" if path.suffix == ".js" else mimetypes.guess_type(path.name)[0] or "text/plain"
        files[path.name] = StaticFile(content, media_type, f'"{hashlib.sha256(content).hexdigest()[:20]}"')
    return files


def render_page(services: Services, texts: Mapping[str, object]) -> str:
    """The HTML of the page, with the form of flags in it."""
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    groups = form_groups(services.defaults, is_in_form)
    about = {
        "model": services.bark.name,
        "formats": FORMATS,
        "languages": c.LANGUAGES,
    }
    return environment.get_template("page.html").render(t=texts, groups=groups, about=about)


def page_routes(services: Services) -> APIRouter:
    """The page and its JSON."""
    router = APIRouter(include_in_schema=False)
    files = static_files()
    page = render_page(services, json.loads(files["texts.en.json"].content))

    @router.get("/", response_class=HTMLResponse)
    @router.get("/jobs/{id}", response_class=HTMLResponse)
    def html(id: str = "") -> HTMLResponse:
        """The page; its scripts show the job that the address names."""
        return HTMLResponse(page, headers={"Cache-Control": "no-cache"})

    @router.get("/static/{name}")
    def static(name: str, request: Request) -> Response:
        """A file of the page."""
        if (file := files.get(name)) is None:
            raise UnknownError(f"the page has no file {name[:100]!r}")
        headers = {"ETag": file.tag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == file.tag:
            return Response(status_code=304, headers=headers)
        return Response(file.content, media_type=file.media_type, headers=headers)

    @router.get("/api/voices")
    def voices() -> dict[str, object]:
        """The voices to choose from."""
        return gallery(services)

    @router.get("/api/voices/sample")
    def sample(name: str, request: Request) -> Response:
        """The beginning of a voice."""
        return sound_answer(wave_bytes(voice_sample(services, name)), request, cache="private, max-age=600")

    @router.post("/api/preview")
    def plan(body: JobBody) -> dict[str, object]:
        """What a job would make; {"problem": sentence} if it cannot be made."""
        try:
            return planned(body, services)
        except BarkError as error:
            return {"problem": str(error)}

    router.include_router(page_job_routes(services))
    return router


def planned(body: JobBody, services: Services) -> dict[str, object]:
    """What a job would make, as JSON has it. `making_s`: estimated seconds until it is made; None while that is not known.
    `command`: the command line that does the same.

    Raises BarkError, naming an upload as its user does.
    """
    request = job_request(body, services, "page")
    upload = None if request.upload is None else services.uploads.find(request.upload)
    source = {"text_prompt": request.text} if upload is None else {"prompt_file": str(upload.path)}
    settings = {**layered(request.options, services.defaults.changed()), **source}
    try:
        content = preview(resolve(Options.from_settings(settings)), services.names).content()
    except (TextError, UsageError, VoiceError) as error:
        if upload is None:
            raise
        raise type(error)(str(error).replace(f"--prompt_file {upload.path}", upload.name)) from None
    names = {str(voice.path.absolute()): voice.name for voice in services.voices.listed() if voice.path is not None}
    for speaker in content["cast"]:
        speaker["voice"] = names.get(speaker["voice"], speaker["voice"])
    engine = services.engine.statistics()
    speed = engine.sound_s / engine.busy_s if engine.sound_s > _LEAST_SOUND_S and engine.busy_s else None
    asked = {name: value for name, value in body.options.items() if value is not None}
    command = command_of(asked, body.text, TEXT_FILE if upload is None else upload.name)
    return content | {"making_s": None if speed is None else content["seconds"] / speed, "command": command}


def is_in_form(name: str) -> bool:
    """Whether the form has a flag, by its name."""
    return name in ALLOWED or name in CHECKED
