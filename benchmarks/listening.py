"""What a listener makes of a sound: its words, by pocketsphinx, and its pitch, by Praat."""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache

import jiwer
import numpy as np
import parselmouth
from pocketsphinx import Decoder
from scipy.signal import resample_poly

_RATE = 16_000  # that the recogniser's English model was made for
_SILENCE_S = 0.25  # before and behind: it adapts to the room first
_PITCHES = (60, 400)  # Hz


@cache
def _recogniser() -> Decoder:
    return Decoder(samprate=_RATE, loglevel="FATAL")


def words(sound: np.ndarray, rate: int) -> str:
    """What is heard in samples [n] between -1 and 1, as small letters."""
    sound = resample_poly(sound.astype(np.float64), _RATE, rate)
    silence = np.zeros(round(_RATE * _SILENCE_S))
    sound = np.concatenate([silence, 0.6 * sound / (np.abs(sound).max(initial=0) + 1e-9), silence])
    sound += np.random.default_rng(0).normal(0, 1e-4, len(sound))  # digital silence confuses it
    recogniser = _recogniser()
    recogniser.start_utt()
    recogniser.process_raw((sound * 32_767).astype(np.int16).tobytes(), full_utt=True)
    recogniser.end_utt()
    found = recogniser.hyp()
    return found.hypstr if found else ""


def _words_of(sounds: Sequence[np.ndarray], rate: int) -> list[str]:
    return [words(sound, rate) for sound in sounds]


def word_error_rate(texts: Sequence[str], sounds: Sequence[np.ndarray], rate: int, processes: int = 1) -> float:
    """Of plain sentences and the sounds that were made of them."""
    said = [" ".join(re.findall(r"[a-z']+", text.lower())) for text in texts]
    shares = [list(sounds[i::processes]) for i in range(processes)]
    heard = [""] * len(sounds)
    with ProcessPoolExecutor(processes) as pool:
        for i, found in enumerate(pool.map(_words_of, shares, [rate] * processes)):
            heard[i::processes] = found
    return jiwer.wer(said, heard)


def median_pitch(sound: np.ndarray, rate: int) -> float:
    """In Hz, of the voiced parts; 0 where there are none."""
    low, high = _PITCHES
    found = parselmouth.Sound(sound.astype(np.float64), rate).to_pitch(0.01, low, high).selected_array["frequency"]
    return float(np.median(found[found > 0])) if (found > 0).any() else 0.0
