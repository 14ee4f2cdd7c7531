"""Reads recordings of a voice, mixes them to one channel, and chooses the part with the most speech."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..audio.reading import AudioError, read_audio, resample
from ..errors import VoiceError

FLAG = "--audio_file_as_history_prompt "  # begins messages about its recording
_MAX_SECONDS = 600  # of a recording that are looked at
_MIN_SECONDS = 2.0

_FRAME_SECONDS = 0.02  # a level is measured over
_PAUSE_FRAMES = 10
_MARGIN_FRAMES = 5  # kept around speech
_JOINING_SECONDS = 0.25  # of silence between joined recordings, so that a voice may end there
_SILENCE_DB, _QUIET_DB = (
    -70.0,
    -45.0,
)  # dB of full scale: below the first it is refused, below the second the user is warned
_FULL_SCALE, _CLIPPED_SHARE = 0.99, 1e-3  # clipped: so large a share of the samples has full scale beside full scale


@dataclass(frozen=True)
class Recording:
    """One channel of float32 samples (n,) in -1..1 at `rate` Hz, with short sentences for the user about changes and faults."""

    samples: np.ndarray
    rate: int
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Part:
    """A part of a recording, in samples; `stop` is the first sample behind it."""

    start: int
    stop: int


def read_recording(path: Path, of: str = FLAG) -> Recording:
    """Read a recording in any format that libsndfile or FFmpeg's libraries read. Raises VoiceError.

    `of`: what messages begin with, before the path.
    """
    if not path.is_file():
        raise VoiceError(f"{of}{path} is no file; give a recording of the voice")
    if path.suffix.lower() == ".npz":
        raise VoiceError(f"{of}{path} is a voice file and no recording; give it as --history_prompt {path}")
    try:
        samples, rate, channels, whole = read_audio(path, _MAX_SECONDS)
    except AudioError as error:
        raise VoiceError(f"{of}{path} {error}") from None
    notes, warnings = [], []
    if channels > 1:
        notes.append(f"its {channels} channels were mixed into one")
    if not whole:
        notes.append(f"only its first {_MAX_SECONDS // 60} minutes were looked at")
    if rate < 16_000:
        warnings.append(f"at {rate} Hz it has nothing above {rate // 2} Hz, so the voice will sound dull")
    peak = float(np.abs(samples).max(initial=0.0))
    if peak > 1:
        samples = samples / np.float32(peak)
        notes.append(f"it goes beyond full scale and was made {20 * math.log10(peak):.1f} dB quieter")
    return Recording(samples, rate, tuple(notes), tuple(warnings))


def choose_part(recording: Recording, path: Path, seconds: float, of: str = FLAG) -> tuple[Part, tuple[str, ...]]:
    """The part of at most `seconds` that holds the most speech and ends at a pause, and warnings about its sound.

    Raises VoiceError, naming `path`, for silence and for less than 2 s.
    """
    levels, length = _levels(recording)
    loud, floor = (float(level) for level in np.percentile(levels, (95, 10))) if len(levels) else (-np.inf, -np.inf)
    if loud < _SILENCE_DB:
        raise VoiceError(f"{of}{path} is silent; give a recording of somebody speaking")
    speech = levels > np.clip(floor + 6, loud - 30, loud - 15)
    start, stop = _window(speech, round(seconds / _FRAME_SECONDS))
    part = Part(start * length, min(stop * length, len(recording.samples)))
    found = (part.stop - part.start) / recording.rate
    if found < _MIN_SECONDS:
        raise VoiceError(
            f"{of}{path} holds {found:.1f} s of sound, too little for a voice; give {_MIN_SECONDS:g} s or more, best 8"
        )
    warnings = []
    if loud < _QUIET_DB:
        warnings.append(f"it is very quiet ({loud:.0f} dB), and so will the voice be")
    full = np.abs(recording.samples[part.start : part.stop]) >= _FULL_SCALE
    if np.mean(full[1:] & full[:-1]) > _CLIPPED_SHARE:
        warnings.append("it is clipped (recorded too loud), which the voice will keep")
    return part, tuple(warnings)


def join_recordings(recordings: Sequence[Recording]) -> Recording:
    """Recordings one after the other, at the highest of their rates, with a pause between them."""
    rate = max(recording.rate for recording in recordings)
    pause = np.zeros(round(_JOINING_SECONDS * rate), np.float32)
    pieces = [piece for r in recordings for piece in (resample(r.samples, r.rate, rate), pause)]
    notes = dict.fromkeys(note for recording in recordings for note in recording.notes)
    warnings = dict.fromkeys(warning for recording in recordings for warning in recording.warnings)
    return Recording(np.concatenate(pieces[:-1]), rate, tuple(notes), tuple(warnings))


# ---- which part -----------------------------------------------------------------------------------------------------


def _levels(recording: Recording) -> tuple[np.ndarray, int]:
    """Level of each frame in dB of full scale, an offset of all samples left out, and the samples of a frame."""
    length = round(recording.rate * _FRAME_SECONDS)
    frames = recording.samples[: len(recording.samples) // length * length].reshape(-1, length)
    offset = recording.samples.mean(dtype=np.float64) if len(recording.samples) else 0.0
    return 10 * np.log10(np.mean((frames - offset) ** 2, axis=1) + 1e-12), length


def _window(speech: np.ndarray, width: int) -> tuple[int, int]:
    """(first frame, last frame + 1) of the window of at most `width` frames with the most frames of speech.

    It begins with speech, and ends at a pause or with the last speech of the recording.
    """
    n_before = np.concatenate([[0], np.cumsum(speech)])  # number of frames with speech before each frame
    ends = np.flatnonzero(speech) + 1
    ends = ends[n_before[np.minimum(ends + _PAUSE_FRAMES, len(speech))] == n_before[ends]]
    starts = np.maximum(ends + _MARGIN_FRAMES - width, 0)
    best = int(np.argmax(n_before[ends] - n_before[starts]))
    first = int(starts[best] + np.argmax(speech[starts[best] :]))
    stop = min(int(ends[best]) + _MARGIN_FRAMES, len(speech))
    return max(first - _MARGIN_FRAMES, int(starts[best])), stop
