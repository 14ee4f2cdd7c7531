"""A recogniser by pocketsphinx, whose English model is in its package."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from .. import constants as c
from ..audio.reading import resample
from .recognition import HeardWord

if TYPE_CHECKING:
    from pocketsphinx import Decoder

_RATE = 16_000  # samples per second of its model
_FRAMES_PER_S = 100
_SILENCE_S = 0.25  # before and behind: it adapts to the room first
_PEAK = 0.6  # to which the sound is scaled
_NOISE = 1e-4  # it hears words in digital silence


class Pocketsphinx:
    """A `Recognizer` for English. Raises ImportError where the package is missing."""

    name = "pocketsphinx"
    languages = frozenset({"en"})

    def __init__(self) -> None:
        import pocketsphinx  # noqa: F401 - so that it is known at once whether it is there

    @cached_property
    def _decoder(self) -> Decoder:
        from pocketsphinx import Decoder

        return Decoder(samprate=_RATE, loglevel="FATAL")

    def hear(self, audio: np.ndarray, language: str) -> Sequence[HeardWord]:
        sound = resample(audio, c.SAMPLE_RATE, _RATE)
        silence = np.zeros(round(_RATE * _SILENCE_S), np.float32)
        sound = np.concatenate([silence, _PEAK * sound / (np.abs(sound).max(initial=0) + 1e-9), silence])
        sound = sound + np.random.default_rng(0).normal(0, _NOISE, len(sound))
        decoder = self._decoder
        decoder.reinit_feat()  # forget the take before
        decoder.start_utt()
        decoder.process_raw((np.clip(sound, -1, 1) * 32_767).astype(np.int16).tobytes(), full_utt=True)
        decoder.end_utt()
        words = []
        for segment in decoder.seg() or ():
            word = segment.word.partition("(")[0]  # the(2) is another pronunciation
            if not word.startswith(("<", "[")):  # silence and noise
                start, end = segment.start_frame / _FRAMES_PER_S, (segment.end_frame + 1) / _FRAMES_PER_S
                words.append(HeardWord(f" {word}", max(0.0, start - _SILENCE_S), max(0.0, end - _SILENCE_S)))
        return words
