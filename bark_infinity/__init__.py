"""Bark Infinity: text of any length to speech, music and sound with Suno's Bark.

Importing this does nothing but define names; what needs torch is imported when it is first asked for.
"""

from __future__ import annotations

import importlib

from .constants import SAMPLE_RATE

__version__ = "1.0.0"

_DROP_IN = (
    "preload_models",
    "generate_audio",
    "text_to_semantic",
    "semantic_to_waveform",
    "save_as_prompt",
    "generate_text_semantic",
    "generate_coarse",
    "generate_fine",
    "codec_decode",
)
_HOMES = dict.fromkeys(_DROP_IN, ".drop_in") | {
    "Bark": ".bark",
    "Segment": ".bark",
    "Settings": ".bark",
    "Generation": ".bark",
    "Seeds": ".seeds",
    "Voice": ".voices.voice",
    "Weights": ".voices.history",
    "HistoryContext": ".voices.custom_history",
    "Options": ".options.table",
    "BarkError": ".errors",
}

__all__ = ["SAMPLE_RATE", "__version__", *_HOMES]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
