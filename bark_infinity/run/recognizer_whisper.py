"""A recogniser by faster-whisper: OpenAI's Whisper in any size, for all of Bark's languages."""

from __future__ import annotations

from collections.abc import Container, Sequence
from pathlib import Path

import numpy as np
import torch

from .. import constants as c
from ..audio.reading import resample
from ..checkpoints.hub import Hub
from ..errors import CheckpointError
from ..options.recognizer_name import WHISPER_MODELS
from .recognition import HeardWord

_RATE = 16_000  # samples per second of its models
_WEIGHTS, _TOKENIZER = "model.bin", "tokenizer.json"
_NEEDED = ("config.json", _TOKENIZER, _WEIGHTS)
_OPTIONAL = ("vocabulary.txt", "vocabulary.json", "preprocessor_config.json")  # one vocabulary, by its age
_MEND = "connect once to download it, give the folder of a faster-whisper model, or use --recognizer pocketsphinx"
_GPU_BYTES = 2**30  # that must be free on a GPU beside twice the weights


class Whisper:
    """A `Recognizer`. Without chance: equal samples give equal words."""

    def __init__(self, model: str, hub: Hub, gpu: bool = True):
        """`model`: a size of Whisper, a hub repository or a folder. `gpu`: whether a GPU may be used.

        Raises ImportError where faster-whisper is missing, CheckpointError for a model that is missing or cannot be read.
        """
        from faster_whisper import WhisperModel

        folder = _folder(model, hub)
        size = (folder / _WEIGHTS).stat().st_size  # tells folders of one name apart
        self.name = f"whisper:{folder.name}, {size} bytes" if Path(model).is_dir() else f"whisper:{model}"
        device = _device(folder) if gpu else "cpu"
        try:
            self._model = WhisperModel(
                str(folder),
                device=device,
                compute_type="float16" if device == "cuda" else "int8",
                cpu_threads=max(1, torch.get_num_threads() // 2),  # the others are the engine's
                local_files_only=True,
            )
        except (RuntimeError, ValueError, OSError) as error:
            reason = (str(error).splitlines() or [""])[0][:200]
            raise CheckpointError(
                f"--recognizer: {folder} cannot be read as a faster-whisper model ({reason}); {_MEND}"
            ) from None
        self.languages: Container[str] = c.LANGUAGES if self._model.model.is_multilingual else {"en"}

    def hear(self, audio: np.ndarray, language: str) -> Sequence[HeardWord]:
        segments, _ = self._model.transcribe(
            resample(audio, c.SAMPLE_RATE, _RATE),
            language=language,
            temperature=0.0,
            condition_on_previous_text=False,
            word_timestamps=True,
        )
        words = (word for segment in segments for word in segment.words or ())
        return [HeardWord(word.word, float(word.start), float(word.end)) for word in words]


def _folder(model: str, hub: Hub) -> Path:
    """The folder of a model, downloaded if needed. Raises CheckpointError."""
    given = Path(model)
    if given.is_dir():
        missing = [name for name in _NEEDED if not (given / name).is_file()]
        if missing:
            raise CheckpointError(
                f"--recognizer: the folder {model} has no {missing[0]}, which a faster-whisper model has; {_MEND}"
            )
        return given
    repo = WHISPER_MODELS.get(model, model)
    here = [hub.cached(repo, name) for name in _NEEDED]
    if all(here) and here[-1] is not None:
        return here[-1].parent
    for name in _OPTIONAL:  # first: a folder with all that is needed counts as complete
        hub.optional_file(repo, name, _MEND)
    return [hub.file(repo, name, _MEND) for name in _NEEDED][-1].parent


def _device(folder: Path) -> str:
    """cuda where a GPU has room for the model, else cpu."""
    import ctranslate2

    if not torch.cuda.is_available() or not ctranslate2.get_cuda_device_count():
        return "cpu"
    free, _ = torch.cuda.mem_get_info()
    return "cuda" if free >= 2 * (folder / _WEIGHTS).stat().st_size + _GPU_BYTES else "cpu"
