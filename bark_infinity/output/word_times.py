"""When each word of a segment is spoken: as the aligner finds it, else in proportion to length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np

from .. import constants as c
from ..audio.alignment import Aligner, Times
from ..audio.trimming import sounding_span
from ..text.subtitle_lines import speaking_times, words_of
from ..text.units import Span


@dataclass(frozen=True, eq=False, slots=True)
class WordTimes:
    """When the words of a text are spoken. `times`: float32 (words, 2), seconds from the beginning of the segment."""

    times: np.ndarray
    aligned: bool

    def begin(self, offset: int, words: Sequence[Span]) -> float:
        """When what follows this offset of the text begins. `words`: those of the text."""
        k = next((k for k, word in enumerate(words) if word.end > offset), len(words) - 1)
        return self._at(max(offset, words[k].start), k, words)

    def end(self, offset: int, words: Sequence[Span]) -> float:
        """When what is before this offset of the text ends."""
        k = next((k for k in reversed(range(len(words))) if words[k].start < offset), 0)
        return self._at(min(offset, words[k].end), k, words)

    def _at(self, offset: int, k: int, words: Sequence[Span]) -> float:
        """The time of an offset inside a word, or at one of its ends."""
        start, end = map(float, self.times[k])
        return start + (end - start) * (offset - words[k].start) / (words[k].end - words[k].start)


def times_of_words(shown: str, spoken: str, samples: np.ndarray, aligner: Aligner | None) -> WordTimes:
    """When the words of a segment are spoken, whose audio is samples (n,) at 24 kHz.

    `shown`: its text as subtitles have it; `spoken`: as the model reads it. Both come from `subtitle_text`.
    """
    words = words_of(shown)
    known: list[Times | None] | None = None
    if aligner is not None and (found := aligner.align(_texts(spoken), samples)):
        known = found if shown == spoken else _of_equal_words(_texts(shown), _texts(spoken), found)
    sounding = sounding_span(samples)
    start, stop = sounding.start / c.SAMPLE_RATE, sounding.stop / c.SAMPLE_RATE
    times = _filled(shown, words, known or [None] * len(words), start, stop)
    return WordTimes(np.clip(times, start, stop), known is not None)


def _texts(text: str) -> list[str]:
    return [text[start:end] for start, end in words_of(text)]


def _of_equal_words(shown: Sequence[str], spoken: Sequence[str], found: Sequence[Times | None]) -> list[Times | None]:
    """The times of those words that are spoken as they are shown."""
    known: list[Times | None] = [None] * len(shown)
    for at, there, n in SequenceMatcher(None, shown, spoken, autojunk=False).get_matching_blocks():
        known[at : at + n] = found[there : there + n]
    return known


def _filled(text: str, words: Sequence[Span], known: Sequence[Times | None], start: float, stop: float) -> np.ndarray:
    """Times of all words (words, 2): others share the time between known ones in proportion to their lengths."""
    lengths = speaking_times(text)
    times = np.zeros((len(words), 2), np.float32)
    before, first = start, 0  # when the last known word ends; the first word behind it
    for k in range(len(words) + 1):
        here = known[k] if k < len(words) else (max(before, stop), stop)
        if here is None:
            continue
        between = words[first:k]
        if between:
            free = max(0.0, here[0] - before)
            origin = lengths[between[0].start]
            scale = free / (lengths[between[-1].end] - origin)
            for i, word in enumerate(between, first):
                times[i] = [before + (lengths[end] - origin) * scale for end in word]
        if k < len(words):
            times[k] = here
            before, first = here[1], k + 1
    return times
