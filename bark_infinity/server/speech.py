"""OpenAI's speech API: POST /v1/audio/speech, and the lists of models and voices that its clients ask for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from ..text.events import Script
from .live import LiveSpeech, speak_live
from .services import Services
from .speech_answer import SpeechQueue, SpeechResponse, SpeechStream
from .speech_formats import STREAMED_FORMATS
from .speech_request import OPENAI_MODELS, SpeechRequest, asked_speech, check_model, model_name

IGNORED_HEADER = "X-Ignored-Fields"
SpeakText = Callable[[Services, str | Script, Mapping[str, object], str | None], LiveSpeech]
_OWNER = "bark-infinity"
_PREFIXES = ("/v1", "")  # some clients leave the version out
_MEDIA_TYPES = (*(format.media_type for format in STREAMED_FORMATS.values()), "text/event-stream")
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "Speech, as it is made.", "content": {name: {} for name in _MEDIA_TYPES}}
}


def speech_routes(services: Services, speak_text: SpeakText | None = None) -> APIRouter:
    """The routes of these services. A speech is made while it is sent; nothing of it is kept.

    `speak_text`: makes it, in place of `speak_live`.
    """
    router = APIRouter()
    queue = SpeechQueue(services.settings.most_waiting)
    started = int(time.time())

    def speak(request: SpeechRequest) -> Response:
        """Speak a text. The answer begins with the first finished segment."""
        asked = asked_speech(request, services)
        start = partial(speak_text or speak_live, services, asked.text, asked.options, asked.voice)
        headers = {IGNORED_HEADER: ", ".join(asked.ignored)} if asked.ignored else {}
        stream = SpeechStream(start, asked.format, asked.speed)
        return SpeechResponse(stream, STREAMED_FORMATS[asked.format].media_type, asked.events, queue, headers)

    def models() -> dict[str, Any]:
        """The loaded model, and OpenAI's names for it."""
        return {"object": "list", "data": [_model(name, started) for name in _model_names(services)]}

    def model(name: str) -> dict[str, Any]:
        """One of the models."""
        check_model(name, services)
        return _model(name, started)

    def audio_models() -> dict[str, Any]:
        """The models, as Open WebUI asks for them."""
        return {"models": [{"id": name, "name": name} for name in _model_names(services)]}

    def voices() -> dict[str, Any]:
        """The voices, and OpenAI's names for some of them. Clients speak with an `id`."""
        own = [
            {"id": voice.name, "name": voice.name, "language": voice.language or None, "seconds": voice.seconds}
            for voice in services.voices.listed()
        ]
        openai = [{"id": name, "name": f"{name} ({own})"} for name, own in services.voices.openai_names().items()]
        return {"voices": [*own, *openai]}

    for prefix in _PREFIXES:
        shown = prefix == _PREFIXES[0]
        router.add_api_route(
            f"{prefix}/audio/speech",
            speak,
            methods=["POST"],
            response_class=Response,
            responses=_ANSWERS,
            include_in_schema=shown,
        )
        for path, answer in (
            ("/models", models),
            ("/models/{name:path}", model),
            ("/audio/models", audio_models),
            ("/audio/voices", voices),
        ):
            router.add_api_route(f"{prefix}{path}", answer, methods=["GET"], include_in_schema=shown)
    return router


def _model_names(services: Services) -> list[str]:
    return list(dict.fromkeys((model_name(services), *OPENAI_MODELS)))


def _model(name: str, created: int) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created, "owned_by": _OWNER}
