"""The names of Suno's module `bark.generation`, for scripts and notebooks that import them from there.

The functions come from `drop_in`, which is imported, with torch, when one of them is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .constants import (
    CODEBOOK_SIZE,
    LANGUAGES,
    N_COARSE_CODEBOOKS,
    N_FINE_CODEBOOKS,
    SAMPLE_RATE,
    SEMANTIC_RATE_HZ,
    SEMANTIC_VOCAB_SIZE,
)
from .constants import FRAME_RATE_HZ as COARSE_RATE_HZ

if TYPE_CHECKING:
    from .drop_in import codec_decode as codec_decode
    from .drop_in import generate_coarse as generate_coarse
    from .drop_in import generate_fine as generate_fine
    from .drop_in import generate_text_semantic as generate_text_semantic
    from .drop_in import preload_models as preload_models

_FUNCTIONS = ("preload_models", "generate_text_semantic", "generate_coarse", "generate_fine", "codec_decode")

SUPPORTED_LANGS = [(name, code) for code, name in LANGUAGES.items()]  # ("English", "en"), ...
ALLOWED_PROMPTS = {"announcer"} | {  # voices that Suno has published
    f"{folder}{code}_speaker_{n}" for folder in ("", "v2/") for _, code in SUPPORTED_LANGS for n in range(10)
}
CONTEXT_WINDOW_SIZE = 1024  # positions of each stage

__all__ = [
    "ALLOWED_PROMPTS",
    "CODEBOOK_SIZE",
    "COARSE_RATE_HZ",
    "CONTEXT_WINDOW_SIZE",
    "N_COARSE_CODEBOOKS",
    "N_FINE_CODEBOOKS",
    "SAMPLE_RATE",
    "SEMANTIC_RATE_HZ",
    "SEMANTIC_VOCAB_SIZE",
    "SUPPORTED_LANGS",
    "codec_decode",
    "generate_coarse",
    "generate_fine",
    "generate_text_semantic",
    "preload_models",
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _FUNCTIONS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from . import drop_in

        return getattr(drop_in, name)
