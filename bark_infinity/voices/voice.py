"""Voices: the tokens of a few seconds of speech, which Bark continues ("history prompts").

Shapes: n semantic tokens, m acoustic frames, m / n = 1.503.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import constants as c
from ..errors import VoiceError
from ..files import write_whole
from ..options.python_words import python_words
from .mending import aligned_lengths, is_aligned, mend_prompts
from .npz import VOICE_ARRAYS, read_npz


@dataclass(frozen=True, eq=False)
class Voice:
    """Tokens of one recording or generation: semantic (n,), coarse (2, m), fine (8, m)."""

    semantic: np.ndarray
    coarse: np.ndarray
    fine: np.ndarray

    def __repr__(self) -> str:
        return f"Voice({self.seconds:.1f} s, {len(self.semantic)} semantic tokens, {self.fine.shape[1]} frames)"

    @property
    def seconds(self) -> float:
        return self.fine.shape[1] / c.FRAME_RATE_HZ

    def prompts(self) -> dict[str, np.ndarray]:
        """The three arrays under the names and types of a published voice file."""
        arrays = (self.semantic, self.coarse, self.fine)
        return {name: a.astype(VOICE_ARRAYS[name][3]) for name, a in zip(VOICE_ARRAYS, arrays, strict=True)}

    def read_only(self) -> Voice:
        """The same voice with arrays that cannot be written to, without a copy."""
        views = [tokens.view() for tokens in (self.semantic, self.coarse, self.fine)]
        for view in views:
            view.flags.writeable = False
        return Voice(*views)

    def digest(self) -> str:
        """SHA-256 of the tokens: the same for the same voice, whatever the file's types."""
        tokens = (self.semantic, self.coarse, self.fine)
        return hashlib.sha256(b"".join(np.asarray(t, "<i8").tobytes() for t in tokens)).hexdigest()

    @classmethod
    def from_prompts(
        cls, prompts: Mapping[str, np.ndarray], source: str, on_mended: Callable[[str], object] = lambda _: None
    ) -> Voice:
        """A voice from the arrays of a voice file or of the original's dict.

        Arrays that are a little off are mended, and `on_mended` is called with a sentence that says how. Raises
        VoiceError, naming `source`, for arrays that are missing, misshaped or out of range.
        """
        mended, notes = mend_prompts(prompts)
        faults = list(_faults(mended))
        if faults:
            raise VoiceError(f"{source} is no usable voice: {'; '.join(faults)}; make it again or choose another")
        if notes:
            on_mended(f"{source} is a little off and was mended for this run: {'; '.join(notes)}")
        return cls(*(np.asarray(mended[name]).astype(np.int64) for name in VOICE_ARRAYS))

    @classmethod
    def load(cls, path: str | Path, on_mended: Callable[[str], object] = lambda _: None) -> Voice:
        """Read an `.npz` voice file, as `from_prompts` takes its arrays.

        Nothing is unpickled, and arrays of more than 7 hours are refused. Raises VoiceError.
        """
        return cls.from_prompts(read_npz(Path(path)), str(path), on_mended)

    @classmethod
    def clone(
        cls, recording: str | Path, model: str = "large", *, device: str = "auto", offline: bool = False
    ) -> Voice:
        """The voice of a recording (wav, flac, ogg, mp3, ...), in the tokens of `model` as --model names it.

        The first time this downloads the models that make tokens of sound. Raises VoiceError for a recording that cannot
        be used, and CheckpointError.
        """
        from ..checkpoints.hub import Hub  # late: these import torch
        from ..model.devices import choose_device
        from .cloning import clone_voice

        if Path(recording).suffix.lower() == ".npz":
            raise VoiceError(f'{recording} is a voice file and no recording; read it: Voice.load("{recording}")')
        with python_words({"--audio_file_as_history_prompt ": ""}):
            cloned = clone_voice(Path(recording), model, Hub(offline=offline), choose_device(device))
        return cls.from_prompts(cloned.prompts, f"the voice cloned from {recording}")

    def save(self, path: str | Path, overwrite: bool = True) -> None:
        """Write an `.npz` that every Bark program reads, completely or not at all.

        Raises OutputError, and FileExistsError for an existing file unless `overwrite`.
        """
        arrays: dict[str, Any] = self.prompts()  # Any: for mypy one may be NumPy's own argument, a bool
        write_whole(Path(path), lambda file: np.savez(file, **arrays), overwrite)

    def aligned(self) -> Voice | None:
        """This voice, trimmed at its start if its ratio of frames to semantic tokens does not round to the published 1.5.

        Generations of a few tokens miss the ratio by rounding, and other programs refuse such files. None if nothing
        is left.
        """
        if len(self.semantic) and is_aligned(len(self.semantic), self.fine.shape[1]):
            return self
        n, m = aligned_lengths(len(self.semantic), self.fine.shape[1])
        return Voice(self.semantic[-n:], self.coarse[:, -m:], self.fine[:, -m:]) if n else None

    @classmethod
    def concatenate(cls, voices: Sequence[Voice]) -> Voice:
        """Several voices joined into one, in order."""
        return cls(
            np.concatenate([v.semantic for v in voices]),
            np.concatenate([v.coarse for v in voices], axis=1),
            np.concatenate([v.fine for v in voices], axis=1),
        )


def _faults(prompts: Mapping[str, np.ndarray]) -> Iterator[str]:
    """Each fault of these arrays, in a few words."""
    missing = [name for name in VOICE_ARRAYS if name not in prompts]
    if missing:
        yield f"it has no {' and no '.join(missing)} (a voice needs {', '.join(VOICE_ARRAYS)})"
    well_formed = not missing
    for name, (dims, rows, n_ids, _) in VOICE_ARRAYS.items():
        if name in missing:
            continue
        array = np.asarray(prompts[name])
        shape = f"({rows}, frames)" if rows else "(tokens,)"
        if array.ndim != dims or (rows and array.shape[0] != rows) or not array.size:
            well_formed = False
            yield f"'{name}' has shape {array.shape} instead of {shape}"
        elif array.dtype.kind not in "iu":
            well_formed = False
            yield f"'{name}' holds {array.dtype} instead of integers"
        elif array.min() < 0 or array.max() >= n_ids:
            yield f"'{name}' has values {array.min()}..{array.max()} outside 0..{n_ids - 1}"
    if not well_formed:
        return
    n, m = np.size(prompts["semantic_prompt"]), np.shape(prompts["fine_prompt"])[1]
    if np.shape(prompts["coarse_prompt"])[1] != m:
        yield f"'coarse_prompt' has {np.shape(prompts['coarse_prompt'])[1]} frames and 'fine_prompt' {m}"
    if not is_aligned(n, m):
        yield f"{m} frames to {n} semantic tokens is {m / n:.2f} to 1 instead of 1.5"
