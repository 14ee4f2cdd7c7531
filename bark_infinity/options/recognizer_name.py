"""What --recognizer names: a recogniser, and for Whisper its model."""

from __future__ import annotations

import os
from typing import NamedTuple

from ..errors import UsageError

OFF, POCKETSPHINX, WHISPER = "off", "pocketsphinx", "whisper"
_DEFAULT_SIZE = "small"
WHISPER_MODELS = {  # size of Whisper: hub repository in the format of faster-whisper
    **{
        size: f"Systran/faster-whisper-{size}"
        for size in (
            "tiny", "tiny.en", "base", "base.en", "small", "small.en", "medium", "medium.en",
            "large-v1", "large-v2", "large-v3",
        )
    },
    "large": "Systran/faster-whisper-large-v3",
    "large-v3-turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
    "turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
    "distil-large-v3": "Systran/faster-distil-whisper-large-v3",
}  # fmt: skip


class RecognizerName(NamedTuple):
    """`kind`: off, pocketsphinx or whisper. `model`: of Whisper: a size, a hub repository or a folder."""

    kind: str
    model: str = ""


def is_public_recognizer(text: str) -> bool:
    """Whether a value of --recognizer names nothing but what everybody has, so that a stranger's manifest may ask for it."""
    kind, colon, model = text.lower().partition(":")
    return (kind in (OFF, POCKETSPHINX, WHISPER) and not colon) or (kind == WHISPER and model in WHISPER_MODELS)


def read_recognizer_name(text: str) -> RecognizerName:
    """The recogniser that a value of --recognizer names. Raises UsageError."""
    kind, colon, model = text.partition(":")
    if text.lower() in (OFF, POCKETSPHINX):
        return RecognizerName(text.lower())
    if kind.lower() == WHISPER and (model or not colon):
        model = os.path.expanduser(model or _DEFAULT_SIZE)
        if model in WHISPER_MODELS or "/" in model or os.path.isdir(model):
            return RecognizerName(WHISPER, model)
        raise UsageError(
            f"--recognizer {text[:200]}: there is no Whisper of that size and no such folder; "
            f"the sizes are {', '.join(WHISPER_MODELS)}"
        )
    raise UsageError(
        f"--recognizer {text[:200]!r} is not one of {OFF}, {POCKETSPHINX}, {WHISPER}, {WHISPER}:SIZE and {WHISPER}:FOLDER"
    )
