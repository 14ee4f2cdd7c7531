"""--render_npz_samples: decodes the voices of a folder to audio files with the codec alone, without loading a stage."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import constants as c
from ..errors import DeviceError, UsageError, VoiceError
from ..files import remove_stale_temporaries
from .library import voice_files
from .voice import Voice

Decode = Callable[[np.ndarray], np.ndarray]  # codes (8, frames) -> samples (frames * 320,)
Write = Callable[[Path, np.ndarray, Mapping[str, str]], None]  # path, samples, tags; raises FileExistsError


@dataclass(frozen=True)
class Rendered:
    """A voice, the audio file written for it, and its length in seconds."""

    voice: Path
    audio: Path
    seconds: float


@dataclass(frozen=True)
class Skipped:
    """A voice that was not rendered, and the reason in one sentence."""

    voice: Path
    reason: str
    fault: bool = True  # False: its audio exists already


def voices_to_render(folder: str) -> list[Path]:
    """All voice files below a folder, in order. Raises UsageError if there are none."""
    if not os.path.isdir(os.path.expanduser(folder)):
        raise UsageError(f"--render_npz_samples {folder} is no folder; give one with .npz voice files")
    if not (paths := voice_files(Path(folder).expanduser())):
        raise UsageError(f"--render_npz_samples {folder} has no .npz files; give a folder with voices")
    return paths


def render_voices(voices: Iterable[Path], format: str, decode: Decode, write: Write) -> Iterator[Rendered | Skipped]:
    """Write each voice as `<name>.<format>` beside its file, lazily, one for each item of the iterator.

    Existing audio is kept, so that an interrupted run can be repeated. Raises OutputError.
    """
    voices = list(voices)
    for folder in {path.parent for path in voices}:
        remove_stale_temporaries(folder)
    return (_render(path, path.with_suffix(f".{format}"), decode, write) for path in voices)


def _render(path: Path, audio: Path, decode: Decode, write: Write) -> Rendered | Skipped:
    try:
        if audio.exists():
            raise FileExistsError
        samples = _decoded(Voice.load(path), path, decode)
        write(audio, samples, {"title": path.stem, "software": "Bark Infinity"})
    except FileExistsError:
        return Skipped(path, f"{audio} is there already; move it away to render this voice again", fault=False)
    except (VoiceError, DeviceError) as error:
        return Skipped(path, str(error))
    return Rendered(path, audio, len(samples) / c.SAMPLE_RATE)


def _decoded(voice: Voice, path: Path, decode: Decode) -> np.ndarray:
    """The voice's samples. Raises DeviceError if they do not fit the memory, as voice files may last hours."""
    from ..model.devices import is_out_of_memory

    try:
        return decode(voice.fine)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise DeviceError(
            f"{path} lasts {voice.seconds:.0f} s, too long for the free memory; --codec_use_gpu false may have more"
        ) from None
