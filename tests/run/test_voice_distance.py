"""Takes are compared with the voice that their segment goes on from."""

from __future__ import annotations

import numpy as np
from fakes import Hashing, recipe_of
from tones import vowel

from bark_infinity.run.voice_distance import NO_SPEECH, VoiceDistances
from bark_infinity.voices.history import History
from bark_infinity.voices.voice import Voice


def history(pitch: int) -> History:
    fine = np.full((8, 4), pitch)
    return History.of_voice(Voice(np.zeros(3, np.int64), fine[:2], fine))


def test_take_is_near_the_voice_that_it_goes_on_from():
    decoded = []

    def decode(codes: np.ndarray) -> np.ndarray:
        decoded.append(codes.shape)
        return vowel(float(codes[0, 0]))

    distances = VoiceDistances(decode)
    low, high = history(120), history(200)
    away = [[distances.distance(one, vowel(pitch)) for pitch in (120, 126, 200)] for one in (low, high)]
    assert away[0][0] == 0 and away[0] == sorted(away[0]) and away[1] == sorted(away[1], reverse=True)
    assert decoded == [(8, 4)] * 2  # each once
    assert distances.distance(low, np.zeros(24_000, np.float32)) == NO_SPEECH
    assert distances.distance(History.of_voice(None), vowel()) is None


def test_history_without_speech_has_no_voice():
    assert VoiceDistances(lambda codes: np.zeros(codes.shape[1] * 320)).distance(history(120), vowel()) is None


def test_voice_is_measured_where_takes_are_ranked():
    assert recipe_of(Hashing()).distances is None and recipe_of(Hashing(), candidates=2).distances is not None
