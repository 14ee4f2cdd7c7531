"""Bark Infinity: text of any length to speech, music and sound with Suno's Bark.

Importing this does nothing but define names; what needs torch is imported when it is first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from .constants import SAMPLE_RATE as SAMPLE_RATE

if TYPE_CHECKING:  # the names of `_HOMES`, for editors and type checkers
    from .bark import Bark as Bark
    from .bark import Generation as Generation
    from .bark import Segment as Segment
    from .bark import Settings as Settings
    from .drop_in import codec_decode as codec_decode
    from .drop_in import generate_audio as generate_audio
    from .drop_in import generate_coarse as generate_coarse
    from .drop_in import generate_fine as generate_fine
    from .drop_in import generate_text_semantic as generate_text_semantic
    from .drop_in import preload_models as preload_models
    from .drop_in import save_as_prompt as save_as_prompt
    from .drop_in import semantic_to_waveform as semantic_to_waveform
    from .drop_in import text_to_semantic as text_to_semantic
    from .errors import BarkError as BarkError
    from .generation import SUPPORTED_LANGS as SUPPORTED_LANGS
    from .narration import Narration as Narration
    from .narration import narrate as narrate
    from .options.table import Options as Options
    from .run.clips import FinishedSegment as FinishedSegment
    from .seeds import Seeds as Seeds
    from .voices.custom_history import HistoryContext as HistoryContext
    from .voices.history import Weights as Weights
    from .voices.voice import Voice as Voice

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
_HOMES = dict.fromkeys(_DROP_IN, ".drop_in") | {  # public name: the module that has it, imported on first use
    "Bark": ".bark",
    "Segment": ".bark",
    "Settings": ".bark",
    "Generation": ".bark",
    "narrate": ".narration",
    "Narration": ".narration",
    "FinishedSegment": ".run.clips",
    "Seeds": ".seeds",
    "Voice": ".voices.voice",
    "Weights": ".voices.history",
    "HistoryContext": ".voices.custom_history",
    "Options": ".options.table",
    "BarkError": ".errors",
    "SUPPORTED_LANGS": ".generation",
}

__all__ = ["SAMPLE_RATE", "__version__", *_HOMES]


if not TYPE_CHECKING:  # else every name would be taken for one of ours

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
