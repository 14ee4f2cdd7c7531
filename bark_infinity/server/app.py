"""The server as one application: the page, OpenAI's speech API, jobs, health and metrics, behind one guard."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from .. import __version__
from .health import health_routes
from .jobs_api import job_routes
from .login import login_routes
from .openai_errors import ErrorAnswer, answer_errors
from .page import page_routes
from .security import Guard
from .services import Services
from .speech import speech_routes
from .uploads_api import upload_routes

_FAILURES: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer, "description": "What is wrong with the request."},
    "5XX": {"model": ErrorAnswer, "description": "Why the server cannot answer."},
}


def make_app(services: Services) -> FastAPI:
    """The application of these services, for an ASGI server. It opens nothing and starts no thread by itself."""
    app = FastAPI(title="Bark Infinity", version=__version__, docs_url=None, redoc_url=None, responses=_FAILURES)
    answer_errors(app)
    app.add_middleware(Guard, settings=services.settings)
    for routes in (health_routes, job_routes, page_routes, upload_routes):
        app.include_router(routes(services))
    app.include_router(speech_routes(services))
    app.include_router(login_routes(services.settings))
    return app
