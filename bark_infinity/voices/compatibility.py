"""Which voices a model can speak with: the published models and the demo have semantic tokens of different meaning."""

from __future__ import annotations

import numpy as np

from .. import constants as c
from ..errors import VoiceError
from .voice import Voice

PUBLISHED_MODELS = "large, small"  # each speaks with the other's voices
DEMO_SEMANTIC_VOCAB_SIZE = 2_528  # semantic ids of the built-in demo model
SEMANTIC_VOCAB_SIZES = {  # by name of --model, for what is checked before a model is loaded
    "large": c.SEMANTIC_VOCAB_SIZE,
    "small": c.SEMANTIC_VOCAB_SIZE,
    "demo": DEMO_SEMANTIC_VOCAB_SIZE,
}
# So many different ids, all below the demo's limit, mark a voice as the demo's. The longest stretch of such ids in Bark's
# published presets has 17.
_DISTINCT_DEMO_IDS = 24


def models_of(semantic: np.ndarray) -> str:
    """Names of the models that these semantic tokens (n,) suit, separated by commas; empty where they do not show it."""
    if semantic.size and semantic.max() >= DEMO_SEMANTIC_VOCAB_SIZE:
        return PUBLISHED_MODELS
    return "demo" if len(np.unique(semantic)) >= _DISTINCT_DEMO_IDS else ""


def suitable_voices(vocab_size: int) -> str:
    """Words for messages: the voices that suit a model with `vocab_size` semantic ids."""
    if vocab_size == DEMO_SEMANTIC_VOCAB_SIZE:
        return "demo_male, demo_female or the .npz of a clip that it made"
    return "Bark's presets such as v2/en_speaker_6 or the .npz of a clip that it made"


def check_compatible(voice: Voice, name: str, model: str, vocab_size: int) -> None:
    """Raise VoiceError, naming suitable voices, unless `model`, with `vocab_size` semantic ids, can speak with this voice."""
    highest = int(voice.semantic.max(initial=0))
    if highest >= vocab_size:
        reason = f"its semantic token {highest} is beyond the {vocab_size} that {model} knows"
    elif vocab_size > DEMO_SEMANTIC_VOCAB_SIZE and models_of(voice.semantic) == "demo":
        reason = f"it has the demo model's tokens, which mean other sounds to {model}"
    else:
        return
    raise VoiceError(
        f"{name} was made for another model: {reason}; voices that suit {model}: {suitable_voices(vocab_size)}"
    )


def check_preset(name: str, model: str, vocab_size: int) -> None:
    """Raise VoiceError for a published preset, before it is downloaded, if `model` lacks the published semantic ids."""
    if vocab_size != c.SEMANTIC_VOCAB_SIZE:
        raise VoiceError(
            f"the voice {name} was made for Bark's published models, and {model} is none of them; "
            f"voices that suit {model}: {suitable_voices(vocab_size)}"
        )
