"""What can be measured of a voice in a stretch of speech: pitch, loudness and long-term spectrum, and how far two differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .pitch import track_pitch

_FRAME_SECONDS = 0.02
_SPEECH_DB = -30.0  # below the loudest frames; what is quieter counts as a pause
_LEAST_SPEECH_SECONDS = 0.3
_LEAST_VOICED_FRAMES = 10  # 0.1 s with a pitch; the median of fewer says little
# Edges of bands as wide as two or three harmonics of a voice, so that its pitch has little part in the spectrum:
_BANDS_HZ = (100, 400, 700, 1_000, 1_400, 1_900, 2_500, 3_200, 4_000, 5_000, 6_300, 8_000)
_FFT_SECONDS = 0.04
_LEAST_BAND_DB = -60.0  # of the loudest band, below which a band counts as empty

# How much a segment of one voice usually differs from its median, by which differences are made comparable. Measured on the
# demo's two voices (docs/voices.md).
USUAL_PITCH = 0.8  # semitones
USUAL_SPREAD = 0.8  # semitones
USUAL_LOUDNESS = 1.0  # dB
USUAL_SPECTRUM = 2.0  # dB, root mean square over the bands


@dataclass(frozen=True, eq=False)
class VoiceProfile:
    """What was measured of a stretch of speech. `pitch` and `spread` are None where hardly anything is voiced."""

    seconds: float  # of speech, without pauses
    pitch: float | None  # Hz, median
    spread: float | None  # of the pitch: semitones from the lowest to the highest quarter
    loudness: float  # of speech, dB of full scale
    spectrum: np.ndarray  # (bands,) dB, relative to their mean


def measure_voice(samples: np.ndarray, rate: int) -> VoiceProfile | None:
    """The profile of samples (n,); None if there is hardly any speech in them."""
    length = round(_FRAME_SECONDS * rate)
    frames = samples[: len(samples) // length * length].astype(np.float64).reshape(-1, length)
    powers = np.mean(frames**2, axis=1)
    if not len(powers) or powers.max() <= 1e-9:
        return None
    speech = powers > np.percentile(powers, 95) * 10 ** (_SPEECH_DB / 10)
    seconds = float(speech.sum()) * _FRAME_SECONDS
    if seconds < _LEAST_SPEECH_SECONDS:
        return None
    track = track_pitch(samples, rate)
    voiced = 12 * np.log2(track[track > 0])
    pitch = spread = None
    if len(voiced) >= _LEAST_VOICED_FRAMES:
        low, middle, high = np.percentile(voiced, (25, 50, 75))
        pitch, spread = float(2 ** (middle / 12)), float(high - low)
    loudness = 10 * math.log10(float(powers[speech].mean()))
    return VoiceProfile(seconds, pitch, spread, loudness, _long_term_spectrum(samples, rate))


def _long_term_spectrum(samples: np.ndarray, rate: int) -> np.ndarray:
    """Mean power of each band in dB, relative to the mean of all; pauses have no part in it, because they have no power."""
    size = round(_FFT_SECONDS * rate)
    padded = np.pad(samples.astype(np.float64), (0, max(0, size - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[:: size // 2]
    power = np.mean(np.abs(np.fft.rfft(frames * np.hanning(size), axis=1)) ** 2, axis=0)
    frequencies = np.fft.rfftfreq(size, 1 / rate)
    band = np.digitize(frequencies, _BANDS_HZ)
    sums = np.array([power[band == k].mean() if (band == k).any() else 0.0 for k in range(1, len(_BANDS_HZ))])
    levels = 10 * np.log10(np.maximum(sums / sums.max(), 10 ** (_LEAST_BAND_DB / 10)))
    return levels - levels.mean()


def semitones(pitch: float, reference: float) -> float:
    """How far a pitch (Hz) is above a reference."""
    return 12 * math.log2(pitch / reference)


def spectral_distance(one: np.ndarray, other: np.ndarray) -> float:
    """Root mean square difference of two long-term spectra in dB."""
    return float(np.sqrt(np.mean((one - other) ** 2)))


def median_profile(profiles: Sequence[VoiceProfile]) -> VoiceProfile:
    """The profile whose every value is the median of those given, of which there must be one at least."""
    pitches = [profile.pitch for profile in profiles if profile.pitch is not None]
    spreads = [profile.spread for profile in profiles if profile.spread is not None]
    return VoiceProfile(
        float(np.median([profile.seconds for profile in profiles])),
        float(np.median(pitches)) if pitches else None,
        float(np.median(spreads)) if spreads else None,
        float(np.median([profile.loudness for profile in profiles])),
        np.median([profile.spectrum for profile in profiles], axis=0),
    )


def distance(profile: VoiceProfile, reference: VoiceProfile) -> float:
    """How far a profile is from a reference: 1 is as far as segments of one voice usually are.

    `reference` may be the `median_profile` of several. What one of them lacks counts nothing.
    """
    parts = [
        (profile.loudness - reference.loudness) / USUAL_LOUDNESS,
        spectral_distance(profile.spectrum, reference.spectrum) / USUAL_SPECTRUM,
    ]
    if profile.pitch is not None and reference.pitch is not None:
        parts.append(semitones(profile.pitch, reference.pitch) / USUAL_PITCH)
    if profile.spread is not None and reference.spread is not None:
        parts.append((profile.spread - reference.spread) / USUAL_SPREAD)
    return math.sqrt(sum(part**2 for part in parts) / len(parts))
