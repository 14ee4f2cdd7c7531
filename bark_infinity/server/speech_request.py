"""What a request of OpenAI's speech API asks for: its fields, checked, and flags beside them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from ..audio.tempo import HIGHEST, LOWEST
from ..errors import VoiceError
from ..options.flag import LONG_CLIPS, SAMPLING, SEEDS
from ..options.settings_file import flags_by_name
from ..options.table import flags
from ..text.events import Place, Script, Speech
from .network_options import OptionError, network_options
from .openai_errors import ApiError, api_error
from .services import Services
from .speech_formats import SpeechFormat
from .voice_shelf import DEFAULT_VOICE

MAX_INPUT_LENGTH = 50_000  # characters, about an hour of speech; OpenAI's has 4096
OPENAI_MODELS = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts")  # names that stand for the loaded model

_GROUPS = (SAMPLING, SEEDS, LONG_CLIPS)  # of the flags that a request may set, besides `script`
_WITHOUT_EFFECT = ("instructions", "stream", "user", "language", "lang_code")  # that clients of other servers send


def _voice_name(voice: object) -> object:
    """The name of a voice that is given as {"id": ...}."""
    return voice["id"] if isinstance(voice, dict) and voice.keys() == {"id"} else voice


_Voice = Annotated[
    str | None,
    BeforeValidator(_voice_name),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]},
                {"type": "null"},
            ]
        }
    ),
]


class SpeechRequest(BaseModel):
    """The body of POST /v1/audio/speech.

    Beside these fields it may have flags of the groups Sampling, Seeds and Long clips, and `script`: as the flag, or false
    for a text whose markup is read aloud.
    """

    model_config = ConfigDict(extra="allow")

    input: str = Field(max_length=MAX_INPUT_LENGTH, description="The text to speak.")
    model: str | None = Field(None, description=f"The loaded model's name, or one of {', '.join(OPENAI_MODELS)}.")
    voice: _Voice = Field(None, description="A name of GET /v1/audio/voices, or one of OpenAI's, such as alloy.")
    response_format: SpeechFormat | None = Field(None, description="mp3 unless given.")
    speed: float | None = Field(None, ge=LOWEST, le=HIGHEST, description="1 unless given; the pitch stays.")
    stream_format: Literal["audio", "sse"] | None = Field(None, description="audio unless given.")
    instructions: str | None = Field(None, description="Has no effect.")


@dataclass(frozen=True)
class AskedSpeech:
    """A checked request.

    `text`: a Script if its markup is not read. `options`: flags by name. `voice`: as --history_prompt; None: that of the
    server's defaults. `ignored`: fields without effect.
    """

    text: str | Script
    voice: str | None
    options: Mapping[str, object]
    format: SpeechFormat
    speed: float
    events: bool  # as server-sent events
    ignored: tuple[str, ...]


def asked_speech(request: SpeechRequest, services: Services) -> AskedSpeech:
    """Check a request. Raises ApiError that names the field at fault."""
    check_model(request.model, services)
    extras = {name: value for name, value in (request.model_extra or {}).items() if value is not None}
    ignored = [name for name in _WITHOUT_EFFECT if extras.pop(name, None) is not None]
    if request.instructions:
        ignored.insert(0, "instructions")
    text = request.input
    if not text.strip():
        raise ApiError(400, "the input is empty; give it words to speak", "input")
    is_literal = extras.get("script") is False
    if is_literal or extras.get("script") is True:
        del extras["script"]
    return AskedSpeech(
        Script((Speech(text, Place(1, 1)),)) if is_literal else text,
        _voice(request.voice, services),
        _options(extras, services),
        request.response_format or "mp3",
        request.speed or 1.0,
        request.stream_format == "sse",
        tuple(ignored),
    )


def model_name(services: Services) -> str:
    """The loaded model's name for clients: that of --model, without the place of a folder."""
    name = services.bark.name
    folder = Path(os.path.expanduser(name))
    return folder.resolve().name if folder.is_dir() else name


def check_model(name: str | None, services: Services) -> None:
    """Raise ApiError for the name of a model that is not the loaded one. Dated names of OpenAI's models count as theirs."""
    loaded = model_name(services)
    openai = name is not None and any(name == model or name.startswith(f"{model}-20") for model in OPENAI_MODELS)
    if name is None or name == loaded or openai:
        return
    raise ApiError(
        404,
        f"the model {name[:100]!r} is not loaded; this server has {loaded}, also as {', '.join(OPENAI_MODELS)}",
        "model",
        "model_not_found",
    )


def _voice(name: str | None, services: Services) -> str | None:
    """The voice of a request, or the one that a request without one has. Raises ApiError."""
    if name is None and (services.defaults.history_prompt is not None or not services.voices.openai_names()):
        return None
    try:
        return services.voices.resolve(DEFAULT_VOICE if name is None else name)
    except VoiceError as error:
        raise ApiError(400, str(error), "voice", "voice_not_found") from None


def _options(extras: Mapping[str, object], services: Services) -> dict[str, object]:
    """The flags among a request's fields. Raises ApiError."""
    try:
        options = network_options(extras, services.names, services.defaults)
    except OptionError as error:
        raise api_error(error, error.flag) from None
    known = flags_by_name(flags())
    for name in options:
        if name != "script" and known[name].group not in _GROUPS:
            raise ApiError(400, f"{name} is no setting of one speech; start a job with it (POST /v1/jobs)", name)
    return options
