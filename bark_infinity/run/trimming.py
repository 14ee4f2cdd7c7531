"""--trim_babble: a take ends where its text was over, by the times of the words that a recogniser heard."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .. import constants as c
from ..text.word_errors import Comparison
from ..voices.voice import Voice
from .recognition import Heard

if TYPE_CHECKING:  # planning is done without torch
    from ..bark import Generation

_MARGIN_S = 0.5  # of sound that may stay behind the last word; recognisers' times are off by up to a third of a second
_LEAST_TRIMMED_S = 0.3  # less is not worth a cut
_WINDOW_S = 0.02  # over which loudness is measured to find the quietest place for the cut


@dataclass(frozen=True, slots=True)
class Trim:
    """A cut: the first `frames` of a take of `of_frames` are kept. It applies to no take of another length."""

    frames: int
    of_frames: int


def find_trim(generation: Generation, heard: Heard, comparison: Comparison) -> Trim | None:
    """Where a take is to be cut: shortly after the last word of its text. None if that was not heard or nothing follows.

    The cut is at the quietest place between that word and the next sound that was heard as one, but not later than the
    margin.
    """
    if not comparison.is_complete or comparison.last_start is None:
        return None
    audio = generation.audio
    last = heard.word_at(comparison.last_start)
    latest = last.end + _MARGIN_S
    if comparison.tail_start is not None:
        latest = min(latest, max(heard.word_at(comparison.tail_start).start, last.end))
    cut = _quietest(audio, last.end, latest)
    frames = round(cut * c.FRAME_RATE_HZ)
    of_frames = generation.voice.fine.shape[1]
    if of_frames - frames < _LEAST_TRIMMED_S * c.FRAME_RATE_HZ or not frames:
        return None
    return Trim(frames, of_frames)


def _quietest(audio: np.ndarray, start: float, stop: float) -> float:
    """The middle of the quietest window between two times in seconds; `start` if there is no room for one."""
    size = round(_WINDOW_S * c.SAMPLE_RATE)
    first, last = (round(time * c.SAMPLE_RATE) for time in (start, stop))
    n = min(last, len(audio)) - first
    if n < size:
        return start
    windows = audio[first : first + n // size * size].reshape(-1, size)
    quietest = int(np.square(windows, dtype=np.float64).mean(axis=1).argmin())
    return (first + (quietest + 0.5) * size) / c.SAMPLE_RATE


def trimmed(generation: Generation, trim: Trim, decode: Callable[[np.ndarray], np.ndarray]) -> Generation:
    """A take that is cut: its tokens, and the audio decoded of them, as it is when it is stitched again.

    `decode`: codes (8, frames) to samples (frames * 320,). The take is unchanged if the cut is of one of another length.
    """
    voice, frames = generation.voice, trim.frames
    of_frames = voice.fine.shape[1]
    if of_frames != trim.of_frames or not 0 < frames < of_frames:
        return generation
    n = round(len(voice.semantic) * frames / of_frames)
    cut = Voice(voice.semantic[:n], voice.coarse[:, :frames], voice.fine[:, :frames])
    return dataclasses.replace(generation, voice=cut, audio=decode(cut.fine))
