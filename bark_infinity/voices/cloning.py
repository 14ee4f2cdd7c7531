"""A voice cloned from a recording: semantic tokens by HuBERT and a quantizer, codes by the codec's own encoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .. import constants as c
from ..audio.reading import resample
from ..errors import VoiceError
from .compatibility import SEMANTIC_VOCAB_SIZES
from .recording import FLAG, Recording, choose_part, read_recording

if TYPE_CHECKING:
    import torch

    from ..checkpoints.hub import Hub

SECONDS = 8.0  # as in published voices; the stages' history windows are 5.1, 4.2 and 6.8 s, so more would be unused


@dataclass(frozen=True)
class Cloned:
    """A cloned voice, the part of the recording that it was made from (seconds), and short sentences for the user."""

    prompts: Mapping[str, np.ndarray]  # as `Voice.from_prompts` takes them
    start: float
    stop: float
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def check_recording(recording: Path, model: str, seconds: float = SECONDS) -> None:
    """Raise VoiceError, before anything is loaded, for a recording or a model (as --model) that no voice can be cloned with.

    Models in folders and repositories are checked when they are read, in `clone_voice`.
    """
    choose_part(read_recording(recording), recording, seconds)
    check_clones(model)


def check_clones(model: str) -> None:
    """Raise VoiceError for a model (as --model) whose semantic tokens cannot be made from sound."""
    _check_vocabulary(SEMANTIC_VOCAB_SIZES.get(model, c.SEMANTIC_VOCAB_SIZE), f"the model {model}")


def _check_vocabulary(size: int, name: str) -> None:
    if size != c.SEMANTIC_VOCAB_SIZE:
        raise VoiceError(
            f"{name} has semantic tokens of its own, which no recording can be turned into; clone with "
            "--model large or small, or speak in a voice that was made with it (--history_prompt)"
        )


def clone_voice(recording: Path, model: str, hub: Hub, device: torch.device, seconds: float = SECONDS) -> Cloned:
    """Clone the voice in at most `seconds` of a recording, in the tokens of `model` (as --model) and its codec.

    Raises VoiceError for an unusable recording, before anything is downloaded, and CheckpointError.
    """
    return clone_recording(read_recording(recording), recording, model, hub, device, seconds)


def clone_recording(
    source: Recording,
    path: Path,
    model: str,
    hub: Hub,
    device: torch.device,
    seconds: float = SECONDS,
    of: str = FLAG,
) -> Cloned:
    """As `clone_voice`, of a recording that has been read. `of`, `path`: what messages begin with."""
    part, warnings = choose_part(source, path, seconds, of)
    samples = source.samples[part.start : part.stop]

    from ..checkpoints.finding import find_checkpoints
    from ..checkpoints.hubert import read_semantic_encoder
    from ..model import hubert
    from ..model.codec import Encoder

    checkpoint = find_checkpoints({"fine": model}, hub)["fine"]
    _check_vocabulary(checkpoint.spec.semantic_vocab_size, checkpoint.name)  # before HuBERT is downloaded
    semantic = read_semantic_encoder(hub, device).encode(resample(samples, source.rate, hubert.SAMPLE_RATE))
    codes = Encoder(checkpoint.codec(), device, checkpoint.name).encode(resample(samples, source.rate, c.SAMPLE_RATE))

    start, stop, whole = (x / source.rate for x in (part.start, part.stop, len(source.samples)))
    used = f"the voice is made of seconds {start:.1f} to {stop:.1f} of {whole:.1f}"
    return Cloned(_prompts(semantic, codes), start, stop, (used, *source.notes), (*source.warnings, *warnings))


def _prompts(semantic: np.ndarray, codes: np.ndarray) -> dict[str, np.ndarray]:
    """Tokens (n,) and codes (8, m) that end together and have exactly Bark's ratio of frames to tokens.

    HuBERT gives no token for the last few samples, and the codec a frame too many. Both are trimmed at the start, because
    speech is continued from a voice's end. Other programs refuse voices whose rounded ratio is not 1.5.
    """
    ratio = c.FRAME_RATE_HZ / c.SEMANTIC_RATE_HZ
    n = min(len(semantic), int(codes.shape[1] / ratio))
    m = int(n * ratio)
    fine = codes[:, codes.shape[1] - m :]
    coarse = fine[: c.N_COARSE_CODEBOOKS]
    return {"semantic_prompt": semantic[len(semantic) - n :], "coarse_prompt": coarse, "fine_prompt": fine}
