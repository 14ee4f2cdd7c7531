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
from pydantic import BaseModel, Field

from .. import __version__
from .. import constants as c
from ..audio.formats import FORMATS
from ..errors import UnknownError
from .flag_form import form_groups
from .page_jobs import job_content, job_routes
from .services import Services

_HERE = Path(__file__).parent
_MOST_TEXT = 20_000_000  # characters, as of a text file


class Asked(BaseModel):
    """What the page asks a job to speak, and how. `options`: flags that were changed, by name."""

    text: str | None = Field(None, max_length=_MOST_TEXT)
    upload: str | None = Field(None, max_length=200)
    name: str | None = Field(None, max_length=200)
    options: dict[str, bool | int | float | str | None] = {}


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
    groups = form_groups(services.defaults, is_allowed)
    about = {
        "version": __version__,
        "model": services.bark.name,
        "formats": FORMATS,
        "languages": c.LANGUAGES,
        "program": "bark-infinity",
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

    router.include_router(job_routes(services))
    return router
