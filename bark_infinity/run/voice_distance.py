"""How far the voice of a take is from the voice of its segment's history, so that takes can be ranked by it."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from .. import constants as c
from ..audio.voice_profile import VoiceProfile, distance, measure_voice
from ..voices.history import History

NO_SPEECH = 100.0
"""The distance of a take in which no speech is found."""
_MOST_KNOWN = 64  # histories whose profiles are kept: usually there is one for each speaker


class VoiceDistances:
    """Compares takes with the sound of their histories, each of which is decoded once."""

    def __init__(self, decode: Callable[[np.ndarray], np.ndarray]):
        """`decode`: codes (8, frames) to samples (n,) at 24 kHz."""
        self._decode = decode
        self._profile_of = lru_cache(_MOST_KNOWN)(self._measure)

    def distance(self, history: History, samples: np.ndarray) -> float | None:
        """How far samples (n,) are from the voice of a history: 1 is as far as segments of one voice usually are.

        NO_SPEECH if there is none in the samples; None if there is none in the history.
        """
        usual = self._profile_of(np.ascontiguousarray(history.fine, np.int64).tobytes()) if history.fine.size else None
        if usual is None:
            return None
        found = measure_voice(samples, c.SAMPLE_RATE)
        return NO_SPEECH if found is None else round(min(distance(found, usual), NO_SPEECH), 4)

    def _measure(self, codes: bytes) -> VoiceProfile | None:
        fine = np.frombuffer(codes, np.int64).reshape(c.N_FINE_CODEBOOKS, -1)
        return measure_voice(self._decode(fine), c.SAMPLE_RATE)
