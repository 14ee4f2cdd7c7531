"""The functions of Suno's module `bark.api`, for scripts and notebooks that import them from there.

They come from `drop_in`, which is imported, with torch, when one of them is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .drop_in import codec_decode as codec_decode
    from .drop_in import generate_audio as generate_audio
    from .drop_in import generate_coarse as generate_coarse
    from .drop_in import generate_fine as generate_fine
    from .drop_in import generate_text_semantic as generate_text_semantic
    from .drop_in import save_as_prompt as save_as_prompt
    from .drop_in import semantic_to_waveform as semantic_to_waveform
    from .drop_in import text_to_semantic as text_to_semantic

__all__ = [
    "codec_decode",
    "generate_audio",
    "generate_coarse",
    "generate_fine",
    "generate_text_semantic",
    "save_as_prompt",
    "semantic_to_waveform",
    "text_to_semantic",
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from . import drop_in

        return getattr(drop_in, name)
