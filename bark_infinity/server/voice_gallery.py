"""The voices as the page shows them, with samples to hear: those of the shelf, and those that were uploaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .. import constants as c
from ..audio.reading import AudioError, read_audio, resample
from ..errors import UnknownError, VoiceError
from ..voices.library import DEMO_VOICES
from ..voices.voice import Voice
from .services import Services
from .uploads import Upload

SAMPLE_S = 15  # most seconds of a sample


def gallery(services: Services) -> dict[str, object]:
    """All voices as JSON has them. `default`: the voice of jobs that name none, if the server was started with one."""
    asked = services.defaults.asked or services.defaults
    voices = [*_uploaded(services), *_listed(services)]
    return {"default": asked.history_prompt and Path(asked.history_prompt).stem, "voices": voices}


def _uploaded(services: Services) -> Iterator[dict[str, object]]:
    for upload in services.uploads.all():
        if upload.kind in ("voice", "recording"):
            is_recording = upload.kind == "recording"
            about = {"kind": "recording" if is_recording else "own", "recording": is_recording, "sample": True}
            yield {
                "value": upload.id,
                "name": upload.name,
                "language": "",
                "language_name": "",
                "seconds": None,
                **about,
            }


def _listed(services: Services) -> Iterator[dict[str, object]]:
    for voice in services.voices.listed():
        kind = "preset" if voice.path is None else "" if voice.path.parent == DEMO_VOICES else "own"
        yield {
            "value": voice.name,
            "name": voice.name,
            "language": voice.language,
            "language_name": c.LANGUAGES.get(voice.language, ""),
            "seconds": voice.seconds,
            "kind": kind,
            "recording": False,
            "sample": voice.path is not None and voice.cloned,
        }


def voice_sample(services: Services, name: str) -> np.ndarray:
    """The beginning of a voice, by its name or the id of its upload: samples at 24 kHz. Raises UnknownError, VoiceError."""
    upload = next((upload for upload in services.uploads.all() if upload.id == name), None)
    if upload is not None and upload.kind == "recording":
        return _recorded(upload)
    path = next((voice.path for voice in services.voices.listed() if voice.name == name), None)
    path = upload.path if upload is not None else path
    if path is None or not path.is_file():
        raise UnknownError(f"the voice {name[:100]!r} has no sample here; it has one once it was spoken with")
    codes = Voice.load(path).fine[:, : SAMPLE_S * c.FRAME_RATE_HZ]
    return services.engine.decode([codes])[0]


def _recorded(upload: Upload) -> np.ndarray:
    try:
        content = read_audio(upload.path, SAMPLE_S)
    except AudioError as error:
        raise VoiceError(f"{upload.name} {error}") from None
    return resample(content.samples, content.rate, c.SAMPLE_RATE)
