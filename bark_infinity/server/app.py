"""The server as one application: the page, OpenAI's speech API, jobs, health and metrics, behind one guard."""

from __future__ import annotations

from fastapi import FastAPI

from .. import __version__
from .openai_errors import answer_errors
from .services import Services


def make_app(services: Services) -> FastAPI:
    """The application of these services, for an ASGI server. It opens nothing and starts no thread by itself."""
    app = FastAPI(title="Bark Infinity", version=__version__, docs_url=None, redoc_url=None)
    answer_errors(app)
    return app
